//! The shipped files say the same, and what is made of them is what istiod would make.

use std::path::Path;

use rig::shipped::{self, Istiod};
use serde_json::{Value, json};

#[test]
fn envoy_and_istio_get_the_same_plugin_configuration() {
    let istio = shipped::yaml("istio/wasmplugin.yaml");
    let wasm = &shipped::yaml("istio/trafficextension.yaml")["spec"]["wasm"];
    assert_eq!(wasm["pluginConfig"], istio["spec"]["pluginConfig"]);
    assert_eq!(wasm["vmConfig"], istio["spec"]["vmConfig"]);
    let che = &shipped::yaml("istio/che/wasmplugin.yaml")["spec"]["pluginConfig"];
    assert_eq!(shipped::plugin_config(&shipped::yaml("che/envoy.yaml"))["providers"], che["providers"]);
    assert_eq!(shipped::plugin_config(&shipped::yaml("envoy.yaml")), istio["spec"]["pluginConfig"]);
}

#[test]
fn a_wasmplugin_becomes_an_ecds_resource() {
    let mut plugin = shipped::yaml("istio/wasmplugin.yaml");
    plugin["spec"]["pluginConfig"] = json!({"b": 3600, "a": "<&>"});
    plugin["spec"]["vmConfig"]["env"] = json!([
        {"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C", "valueFrom": "HOST"}
    ]);
    let module = Path::new("/m.wasm");
    let new = shipped::ecds(&plugin, module, &[("B", "3")], Istiod::default());
    let old = shipped::ecds(&plugin, module, &[], Istiod { before_1_30: true, doubles: true });
    let config = |resources: &Value| resources["resources"][0]["typed_config"]["config"].clone();

    let name = "extensions.istio.io/trafficextension/workspaces.jwtproxy~istio-translated-wasmplugin";
    assert_eq!(new["resources"][0]["name"], name);
    assert_eq!(old["resources"][0]["name"], "extensions.istio.io/wasmplugin/workspaces.jwtproxy");
    assert_eq!(config(&old)["name"], "workspaces.jwtproxy");
    assert_eq!(config(&new)["root_id"], "jwtproxy");
    assert_eq!(config(&new)["failure_policy"], "FAIL_RELOAD");
    assert_eq!(config(&new)["vm_config"]["code"]["local"]["filename"], "/m.wasm");
    assert_eq!(
        config(&new)["vm_config"]["environment_variables"],
        json!({"key_values": {"A": "1", "B": "3"}, "host_env_keys": ["C"]})
    );
    assert_eq!(config(&new)["configuration"]["value"], r#"{"a":"\u003c\u0026\u003e","b":3600}"#);
    assert_eq!(config(&old)["configuration"]["value"], r#"{"a":"\u003c\u0026\u003e","b":3600.0}"#);
}

#[test]
fn one_envoy_can_hold_a_table_of_configurations() {
    let base = shipped::bootstrap("envoy.yaml");
    let many = shipped::many_listeners(&base, &[("one", r#"{"n":1}"#), ("two", r#"{"n":2}"#)]);
    let listeners = many["static_resources"]["listeners"].as_array().unwrap();
    assert_eq!(listeners.len(), 2);
    for (listener, (name, n)) in listeners.iter().zip([("one", 1), ("two", 2)]) {
        assert_eq!(listener["name"], name);
        assert_eq!(listener["address"]["socket_address"]["port_value"], 0);
        assert_eq!(shipped::plugin_config(listener), json!({ "n": n }));
        let text = listener.to_string();
        for part in [format!(r#""vm_id":"{name}""#), format!(r#""stat_prefix":"{name}""#)] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }
}
