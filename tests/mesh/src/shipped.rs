//! The shipped resources, each applied as it is, and what becomes of requests then.

use crate::journey;
use crate::report::Report;
use crate::world::{Workspace, World, guarded};

pub(crate) fn run(world: &World, report: &mut Report) {
    let workspace = Workspace::start(world);
    let [port, _] = workspace.ports;

    let plugin = world.shipped("wasmplugin.yaml");
    report.scenario("wasmplugin.yaml at a sidecar", || {
        world.cluster.apply(&plugin);
        let took = guarded(port)?;
        let steps = journey::walk(port)?;
        Ok(format!("{steps} steps, guarded {} ms after it was applied", took.as_millis()))
    });
    report.scenario("wasmplugin.yaml at a sidecar behind a gateway", || {
        guarded(workspace.ingress)?;
        Ok(format!("{} steps", journey::walk(workspace.ingress)?))
    });
    world.cluster.delete(&plugin);
}
