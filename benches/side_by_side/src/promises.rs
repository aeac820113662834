//! What is promised, and whether it holds on this machine, in this run.

use serde_json::{Value, json};

use crate::alone::Memory;
use crate::cases::RATIOS;
use crate::filters::Filter;
use crate::machine::Machine;
use crate::rounds::Rounds;
use crate::stats::Summary;

/// One limit with what was measured.
#[derive(Debug)]
pub(crate) struct Promise {
    /// Of what.
    pub(crate) name: String,
    /// In what it is counted; nothing for a ratio.
    pub(crate) unit: &'static str,
    /// At the most.
    pub(crate) limit: f64,
    /// What would be better still.
    pub(crate) aim: Option<f64>,
    /// What it was.
    pub(crate) measured: Option<Summary>,
}

impl Promise {
    /// Every one.
    pub(crate) fn all(rounds: &Rounds, memory: &[Memory], machine: &Machine) -> Vec<Self> {
        let ratios = RATIOS.iter().map(|ratio| Self {
            name: format!("{} / {}", ratio.of, ratio.by),
            unit: "",
            limit: ratio.limit,
            aim: ratio.aim,
            measured: Some(rounds.ratio(ratio.of, ratio.by)),
        });
        let ours = memory.iter().find(|memory| memory.filter == Filter::Ours);
        let linear = |moment: usize| {
            let kib = ours.and_then(|memory| memory.at[moment].of_worker());
            kib.map(|kib| Summary::of([f64::from(kib) / 1024.0]))
        };
        let other =
            |name: &str, unit, limit, measured| Self { name: name.into(), unit, limit, aim: None, measured };
        ratios
            .chain([
                other("linear memory of a worker, at rest", " MiB", 2.0, linear(0)),
                other("linear memory of a worker, after 100,000 tokens", " MiB", 8.0, linear(1)),
                other("module", " kB", 400.0, Some(Summary::of([f64::from(machine.bytes) / 1000.0]))),
            ])
            .collect()
    }

    /// By its median.
    pub(crate) fn verdict(&self) -> &'static str {
        match (self.measured, self.aim) {
            (None, _) => "not measured",
            (Some(measured), Some(aim)) if measured.median <= aim => "kept, aim reached",
            (Some(measured), _) if measured.median <= self.limit => "kept",
            (Some(_), _) => "**missed**",
        }
    }

    /// What was measured, with its unit; a spread only where there were rounds.
    pub(crate) fn text(&self) -> String {
        match self.measured {
            None => "?".into(),
            Some(measured) if self.unit.is_empty() => measured.text(2),
            Some(measured) => format!("{:.2}{}", measured.median, self.unit),
        }
    }

    /// For a program.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "unit": self.unit.trim(), "limit": self.limit, "aim": self.aim,
            "measured": self.measured.map(Summary::to_json),
            "kept": self.measured.map(|measured| measured.median <= self.limit),
        })
    }
}
