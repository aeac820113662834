//! The core as the tests drive it, in the words of the table: a decision becomes what a client or an upstream sees of it.

#![expect(clippy::panic, reason = "a test that panics says what is wrong")]

use jwtproxy_wasm::{Decision, HeadEdit, NumericDate, Policy, RequestHead, Response, RustCrypto};
use rig::table::Outcome;

/// Decides, and does what the adapter to Envoy does with the decision.
pub fn through_core<'d>(
    policy: &'d Policy,
    fields: &'d [(String, Vec<u8>)],
    body: &'d [u8],
    now: f64,
) -> (Decision<'d>, Outcome) {
    let (head, now) = (RequestHead::new(fields).with_body(!body.is_empty()), NumericDate::from_seconds(now));
    let decision = match policy.decide(&head, &now, &RustCrypto) {
        Decision::ReadForm => policy.decide(&head.with_form(body), &now, &RustCrypto),
        // Nothing is fetched here.
        Decision::Await { .. } => policy.decide(&head.without_waiting(), &now, &RustCrypto),
        decision @ (Decision::Answer(_) | Decision::Forward(_)) => decision,
    };
    let outcome = match &decision {
        Decision::Await { .. } | Decision::ReadForm => {
            panic!("a form is asked for twice, or one waits for ever")
        }
        Decision::Answer(answer) => answered(&answer.response),
        Decision::Forward(forward) => forwarded(fields, &forward.edits()),
    };
    (decision, outcome)
}

/// The time of the machine.
pub fn now() -> f64 {
    std::time::Duration::from_secs(rig::jwt::now()).as_secs_f64()
}

fn forwarded(fields: &[(String, Vec<u8>)], edits: &[HeadEdit<'_>]) -> Outcome {
    let mut fields = fields.to_vec();
    for edit in edits {
        match edit {
            HeadEdit::Add(name, value) => fields.push(((*name).to_owned(), value.to_vec())),
            HeadEdit::Remove(name) => fields.retain(|(own, _)| own != name),
            HeadEdit::Set(name, value) => {
                fields.retain(|(own, _)| own != name);
                fields.push(((*name).to_owned(), value.to_vec()));
            }
        }
    }
    let headers: Vec<(String, String)> = fields
        .iter()
        .map(|(name, value)| (if name == ":authority" { "host" } else { name }.to_owned(), latin1(value)))
        .collect();
    let path = headers.iter().find(|(name, _)| name == ":path").map(|(_, value)| value.clone());
    Outcome::Forwarded { path: path.unwrap_or_default(), headers }
}

/// A gRPC status travels as Envoy sends it: in headers, with status 200 and no body.
fn answered(response: &Response) -> Outcome {
    let mut headers: Vec<(String, String)> = response
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone().into_owned()))
        .collect();
    let body = latin1(&response.body);
    match response.grpc {
        None => Outcome::Answered { status: response.status, headers, body },
        Some(status) => {
            headers.push(("grpc-status".into(), status.code().to_string()));
            headers.push(("grpc-message".into(), body));
            Outcome::Answered { status: 200, headers, body: String::new() }
        }
    }
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}
