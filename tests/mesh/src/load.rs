//! Requests without a pause, while something else happens, and what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use rig::http::{self, Connection};
use rig::place::{bearer, bytes, good, token};

use crate::report::ensure;

/// A request, and what may come of it.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    name: &'static str,
    path: &'static str,
    token: Option<String>,
    allowed: &'static [u16],
}

const PATH: &str = "/notes";

/// No token, a forged one, and a good one: what they must get at any time.
pub(crate) fn usual() -> Vec<Probe> {
    let mut probes = never();
    probes.push(Probe { name: "good", path: PATH, token: Some(good()), allowed: &[200] });
    probes
}

/// The same while the filter may answer 500 to all of them.
pub(crate) fn until_mended() -> Vec<Probe> {
    let mut probes = usual();
    for probe in &mut probes {
        probe.allowed = if probe.name == "good" { &[200, 500] } else { &[401, 500] };
    }
    probes
}

/// What must never pass.
fn never() -> Vec<Probe> {
    vec![
        Probe { name: "no token", path: PATH, token: None, allowed: &[401] },
        Probe { name: "forged", path: PATH, token: Some(token("short", 3600)), allowed: &[401] },
    ]
}

/// The same where Istio may deny everything for want of a module.
pub(crate) fn while_denied() -> Vec<Probe> {
    let mut probes = usual();
    for probe in &mut probes {
        probe.allowed = if probe.name == "good" { &[200, 403] } else { &[401, 403] };
    }
    probes
}

/// The usual, and a path for which a firewall beside us has its own answer: with a good token, and with none.
pub(crate) fn with_attack(
    path: &'static str,
    signed_in: &'static [u16],
    nobody: &'static [u16],
) -> Vec<Probe> {
    let mut probes = usual();
    probes.push(Probe { name: "attack, good", path, token: Some(good()), allowed: signed_in });
    probes.push(Probe { name: "attack, no token", path, token: None, allowed: nobody });
    probes
}

/// Beside what must never pass: tokens of these keys, and what they may get.
pub(crate) fn with_keys(keys: &[(&'static str, &'static [u16])]) -> Vec<Probe> {
    let of_keys = keys.iter().map(|(key, allowed)| Probe {
        name: key,
        path: PATH,
        token: Some(token(key, 3600)),
        allowed,
    });
    never().into_iter().chain(of_keys).collect()
}

/// A token of somebody else's, or no token, and what it may get.
pub(crate) fn probe(name: &'static str, token: Option<&str>, allowed: &'static [u16]) -> Probe {
    Probe { name, path: PATH, token: token.map(str::to_owned), allowed }
}

type Counts = BTreeMap<(&'static str, u16), usize>;

/// A running load. Status 0 stands for no answer at all.
#[derive(Debug)]
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Counts>>,
    probes: Vec<Probe>,
}

const CLIENTS: usize = 4;

impl Load {
    pub(crate) fn start(port: u16, probes: Vec<Probe>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = (0..CLIENTS).map(|_| {
            let (stop, probes) = (Arc::clone(&stop), probes.clone());
            thread::spawn(move || client(port, &probes, &stop))
        });
        Self { threads: threads.collect(), stop, probes }
    }

    /// Ends it: the figures.
    ///
    /// # Errors
    /// An answer came that must not be.
    pub(crate) fn end(self) -> Result<Figures, String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut counts = Counts::new();
        for thread in self.threads {
            for (key, count) in thread.join().expect("a client that does not panic") {
                *counts.entry(key).or_default() += count;
            }
        }
        let wrong: Vec<_> = counts
            .iter()
            .filter(|((name, status), _)| {
                let probe = self.probes.iter().find(|probe| probe.name == *name).expect("a probe");
                *status != 0 && *status < 500 && !probe.allowed.contains(status)
            })
            .map(|((name, status), count)| format!("{count} × {name}: {status}"))
            .collect();
        ensure(wrong.is_empty(), || format!("wrong decisions: {}", wrong.join(", ")))?;
        let of = |so: fn(u16) -> bool| counts.iter().filter(|((_, s), _)| so(*s)).map(|(_, n)| n).sum();
        Ok(Figures { sent: of(|_| true), errors: of(|status| status >= 500), cut: of(|status| status == 0) })
    }
}

/// What became of a load without a wrong decision.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) sent: usize,
    /// Answered by 5xx.
    pub(crate) errors: usize,
    /// Without an answer: connections that were closed or refused.
    pub(crate) cut: usize,
}

impl Figures {
    /// Fails if there was any 5xx.
    pub(crate) fn without_errors(self) -> Result<Self, String> {
        ensure(self.errors == 0, || self.to_string()).map(|()| self)
    }
}

impl std::ops::Add for Figures {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, errors: self.errors + other.errors, cut: self.cut + other.cut }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { sent, errors, cut } = self;
        write!(to, "{sent} requests, 0 wrong decisions, {errors} 5xx, {cut} connections cut")
    }
}

fn client(port: u16, probes: &[Probe], stop: &AtomicBool) -> Counts {
    let raws: Vec<_> = probes
        .iter()
        .map(|probe| {
            let value = probe.token.as_deref().map(bearer);
            let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
            http::raw(port, "GET", probe.path, &bytes(&headers), b"")
        })
        .collect();
    let mut counts = Counts::new();
    let mut kept: Option<Connection> = None;
    while !stop.load(Ordering::Relaxed) {
        for (probe, raw) in probes.iter().zip(&raws) {
            let mut connection = kept.take().or_else(|| Connection::try_open(port).ok());
            let response = connection.as_mut().and_then(|connection| connection.try_send(raw).ok());
            let status = response.as_ref().map_or(0, |response| response.status);
            let closes = response.is_none_or(|response| response.header("connection") == Some("close"));
            *counts.entry((probe.name, status)).or_default() += 1;
            if status == 0 {
                thread::sleep(std::time::Duration::from_millis(5));
            }
            kept = connection.filter(|_| !closes);
        }
    }
    counts
}
