//! What Eclipse Che's JwtProxy answered, and what the profile jwtproxy answers, natively. `tests/envoy_jwtproxy.rs`
//! replays the same recordings through a real Envoy.

mod drivers;

use std::collections::BTreeMap;

use drivers::{now, through_core};
use jwtproxy_wasm::{ConfigError, Policy};
use rig::recording::Recording;
use serde_json::Value;

#[test]
fn every_recorded_answer_through_the_core() {
    let recording = Recording::load();
    let load = |(name, config)| {
        let policy = load(config).unwrap_or_else(|error| panic!("{name}: {error}"));
        (String::as_str(name), policy)
    };
    let policies: BTreeMap<&str, Policy> = recording.configs.iter().map(load).collect();
    recording.compare("the core", |config, fields| through_core(&policies[config], fields, b"", now()).1);
}

#[test]
fn an_empty_exclude_is_refused() {
    let refused = Recording::load().refused;
    assert_eq!(refused.len(), 1);
    for (name, config) in &refused {
        let error = load(config).err().unwrap_or_else(|| panic!("{name} was loaded"));
        assert!(error.to_string().contains("public_paths[0].regex"), "{name}: {error}");
    }
}

fn load(config: &Value) -> Result<Policy, ConfigError> {
    Policy::from_json(config.to_string().as_bytes(), &|_: &str| None)
}
