//! Every recipe of docs/issuers.md, with tokens as its issuer writes them.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that panics says what is wrong")]

use std::collections::BTreeMap;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE;
use rig::http::Response;
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::{Place, seen};
use rig::{repository, shipped};
use serde::Deserialize;
use serde_json::{Value, json};

/// A recipe, and what comes of tokens.
#[derive(Deserialize)]
struct Recipe {
    name: String,
    key: String,
    alg: String,
    /// The claims of a token that is let in, beside its times.
    claims: Value,
    /// More of its header.
    #[serde(default = "empty")]
    header: Value,
    /// Whether its base64url is padded.
    #[serde(default)]
    padded: bool,
    /// What the upstream sees of it.
    seen: BTreeMap<String, String>,
    refused: Vec<Refused>,
}

/// Another token, and why it is refused.
#[derive(Deserialize)]
struct Refused {
    /// The claims in which it differs.
    claims: Value,
    status: u16,
    reason: String,
}

fn empty() -> Value {
    json!({})
}

fn recipes() -> Vec<Recipe> {
    let text =
        fs::read_to_string(repository("tests/vectors/issuers.json")).expect("tests/vectors/issuers.json");
    serde_json::from_str(&text).expect("recipes")
}

/// The blocks of that kind below each heading of the page.
fn blocks(page: &str, kind: &str) -> Vec<(String, Vec<String>)> {
    let sections = page.split("\n### ").skip(1);
    let block = |rest: &str| rest.split("\n```").next().expect("an end").to_owned();
    sections
        .map(|section| {
            let heading = section.lines().next().expect("a heading").to_owned();
            (heading, section.split(&format!("```{kind}\n")).skip(1).map(block).collect())
        })
        .collect()
}

fn page() -> String {
    fs::read_to_string(repository("docs/issuers.md")).expect("docs/issuers.md")
}

/// The recipe, whose keys come from that issuer here.
fn configured(recipe: &Recipe, config: &Value, issuer: &Issuer) -> Value {
    let mut config = config.clone();
    let provider = &mut config["providers"][0];
    if let Some(remote) = provider.get_mut("remote_jwks") {
        let uri = remote["uri"].as_str().expect("an address");
        let path = uri.splitn(4, '/').nth(3).expect("a path");
        issuer.serve_keys(&format!("/{path}"), &[Key::fixed(&recipe.key).jwk("1")]);
        *remote = json!({
            "uri": format!("http://127.0.0.1:{}/{path}", issuer.port()), "cluster": "issuer", "allow_http": true,
        });
    }
    config
}

fn token(recipe: &Recipe, key: &str, change: &Value) -> String {
    let mut claims = recipe.claims.clone();
    claims["iat"] = json!(now());
    claims["exp"] = json!(now().saturating_add(600));
    for (name, value) in change.as_object().expect("claims") {
        claims[name] = value.clone();
    }
    let mut header = recipe.header.clone();
    header["alg"] = json!(recipe.alg);
    if header["kid"].is_null() {
        header["kid"] = json!("1");
    }
    if !recipe.padded {
        return mint(&Key::fixed(key), &recipe.alg, header, claims);
    }
    let [header, claims] = [header, claims].map(|part| BASE64_URL_SAFE.encode(part.to_string()));
    let input = format!("{header}.{claims}");
    format!("{input}.{}", BASE64_URL_SAFE.encode(Key::fixed(key).sign(&recipe.alg, input.as_bytes())))
}

fn ask(place: &Place, config: &Value, token: &str) -> Response {
    match config.pointer("/token_sources/0/header").and_then(Value::as_str) {
        Some(name) => place.get("/app", &[(name, token)]),
        None => place.get("/app", &[("authorization", &format!("Bearer {token}"))]),
    }
}

#[test]
fn every_recipe_lets_in_whom_it_should() {
    let page = page();
    let (configs, recipes) = (blocks(&page, "json"), recipes());
    assert_eq!(
        configs.iter().map(|(heading, _)| heading).collect::<Vec<_>>(),
        recipes.iter().map(|recipe| &recipe.name).collect::<Vec<_>>()
    );
    for (recipe, (_, config)) in recipes.iter().zip(&configs) {
        let [config] = config.as_slice() else { panic!("{}: one configuration", recipe.name) };
        let written: Value = serde_json::from_str(config).expect("JSON");
        let issuer = Issuer::start();
        let config = configured(recipe, &written, &issuer);
        let place = Place::start_changed(1, |bootstrap| {
            shipped::set_plugin_config(bootstrap, &config.to_string());
            shipped::set_env(bootstrap, &[("ALB_PUBLIC_KEY", &Key::fixed(&recipe.key).public_pem())]);
            shipped::add_cluster(bootstrap, "issuer", issuer.port());
        });
        let good = ask(&place, &config, &token(recipe, &recipe.key, &json!({})));
        assert_eq!(good.status, 200, "{}: {good:?}", recipe.name);
        for (name, value) in &recipe.seen {
            assert_eq!(seen(&good.json(), name), [value.as_str()], "{}: {name}", recipe.name);
        }
        for Refused { claims, status, reason } in &recipe.refused {
            let answer = ask(&place, &config, &token(recipe, &recipe.key, claims));
            let found = answer.json()["reason"].as_str().unwrap_or_default().to_owned();
            assert_eq!((answer.status, &found), (*status, reason), "{}: {claims}", recipe.name);
        }
        let other = if recipe.key == "a" { "b" } else { "p256_b" };
        let forged = ask(&place, &config, &token(recipe, other, &json!({})));
        assert_eq!(forged.status, 401, "{}: {forged:?}", recipe.name);
    }
}

/// The API server serves its keys to who brings the token of the pod, whichever it is by then.
#[test]
fn keys_behind_a_token_are_fetched_by_the_cluster_of_the_page() {
    let page = page();
    let section = |kind| {
        let mut blocks = blocks(&page, kind);
        let at = blocks.iter().position(|(heading, _)| heading.starts_with("Kubernetes")).expect("a section");
        blocks.swap_remove(at).1
    };
    let (recipes, config) = (recipes(), section("json"));
    let recipe = recipes.iter().find(|recipe| recipe.name.starts_with("Kubernetes")).expect("a recipe");
    let [cluster, secret] = section("yaml").try_into().expect("a cluster and a secret");

    let issuer = Issuer::start();
    let config = configured(recipe, &serde_json::from_str(&config[0]).expect("JSON"), &issuer);
    let mut config = config;
    config["providers"][0]["remote_jwks"]["cluster"] = json!("kubernetes");
    config["providers"][0]["remote_jwks"]["refresh_seconds"] = json!(1);
    let path = "/openid/v1/jwks";
    let behind = |token: &str, key: &str| {
        let keys = Serve::json(&json!({"keys": [Key::fixed(key).jwk("1")]}));
        Serve::WithAuthorization(format!("Bearer {token}"), Box::new(keys))
    };
    issuer.serve(path, behind("of-the-pod", "a"));
    let folder = tempfile::tempdir().expect("a folder");
    let (token_file, sds_file) = (folder.path().join("token"), folder.path().join("token.yaml"));
    fs::write(&token_file, "of-the-pod").expect("a file");
    let here = |path: &std::path::Path| path.to_str().expect("a path in UTF-8").to_owned();
    let secret = secret.replace("/var/run/secrets/kubernetes.io/serviceaccount/token", &here(&token_file));
    fs::write(&sds_file, secret).expect("a file");

    let place = Place::start_changed(1, |bootstrap| {
        shipped::set_plugin_config(bootstrap, &config.to_string());
        bootstrap["node"] = json!({"id": "sidecar", "cluster": "workspaces"});
        let mut cluster = shipped::parse(&cluster.replace("/etc/envoy/token.yaml", &here(&sds_file)));
        cluster.as_object_mut().expect("a cluster").remove("transport_socket");
        let address =
            &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"];
        address["socket_address"] = json!({"address": "127.0.0.1", "port_value": issuer.port()});
        bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters").push(cluster);
    });
    let status = |key| ask(&place, &config, &token(recipe, key, &json!({}))).status;
    assert_eq!((status("a"), status("b")), (200, 401));

    // Kubernetes puts a new token in place of the file, by a link that is renamed.
    issuer.serve(path, behind("of-the-pod-2", "b"));
    let new = folder.path().join("new");
    fs::write(&new, "of-the-pod-2").expect("a file");
    fs::rename(&new, &token_file).expect("a file in place of the other");
    let give_up = Instant::now() + Duration::from_mins(1);
    while status("b") != 200 {
        assert!(Instant::now() < give_up, "a minute after its change the token is the old one");
        sleep(Duration::from_millis(200));
    }
}
