//! Another configuration for a running Envoy, under load and by the two ways that it takes files: no request is lost or
//! refused wrongly, and no old key is honoured afterwards. And what two configurations share.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that panics says what is wrong"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rig::envoy::{Envoy, Options, binary_version};
use rig::http::{Connection, raw, request};
use rig::issuer::Issuer;
use rig::jwt::{Key, mint, now};
use rig::place::bearer;
use rig::say;
use rig::shipped;
use rig::time::{fetches, soon};
use rig::upstream::Upstream;
use serde_json::{Value, json};

const MILLISECOND: Duration = Duration::from_millis(1);
const WORKERS: u32 = 2;
const CONNECTIONS: usize = 6;

/// After Envoy says that it has a configuration: the time that all workers may take to use it.
const MOMENT: Duration = Duration::from_millis(200);
/// So long each configuration is in use.
const PHASE: Duration = Duration::from_millis(700);
/// So long connections live on when their listener is replaced. Envoy asks clients to close them with a chance that grows
/// second by second, so with one second it would never ask.
const DRAIN_SECONDS: u32 = 2;

/// A configuration, and how it answers each of the [tokens].
struct Config {
    name: &'static str,
    value: Value,
    answers: [u16; 3],
}

/// One of key `a`, one of key `b`, and another one of key `a`.
fn tokens() -> [String; 3] {
    [("a", "1"), ("b", "2"), ("a", "3")].map(|(key, jti)| {
        let claims = json!({
            "iss": "https://login.example.com", "aud": "workspace", "sub": "alice", "jti": jti,
            "exp": now() + 3600,
        });
        mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": key}), claims)
    })
}

fn configs(shipped: &Value, issuer: &Issuer) -> [Config; 5] {
    for key in ["a", "b"] {
        issuer.serve_keys(&format!("/{key}"), &[Key::fixed(key).jwk(key)]);
    }
    let with = |change: &dyn Fn(&mut Value)| {
        let mut config = shipped.clone();
        let provider = &mut config["providers"][0];
        provider["keys"] = json!([]);
        change(provider);
        if provider.get("remote_jwks").is_some() {
            provider.as_object_mut().unwrap().remove("keys");
        }
        config
    };
    let key = |key: &str| json!([{"jwk": Key::fixed(key).jwk(key)}]);
    let (key_a, key_b, remote_a, remote_b) = (key("a"), key("b"), remote(issuer, "/a"), remote(issuer, "/b"));
    let config = |name, answers, change: &dyn Fn(&mut Value)| Config { name, value: with(change), answers };
    [
        config("key a", [200, 401, 200], &|provider| provider["keys"] = key_a.clone()),
        config("key b", [401, 200, 401], &|provider| provider["keys"] = key_b.clone()),
        config("a fetched", [200, 401, 200], &|provider| provider["remote_jwks"] = remote_a.clone()),
        config("b fetched", [401, 200, 401], &|provider| provider["remote_jwks"] = remote_b.clone()),
        config("a with a token revoked", [200, 401, 401], &|provider| {
            provider["keys"] = key_a.clone();
            provider["revoked"] = json!({"jti": ["3"]});
        }),
    ]
}

fn remote(issuer: &Issuer, path: &str) -> Value {
    let uri = format!("http://127.0.0.1:{}{path}", issuer.port());
    json!({"uri": uri, "cluster": "issuer", "allow_http": true})
}

/// The shipped bootstrap on this machine, with a cluster for that issuer.
fn bootstrap(upstream: &Upstream, issuer: &Issuer) -> Value {
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut bootstrap);
    shipped::set_cluster_port(&mut bootstrap, "upstream", upstream.port());
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let mut cluster = clusters[0].clone();
    cluster["name"] = json!("issuer");
    cluster["load_assignment"]["cluster_name"] = json!("issuer");
    clusters.push(cluster);
    shipped::set_cluster_port(&mut bootstrap, "issuer", issuer.port());
    // As many connections for each worker.
    bootstrap["static_resources"]["listeners"][0]["connection_balance_config"] = json!({"exact_balance": {}});
    bootstrap
}

/// When a request was sent and answered, with which of the tokens, and how.
struct Seen {
    sent: Instant,
    answered: Instant,
    token: usize,
    status: u16,
}

/// A configuration from when it was published, until when it was in use everywhere.
struct Phase<'c> {
    config: &'c Config,
    published: Instant,
    settled: Instant,
}

/// Sends the tokens in turns on a connection that is kept while Envoy keeps it, until it is told to stop.
fn lane(port: u16, tokens: &[String; 3], stop: &AtomicBool) -> Vec<Seen> {
    let requests = tokens
        .each_ref()
        .map(|token| raw(port, "GET", "/app", &[("authorization", bearer(token).as_bytes())], b""));
    let mut seen = Vec::new();
    let mut connection = Connection::open(port);
    while !stop.load(Ordering::Relaxed) {
        for (token, request) in requests.iter().enumerate() {
            let sent = Instant::now();
            let response = connection.send(request);
            seen.push(Seen { sent, answered: Instant::now(), token, status: response.status });
            if response.header("connection") == Some("close") {
                connection = Connection::open(port);
            }
            sleep(2 * MILLISECOND);
        }
    }
    seen
}

/// Switches to each configuration in turn while there is load; `switch` publishes one and comes back when it is in use.
fn switch_under_load(
    how: &str,
    envoy: &Envoy,
    configs: &[Config; 5],
    turns: &[usize],
    switch: impl Fn(&Config, usize),
) {
    let port = envoy.port("workspace");
    let tokens = tokens();
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    let (phases, seen) = thread::scope(|scope| {
        let lanes: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(|| lane(port, &tokens, &stop))).collect();
        let mut phases = vec![Phase { config: &configs[turns[0]], published: began, settled: began }];
        sleep(PHASE);
        for (version, turn) in turns.iter().enumerate().skip(1) {
            let (config, published) = (&configs[*turn], Instant::now());
            switch(config, version);
            sleep(MOMENT);
            phases.push(Phase { config, published, settled: Instant::now() });
            sleep(PHASE);
        }
        stop.store(true, Ordering::Relaxed);
        let seen: Vec<Seen> = lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect();
        (phases, seen)
    });

    let mut latest = Duration::ZERO;
    for one in &seen {
        // Of those that were in use somewhere while it was on its way.
        let possible: Vec<&Phase<'_>> = phases
            .iter()
            .enumerate()
            .filter(|(at, phase)| {
                let over = phases.get(at + 1).map(|next| next.settled);
                phase.published <= one.answered && over.is_none_or(|over| one.sent <= over)
            })
            .map(|(_, phase)| phase)
            .collect();
        let fits = |phase: &Phase<'_>| phase.config.answers[one.token] == one.status;
        assert!(
            possible.iter().any(|phase| fits(phase)),
            "token {} got {} with {:?}, {:?} after the start, by {how}:\n{}",
            one.token,
            one.status,
            possible.iter().map(|phase| phase.config.name).collect::<Vec<_>>(),
            one.sent - began,
            envoy.log()
        );
        if let Some(last) = possible.last().filter(|last| !fits(last)) {
            latest = latest.max(one.answered - last.published);
        }
    }
    for (at, phase) in phases.iter().enumerate() {
        let end = phases.get(at + 1).map(|next| next.published);
        let steady = |one: &&Seen| one.sent >= phase.settled && end.is_none_or(|end| one.answered < end);
        let count = seen.iter().filter(steady).count();
        assert!(count >= 100, "{count} requests with {} alone", phase.config.name);
    }
    let stats = envoy.admin("/stats?filter=worker_.*downstream_cx_total");
    let busy = stats.lines().filter(|line| line.contains("worker_") && !line.ends_with(": 0")).count();
    assert!(busy >= WORKERS.try_into().unwrap(), "not all workers had connections: {stats}");
    let passed = seen.iter().filter(|one| one.status == 200).count();
    say(&format!(
        "Envoy {}, by {how}: {} requests on {CONNECTIONS} connections during {} switches, {passed} let in, {} refused, \
         none lost and none wrongly; the last answer by the old configuration came {} ms after the new one was written",
        binary_version(),
        seen.len(),
        turns.len() - 1,
        seen.len() - passed,
        latest.as_millis()
    ));
    assert!(seen.len() > 1000, "too little load: {}", seen.len());
}

/// A number among Envoy's statistics, by the end of its name.
fn stat(envoy: &Envoy, name: &str) -> u64 {
    let stats = envoy.admin(&format!("/stats?filter={name}"));
    let values = stats.lines().filter_map(|line| line.split_once(": "));
    let mut values =
        values.filter(|(own, _)| own.ends_with(name)).filter_map(|(_, value)| value.parse().ok());
    values.next().unwrap_or_else(|| panic!("no statistic {name}: {stats}"))
}

fn options() -> Options {
    Options {
        concurrency: WORKERS,
        drain_seconds: Some(DRAIN_SECONDS),
        ..Options::with_env([("JWT_PUBLIC_KEY", "unused")])
    }
}

#[test]
fn by_ecds_no_request_is_lost_and_no_old_key_is_honoured() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let base = bootstrap(&upstream, &issuer);
    let configs = configs(&shipped::plugin_config(&base), &issuer);
    let file = resource_file("ecds");
    let filter = shipped::manager(&mut base.clone())["http_filters"][0].take();
    let resources = |config: &Config, version: usize| {
        let mut filter = filter.clone();
        shipped::set_plugin_config(&mut filter, &config.value.to_string());
        filter["@type"] = json!("type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig");
        json!({"version_info": version.to_string(), "resources": [filter]})
    };
    shipped::publish(&file, &resources(&configs[0], 0));
    let bootstrap = shipped::with_ecds(&base, &resources(&configs[0], 0), &file);
    let envoy = Envoy::start_with(bootstrap, &options());
    let vms = stat(&envoy, "runtime.v8.active");
    let turns = [0, 1, 0, 3, 2, 1, 4, 0, 1, 2, 3, 0];
    switch_under_load("ECDS", &envoy, &configs, &turns, |config, version| {
        let before = stat(&envoy, "config_reload");
        shipped::publish(&file, &resources(config, version));
        soon("Envoy takes the configuration", || stat(&envoy, "config_reload") > before);
    });
    assert_eq!(stat(&envoy, "config_fail"), 0);
    soon("no VM is left over", || stat(&envoy, "runtime.v8.active") == vms);
}

#[test]
fn by_lds_no_request_is_lost_and_no_old_key_is_honoured() {
    let (upstream, issuer) = (Upstream::start(), Issuer::start());
    let mut bootstrap = bootstrap(&upstream, &issuer);
    let configs = configs(&shipped::plugin_config(&bootstrap), &issuer);
    let file = resource_file("lds");
    let listener = bootstrap["static_resources"]["listeners"][0].take();
    let resources = |config: &Config, version: usize| {
        let mut listener = listener.clone();
        shipped::set_plugin_config(&mut listener, &config.value.to_string());
        listener["@type"] = json!("type.googleapis.com/envoy.config.listener.v3.Listener");
        json!({"version_info": version.to_string(), "resources": [listener]})
    };
    shipped::publish(&file, &resources(&configs[0], 0));
    from_lds(&mut bootstrap, &file);
    let envoy = Envoy::start_with(bootstrap, &options());
    let port = envoy.port("workspace");
    let vms = stat(&envoy, "runtime.v8.active");
    let tokens = tokens();
    switch_under_load("LDS", &envoy, &configs, &[0, 1, 3, 4, 2, 0], |config, version| {
        shipped::publish(&file, &resources(config, version));
        let updates = u64::try_from(version).unwrap();
        soon("Envoy takes the listener", || stat(&envoy, "listener_in_place_updated") == updates);
        sleep(MOMENT);
        // Who comes now meets it; connections from before do not, until they are drained.
        let answers = tokens.each_ref().map(|token| {
            request(port, "GET", "/app", &[("authorization", bearer(token).as_bytes())], b"").status
        });
        assert_eq!(answers, config.answers, "{}", config.name);
        soon("the old connections are gone", || stat(&envoy, "total_filter_chains_draining") == 0);
    });
    soon("no VM is left over", || stat(&envoy, "runtime.v8.active") == vms);
}

/// A file in a folder of its own: Envoy watches the folder.
fn resource_file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("switch-{name}-{}", binary_version()));
    fs::create_dir_all(&folder).unwrap();
    folder.join("resources.json")
}

/// The listeners come from that file.
fn from_lds(bootstrap: &mut Value, file: &Path) {
    bootstrap["static_resources"].as_object_mut().unwrap().remove("listeners");
    bootstrap["dynamic_resources"] = json!({
        "lds_config": {"path_config_source": {"path": file}, "resource_api_version": "V3"},
    });
    // Discovery wants a name to send, even to a file.
    bootstrap["node"] = json!({"id": "rig", "cluster": "rig"});
}

/// An Envoy with these listeners, whose plugins have the VM of that name.
fn neighbours(issuer: &Issuer, listeners: &[(&str, &str, Value)]) -> (Envoy, Upstream) {
    let upstream = Upstream::start();
    let base = bootstrap(&upstream, issuer);
    let texts: Vec<(&str, String)> =
        listeners.iter().map(|(name, _, config)| (*name, config.to_string())).collect();
    let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
    let mut bootstrap = shipped::many_listeners(&base, &texts);
    for (listener, (_, vm, _)) in
        bootstrap["static_resources"]["listeners"].as_array_mut().unwrap().iter_mut().zip(listeners)
    {
        let filters = &mut listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"];
        filters[0]["typed_config"]["config"]["vm_config"]["vm_id"] = json!(vm);
    }
    (Envoy::start_with(bootstrap, &options()), upstream)
}

/// How each of the tokens is answered there, by all workers.
fn answers(envoy: &Envoy, listener: &str) -> [u16; 3] {
    let port = envoy.port(listener);
    tokens().map(|token| {
        let header = bearer(&token);
        let ask = || request(port, "GET", "/app", &[("authorization", header.as_bytes())], b"").status;
        let statuses: Vec<u16> = (0..8).map(|_| ask()).collect();
        assert_eq!(statuses, [statuses[0]; 8], "{listener}");
        statuses[0]
    })
}

#[test]
fn configurations_with_other_providers_share_nothing() {
    let began = Instant::now();
    let issuer = Issuer::start();
    // The same `kid`, so that nothing but the key tells them apart.
    issuer.serve_keys("/a", &[Key::fixed("a").jwk("a")]);
    issuer.serve_keys("/b", &[Key::fixed("b").jwk("a"), Key::fixed("b").jwk("b")]);
    let with = |path: &str, change: &dyn Fn(&mut Value)| {
        let mut config = shipped::plugin_config(&shipped::bootstrap("envoy.yaml"));
        let provider = &mut config["providers"][0];
        provider.as_object_mut().unwrap().remove("keys");
        provider["remote_jwks"] = remote(&issuer, path);
        change(provider);
        config
    };
    let (envoy, _upstream) = neighbours(
        &issuer,
        &[
            ("of_a", "one", with("/a", &|_| ())),
            ("of_b", "one", with("/b", &|_| ())),
            ("elsewhere", "one", with("/a", &|provider| provider["audiences"] = json!(["elsewhere"]))),
        ],
    );
    assert_eq!(answers(&envoy, "of_a"), [200, 401, 200]);
    assert_eq!(answers(&envoy, "of_b"), [401, 200, 401]);
    assert_eq!(answers(&envoy, "elsewhere"), [403, 401, 403]);
    // For each of the providers, though two have their keys from one place; and of a `kid` that was not there.
    for (path, needed) in [("/a", 2 + 2), ("/b", 1)] {
        let asked = issuer.requests(path);
        assert!(asked >= needed && asked <= 3 * fetches(needed, began).end(), "{path}: {asked}");
    }
}

#[test]
fn configurations_with_equal_providers_fetch_once() {
    let began = Instant::now();
    let issuer = Issuer::start();
    let mut config = shipped::plugin_config(&shipped::bootstrap("envoy.yaml"));
    issuer.serve_keys("/a", &[Key::fixed("a").jwk("a"), Key::fixed("b").jwk("b")]);
    let provider = config["providers"][0].as_object_mut().unwrap();
    provider.remove("keys");
    provider.insert("remote_jwks".into(), remote(&issuer, "/a"));
    let mut other = config.clone();
    other["public_paths"] = json!([{"exact": "/other"}]);
    other["session"] = json!({"login_url": "https://login.example.com/"});
    let (envoy, _upstream) = neighbours(
        &issuer,
        &[("one", "one", config.clone()), ("other", "one", other), ("apart", "apart", config)],
    );
    for listener in ["one", "other", "apart"] {
        assert_eq!(answers(&envoy, listener), [200; 3], "{listener}");
    }
    let (needed, asked) = (fetches(2, began), issuer.requests("/a"));
    assert!(needed.contains(&asked), "once for each VM, whatever workers and configurations it has: {asked}");
}

/// A key that is rolled, or somebody else who is revoked, lets nobody in again who signed out.
#[test]
fn a_sign_out_holds_in_every_configuration_of_the_vm() {
    let issuer = Issuer::start();
    let mut config = shipped::plugin_config(&shipped::bootstrap("envoy.yaml"));
    config["providers"][0]["keys"] = json!([{"pem": Key::fixed("a").public_pem()}]);
    let changed = |change: fn(&mut Value)| {
        let mut config = config.clone();
        change(&mut config["providers"][0]);
        config
    };
    let rolled = changed(|provider| {
        let key = json!({"pem": Key::fixed("b").public_pem()});
        provider["keys"].as_array_mut().unwrap().push(key);
    });
    let revoking = changed(|provider| provider["revoked"] = json!({"subjects": ["mallory"]}));
    let renamed = changed(|provider| provider["name"] = json!("other"));
    let (envoy, _upstream) = neighbours(
        &issuer,
        &[
            ("one", "one", config.clone()),
            ("rolled", "one", rolled),
            ("revoking", "one", revoking),
            ("renamed", "one", renamed),
            ("apart", "apart", config.clone()),
        ],
    );
    let [token, ..] = tokens();
    let header = bearer(&token);
    let ask = |listener: &str, method: &str, path: &str| {
        let headers = [("authorization", header.as_bytes()), ("sec-fetch-site", b"same-origin")];
        request(envoy.port(listener), method, path, &headers, b"").status
    };
    let all = ["one", "rolled", "revoking", "renamed", "apart"];
    assert_eq!(all.map(|listener| ask(listener, "GET", "/app")), [200; 5]);
    assert_eq!(ask("one", "POST", "/jwt/logout"), 204);
    soon("every worker knows", || {
        (0..16).all(|_| all.map(|listener| ask(listener, "GET", "/app")) == [401, 401, 401, 401, 200])
    });
}
