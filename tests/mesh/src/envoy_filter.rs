//! The `EnvoyFilter` of `envoy/istio/` and its likes: with another configuration, in another place.

use rig::jwt::Key;
use serde_json::{Value, json};

use crate::module::Module;

/// Where the filter stands, and what it is.
const KINDS: [&str; 2] = ["HTTP_FILTER", "EXTENSION_CONFIG"];

/// Its module is the one that was built, its key the one that this run's tokens are signed with.
pub(crate) fn fit(filter: &mut Value, module: &Module) {
    set_module(filter, &module.url(), module.sha256());
    set_env(filter, &json!({"JWT_PUBLIC_KEY": Key::fixed("a").public_pem()}));
}

/// Another module.
pub(crate) fn set_module(filter: &mut Value, url: &str, sha256: &str) {
    let remote = &mut plugin(filter)["vm_config"]["code"]["remote"];
    remote["http_uri"]["uri"] = json!(url);
    remote["sha256"] = json!(sha256);
}

/// The environment of the VM.
pub(crate) fn set_env(filter: &mut Value, variables: &Value) {
    plugin(filter)["vm_config"]["environment_variables"]["key_values"] = variables.clone();
}

/// Another configuration of the module.
pub(crate) fn set_configuration(filter: &mut Value, configuration: &Value) {
    plugin(filter)["configuration"]["value"] = json!(configuration.to_string());
}

/// Changes the configuration of the module.
pub(crate) fn configure(filter: &mut Value, change: impl FnOnce(&mut Value)) {
    let text = plugin(filter)["configuration"]["value"].as_str().expect("a text");
    let mut configuration = serde_json::from_str(text).expect("JSON");
    change(&mut configuration);
    set_configuration(filter, &configuration);
}

/// What Envoy calls the configuration of a plugin.
pub(crate) fn plugin(filter: &mut Value) -> &mut Value {
    // In line, all stands in the first.
    let kind = if filter["spec"]["configPatches"][1].is_null() { KINDS[0] } else { KINDS[1] };
    &mut patch(filter, kind)["patch"]["value"]["typed_config"]["config"]
}

/// The same in front of the pods of a gateway.
pub(crate) fn move_to_gateway(filter: &mut Value, namespace: &str, labels: &Value) {
    filter["metadata"]["namespace"] = json!(namespace);
    filter["spec"]["workloadSelector"]["labels"] = labels.clone();
    for kind in KINDS {
        patch(filter, kind)["match"]["context"] = json!("GATEWAY");
    }
}

/// The same at that port alone, by a name of its own.
pub(crate) fn move_to_port(filter: &mut Value, name: &str, port: u16) {
    filter["metadata"]["name"] = json!(name);
    patch(filter, KINDS[0])["match"]["listener"]["portNumber"] = json!(port);
    for kind in KINDS {
        patch(filter, kind)["patch"]["value"]["name"] = json!(name);
    }
    plugin(filter)["vm_config"]["vm_id"] = json!(name);
}

/// The same as a part of the listener, with the module in a file of the pod: the plainer way, which is not shipped.
pub(crate) fn put_in_line(filter: &mut Value, file: &str) {
    plugin(filter)["vm_config"]["code"] = json!({"local": {"filename": file}});
    patch(filter, KINDS[0])["patch"]["value"] = patch(filter, KINDS[1])["patch"]["value"].clone();
    filter["spec"]["configPatches"].as_array_mut().expect("patches").truncate(1);
}

fn patch<'a>(filter: &'a mut Value, kind: &str) -> &'a mut Value {
    let patches = filter["spec"]["configPatches"].as_array_mut().expect("patches");
    patches.iter_mut().find(|patch| patch["applyTo"] == kind).unwrap_or_else(|| panic!("no {kind}"))
}
