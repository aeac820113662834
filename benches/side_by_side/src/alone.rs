//! What needs an Envoy of its own: the time to start, memory, more workers.

use std::time::Instant;

use rig::envoy::Envoy;
use serde_json::{Value, json};

use crate::cases::{Case, SCALED, case};
use crate::check::{self, Services};
use crate::filters::Filter;
use crate::load::{Client, Fault};
use crate::procfs;
use crate::stats::Summary;
use crate::supply::{Supply, status};
use crate::tokens::{FRESH, Tokens};

/// How long each Envoy took from its start until it was live.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// With this filter.
    pub(crate) filter: Filter,
    /// In milliseconds.
    pub(crate) time: Summary,
}

/// How often each is started.
const STARTS: usize = 7;
/// Which are.
const STARTED: [Filter; 4] = [Filter::None, Filter::JwtAuthn, Filter::Noop, Filter::Ours];

/// Starts each in turn, several times.
///
/// # Errors
///
/// The module does not verify signatures with the host's help.
pub(crate) fn starts(services: &Services) -> Result<Vec<Start>, Fault> {
    let mut times = [const { Vec::new() }; STARTED.len()];
    for _ in 0..STARTS {
        for (filter, times) in STARTED.into_iter().zip(&mut times) {
            let start = Instant::now();
            let envoy = services.behind(&[filter], 1);
            times.push(start.elapsed().as_secs_f64() * 1e3);
            if filter == Filter::Ours {
                check::signatures(&envoy, true)?;
            }
        }
    }
    Ok(STARTED
        .into_iter()
        .zip(times)
        .map(|(filter, times)| Start { filter, time: Summary::of(times) })
        .collect())
}

/// Memory of an Envoy with one worker, in KiB.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    /// With this filter.
    pub(crate) filter: Filter,
    /// After its start, and after as many different tokens as there are.
    pub(crate) at: [Footprint; 2],
}

/// Memory at one moment, in KiB.
#[derive(Clone, Debug)]
pub(crate) struct Footprint {
    /// Physical memory of the process.
    pub(crate) resident: u32,
    /// Linear memory of every VM, the largest first. After requests that is the worker's.
    pub(crate) linear: Vec<u32>,
}

impl Footprint {
    fn of(envoy: &Envoy) -> Self {
        Self { resident: procfs::resident(envoy.pid()), linear: rig::envoy::linear_memories(envoy.pid()) }
    }

    /// Of the worker.
    pub(crate) fn of_worker(&self) -> Option<u32> {
        self.linear.first().copied()
    }

    /// Both.
    pub(crate) fn to_json(&self) -> Value {
        json!({"resident_kib": self.resident, "linear_kib": self.linear})
    }
}

/// Which filters are asked so often, by which cases.
const FILLED: [&str; 4] = ["no filter", "no-op", "jwt_authn cached, cold", "ours, cold"];

/// Asks each as often as there are tokens.
///
/// # Errors
///
/// An answer is not as it should be.
pub(crate) fn memory(services: &Services, tokens: &Tokens) -> Result<Vec<Memory>, Fault> {
    let measure = |name| {
        let case = case(name);
        let envoy = services.behind(&[case.filter], 1);
        let at_rest = Footprint::of(&envoy);
        let batch = Supply::new(tokens).batch(case, FRESH);
        client(&envoy, case).saturate(&batch, status(case.load))?;
        Ok(Memory { filter: case.filter, at: [at_rest, Footprint::of(&envoy)] })
    };
    FILLED.into_iter().map(measure).collect()
}

/// What an Envoy of its own can take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaled {
    /// Of this case.
    pub(crate) case: &'static str,
    /// With so many workers.
    pub(crate) workers: u32,
    /// Requests a second.
    pub(crate) rate: Summary,
    /// CPU of the whole Envoy for each, in microseconds.
    pub(crate) cpu: Summary,
}

const SCALED_ROUNDS: usize = 5;
const SCALED_REQUESTS: u32 = 6_000;
/// Enough that the kernel spreads them over the workers about evenly.
const SCALED_LANES: usize = 64;

/// Asks each case of an Envoy with one worker and of one with two.
///
/// # Errors
///
/// An answer is not as it should be.
pub(crate) fn scaled(services: &Services, tokens: &Tokens) -> Result<Vec<Scaled>, Fault> {
    let filters = [Filter::None, Filter::Noop, Filter::Ours, Filter::JwtAuthn, Filter::JwtAuthnCached];
    let envoys = [1, 2].map(|workers| (workers, services.behind(&filters, workers)));
    let mut supplies = [(); 2].map(|()| Supply::new(tokens));
    let mut measured = Vec::new();
    for _ in 0..SCALED_ROUNDS {
        for name in SCALED {
            for ((workers, envoy), supply) in envoys.iter().zip(&mut supplies) {
                let case = case(name);
                let batch = supply.batch(case, SCALED_REQUESTS);
                let mut client = client(envoy, case);
                let (warm_up, warm_status) = supply.warm_up(case, 1_000);
                client.saturate(&warm_up, warm_status)?;
                let (time, cpu) =
                    procfs::cpu_during(envoy.pid(), || client.saturate(&batch, status(case.load)));
                let requests = f64::from(SCALED_REQUESTS);
                measured.push((*name, *workers, requests / time?.as_secs_f64(), cpu / requests));
            }
        }
    }
    let all = SCALED.iter().flat_map(|case| [1, 2].map(|workers| (*case, workers)));
    let summaries = all.map(|(case, workers)| {
        let own = || measured.iter().filter(move |slice| (slice.0, slice.1) == (case, workers));
        let rate = Summary::of(own().map(|slice| slice.2));
        Scaled { case, workers, rate, cpu: Summary::of(own().map(|slice| slice.3)) }
    });
    Ok(summaries.collect())
}

fn client(envoy: &Envoy, case: &Case) -> Client {
    Client::open(envoy.port(case.filter.name()), case.protocol, SCALED_LANES)
}
