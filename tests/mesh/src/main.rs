//! The filter in a whole Istio, without containers: a real API server, istiod, agents and their Envoys, and the
//! resources of `envoy/istio/` applied by `kubectl`. `docs/testing.md` says how to run it.
//!
//!     cargo run --locked --package mesh [shipped] [forms] [table] [life] [keycloak] [oci] [keys] [versions]
//!
//! One line for each scenario; the total is the last line.

mod agent;
mod conditions;
mod control_plane;
mod envoy_filter;
mod forms;
mod journey;
mod keycloak;
mod keys;
mod life;
mod load;
mod manifests;
mod module;
mod oci;
mod pairings;
mod parts;
mod registry;
mod report;
mod shipped;
mod table;
mod versions;
mod world;

use std::process::ExitCode;

use control_plane::Istiod;
use report::Report;
use world::{Workspace, World};

fn main() -> ExitCode {
    let mut world = match World::start() {
        Ok(world) => world,
        Err(fault) => {
            eprintln!("mesh: {fault}");
            return ExitCode::FAILURE;
        }
    };
    println!("Istio {} with Envoy {}", Istiod::version(), rig::envoy::binary_version());
    let mut report = Report::default();
    let wanted: Vec<_> = std::env::args().skip(1).collect();
    let is_wanted = |part: &str| wanted.is_empty() || wanted.iter().any(|own| own == part);
    if ["shipped", "forms", "life"].into_iter().any(is_wanted) {
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
    }
    if is_wanted("table") {
        table::run(&world, &mut report);
    }
    if is_wanted("table") || is_wanted("forms") {
        table::run_forms(&world, &mut report);
    }
    if is_wanted("keycloak") {
        keycloak::run(&world, &mut report);
    }
    if is_wanted("oci") {
        oci::run(&world, &mut report);
    }
    if is_wanted("keys") {
        keys::run(&world, &mut report);
    }
    if is_wanted("versions") {
        versions::run(&world, &mut report);
    }
    report.end()
}
