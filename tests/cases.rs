//! The table of cases through the core, natively. `tests/envoy.rs` sends the same table through a real Envoy.

use jwtproxy_wasm::{Decision, Event, HeadEdit, NumericDate, Policy, RequestHead, Response, RustCrypto};
use rig::table::{self, Case, Outcome};

#[test]
fn every_case_through_the_core() {
    let table = table::load();
    let variables = table::env();
    let env = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
    let mut failures = Vec::new();
    for case in &table.cases {
        let config = table.configs[&case.config].to_string();
        let policy = Policy::from_json(config.as_bytes(), &env)
            .unwrap_or_else(|error| panic!("{}: configuration: {error}", case.name));
        if let Err(difference) = check(&policy, case) {
            failures.push(format!("{}\n    {difference}", case.name));
        }
    }
    let (failed, all) = (failures.len(), table.cases.len());
    println!("{} of {all} cases through the core", all - failed);
    assert!(failures.is_empty(), "{failed} of {all} cases differ:\n{}", failures.join("\n"));
}

fn check(policy: &Policy, case: &Case) -> Result<(), String> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit into 52 bits")]
    let now = case.now.unwrap_or_else(|| rig::jwt::now() as f64);
    let decision =
        policy.decide(&RequestHead::new(&case.fields), NumericDate::from_seconds(now), &RustCrypto);
    if let (Decision::Answer(answer), Some(wanted)) = (&decision, case.expect["reason"].as_str()) {
        match &answer.event {
            Event::Refused(rejection) if rejection.reason() == wanted => {}
            other => return Err(format!("reason: wanted {wanted}, found {other:?}")),
        }
    }
    outcome(case, decision).check(&case.expect)
}

fn outcome(case: &Case, decision: Decision) -> Outcome {
    match decision {
        Decision::Forward(forward) => {
            let mut fields = case.fields.clone();
            for edit in forward.edits() {
                apply(&mut fields, edit);
            }
            let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
            let path = fields.iter().find(|(name, _)| name == ":path").map(|(_, value)| latin1(value));
            Outcome::Forwarded {
                path: path.unwrap_or_default(),
                headers: fields.iter().map(|(name, value)| (name.clone(), latin1(value))).collect(),
            }
        }
        Decision::Answer(answer) => answered(answer.response),
    }
}

fn apply(fields: &mut Vec<(String, Vec<u8>)>, edit: &HeadEdit) {
    match edit {
        HeadEdit::Add(name, value) => fields.push((name.clone(), value.clone())),
        HeadEdit::Remove(name) => fields.retain(|(own, _)| own != name),
        HeadEdit::Set(name, value) => {
            fields.retain(|(own, _)| own != name);
            fields.push((name.clone(), value.clone()));
        }
    }
}

/// A gRPC status travels as Envoy sends it: in headers, with status 200 and no body.
fn answered(response: Response) -> Outcome {
    let mut headers: Vec<_> =
        response.headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let body: String = response.body.iter().map(|byte| char::from(*byte)).collect();
    match response.grpc {
        None => Outcome::Answered { status: response.status, headers, body },
        Some(status) => {
            headers.push(("grpc-status".into(), status.code().to_string()));
            headers.push(("grpc-message".into(), body));
            Outcome::Answered { status: 200, headers, body: String::new() }
        }
    }
}
