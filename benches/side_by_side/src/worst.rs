//! What the worst requests cost that a client can send.

use micro::worst::{PLAIN, Request, WORST, Worst};
use rig::http::{self, Connection};
use serde_json::{Value, json};

use crate::filters;
use crate::procfs;
use crate::tokens::{FAVOURITE, Tokens};

/// How often each is sent.
const REQUESTS: u32 = 60;
const WARM_UP: u32 = 10;
/// How often a plain one is.
const PLAIN_REQUESTS: u32 = 2_000;
/// In milliseconds, at the most.
const LIMIT: f64 = 3.0;

/// What one of them takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cost {
    /// Its name.
    pub(crate) name: &'static str,
    /// The status of its answer.
    pub(crate) status: u16,
    /// CPU of the whole Envoy, in milliseconds.
    pub(crate) cpu: f64,
}

/// Measures all of them; the first is the plain refusal.
pub(crate) fn costs(tokens: &Tokens) -> Vec<Cost> {
    let envoy = filters::start_rich();
    let port = envoy.port(filters::RICH);
    let good = tokens.valid(FAVOURITE);
    let mut costs = vec![cost(envoy.pid(), port, &PLAIN, &good, PLAIN_REQUESTS)];
    costs.extend(WORST.iter().map(|worst| cost(envoy.pid(), port, worst, &good, REQUESTS)));
    costs
}

fn cost(pid: u32, port: u16, worst: &Worst, good: &str, requests: u32) -> Cost {
    let raw = raw(port, &worst.request(good));
    let mut lane = None;
    let mut ask = || {
        // Where an answer comes before the whole request was read, Envoy closes the connection.
        let answer = lane.get_or_insert_with(|| Connection::open(port)).try_send(&raw).ok();
        answer.unwrap_or_else(|| lane.insert(Connection::open(port)).send(&raw)).status
    };
    let status = ask();
    for _ in 0..WARM_UP {
        ask();
    }
    let (answered, cpu) = procfs::cpu_during(pid, || (0..requests).all(|_| ask() == status));
    assert!(answered, "{}: not always answered by {status}", worst.name);
    Cost { name: worst.name, status, cpu: cpu / f64::from(requests) / 1e3 }
}

/// The request as it is written.
fn raw(port: u16, request: &Request) -> Vec<u8> {
    let pseudo = |name: &str| {
        let value = request.fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_slice());
        std::str::from_utf8(value.expect("a pseudo-header")).expect("text")
    };
    let host = ("host", pseudo(":authority").as_bytes());
    let lines = request.fields.iter().filter(|(name, _)| !name.starts_with(':'));
    let lines: Vec<_> =
        [host].into_iter().chain(lines.map(|(name, value)| (name.as_str(), &**value))).collect();
    let body = request.form.as_deref().unwrap_or_default();
    http::raw(port, pseudo(":method"), pseudo(":path"), &lines, body)
}

/// As rows of a table, the dearest first: name, status, milliseconds, times a plain refusal, and whether that is too much.
pub(crate) fn rows(costs: &[Cost]) -> Vec<Vec<String>> {
    let plain = costs.first().map_or(f64::NAN, |plain| plain.cpu);
    let mut sorted = costs.to_vec();
    sorted.sort_by(|a, b| b.cpu.total_cmp(&a.cpu));
    let row = |cost: &Cost| {
        let verdict = if cost.cpu > LIMIT { "missed" } else { "" };
        let times = format!("{:.1}", cost.cpu / plain);
        vec![cost.name.into(), cost.status.to_string(), format!("{:.2}", cost.cpu), times, verdict.into()]
    };
    sorted.iter().map(row).collect()
}

/// All of them.
pub(crate) fn to_json(costs: &[Cost]) -> Value {
    costs
        .iter()
        .map(|cost| json!({"request": cost.name, "status": cost.status, "cpu_ms": cost.cpu}))
        .collect()
}
