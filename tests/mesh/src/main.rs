//! The filter in a whole Istio, without containers: a real API server, istiod, agents and their Envoys, and the
//! resources of `envoy/istio/` applied by `kubectl`. `docs/testing.md` says how to run it.
//!
//! One line for each scenario; the total is the last line.

mod agent;
mod control_plane;
mod journey;
mod manifests;
mod module;
mod parts;
mod report;
mod shipped;
mod world;

use std::process::ExitCode;

use report::Report;
use world::World;

fn main() -> ExitCode {
    let world = match World::start() {
        Ok(world) => world,
        Err(fault) => {
            eprintln!("mesh: {fault}");
            return ExitCode::FAILURE;
        }
    };
    let mut report = Report::default();
    shipped::run(&world, &mut report);
    report.end()
}
