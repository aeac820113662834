//! A pod that started while the registry was down: what makes its agent ask again, without a restart and without a touch
//! of its own resource.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::place::good;
use serde_json::{Value, json};

use super::{NAMESPACE, answers, denied, plugin};
use crate::agent::{Agent, Pod};
use crate::control_plane::CONNECTION_AGE;
use crate::load::{Load, while_denied};
use crate::registry::Registry;
use crate::report::{Report, ensure};
use crate::world::{World, guarded};

/// For how long it is seen that nothing happens by itself.
const BEFORE: Duration = Duration::from_secs(2);
/// An age that a scenario can wait for, and what gRPC adds at most: a tenth, and the grace of ten seconds in which an old
/// connection may end its requests, which an agent's never does.
const SHORT_AGE: &str = "5s";
const SHORT_AGE_ENDS: Duration = Duration::from_millis(5500 + 10_000);
/// What an Envoy waits for before it connects anew, a second or two, and a pull, on a machine that has other things to do.
const PULLED_BY: Duration = Duration::from_secs(30);
/// What an agent says of each connection.
const CONNECTED: &str = "upstream XDS server";

pub(super) fn run(world: &mut World, pod: &Pod, port: u16, registry: &mut Registry, report: &mut Report) {
    let resources = plugin(world, &registry.by_tag("0.1.0"), Some(&registry.digest));
    report.scenario("the registry was down when a pod started: istiod starts again", || {
        world.cluster.apply(&resources);
        let agent = left_out(world, pod, port, registry)?;
        let load = Load::start(port, while_denied());
        still_denied(port)?;
        world.istiod.stop();
        world.istiod.run(&world.cluster);
        let start = Instant::now();
        guarded(port)?;
        let took = start.elapsed();
        let figures = load.end()?.without_errors()?;
        let connections = agent.log().matches(CONNECTED).count();
        Ok(format!(
            "guarded {} ms after istiod is ready, by connection {connections} of the agent; {figures}",
            took.as_millis()
        ))
    });
    report.scenario(
        "the registry was down when a pod started: another plugin of the namespace comes",
        || {
            let agent = left_out(world, pod, port, registry)?;
            let load = Load::start(port, while_denied());
            still_denied(port)?;
            let other = nobodys();
            world.cluster.apply(&other);
            let took = guarded(port);
            world.cluster.delete(&other);
            let figures = load.end()?.without_errors()?;
            let connections = agent.log().matches(CONNECTED).count();
            ensure(connections == 1, || format!("there were {connections} connections"))?;
            Ok(format!(
                "guarded {} ms after it was applied, though it selects no pod; {figures}",
                took?.as_millis()
            ))
        },
    );
    report.scenario("the registry was down when a pod started: its connection to istiod is old", || {
        world.istiod.stop();
        world.istiod.connection_age = SHORT_AGE;
        world.istiod.run(&world.cluster);
        let recovered = by_age(world, pod, port, registry);
        world.istiod.stop();
        world.istiod.connection_age = CONNECTION_AGE;
        world.istiod.run(&world.cluster);
        recovered
    });
    world.cluster.delete(&resources);
}

/// Nobody touches anything.
fn by_age(world: &World, pod: &Pod, port: u16, registry: &mut Registry) -> Result<String, String> {
    let agent = left_out(world, pod, port, registry)?;
    let load = Load::start(port, while_denied());
    let took = guarded(port)?;
    let figures = load.end()?.without_errors()?;
    let limit = SHORT_AGE_ENDS + PULLED_BY;
    ensure(took < limit, || format!("only after {took:?}"))?;
    let connections = agent.log().matches(CONNECTED).count();
    ensure(connections > 1, || "it was the first connection".into())?;
    Ok(format!(
        "with connections of {SHORT_AGE} guarded {} ms after the registry is back, by connection {connections} of the \
         agent; {figures}",
        took.as_millis()
    ))
}

/// An agent that found no registry, which is back now.
fn left_out(world: &World, pod: &Pod, port: u16, registry: &mut Registry) -> Result<Agent, String> {
    registry.stop();
    let agent = world.agent(pod);
    denied(port)?;
    registry.start()?;
    Ok(agent)
}

fn still_denied(port: u16) -> Result<(), String> {
    sleep(BEFORE);
    let (status, _) = answers(port, &good());
    ensure(status == Some(403), || format!("{status:?} before anything happened"))
}

/// A plugin that no workload has.
fn nobodys() -> Vec<Value> {
    vec![json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": "nobodys", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "nobody"}}, "url": "oci://registry.invalid/nothing:1"},
    })]
}
