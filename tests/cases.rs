//! The table of cases through the core, natively. `tests/envoy.rs` sends the same table through a real Envoy.

#![expect(clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

mod drivers;

use drivers::{now, through_core};
use jwtproxy_wasm::{Decision, Event, Policy};
use rig::table::{self, Case};

#[test]
fn every_case_through_the_core() {
    let table = table::load();
    let variables = table::env();
    let env = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    table::run("the core", table.cases.iter(), |case| {
        let config = table.configs[&case.config].to_string();
        let policy = Policy::from_json(config.as_bytes(), &env)
            .unwrap_or_else(|error| panic!("{}: configuration: {error}", case.name));
        check(&policy, case)
    });
}

/// Beside the outcome, the very event: not every answer tells its reason.
fn check(policy: &Policy, case: &Case) -> Result<(), String> {
    let (decision, outcome) = through_core(policy, &case.fields, &case.body, case.now.unwrap_or_else(now));
    if let (Decision::Answer(answer), Some(wanted)) = (&decision, case.expect["reason"].as_str()) {
        let found = match &answer.event {
            Event::Refused(rejection) => rejection.reason(),
            Event::Preflight | Event::SignedIn | Event::SignedOut(_) | Event::Told => "none",
        };
        if found != wanted {
            return Err(format!("reason: wanted {wanted}, found {:?}", answer.event));
        }
    }
    outcome.check(&case.expect)?;
    let (_, again) = through_core(policy, &case.fields, &case.body, case.now.unwrap_or_else(now));
    again.check(&case.expect).map_err(|fault| format!("the second time, with the token known: {fault}"))
}
