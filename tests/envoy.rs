//! The table of cases through a real Envoy, started from the shipped `envoy/envoy.yaml`: the adapter adds nothing.

use rig::driver::Driver;
use rig::envoy::binary_version;
use rig::table;

#[test]
fn every_case_through_envoy() {
    let driver = Driver::start(&table::load().configs);
    // Its tokens are as old as it is, and to start takes a while.
    let table = table::load();
    let cases = table.cases.iter().filter(|case| case.now.is_none() && case.native_only.is_none());
    table::run(&format!("Envoy {}", binary_version()), cases, |case| {
        driver.outcome(&case.config, &case.fields, &case.body).check(&case.expect)
    });
    driver.finish();
}

/// Over HTTP/2 the head comes to the filter in another way, and its answer goes another way out.
#[test]
fn every_case_through_envoy_by_http2() {
    let driver = Driver::start(&table::load().configs);
    // Its tokens are as old as it is, and to start takes a while.
    let table = table::load();
    let cases = table.cases.iter().filter(|case| case.now.is_none() && case.native_only.is_none());
    let outcomes: Vec<_> = cases
        .filter_map(|case| Some((case, driver.outcome_by_http2(&case.config, &case.fields, &case.body)?)))
        .collect();
    assert!(outcomes.len() > 5000, "only {} of {} are of HTTP/2, too", outcomes.len(), table.cases.len());
    table::run("Envoy by HTTP/2", outcomes.iter().map(|(case, _)| *case), |case| {
        let (_, outcome) = outcomes.iter().find(|(own, _)| std::ptr::eq(*own, case)).expect("its outcome");
        outcome.check(&case.expect)
    });
    driver.finish();
}
