//! The table of cases over HTTP/1.1, through a sidecar and through a gateway: a port and a `WasmPlugin` for each
//! configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use rig::driver::{lasting, outcome, raw};
use rig::http::Connection;
use rig::table::{self, Case, Table};
use serde_json::json;

use crate::agent::{Agent, Pod};
use crate::control_plane::status;
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

pub(crate) fn run(world: &World, report: &mut Report) {
    for (place, name) in [(Place::Sidecar, "through a sidecar"), (Place::Gateway, "through a gateway")] {
        report.scenario(&format!("the table of cases {name}"), || {
            // Anew for each: the tokens age.
            let table = table::load();
            let before = world.module.downloads();
            let (_agent, ports) = start(world, &table, place)?;
            let figures = send(&table, &ports)?;
            Ok(format!("{figures}; {} download of the module", world.module.downloads() - before))
        });
    }
}

/// An agent with all configurations.
fn start(world: &World, table: &Table, place: Place) -> Result<(Agent, BTreeMap<String, u16>), String> {
    let ports: BTreeMap<String, u16> =
        table.configs.keys().cloned().zip(free_ports(table.configs.len())).collect();
    let all: Vec<u16> = ports.values().copied().collect();
    let labels = json!({"app": "table"});
    let (namespace, role, mode, address) = match place {
        Place::Sidecar => ("table", "sidecar", "SERVER", "127.0.0.3"),
        Place::Gateway => ("table-edge", "router", "CLIENT", "127.0.0.4"),
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
    let env: Vec<_> =
        table::env().into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    for (number, (name, config)) in table.configs.iter().enumerate() {
        let name_of = format!("config-{number}");
        let config = lasting(config);
        let mut plugin = manifests::at_port(namespace, &name_of, mode, ports[name], &world.module, &config);
        plugin["spec"]["vmConfig"] = json!({"env": env});
        resources.push(plugin);
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

fn send(table: &Table, ports: &BTreeMap<String, u16>) -> Result<String, String> {
    let (frozen, timed): (Vec<_>, Vec<_>) = table.cases.iter().partition(|case| case.now.is_some());
    let (native, sent): (Vec<_>, Vec<_>) = timed.into_iter().partition(|case| case.native_only.is_some());
    let (other, sent): (Vec<_>, Vec<_>) = sent.into_iter().partition(|case| is_posted_form(case));
    let differing: Vec<_> = sent.iter().filter_map(|case| fault(case, ports[&case.config])).collect();
    for line in differing.iter().take(40) {
        eprintln!("{line}");
    }
    ensure(differing.is_empty(), || format!("{} of {} cases differ", differing.len(), sent.len()))?;
    Ok(format!(
        "{} cases by {} configurations; not sent: {} that need a frozen clock, {} that no Envoy shows, {} posted forms",
        sent.len(),
        table.configs.len(),
        frozen.len(),
        native.len(),
        other.len()
    ))
}

fn fault(case: &Case, port: u16) -> Option<String> {
    let sent = Connection::try_open(port).and_then(|mut open| open.try_send(&raw(&case.fields, &case.body)));
    let fault = match sent {
        Ok(response) => outcome(&response).check(&case.expect).err(),
        Err(error) => Some(format!("no answer: {error}")),
    };
    fault.map(|fault| format!("    {}\n        {fault}", case.name))
}

/// What Istio's Envoy does otherwise by itself, whatever the filter says: it holds a posted form back, for no resource of
/// Istio's can say `allow_on_headers_stop_iteration`.
fn is_posted_form(case: &Case) -> bool {
    let is_form = |(name, value): &(String, Vec<u8>)| {
        name == "content-type" && value.to_ascii_lowercase().starts_with(b"application/x-www-form-urlencoded")
    };
    case.fields.iter().any(is_form) && !case.body.is_empty()
}
