//! One line for each scenario, and a total.

use std::fmt;
use std::iter::Sum;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// What passed so far, and what did not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    total: Total,
}

impl Report {
    /// Runs a scenario: its figures, or what is wrong.
    pub(crate) fn scenario(&mut self, name: &str, run: impl FnOnce() -> Result<String, String>) {
        let start = Instant::now();
        // A panic has told its reason already, on stderr.
        let result = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| Err("see above".into()));
        let took = start.elapsed().as_secs_f32();
        match result {
            Ok(figures) => {
                self.total.passed += 1;
                println!("ok    {name}: {figures} ({took:.1} s)");
            }
            Err(fault) => {
                self.total.failed += 1;
                println!("FAIL  {name}: {fault} ({took:.1} s)");
            }
        }
    }

    /// The total, alone on its line.
    pub(crate) fn end(&self) -> ExitCode {
        self.total.end()
    }
}

/// How many scenarios passed, and how many did not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Total {
    pub(crate) passed: usize,
    pub(crate) failed: usize,
}

impl Total {
    /// Says it.
    pub(crate) fn end(self) -> ExitCode {
        println!("{self}");
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Of its line; none of any other line.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (passed, failed) = line.strip_suffix(" failed")?.split_once(" passed, ")?;
        Some(Self { passed: passed.parse().ok()?, failed: failed.parse().ok()? })
    }
}

impl fmt::Display for Total {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{} passed, {} failed", self.passed, self.failed)
    }
}

impl Sum for Total {
    fn sum<I: Iterator<Item = Self>>(totals: I) -> Self {
        totals.fold(Self::default(), |sum, total| Self {
            passed: sum.passed + total.passed,
            failed: sum.failed + total.failed,
        })
    }
}

/// Fails with that text unless it is so.
pub(crate) fn ensure(so: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(fault()) }
}
