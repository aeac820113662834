//! The table of cases over HTTP/1.1, through a sidecar and through a gateway: a port and a `WasmPlugin` for each
//! configuration; for posted forms, an `EnvoyFilter`.

use std::collections::BTreeMap;
use std::time::Duration;

use rig::driver::{lasting, outcome, raw};
use rig::http::Connection;
use rig::table::{self, Case, Table};
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::control_plane::status;
use crate::envoy_filter;
use crate::manifests;
use crate::parts::{free_ports, until};
use crate::report::{Report, ensure};
use crate::world::World;

/// Where the cases are sent.
#[derive(Clone, Copy, Debug)]
enum Place {
    Sidecar,
    Gateway,
}

const PLACES: [(Place, &str); 2] =
    [(Place::Sidecar, "through a sidecar"), (Place::Gateway, "through a gateway")];

/// By which resource a configuration comes.
#[derive(Clone, Copy, Debug)]
enum Resource {
    /// All but posted forms.
    WasmPlugin,
    /// Posted forms, which a `WasmPlugin` cannot let through.
    EnvoyFilter,
}

pub(crate) fn run(world: &World, report: &mut Report) {
    for (place, name) in PLACES {
        report.scenario(&format!("the table of cases {name}"), || send(world, place, Resource::WasmPlugin));
    }
}

/// The posted forms of the table.
pub(crate) fn run_forms(world: &World, report: &mut Report) {
    for (place, name) in PLACES {
        report.scenario(&format!("the posted forms of the table {name}, by EnvoyFilter"), || {
            send(world, place, Resource::EnvoyFilter)
        });
    }
}

fn send(world: &World, place: Place, resource: Resource) -> Result<String, String> {
    // Anew for each: the tokens age.
    let Table { mut configs, cases } = table::load();
    let all = cases.len();
    let (sent, others) = chosen(cases, resource);
    configs.retain(|name, _| sent.iter().any(|case| case.config == *name));
    let before = world.module.downloads();
    let (_agent, ports) = start(world, &configs, place, resource)?;
    let differing: Vec<_> = sent.iter().filter_map(|case| fault(case, ports[&case.config])).collect();
    for line in differing.iter().take(40) {
        eprintln!("{line}");
    }
    ensure(differing.is_empty(), || format!("{} of {} cases differ", differing.len(), sent.len()))?;
    ensure(!sent.is_empty(), || "there is no such case".into())?;
    Ok(format!(
        "{} of {all} cases by {} configurations; not sent: {others}; {} download of the module",
        sent.len(),
        configs.len(),
        world.module.downloads() - before
    ))
}

/// The cases that are sent, and how many others there are.
fn chosen(cases: Vec<Case>, resource: Resource) -> (Vec<Case>, String) {
    let (frozen, timed): (Vec<_>, Vec<_>) = cases.into_iter().partition(|case| case.now.is_some());
    let (native, shown): (Vec<_>, Vec<_>) = timed.into_iter().partition(|case| case.native_only.is_some());
    // Istio normalises paths.
    let (raw, shown): (Vec<_>, Vec<_>) = shown.into_iter().partition(|case| case.config.ends_with("/raw"));
    let (forms, plain): (Vec<_>, Vec<_>) = shown.into_iter().partition(is_posted_form);
    let hidden = format!(
        "{} that need a frozen clock, {} that no Envoy shows, {} without normalisation",
        frozen.len(),
        native.len(),
        raw.len()
    );
    match resource {
        Resource::WasmPlugin => {
            let others = format!("{hidden}, {} posted forms", forms.len());
            (plain, others)
        }
        Resource::EnvoyFilter => {
            let others = format!("{hidden}, {} that are no posted forms", plain.len());
            (forms, others)
        }
    }
}

/// An agent with these configurations.
fn start(
    world: &World,
    configs: &BTreeMap<String, Value>,
    place: Place,
    resource: Resource,
) -> Result<(Agent, BTreeMap<String, u16>), String> {
    let ports: BTreeMap<String, u16> = configs.keys().cloned().zip(free_ports(configs.len())).collect();
    let all: Vec<u16> = ports.values().copied().collect();
    let labels = json!({"app": "table"});
    let (namespace, role, address) = match (place, resource) {
        (Place::Sidecar, Resource::WasmPlugin) => ("table", "sidecar", "127.0.0.3"),
        (Place::Gateway, Resource::WasmPlugin) => ("table-edge", "router", "127.0.0.4"),
        (Place::Sidecar, Resource::EnvoyFilter) => ("forms", "sidecar", "127.0.0.10"),
        (Place::Gateway, Resource::EnvoyFilter) => ("forms-edge", "router", "127.0.0.11"),
    };
    world.cluster.namespace(namespace, "default");
    let upstream = world.upstream.port();
    let mut resources = match place {
        Place::Sidecar => vec![manifests::sidecar(namespace, &labels, &all, upstream)],
        Place::Gateway => {
            let host = "upstream.outside";
            let outside = manifests::outside(namespace, host, upstream);
            [vec![outside], manifests::gateway(namespace, &labels, &all, host, upstream)].concat()
        }
    };
    for (number, (name, config)) in configs.iter().enumerate() {
        let own = format!("config-{number}");
        let config = lasting(config);
        resources.push(match resource {
            Resource::WasmPlugin => plugin(world, namespace, &own, place, ports[name], &config),
            Resource::EnvoyFilter => filter(world, namespace, &labels, &own, place, ports[name], &config),
        });
    }
    world.cluster.apply(&resources);
    let pod = Pod { role, namespace: namespace.into(), labels, address, workers: 1 };
    let agent = world.agent(&pod);
    let open = || all.iter().filter(|port| status(**port, "/").is_some()).count();
    until(Duration::from_mins(3), || open() == all.len()).ok_or_else(|| {
        let said = agent.said("wasm log").unwrap_or_default();
        format!("only {} of {} ports answer: {said}", open(), all.len())
    })?;
    Ok((agent, ports))
}

fn plugin(world: &World, namespace: &str, name: &str, place: Place, port: u16, config: &Value) -> Value {
    let mode = match place {
        Place::Sidecar => "SERVER",
        Place::Gateway => "CLIENT",
    };
    let mut plugin = manifests::at_port(namespace, name, mode, port, &world.module, config);
    let env: Vec<_> =
        table::env().into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    plugin["spec"]["vmConfig"] = json!({"env": env});
    plugin
}

/// The shipped one with another configuration, at that port.
fn filter(
    world: &World,
    namespace: &str,
    labels: &Value,
    name: &str,
    place: Place,
    port: u16,
    config: &Value,
) -> Value {
    let mut filter = world.shipped("envoyfilter.yaml").remove(0);
    filter["metadata"]["namespace"] = json!(namespace);
    filter["spec"]["workloadSelector"]["labels"] = labels.clone();
    if matches!(place, Place::Gateway) {
        envoy_filter::move_to_gateway(&mut filter, namespace, labels);
    }
    envoy_filter::move_to_port(&mut filter, name, port);
    envoy_filter::set_configuration(&mut filter, config);
    envoy_filter::set_env(&mut filter, &json!(BTreeMap::from_iter(table::env())));
    filter
}

fn fault(case: &Case, port: u16) -> Option<String> {
    let sent = Connection::try_open(port).and_then(|mut open| open.try_send(&raw(&case.fields, &case.body)));
    let fault = match sent {
        Ok(response) => outcome(&response).check(&case.expect).err(),
        Err(error) => Some(format!("no answer: {error}")),
    };
    fault.map(|fault| format!("    {}\n        {fault}", case.name))
}

/// Behind a `WasmPlugin` Envoy holds it back, whatever the filter says, for that cannot say
/// `allow_on_headers_stop_iteration`.
fn is_posted_form(case: &Case) -> bool {
    let is_form = |(name, value): &(String, Vec<u8>)| {
        name == "content-type" && value.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
    };
    case.fields.iter().any(is_form) && !case.body.is_empty()
}
