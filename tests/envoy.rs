//! The table of cases through a real Envoy, started from the shipped `envoy/envoy.yaml`: the adapter adds nothing.

use rig::driver::Driver;
use rig::envoy::binary_version;
use rig::table;

#[test]
fn every_case_through_envoy() {
    let table = table::load();
    let driver = Driver::start(&table.configs);
    let cases = table.cases.iter().filter(|case| case.now.is_none() && case.native_only.is_none());
    table::run(&format!("Envoy {}", binary_version()), cases, |case| {
        driver.outcome(&case.config, &case.fields, &case.body).check(&case.expect)
    });
    driver.finish();
}
