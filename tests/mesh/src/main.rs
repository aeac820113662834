//! The filter in a whole Istio, without containers: a real API server, istiod, agents and their Envoys, and the
//! resources of `envoy/istio/` applied by `kubectl`. `docs/testing.md` says how to run it.
//!
//!     cargo run --locked --package mesh PARTS
//!
//! The parts are those that `lanes.rs` names; without any it is all of them.
//!
//! One line for each scenario; the total is the last line.

mod agent;
mod beside;
mod conditions;
mod control_plane;
mod envoy_filter;
mod forms;
mod journey;
mod keycloak;
mod keys;
mod lanes;
mod life;
mod load;
mod manifests;
mod module;
mod oci;
mod page;
mod pairings;
mod parts;
mod realm;
mod registry;
mod report;
mod shipped;
mod table;
mod versions;
mod waypoint;
mod world;
mod wrong;

use std::process::ExitCode;

use control_plane::Istiod;
use report::Report;
use world::{Workspace, World};

fn main() -> ExitCode {
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let ended = if wanted.is_empty() { lanes::run() } else { run(&wanted) };
    ended.unwrap_or_else(|fault| {
        eprintln!("mesh: {fault}");
        ExitCode::FAILURE
    })
}

/// Runs these parts.
fn run(wanted: &[String]) -> Result<ExitCode, String> {
    let mut world = World::start()?;
    if lanes::is_first() {
        println!("Istio {} with Envoy {}", Istiod::version(), rig::envoy::binary_version());
    }
    let mut report = Report::default();
    let is_wanted = |part: &str| wanted.iter().any(|own| own == part);
    if ["shipped", "forms", "life", "beside", "page"].into_iter().any(is_wanted) {
        let mut workspace = Workspace::start(&world);
        if is_wanted("shipped") {
            shipped::run(&world, &workspace, &mut report);
            pairings::run(&world, &workspace, &mut report);
            conditions::run(&world, &workspace, &mut report);
        }
        if is_wanted("forms") {
            forms::run(&world, &mut workspace, &mut report);
        }
        if is_wanted("life") {
            life::run(&mut world, &mut workspace, &mut report);
        }
        if is_wanted("beside") {
            beside::run(&world, &workspace, &mut report);
        }
        // At the end it deletes what was wrong a moment before.
        if is_wanted("page") {
            page::run(&world, &workspace, &mut report);
        }
    }
    if is_wanted("table") {
        table::run(&world, &mut report);
        table::run_forms(&world, &mut report);
    }
    if is_wanted("keycloak") {
        keycloak::run(&world, &mut report);
    }
    if is_wanted("oci") {
        oci::run(&mut world, &mut report);
    }
    if is_wanted("keys") {
        keys::run(&world, &mut report);
    }
    if is_wanted("waypoint") {
        waypoint::run(&mut world, &mut report);
    }
    if is_wanted("versions") {
        versions::run(&world, &mut report);
    }
    Ok(report.end())
}
