//! The rounds: in each, every case gets a slice, so that what else the machine does hits all alike.

use std::collections::HashMap;
use std::time::Duration;

use rig::envoy::Envoy;
use serde_json::{Value, json};

use crate::cases::{CASES, Case, Load, PACED};
use crate::check::{self, Services};
use crate::filters::Filter;
use crate::load::{Client, Fault, LANES};
use crate::procfs;
use crate::stats::{Summary, percentile};
use crate::supply::{Supply, status};
use crate::tokens::Tokens;

/// Fresh tokens of each case with new ones, over all rounds.
const FRESH_IN_ALL: u32 = 20_000;
/// Requests of a slice at the most.
const SLICE: u32 = 2_500;
/// Requests of a slice where each takes longer than a millisecond.
const SLOW_SLICE: u32 = 250;
const WARM_UP: u32 = 400;
/// The share of what the slowest paced case can take that all are paced with.
const PACE: f64 = 0.4;
/// The highest rate for which there are enough fresh tokens.
const FASTEST_PACE: f64 = 7_500.0;
/// Of each paced slice.
const PACED_SECONDS: u32 = 1;
const PACED_ROUNDS: u32 = 5;

/// What one case took in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    /// Its case.
    pub(crate) case: &'static str,
    /// Its round, from 0 on.
    pub(crate) round: u32,
    /// How many requests were answered.
    pub(crate) requests: u32,
    /// CPU of the whole Envoy for each, in microseconds.
    pub(crate) cpu: f64,
    /// From the first request to the last answer.
    pub(crate) time: Duration,
}

/// How long requests of one case took in one round, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Its case.
    pub(crate) case: &'static str,
    /// Its round, from 0 on.
    pub(crate) round: u32,
    /// Half of them were quicker.
    pub(crate) p50: f64,
    /// One in a hundred was slower.
    pub(crate) p99: f64,
}

/// All that the rounds came to.
#[derive(Debug)]
pub(crate) struct Rounds {
    /// How many there were.
    pub(crate) count: u32,
    /// Every slice.
    pub(crate) slices: Vec<Slice>,
    /// Requests a second of the paced slices.
    pub(crate) rate: u32,
    /// Every paced slice.
    pub(crate) paces: Vec<Pace>,
}

impl Rounds {
    /// Runs them.
    ///
    /// # Errors
    ///
    /// An answer is not as it should be.
    pub(crate) fn run(services: &Services, tokens: &Tokens, count: u32) -> Result<Self, Fault> {
        check::signatures(&services.behind(&[Filter::OursCrate], 1), false)?;
        let envoy = services.behind(&Filter::ALL, 1);
        check::same_work(&envoy, tokens)?;
        let ports = Filter::ALL.map(|filter| (filter, envoy.port(filter.name()))).into();
        let mut bench = Bench { envoy, ports, supply: Supply::new(tokens), rounds: count };

        let mut rounds = Self { count, slices: Vec::new(), rate: 0, paces: Vec::new() };
        for round in 0..count {
            for case in order(CASES, round) {
                let slice = bench.slice(case, round).map_err(|fault| format!("{}: {fault}", case.name))?;
                rounds.slices.push(slice);
            }
            println!("round {} of {count}: {}", round + 1, rounds.in_short(round));
        }
        rounds.rate = rounds.pace();
        println!("latency at {} requests a second", rounds.rate);
        for round in 0..count.min(PACED_ROUNDS) {
            let paced: Vec<&Case> = PACED.iter().map(|name| crate::cases::case(name)).collect();
            for case in order(&paced, round) {
                let pace = bench.pace(case, round, rounds.rate);
                rounds.paces.push(pace.map_err(|fault| format!("{}, paced: {fault}", case.name))?);
            }
        }
        Ok(rounds)
    }

    /// What a case cost in every round, in microseconds of CPU.
    pub(crate) fn cpu(&self, case: &str) -> Summary {
        Summary::of(self.slices.iter().filter(|slice| slice.case == case).map(|slice| slice.cpu))
    }

    /// What a case cost in each round as a share of what another did.
    pub(crate) fn ratio(&self, of: &str, by: &str) -> Summary {
        Summary::of((0..self.count).map(|round| self.at(of, round).cpu / self.at(by, round).cpu))
    }

    /// What a case cost in each round beyond what another did.
    pub(crate) fn beyond(&self, of: &str, by: &str) -> Summary {
        Summary::of((0..self.count).map(|round| self.at(of, round).cpu - self.at(by, round).cpu))
    }

    /// Median and 99th percentile of a paced case.
    pub(crate) fn latency(&self, case: &str) -> [Summary; 2] {
        let paces = || self.paces.iter().filter(|pace| pace.case == case);
        [Summary::of(paces().map(|pace| pace.p50)), Summary::of(paces().map(|pace| pace.p99))]
    }

    /// Every slice by itself.
    pub(crate) fn to_json(&self) -> Value {
        let slices: Vec<_> = self
            .slices
            .iter()
            .map(|slice| {
                json!({
                    "case": slice.case, "round": slice.round, "requests": slice.requests,
                    "cpu_us_per_request": slice.cpu, "seconds": slice.time.as_secs_f64(),
                })
            })
            .collect();
        let paces: Vec<_> = self
            .paces
            .iter()
            .map(|pace| json!({"case": pace.case, "round": pace.round, "p50_us": pace.p50, "p99_us": pace.p99}))
            .collect();
        json!({"rounds": self.count, "slices": slices, "paced_rate": self.rate, "paced": paces})
    }

    fn at(&self, case: &str, round: u32) -> &Slice {
        let found = self.slices.iter().find(|slice| slice.case == case && slice.round == round);
        found.unwrap_or_else(|| panic!("no slice of {case} in round {round}"))
    }

    fn in_short(&self, round: u32) -> String {
        let shown =
            ["no filter", "no-op", "ours, warm", "jwt_authn cached, warm", "ours, cold", "jwt_authn, cold"];
        let shown = shown.map(|case| format!("{case} {:.1}", self.at(case, round).cpu));
        format!("{} µs", shown.join(" · "))
    }

    fn pace(&self) -> u32 {
        let rates = PACED.iter().map(|case| {
            let slices = self.slices.iter().filter(|slice| slice.case == *case);
            Summary::of(slices.map(|slice| f64::from(slice.requests) / slice.time.as_secs_f64())).median
        });
        let slowest = rates.fold(f64::INFINITY, f64::min);
        // In steps of a hundred, which a table can show.
        let steps = (1..1_000).map(|hundreds| hundreds * 100);
        steps.take_while(|rate| f64::from(*rate) <= (slowest * PACE).min(FASTEST_PACE)).last().unwrap_or(100)
    }
}

/// There and back again: what comes late in one round, comes early in the next.
fn order<T>(cases: &[T], round: u32) -> Vec<&T> {
    let mut cases: Vec<&T> = cases.iter().collect();
    let turn = usize::try_from(round).expect("few rounds") * 7 % cases.len();
    cases.rotate_left(turn);
    if round % 2 == 1 {
        cases.reverse();
    }
    cases
}

struct Bench<'a> {
    envoy: Envoy,
    ports: HashMap<Filter, u16>,
    supply: Supply<'a>,
    rounds: u32,
}

impl Bench<'_> {
    fn slice(&mut self, case: &'static Case, round: u32) -> Result<Slice, Fault> {
        let requests = match (case.filter, case.load) {
            (Filter::OursCrate, _) => SLOW_SLICE,
            (_, Load::Cold | Load::ForgedFlood) => FRESH_IN_ALL.div_ceil(self.rounds).min(SLICE),
            _ => SLICE,
        };
        let batch = self.supply.batch(case, requests);
        let mut client = self.warm(case)?;
        let (time, cpu) = procfs::cpu_during(self.envoy.pid(), || client.saturate(&batch, status(case.load)));
        Ok(Slice { case: case.name, round, requests, cpu: cpu / f64::from(requests), time: time? })
    }

    fn pace(&mut self, case: &'static Case, round: u32, rate: u32) -> Result<Pace, Fault> {
        let batch = self.supply.batch(case, rate * PACED_SECONDS);
        let mut client = self.warm(case)?;
        let latencies = client.pace(&batch, status(case.load), rate)?;
        let [p50, p99] = [50, 99].map(|percent| percentile(&latencies, percent) * 1e6);
        Ok(Pace { case: case.name, round, p50, p99 })
    }

    fn warm(&self, case: &Case) -> Result<Client, Fault> {
        let mut client = Client::open(self.ports[&case.filter], case.protocol, LANES);
        let (batch, status) = self.supply.warm_up(case, WARM_UP);
        client.saturate(&batch, status)?;
        Ok(client)
    }
}
