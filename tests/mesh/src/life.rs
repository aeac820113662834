//! What happens to a mesh that lives: keys roll, a new module comes, parts end and come back.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::jwt::{Key, mint, now};
use rig::place::{bytes, cookie, good, token};
use rig::{http, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::load::{Load, probe, usual, with_keys};
use crate::module::Module;
use crate::parts::until;
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, guarded, led_to, settled, sidecar_pod, token_of};
use crate::wrong;

/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(1);

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
    report.scenario("another build of the module under load", || {
        world.cluster.apply(&plugin);
        guarded(port)?;
        let result = another_build(world, workspace, &change);
        world.cluster.apply(&plugin);
        result
    });
    wrong::run(world, workspace, report, &change);
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
    report.scenario("numbers as doubles", || {
        let doubles = change(&|spec| {
            spec["pluginConfig"]["providers"][0]["max_ttl_seconds"] = json!(1800.0);
            spec["pluginConfig"]["providers"][0]["clock_skew_seconds"] = json!(30.0);
        });
        world.cluster.apply(&doubles);
        settled(port, &[(Some(aged(1800)), 200), (Some(aged(1801)), 401)])?;
        let probes = [("1800 s", 1800, &[200][..]), ("1801 s", 1801, &[401])];
        let load = Load::start(port, probes.map(|(name, age, of)| probe(name, Some(&aged(age)), of)).into());
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        Ok(format!("max_ttl_seconds: 1800.0 admits 1800 s and refuses 1801 s; {figures}"))
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

/// The same module with other bytes: who signed out before stays so.
fn another_build(world: &World, workspace: &Workspace, change: &Change<'_>) -> Result<String, String> {
    let [port, _] = workspace.ports;
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let file = folder.path().join("another.wasm");
    let mut module = fs::read(repository("dist/jwtproxy.wasm")).map_err(|error| error.to_string())?;
    // A custom section, which says nothing: its number, its length, its name.
    module.extend(b"\x00\x08\x07another");
    fs::write(&file, module).map_err(|error| error.to_string())?;
    let another = Module::serve_file(&file);

    let left = token_of("alice");
    let leaving = [("cookie", &*cookie(&left)), ("sec-fetch-site", "same-origin")];
    http::request(port, "POST", "/jwt/logout", &bytes(&leaving), b"");
    settled(port, &[(Some(left.clone()), 401)])?;
    let loads = || workspace.sidecar.log().matches("jwtproxy: loaded; ").count();
    let before = loads();
    let load = Load::start(port, usual());
    world.cluster.apply(&change(&|spec| {
        spec["url"] = json!(another.url());
        spec["sha256"] = json!(another.sha256());
    }));
    let came = until(Duration::from_secs(20), || loads() > before);
    sleep(AFTERWARDS);
    let figures = load.end()?.without_errors()?;
    let came = came.ok_or("it was never loaded")?;
    ensure(another.downloads() == 1, || format!("it was downloaded {} times", another.downloads()))?;
    settled(port, &[(Some(left), 401)])?;
    Ok(format!("loaded after {} ms; who signed out before stays so; {figures}", came.as_millis()))
}

pub(crate) type Change<'a> = dyn Fn(&dyn Fn(&mut Value)) -> Vec<Value> + 'a;

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

pub(crate) fn restart(world: &World, workspace: &mut Workspace) {
    workspace.sidecar.stop();
    workspace.sidecar = world.agent_to_ask(&sidecar_pod());
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
