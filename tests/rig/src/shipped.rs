//! The configuration files under `envoy/`, as they are shipped, and the changes a test needs. Every change is
//! one of structure: what is not named here stays as it is shipped.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{envoy, repository};

/// A bootstrap of `envoy/`, such as `envoy.yaml`, for the Envoy that is used: before 1.40 the list of
/// capabilities stood in the plugin's configuration and not in that of its VM.
pub fn bootstrap(path: impl AsRef<Path>) -> Value {
    let mut bootstrap = yaml(path);
    if version() < [1, 40] {
        each(&mut bootstrap, &mut |object| {
            let moved = object
                .get_mut("vm_config")
                .and_then(Value::as_object_mut)
                .and_then(|vm| vm.remove(CAPABILITIES));
            object.extend(moved.map(|list| (CAPABILITIES.into(), list)));
        });
    }
    bootstrap
}

/// A file of `envoy/`, such as `istio/wasmplugin.yaml`.
pub fn yaml(path: impl AsRef<Path>) -> Value {
    let path = repository("envoy").join(path);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_yaml_ng::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A piece of such a file.
pub fn parse(yaml: &str) -> Value {
    serde_yaml_ng::from_str(yaml).unwrap_or_else(|error| panic!("{error}: {yaml}"))
}

/// Lets the kernel choose the port of every listener.
pub fn free_ports(bootstrap: &mut Value) {
    for listener in list(bootstrap, "/static_resources/listeners") {
        listener["address"]["socket_address"]["port_value"] = json!(0);
    }
}

/// Puts every endpoint of a cluster on that port.
pub fn set_cluster_port(bootstrap: &mut Value, cluster: &str, port: u16) {
    let clusters = list(bootstrap, "/static_resources/clusters");
    let cluster = clusters
        .iter_mut()
        .find(|other| other["name"] == cluster)
        .unwrap_or_else(|| panic!("no cluster {cluster}"));
    each(cluster, &mut |object| {
        object.entry("port_value").and_modify(|value| *value = json!(port));
    });
}

/// A cluster that leads to a port of this machine.
pub fn add_cluster(bootstrap: &mut Value, name: &str, port: u16) {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    list(bootstrap, "/static_resources/clusters").push(json!({
        "name": name, "type": "STATIC", "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": address}}]}]},
    }));
}

/// Leads a cluster that verifies its server to that port of this machine, where a server of that authority (in PEM) is: all
/// else about its TLS stays, the name, too.
pub fn lead_here(bootstrap: &mut Value, cluster: &str, port: u16, authority: &str) {
    set_cluster_port(bootstrap, cluster, port);
    let clusters = list(bootstrap, "/static_resources/clusters");
    let cluster = clusters.iter_mut().find(|other| other["name"] == cluster).expect("the cluster");
    each(cluster, &mut |object| {
        object.entry("address").and_modify(|value| {
            if value.is_string() {
                *value = json!("127.0.0.1");
            }
        });
    });
    let tls = "/transport_socket/typed_config/common_tls_context/validation_context/trusted_ca";
    *cluster.pointer_mut(tls).expect("an authority") = json!({"inline_string": authority});
}

/// The connection manager of the first listener.
pub fn manager(bootstrap: &mut Value) -> &mut Value {
    let path = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config";
    bootstrap.pointer_mut(path).expect("a connection manager")
}

/// The list of capabilities, wherever it stands.
pub fn capabilities(bootstrap: &mut Value) -> &mut Map<String, Value> {
    let plugin = manager(bootstrap).pointer_mut("/http_filters/0/typed_config/config").expect("a plugin");
    let holder = if plugin[CAPABILITIES].is_object() { plugin } else { &mut plugin["vm_config"] };
    holder[CAPABILITIES]["allowed_capabilities"].as_object_mut().expect("a list of capabilities")
}

/// The module to load.
pub fn set_module(bootstrap: &mut Value, path: &Path) {
    each_plugin(bootstrap, |plugin| plugin["vm_config"]["code"] = json!({"local": {"filename": path}}));
}

/// The configuration to load, as text: it need not be JSON.
pub fn set_plugin_config(bootstrap: &mut Value, text: &str) {
    each_plugin(bootstrap, |plugin| plugin["configuration"] = string_value(text));
}

/// The configuration that is shipped.
pub fn plugin_config(bootstrap: &Value) -> Value {
    let mut config = None;
    each_plugin(&mut bootstrap.clone(), |plugin| {
        config = plugin["configuration"]["value"].as_str().map(str::to_owned);
    });
    serde_json::from_str(&config.expect("a plugin with a configuration"))
        .expect("a plugin configuration in JSON")
}

/// What the plugin finds in its environment, instead of what is taken over from Envoy's.
pub fn set_env(bootstrap: &mut Value, env: &[(&str, &str)]) {
    let values: Map<_, _> = env.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
    each_plugin(bootstrap, |plugin| {
        plugin["vm_config"]["environment_variables"] = json!({"key_values": values});
    });
}

/// The first listener once for each `(name, plugin configuration)`: each with a port and a VM of its own. So
/// one Envoy serves a whole table.
pub fn many_listeners(base: &Value, configurations: &[(&str, &str)]) -> Value {
    let mut bootstrap = base.clone();
    let shipped = list(&mut bootstrap, "/static_resources/listeners").first().expect("a listener").clone();
    let listeners = configurations.iter().map(|(name, configuration)| {
        let mut listener = shipped.clone();
        listener["name"] = json!(name);
        each(&mut listener, &mut |object| {
            object.entry("port_value").and_modify(|port| *port = json!(0));
            object.entry("stat_prefix").and_modify(|prefix| *prefix = json!(name));
            object.entry("vm_id").and_modify(|id| *id = json!(name));
        });
        set_plugin_config(&mut listener, configuration);
        listener
    });
    bootstrap["static_resources"]["listeners"] = listeners.collect();
    bootstrap
}

/// How istiod puts a `WasmPlugin` into words.
#[derive(Clone, Copy, Debug, Default)]
pub struct Istiod {
    /// Up to Istio 1.29. Since 1.30 istiod reads it as a `TrafficExtension`, and the names show it.
    pub before_1_30: bool,
    /// Every number as a double, `3600.0` for `3600`, which is what a number of a `pluginConfig` is.
    pub doubles: bool,
}

/// What the Envoy of a sidecar gets for a `WasmPlugin`: the answer to its discovery request, with the module
/// already downloaded. `env` overrides what the plugin's `vmConfig` says.
pub fn ecds(plugin: &Value, module: &Path, env: &[(&str, &str)], istiod: Istiod) -> Value {
    let namespace = plugin["metadata"]["namespace"].as_str().unwrap_or("default");
    let name = plugin["metadata"]["name"].as_str().expect("a WasmPlugin with a name");
    let (kind, suffix) = if istiod.before_1_30 {
        ("wasmplugin", "")
    } else {
        ("trafficextension", "~istio-translated-wasmplugin")
    };
    let name = format!("{namespace}.{name}{suffix}");
    let spec = &plugin["spec"];

    let mut config = json!({
        "name": name,
        "root_id": spec["pluginName"].as_str().unwrap_or_default(),
        "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": module}}},
        "failure_policy": match spec["failStrategy"].as_str() {
            Some("FAIL_OPEN") => "FAIL_OPEN",
            Some("FAIL_RELOAD") => "FAIL_RELOAD",
            _ => "FAIL_CLOSED",
        },
    });
    let variables = environment(spec["vmConfig"]["env"].as_array().map_or(&[], Vec::as_slice), env);
    if !variables.is_empty() {
        config["vm_config"]["environment_variables"] = variables.into();
    }
    if spec["pluginConfig"].as_object().is_some_and(|fields| !fields.is_empty()) {
        config["configuration"] = string_value(&golang_json(&spec["pluginConfig"], istiod.doubles));
    }
    json!({"version_info": "1", "resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": format!("extensions.istio.io/{kind}/{name}"),
        "typed_config": {"@type": WASM, "config": config},
    }]})
}

/// The same bootstrap with the plugin fetched by ECDS from that file, which [`publish`] writes and Envoy
/// watches. It must be there first.
pub fn with_ecds(base: &Value, resources: &Value, file: &Path) -> Value {
    let mut bootstrap = base.clone();
    each(&mut bootstrap, &mut |object| {
        if object.get("typed_config").is_some_and(|config| config["@type"] == WASM) {
            object.remove("typed_config");
            object.insert("name".into(), resources["resources"][0]["name"].clone());
            object.insert(
                "config_discovery".into(),
                json!({
                    "config_source": {
                        "path_config_source": {"path": file},
                        "initial_fetch_timeout": "0s",
                        "resource_api_version": "V3",
                    },
                    "type_urls": [WASM, "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"],
                }),
            );
        }
    });
    // Discovery wants a name to send, even to a file.
    bootstrap["node"] = json!({"id": "rig", "cluster": "rig"});
    bootstrap
}

/// Writes discovery resources in one move: Envoy reads the file as soon as it changes.
pub fn publish(file: &Path, resources: &Value) {
    let new = file.with_extension("new");
    fs::write(&new, resources.to_string()).expect("a file of resources");
    fs::rename(&new, file).expect("a file of resources");
}

const CAPABILITIES: &str = "capability_restriction_config";
const WASM: &str = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";

fn version() -> [u32; 2] {
    let mut parts =
        envoy::binary_version().split('.').map(|part| part.parse().expect("a version of numbers"));
    [parts.next().expect("a major version"), parts.next().expect("a minor version")]
}

fn string_value(text: &str) -> Value {
    json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text})
}

/// `INLINE` pairs stand in the resource; `HOST` names are looked up in the environment of Envoy.
fn environment(declared: &[Value], overriding: &[(&str, &str)]) -> Map<String, Value> {
    let mut values: Map<_, _> =
        overriding.iter().map(|&(name, value)| (name.to_owned(), json!(value))).collect();
    let mut from_host = Vec::new();
    for variable in declared {
        let name = variable["name"].as_str().expect("a variable with a name");
        if variable["valueFrom"] == "HOST" && !values.contains_key(name) {
            from_host.push(name);
        } else {
            values.entry(name).or_insert_with(|| variable["value"].clone());
        }
    }
    let mut variables = Map::new();
    if !values.is_empty() {
        variables.insert("key_values".into(), values.into());
    }
    if !from_host.is_empty() {
        variables.insert("host_env_keys".into(), json!(from_host));
    }
    variables
}

/// As Go's jsonpb writes a Struct: compact, keys sorted, HTML escaped.
fn golang_json(config: &Value, doubles: bool) -> String {
    let mut config = config.clone();
    if doubles {
        to_doubles(&mut config);
    }
    // These stand inside strings only.
    config.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn to_doubles(value: &mut Value) {
    match value {
        Value::Number(number) => *value = json!(number.as_f64().expect("a number")),
        Value::Array(items) => items.iter_mut().for_each(to_doubles),
        Value::Object(fields) => fields.values_mut().for_each(to_doubles),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn list<'a>(value: &'a mut Value, pointer: &str) -> &'a mut Vec<Value> {
    value.pointer_mut(pointer).and_then(Value::as_array_mut).unwrap_or_else(|| panic!("no list {pointer}"))
}

/// Every configuration of a plugin: what names a VM is one.
fn each_plugin(value: &mut Value, mut visit: impl FnMut(&mut Map<String, Value>)) {
    let mut found = false;
    each(value, &mut |object| {
        if object.contains_key("vm_config") {
            found = true;
            visit(object);
        }
    });
    assert!(found, "no plugin in {value}");
}

/// Every object, from the outside in.
fn each(value: &mut Value, visit: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(object);
            object.values_mut().for_each(|inner| each(inner, visit));
        }
        Value::Array(items) => items.iter_mut().for_each(|inner| each(inner, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
