//! What happens to a mesh that lives: keys roll, somebody applies a wrong configuration, parts end and come back.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::http;
use rig::jwt::{Key, mint, now};
use rig::place::{bytes, good, token};
use serde_json::{Value, json};

use crate::load::{Load, usual, with_keys};
use crate::parts::until;
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, guarded, settled, sidecar_pod, status_with};

/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(1);
const WRONG: &str = "audience";

pub(crate) fn run(world: &mut World, workspace: &mut Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let plugin = world.shipped("wasmplugin.yaml");
    let change = |change: &dyn Fn(&mut Value)| {
        let mut changed = plugin.clone();
        change(&mut changed[0]["spec"]);
        changed
    };

    report.scenario("a key rolls under load, 2 workers", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        roll(world, port, &change)
    });
    wrong(world, workspace, report, &change);
    report.scenario("the agent ends and starts again", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        let load = Load::start(port, usual());
        let start = Instant::now();
        restart(world, workspace);
        guarded(port)?;
        let took = start.elapsed();
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        Ok(format!("guarded again after {} ms; {figures}", took.as_millis()))
    });
    report.scenario("istiod stops and starts again", || {
        guarded(port)?;
        let load = Load::start(port, usual());
        world.istiod.stop();
        world.cluster.apply(&change(&|spec| spec["pluginConfig"]["session"]["login_url"] = json!("/other")));
        sleep(Duration::from_secs(3));
        let before = led_to(port);
        world.istiod.run(&world.cluster);
        let start = Instant::now();
        let changed = until(Duration::from_mins(1), || led_to(port).starts_with("/other"));
        let figures = load.end()?.without_errors()?;
        ensure(before.starts_with("/login"), || format!("without istiod: {before}"))?;
        changed.ok_or("what was applied meanwhile never came")?;
        Ok(format!(
            "what was applied meanwhile came {} ms after it was back; {figures}",
            start.elapsed().as_millis()
        ))
    });
    report.scenario("a second plugin before and after, by priority and phase", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        let result = second(world, port, &change);
        world.cluster.apply(&plugin);
        result
    });
    report.scenario("numbers as doubles", || {
        let doubles = change(&|spec| {
            spec["pluginConfig"]["providers"][0]["max_ttl_seconds"] = json!(1800.0);
            spec["pluginConfig"]["providers"][0]["clock_skew_seconds"] = json!(30.0);
        });
        world.cluster.apply(&doubles);
        settled(port, &[(Some(aged(1800)), 200), (Some(aged(1801)), 401)])?;
        Ok("max_ttl_seconds: 1800.0 admits 1800 s and refuses 1801 s".into())
    });
    report.scenario("a configuration of 100 keys", || {
        let many = change(&|spec| {
            let certificate = Key::fixed("a").certificate_pem().replace('\n', "");
            let keys: Vec<_> = (0..100)
                .map(|number| {
                    let mut key =
                        Key::fixed(if number == 99 { "a" } else { "b" }).jwk(&format!("key-{number}"));
                    key["x5c"] = json!([certificate, "x".repeat(700)]);
                    key
                })
                .collect();
            spec["pluginConfig"]["providers"][0]["keys"] = json!([{"jwks": {"keys": keys}}]);
        });
        let size = many[0]["spec"]["pluginConfig"].to_string().len();
        world.cluster.apply(&many);
        settled(port, &[(None, 401), (Some(of_key("a", "key-99")), 200), (Some(good()), 401)])?;
        let load = Load::start(port, with_keys(&[]));
        sleep(AFTERWARDS);
        Ok(format!("{} kB loaded; {}", size / 1000, load.end()?.without_errors()?))
    });
    world.cluster.delete(&plugin);
}

/// A configuration that the plugin refuses, while another serves and where there is none yet.
fn wrong(world: &World, workspace: &mut Workspace, report: &mut Report, change: &Change<'_>) {
    let [port, _] = workspace.ports;
    let plugin = change(&|_| {});
    let wrong = change(&|spec| spec["pluginConfig"]["providers"][0][WRONG] = json!(["workspace"]));
    report.scenario("a wrong configuration while serving", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        let load = Load::start(port, usual());
        world.cluster.apply(&wrong);
        let said = until(Duration::from_secs(20), || workspace.sidecar.said(WRONG).is_some());
        let said = said.ok_or("the agent's log never says why")?;
        let counted = until(Duration::from_secs(10), || !rejects(world).is_empty());
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        ensure(counted.is_some(), || "istiod counts no NACK".into())?;
        let own = workspace.sidecar.admin("/stats?filter=jwtproxy_configuration_refused");
        ensure(own.contains("jwtproxy_configuration_refused_total: 1"), || format!("our counter: {own}"))?;
        let line = workspace.sidecar.said(WRONG).unwrap_or_default();
        println!("      agent's log: {}", short(&line));
        println!("      istiod's metrics: {}", rejects(world).join("; "));
        for stat in workspace.sidecar.admin("/stats?filter=extension_config_discovery").lines() {
            if stat.contains("config_fail") || stat.contains("rejected") {
                println!("      envoy's stats: {stat}");
            }
        }
        Ok(format!("the old one serves on, the reason in the log after {} ms; {figures}", said.as_millis()))
    });
    report.scenario("a wrong configuration as the first one, at a workload that runs", || {
        world.cluster.delete(&plugin);
        settled(port, &[(None, 200)])?;
        // Envoy refuses the listener with the plugin and keeps the one without, whatever `failStrategy` says; and it is
        // not sent again when only the plugin's configuration changes.
        world.cluster.apply(&wrong);
        sleep(Duration::from_secs(3));
        let first = status_with(port, "/notes", None);
        world.cluster.apply(&plugin);
        sleep(Duration::from_secs(3));
        let mended = status_with(port, "/notes", None);
        world.cluster.delete(&plugin);
        sleep(Duration::from_secs(1));
        world.cluster.apply(&plugin);
        let took = guarded(port)?;
        Ok(format!(
            "it stays open ({first:?}), and also when the right one is applied ({mended:?}); \
             guarded {} ms after it was deleted and applied anew",
            took.as_millis()
        ))
    });
    report.scenario("a cold start with a wrong configuration", || {
        world.cluster.apply(&wrong);
        restart(world, workspace);
        let refused = until(Duration::from_secs(20), || workspace.sidecar.said(WRONG).is_some());
        refused.ok_or("the agent's log never says why")?;
        sleep(AFTERWARDS);
        let found = [None, Some(good())].map(|token| status_with(port, "/notes", token.as_deref()));
        ensure(found.iter().all(|status| status.is_none_or(|status| status >= 500)), || {
            format!("{found:?}")
        })?;
        world.cluster.apply(&plugin);
        let took = guarded(port)?;
        Ok(format!("closed ({found:?}); guarded {} ms after the right one was applied", took.as_millis()))
    });
}

type Change<'a> = dyn Fn(&dyn Fn(&mut Value)) -> Vec<Value> + 'a;

/// From key a to a and b, to b.
fn roll(world: &World, port: u16, change: &Change<'_>) -> Result<String, String> {
    let keys = |names: &'static [&str]| {
        change(&move |spec| {
            let keys: Vec<_> =
                names.iter().map(|name| json!({"pem": Key::fixed(name).public_pem()})).collect();
            spec["pluginConfig"]["providers"][0]["keys"] = json!(keys);
        })
    };
    let of = |key| Some(token(key, 3600));
    let load = Load::start(port, with_keys(&[("a", &[200]), ("b", &[200, 401])]));
    world.cluster.apply(&keys(&["a", "b"]));
    let both = settled(port, &[(of("a"), 200), (of("b"), 200)])?;
    sleep(AFTERWARDS);
    let first = load.end()?.without_errors()?;
    let load = Load::start(port, with_keys(&[("a", &[200, 401]), ("b", &[200])]));
    world.cluster.apply(&keys(&["b"]));
    let one = settled(port, &[(of("a"), 401), (of("b"), 200)])?;
    sleep(AFTERWARDS);
    let second = load.end()?.without_errors()?;
    Ok(format!(
        "the new key is known after {} ms, the old one forgotten after {} ms; {first}; {second}",
        both.as_millis(),
        one.as_millis()
    ))
}

/// Two of our plugins on one workload, each with a login page of its own: a browser is led to that of the first.
fn second(world: &World, port: u16, change: &Change<'_>) -> Result<String, String> {
    let with = |name: &'static str, phase: &'static str, priority: i32| {
        let mut plugins = change(&move |spec| {
            spec["phase"] = json!(phase);
            spec["priority"] = json!(priority);
            spec["pluginConfig"]["forward_token"] = json!(true);
            spec["pluginConfig"]["session"]["login_url"] = json!(format!("/{name}"));
        });
        plugins[0]["metadata"]["name"] = json!(if name == "ours" { "jwtproxy" } else { "other" });
        plugins
    };
    let rounds = [
        (("AUTHN", 10), ("AUTHN", 5), "/ours"),
        (("AUTHN", 5), ("AUTHN", 10), "/other"),
        (("AUTHN", 5), ("AUTHZ", 10), "/ours"),
        (("STATS", 10), ("AUTHZ", 5), "/other"),
    ];
    let mut told = Vec::new();
    for (ours, other, first) in rounds {
        world.cluster.apply(&[with("ours", ours.0, ours.1), with("other", other.0, other.1)].concat());
        let led = until(Duration::from_secs(20), || led_to(port).starts_with(first));
        led.ok_or_else(|| format!("{ours:?} and {other:?}: led to {}", led_to(port)))?;
        settled(port, &[(Some(good()), 200)])?;
        told.push(format!("{}/{} and {}/{}: {first}", ours.0, ours.1, other.0, other.1));
    }
    world.cluster.delete(&with("other", "AUTHN", 1));
    settled(port, &[(None, 401)])?;
    Ok(format!("the first is {}; a good token passes both", told.join(", ")))
}

pub(crate) fn restart(world: &World, workspace: &mut Workspace) {
    workspace.sidecar.stop();
    workspace.sidecar = world.agent(&sidecar_pod());
}

/// Where a browser without a token is led.
fn led_to(port: u16) -> String {
    let response = http::request(port, "GET", "/notes", &bytes(&[("accept", "text/html")]), b"");
    response.header("location").unwrap_or_default().to_owned()
}

/// What istiod counts of configurations that were refused.
fn rejects(world: &World) -> Vec<String> {
    let mut lines = world.istiod.metrics("pilot_total_xds_rejects");
    lines.extend(world.istiod.metrics("pilot_xds_ecds_reject"));
    lines
}

fn aged(seconds: u64) -> String {
    let claims = json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice",
        "iat": now(), "exp": now() + seconds});
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), claims)
}

fn of_key(key: &str, kid: &str) -> String {
    let claims =
        json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice", "exp": now() + 3600});
    mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": kid}), claims)
}

fn short(line: &str) -> String {
    line.chars().take(400).collect()
}
