//! The resources of `envoy/istio/`, as they are shipped, with the module, the key and the ports of this run.

use std::fs;
use std::path::Path;

use rig::jwt::Key;
use rig::repository;
use serde_json::{Value, json};

use crate::envoy_filter;
use crate::module::Module;

/// The resources of a file of `envoy/istio/`, ready to be applied.
pub(crate) fn shipped(file: &str, module: &Module) -> Vec<Value> {
    let path = repository("envoy/istio").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut resources = parsed(&text);
    for resource in &mut resources {
        if is_plugin(resource) {
            fit(resource, module);
        } else if resource["kind"] == "EnvoyFilter" {
            envoy_filter::fit(resource, module);
        }
    }
    resources
}

/// The ports of `issuer.yaml`, at which this run's sidecar listens, for there is no interception: the filter's own, and
/// that of programs beside it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    pub(crate) of_filter: u16,
    pub(crate) of_programs: u16,
}

/// The resources of `issuer.yaml` for a namespace. The issuer is a port of this machine, its authority that of a file.
pub(crate) fn issuer(
    module: &Module,
    namespace: &str,
    ways: Ways,
    issuer: u16,
    authority: &Path,
) -> Vec<Value> {
    let mut resources = shipped("issuer.yaml", module);
    for resource in &mut resources {
        resource["metadata"]["namespace"] = json!(namespace);
    }
    let [entry, rule, plugin] = resources.as_mut_slice() else { panic!("three resources") };
    let [of_filter, of_programs] = [0, 1].map(|at| entry["spec"]["ports"][at]["number"].clone());
    entry["spec"]["ports"][0]["number"] = json!(ways.of_filter);
    entry["spec"]["ports"][1]["number"] = json!(ways.of_programs);
    let ports = json!({"https-keys": issuer, "tls": issuer});
    entry["spec"]["endpoints"] = json!([{"address": "127.0.0.1", "ports": ports}]);
    let at_port = &mut rule["spec"]["trafficPolicy"]["portLevelSettings"][0];
    assert_eq!(at_port["port"]["number"], of_filter, "the rule is for the filter's way");
    assert_eq!(of_programs, 443, "the way of programs is as it was");
    at_port["port"]["number"] = json!(ways.of_filter);
    at_port["tls"]["caCertificates"] = json!(authority);
    let cluster = &mut plugin["spec"]["pluginConfig"]["providers"][0]["remote_jwks"]["cluster"];
    assert_eq!(*cluster, format!("outbound|{of_filter}||{ISSUER}"), "the plugin takes the filter's way");
    *cluster = json!(format!("outbound|{}||{ISSUER}", ways.of_filter));
    resources
}

/// The host of `issuer.yaml`.
pub(crate) const ISSUER: &str = "keycloak.example.com";

/// The resources of a YAML text.
pub(crate) fn parsed(text: &str) -> Vec<Value> {
    use serde::Deserialize;
    serde_yaml_ng::Deserializer::from_str(text)
        .map(|document| Value::deserialize(document).unwrap_or_else(|error| panic!("{error} in {text}")))
        .filter(|resource| !resource.is_null())
        .collect()
}

fn is_plugin(resource: &Value) -> bool {
    resource["kind"] == "WasmPlugin" || resource["kind"] == "TrafficExtension"
}

/// What holds the fields of the plugin itself.
pub(crate) fn plugin(resource: &mut Value) -> &mut Value {
    let holder = if resource["kind"] == "TrafficExtension" { "/spec/wasm" } else { "/spec" };
    resource.pointer_mut(holder).expect("a plugin")
}

/// Its module is the one that was built, its key the one that this run's tokens are signed with.
fn fit(resource: &mut Value, module: &Module) {
    let plugin = plugin(resource);
    plugin["url"] = json!(module.url());
    plugin["sha256"] = json!(module.sha256());
    set_key(plugin, &Key::fixed("a").public_pem());
}

/// The key that is taken from the VM's environment.
pub(crate) fn set_key(plugin: &mut Value, key: &str) {
    let variables = plugin["vmConfig"]["env"].as_array_mut().expect("a list of variables");
    for variable in variables.iter_mut().filter(|variable| variable["name"] == "JWT_PUBLIC_KEY") {
        variable["value"] = json!(key);
    }
}

/// A plugin in front of every workload of a namespace, at that port.
pub(crate) fn at_port(
    namespace: &str,
    name: &str,
    mode: &str,
    port: u16,
    module: &Module,
    config: &Value,
) -> Value {
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "match": [{"mode": mode, "ports": [{"number": port}]}],
            "phase": "AUTHN", "failStrategy": "FAIL_RELOAD",
            "url": module.url(), "sha256": module.sha256(),
            "pluginName": "jwtproxy", "pluginConfig": config,
        },
    })
}

/// The sidecar of the workloads with these labels: a port each, and the upstream behind all of them.
pub(crate) fn sidecar(namespace: &str, labels: &Value, ports: &[u16], upstream: u16) -> Value {
    let ingress: Vec<_> = ports
        .iter()
        .map(|port| {
            json!({
                "port": {"number": port, "protocol": "HTTP", "name": format!("http-{port}")},
                "bind": "127.0.0.1", "captureMode": "NONE", "defaultEndpoint": format!("127.0.0.1:{upstream}"),
            })
        })
        .collect();
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Sidecar",
        "metadata": {"name": "workspace", "namespace": namespace},
        // Nothing on the way out: without interception its listeners would want the same ports.
        "spec": {"workloadSelector": {"labels": labels}, "ingress": ingress, "egress": [{"hosts": ["~/*"]}]},
    })
}

/// A service of the mesh: the workloads of the namespace with these labels, at these ports.
pub(crate) fn service(
    namespace: &str,
    host: &str,
    labels: &Value,
    address: &str,
    ports: &[u16],
) -> Vec<Value> {
    // As injection labels a pod: who has a sidecar gets mutual TLS.
    let mut tls = labels.clone();
    tls["security.istio.io/tlsMode"] = json!("istio");
    let listed: Vec<_> = ports
        .iter()
        .map(|port| json!({"number": port, "protocol": "HTTP", "name": format!("http-{port}")}))
        .collect();
    vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
            "metadata": {"name": "workspace", "namespace": namespace},
            "spec": {"address": address, "labels": tls, "serviceAccount": "default"},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
            "metadata": {"name": "workspace", "namespace": namespace},
            "spec": {"hosts": [host], "ports": listed, "location": "MESH_INTERNAL", "resolution": "STATIC",
                "workloadSelector": {"labels": labels}},
        }),
    ]
}

/// A service that is no part of the mesh.
pub(crate) fn outside(namespace: &str, host: &str, port: u16) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry",
        "metadata": {"name": "outside", "namespace": namespace},
        "spec": {"hosts": [host], "location": "MESH_EXTERNAL", "resolution": "STATIC",
            "ports": [{"number": port, "protocol": "HTTP", "name": "http"}],
            "endpoints": [{"address": "127.0.0.1"}]},
    })
}

/// A gateway at these ports, and the way from there to a port of a service.
pub(crate) fn gateway(namespace: &str, labels: &Value, ports: &[u16], host: &str, to: u16) -> Vec<Value> {
    let servers: Vec<_> = ports
        .iter()
        .map(|port| {
            json!({"hosts": ["*"], "bind": "127.0.0.1",
                "port": {"number": port, "protocol": "HTTP", "name": format!("http-{port}")}})
        })
        .collect();
    vec![
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": "ingress", "namespace": namespace},
            "spec": {"selector": labels, "servers": servers},
        }),
        json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "ingress", "namespace": namespace},
            "spec": {"hosts": ["*"], "gateways": ["ingress"],
                "http": [{"route": [{"destination": {"host": host, "port": {"number": to}}}]}]},
        }),
    ]
}
