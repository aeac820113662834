//! What is written: tables for people, JSON for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::alone::{Memory, Scaled, Start};
use crate::cases::{CASES, Case, PACED};
use crate::filters::Filter;
use crate::machine::Machine;
use crate::promises::Promise;
use crate::rounds::Rounds;
use crate::worst::{self, Cost};

/// Everything that was measured.
pub(crate) struct Report {
    /// On what.
    pub(crate) machine: Machine,
    /// CPU and latency.
    pub(crate) rounds: Rounds,
    /// How long Envoy takes to start.
    pub(crate) starts: Vec<Start>,
    /// How much memory it takes.
    pub(crate) memory: Vec<Memory>,
    /// How much one and two workers can take.
    pub(crate) scaled: Vec<Scaled>,
    /// What the worst requests take.
    pub(crate) worst: Vec<Cost>,
}

impl Report {
    /// All tables, in Markdown.
    pub(crate) fn markdown(&self) -> String {
        let Rounds { count, rate, .. } = self.rounds;
        let few = if count < 5 { " Fewer than five rounds: a try, no result." } else { "" };
        let sections = [
            format!(
                "# Side by side\n\n{}.\n\n{count} rounds. Each figure is a median; in brackets, \
                     what the middle half of the rounds lay between.{few} [How it is measured](../../docs/benchmarks.md).",
                self.machine.text()
            ),
            format!("## Promises\n\nRatios of CPU per request, taken in each round.\n\n{}", self.promises()),
            format!(
                "## CPU per request, µs\n\nOf the whole Envoy process with one worker.\n\n{}",
                self.cpu()
            ),
            format!("## Latency at {rate} requests a second, µs\n\n{}", self.latency()),
            format!("## From start to live, ms\n\n{}", self.starts()),
            format!("## Memory, MiB\n\nOf an Envoy with one worker.\n\n{}", self.memory()),
            format!(
                "## Saturated, by workers\n\nClient and upstream have the same cores: no capacity of a machine.\n\n{}",
                self.scaled()
            ),
            format!(
                "## Worst requests\n\nEach fills what Envoy takes, one after the other.\n\n{}",
                worst(&self.worst)
            ),
        ];
        sections.join("\n\n") + "\n"
    }

    /// All tables and every slice behind them.
    pub(crate) fn json(&self) -> Value {
        let cases = CASES.iter().map(|case| {
            let cpu = self.rounds.cpu(case.name).to_json();
            json!({"case": case.name, "filter": case.filter.name(), "cpu_us_per_request": cpu})
        });
        let latency = PACED.iter().map(|case| {
            let [p50, p99] = self.rounds.latency(case);
            json!({"case": case, "p50_us": p50.to_json(), "p99_us": p99.to_json()})
        });
        let starts = self
            .starts
            .iter()
            .map(|start| json!({"filter": start.filter.name(), "ms": start.time.to_json()}));
        let memory = self.memory.iter().map(|memory| {
            let [at_rest, filled] = &memory.at;
            json!({"filter": memory.filter.name(), "at_rest": at_rest.to_json(), "after_100000": filled.to_json()})
        });
        let scaled = self.scaled.iter().map(|scaled| {
            json!({
                "case": scaled.case, "workers": scaled.workers, "requests_per_second": scaled.rate.to_json(),
                "cpu_us_per_request": scaled.cpu.to_json(),
            })
        });
        json!({
            "machine": self.machine.to_json(),
            "promises": self.all_promises().iter().map(Promise::to_json).collect::<Vec<_>>(),
            "cpu": cases.collect::<Vec<_>>(),
            "latency": {"rate": self.rounds.rate, "cases": latency.collect::<Vec<_>>()},
            "start": starts.collect::<Vec<_>>(),
            "memory": memory.collect::<Vec<_>>(),
            "saturated": scaled.collect::<Vec<_>>(),
            "worst": worst::to_json(&self.worst),
            "raw": self.rounds.to_json(),
        })
    }

    fn all_promises(&self) -> Vec<Promise> {
        Promise::all(&self.rounds, &self.memory, &self.machine)
    }

    /// The table of promises.
    pub(crate) fn promises(&self) -> String {
        let rows = self.all_promises().into_iter().map(|promise| {
            let aim = promise.aim.map_or_else(String::new, |aim| format!("{aim:.2}"));
            let limit = format!("{:.2}{}", promise.limit, promise.unit);
            let (text, verdict) = (promise.text(), promise.verdict().to_owned());
            vec![promise.name, limit, aim, text, verdict]
        });
        table(&["", "limit", "aim", "measured", ""], rows)
    }

    fn cpu(&self) -> String {
        let rows = CASES.iter().map(|case| {
            let beyond = match without(case) {
                Some(none) if none != case.name => {
                    format!("+{}", self.rounds.beyond(case.name, none).text(1))
                }
                _ => String::new(),
            };
            vec![case.name.into(), self.rounds.cpu(case.name).text(1), beyond]
        });
        table(&["case", "CPU", "beyond no filter"], rows)
    }

    fn latency(&self) -> String {
        let rows = PACED.iter().map(|case| {
            let [p50, p99] = self.rounds.latency(case);
            vec![(*case).into(), p50.text(0), p99.text(0)]
        });
        table(&["case", "p50", "p99"], rows)
    }

    fn starts(&self) -> String {
        let rows = self.starts.iter().map(|start| vec![start.filter.name().into(), start.time.text(0)]);
        table(&["filter", "start"], rows)
    }

    fn memory(&self) -> String {
        let mib = |kib: u32| format!("{:.2}", f64::from(kib) / 1024.0);
        let rows = self.memory.iter().map(|memory| {
            let linear = |moment: usize| memory.at[moment].of_worker().map_or_else(String::new, mib);
            let resident = |moment: usize| mib(memory.at[moment].resident);
            vec![memory.filter.name().into(), linear(0), linear(1), resident(0), resident(1)]
        });
        let head = [
            "filter",
            "linear, at rest",
            "after 100,000 tokens",
            "resident, at rest",
            "after 100,000 tokens",
        ];
        table(&head, rows)
    }

    fn scaled(&self) -> String {
        let rows = self.scaled.iter().map(|scaled| {
            vec![scaled.case.into(), scaled.workers.to_string(), scaled.rate.text(0), scaled.cpu.text(1)]
        });
        table(&["case", "workers", "requests a second", "CPU per request, µs"], rows)
    }
}

/// What the worst requests cost.
pub(crate) fn worst(costs: &[Cost]) -> String {
    let head = ["request", "status", "CPU, ms", "times a plain refusal", "3 ms"];
    table(&head, worst::rows(costs).into_iter())
}

/// The case that differs only in having no filter.
pub(crate) fn without(case: &Case) -> Option<&'static str> {
    let same = |other: &&Case| {
        other.filter == Filter::None
            && (other.source, other.protocol, other.route) == (case.source, case.protocol, case.route)
    };
    CASES.iter().find(same).map(|none| none.name)
}

fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut text = format!("| {} |\n|{}", head.join(" | "), "---|".repeat(head.len()));
    for row in rows {
        let _ = write!(text, "\n| {} |", row.join(" | "));
    }
    text
}
