//! One line for each scenario, and a total.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

/// What passed so far, and what did not.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: usize,
    failed: usize,
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
                self.passed += 1;
                println!("ok    {name}: {figures} ({took:.1} s)");
            }
            Err(fault) => {
                self.failed += 1;
                println!("FAIL  {name}: {fault} ({took:.1} s)");
            }
        }
    }

    /// The total, alone on its line.
    pub(crate) fn end(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Fails with that text unless it is so.
pub(crate) fn ensure(so: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if so { Ok(()) } else { Err(fault()) }
}
