//! How a real Envoy loads a configuration: it takes the shipped one, refuses a wrong one at its start, and keeps the old
//! one at an update.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics says what is wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::envoy::{self, Envoy, Options};
use rig::jwt::{Key, mint, now};
use rig::shipped::{self, Istiod};
use rig::table::{self, filled};
use rig::upstream::Upstream;
use rig::{http, repository};
use serde_json::{Value, json};

#[test]
fn envoy_takes_the_shipped_configuration() {
    let (loads, said) = envoy::validate(bootstrap());
    assert!(loads, "{said}");
    assert!(said.contains("jwtproxy: loaded"), "{said}");
}

/// Within the capabilities that the shipped file grants: a call to any other ends the VM.
#[test]
fn envoy_takes_every_configuration_that_loads() {
    let variables = table::env();
    let variables: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut base = bootstrap();
    shipped::set_env(&mut base, &variables);
    let rows: Vec<Value> = table::configurations().into_iter().filter(|row| row["error"].is_null()).collect();
    let configurations: Vec<(&str, String)> = rows
        .iter()
        .filter(|row| row["config"].is_object())
        .map(|row| (row["name"].as_str().unwrap(), filled(&row["config"], now()).to_string()))
        .collect();
    let configurations: Vec<(&str, &str)> =
        configurations.iter().map(|(name, config)| (*name, config.as_str())).collect();
    let (loads, said) = envoy::validate(shipped::many_listeners(&base, &configurations));
    assert!(loads, "{said}");
}

#[test]
fn envoy_does_not_take_a_wrong_configuration() {
    let mut wrong = bootstrap();
    let mut config = shipped::plugin_config(&wrong);
    config["providers"][0]["issuers"] = json!("https://login.example.com");
    shipped::set_plugin_config(&mut wrong, &config.to_string());
    let (loads, said) = envoy::validate(wrong);
    assert!(!loads, "{said}");
    let message = "the configuration is refused: providers[0].issuers: unknown field; did you mean `issuer`?";
    assert!(said.contains(message), "{said}");
}

#[test]
fn envoy_does_not_take_a_configuration_without_its_key() {
    for (name, value) in [("OTHER", "x"), ("JWT_PUBLIC_KEY", "")] {
        let mut wrong = bootstrap();
        shipped::set_env(&mut wrong, &[(name, value)]);
        let (loads, said) = envoy::validate(wrong);
        assert!(!loads, "{said}");
        let message = "the configuration is refused: providers[0].keys[0].env: the environment variable JWT_PUBLIC_KEY is";
        assert!(said.contains(message), "{said}");
    }
}

#[test]
fn envoy_does_not_take_a_struct() {
    let mut wrong = bootstrap();
    let config = shipped::plugin_config(&wrong);
    let filters = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0";
    wrong.pointer_mut(filters).unwrap()["typed_config"]["config"]["configuration"] =
        json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": config});
    let (loads, said) = envoy::validate(wrong);
    assert!(!loads, "{said}");
    assert!(said.contains("google.protobuf.StringValue"), "{said}");
}

#[test]
fn an_update_with_a_wrong_configuration_keeps_the_old_one() {
    for before_1_30 in [true, false] {
        istio(Istiod { before_1_30, doubles: true });
    }
}

fn istio(istiod: Istiod) {
    let file = resource_file(&format!("update-{}", istiod.before_1_30));
    let upstream = Upstream::start();
    let mut plugin = shipped::yaml("istio/wasmplugin.yaml");
    plugin["spec"]["pluginConfig"]["providers"][0]["clock_skew_seconds"] = json!(60);
    plugin["spec"]["pluginConfig"]["providers"][0]["max_ttl_seconds"] = json!(86400);
    shipped::publish(&file, &resources(&plugin, istiod, 1));

    let mut base = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut base);
    shipped::set_cluster_port(&mut base, "upstream", upstream.port());
    let bootstrap = shipped::with_ecds(&base, &resources(&plugin, istiod, 1), &file);
    let envoy = Envoy::start_with(bootstrap, &Options::default());
    let port = envoy.port("workspace");
    assert_eq!(status(port, "/app", None), 401);
    assert_eq!(status(port, "/app", Some("login")), 200);
    assert_eq!(status(port, "/healthz", None), 200);
    assert_eq!(status(port, "/version-2", None), 401);

    let mut wrong = plugin.clone();
    wrong["spec"]["pluginConfig"]["public_paths"] = json!([{"prefix": "/"}]);
    shipped::publish(&file, &resources(&wrong, istiod, 2));
    let log = envoy.log_with("the configuration is refused");
    assert!(log.contains("public_paths[0]: this matches every path"), "{log}");
    let counted = envoy.admin("/stats?filter=configuration_refused");
    assert_eq!(counted.trim(), "wasmcustom.jwtproxy_configuration_refused_total: 1");
    for _ in 0..5 {
        assert_eq!(status(port, "/app", None), 401);
        assert_eq!(status(port, "/app", Some("login")), 200);
        assert_eq!(status(port, "/healthz", None), 200);
        sleep(Duration::from_millis(50));
    }

    plugin["spec"]["pluginConfig"]["public_paths"] = json!([{"exact": "/version-2"}]);
    shipped::publish(&file, &resources(&plugin, istiod, 3));
    let give_up = Instant::now() + Duration::from_secs(10);
    while status(port, "/version-2", None) != 200 {
        assert!(Instant::now() < give_up, "the good update never came:\n{}", envoy.log());
        sleep(Duration::from_millis(20));
    }
    assert_eq!(status(port, "/healthz", None), 401);
    assert_eq!(status(port, "/app", Some("login")), 200);
}

/// At a cold start there is no old configuration to keep: nothing passes.
#[test]
fn a_wrong_first_update_lets_nobody_in() {
    let file = resource_file("first-update");
    let upstream = Upstream::start();
    let mut plugin = shipped::yaml("istio/wasmplugin.yaml");
    plugin["spec"]["pluginConfig"]["sesion"] = json!({});
    let wrong = resources(&plugin, Istiod::default(), 1);
    shipped::publish(&file, &wrong);
    let mut base = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut base);
    shipped::set_cluster_port(&mut base, "upstream", upstream.port());
    let envoy = Envoy::start_with(shipped::with_ecds(&base, &wrong, &file), &Options::default());
    envoy.log_with("sesion: unknown field; did you mean `session`?");
    let port = envoy.port("workspace");
    assert_eq!(status(port, "/app", Some("login")), 500);
    assert_eq!(status(port, "/healthz", None), 500);
    assert_eq!(upstream.requests(), 0);
}

fn module() -> PathBuf {
    repository("dist/jwtproxy.wasm")
}

/// A file in a folder of its own: Envoy watches the folder.
fn resource_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&folder).unwrap();
    folder.join("ecds.json")
}

/// What is shipped, with a key.
fn bootstrap() -> Value {
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    shipped::set_module(&mut bootstrap, &module());
    shipped::set_env(&mut bootstrap, &[("JWT_PUBLIC_KEY", &Key::fixed("a").public_pem())]);
    bootstrap
}

fn resources(plugin: &Value, istiod: Istiod, version: u32) -> Value {
    let key = Key::fixed("a").public_pem();
    let mut resources = shipped::ecds(plugin, &module(), &[("JWT_PUBLIC_KEY", &key)], istiod);
    resources["version_info"] = json!(version.to_string());
    resources
}

/// The status of a script's request, with a token of that issuer.
fn status(port: u16, path: &str, issuer: Option<&str>) -> u16 {
    let token = issuer.map(|issuer| {
        let claims = json!({
            "iss": format!("https://{issuer}.example.com"), "sub": "alice", "aud": "workspace",
            "iat": now(), "exp": now() + 3600,
        });
        format!("Bearer {}", mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims))
    });
    let headers: Vec<(&str, &[u8])> =
        token.iter().map(|bearer| ("authorization", bearer.as_bytes())).collect();
    http::request(port, "GET", path, &headers, b"").status
}
