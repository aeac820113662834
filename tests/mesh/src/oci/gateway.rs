//! A gateway that pulls the image: it does so like a sidecar.

use serde_json::{Value, json};

use super::{WRONG_DIGEST, denied, of_image, pulled, told};
use crate::agent::{Agent, Pod};
use crate::journey::{self, Token};
use crate::manifests;
use crate::parts::free_port;
use crate::registry::Registry;
use crate::report::Report;
use crate::world::{World, guarded};

/// The namespace of the gateway's pod.
pub(super) const NAMESPACE: &str = "images-edge";
const BEHIND: &str = "upstream.outside";

pub(super) fn run(world: &World, registry: &Registry, report: &mut Report) {
    let right = plugin(world, registry);
    report.scenario("gateway.yaml with an image", || while_open(world, &right, &|_| Ok(String::new())));
    report.scenario("gateway.yaml with an image: another sha256 than the image's", || {
        let url = registry.by_tag("0.1.0");
        let wrong = of_image(world, "gateway.yaml", NAMESPACE, &url, Some(WRONG_DIGEST));
        let refused = |edge: &Edge| {
            let refused = denied(edge.port)?;
            println!("      agent's log: {}", told(&edge.agent)?);
            world.cluster.apply(&right);
            Ok(format!("cold start: {refused}; then the right one: "))
        };
        while_open(world, &wrong, &refused)
    });
}

/// The shipped plugin of a gateway, by the image of that registry.
pub(super) fn plugin(world: &World, registry: &Registry) -> Vec<Value> {
    of_image(world, "gateway.yaml", NAMESPACE, &registry.by_tag("0.1.0"), Some(&registry.digest))
}

/// A gateway that runs.
#[derive(Debug)]
pub(super) struct Edge {
    agent: Agent,
    port: u16,
}

/// Starts a gateway that has these resources, and walks the journey through it, after what comes before: the figures of both.
pub(super) fn while_open(
    world: &World,
    resources: &[Value],
    before: &dyn Fn(&Edge) -> Result<String, String>,
) -> Result<String, String> {
    let labels = json!({"istio": "ingressgateway"});
    let port = free_port();
    let upstream = world.upstream.port();
    world.cluster.namespace(NAMESPACE, "default");
    let way = manifests::gateway(NAMESPACE, &labels, &[port], BEHIND, upstream);
    let all = [&[manifests::outside(NAMESPACE, BEHIND, upstream)], &way[..], resources].concat();
    world.cluster.apply(&all);
    let pod = Pod { role: "router", namespace: NAMESPACE.into(), labels, address: "127.0.0.9", workers: 1 };
    let edge = Edge { agent: world.agent(&pod), port };
    let said = before(&edge)?;
    let took = guarded(port)?;
    let counted = pulled(&edge.agent)?;
    let steps = journey::walk(port, Token::IsHandedOn)?;
    world.cluster.delete(&all);
    Ok(format!("{said}guarded after {} ms; {counted}; journey of {steps} steps", took.as_millis()))
}
