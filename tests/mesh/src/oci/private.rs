//! A registry that asks for credentials.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use rig::repository;
use serde_json::{Value, json};

use super::{NAMESPACE, denied, gateway, plugin, pulled, told, without_time};
use crate::agent::Pod;
use crate::load::{Load, usual, while_denied};
use crate::registry::{LOGIN, Registry};
use crate::report::{Report, ensure};
use crate::world::{World, guarded};

const SECRET: &str = "registry-credentials";
/// An address, for the agent takes every realm for the place that gives tokens, and refuses what is none.
pub(crate) const REALM: &str = "https://registry.example.com";
const PLAIN_REALM: &str = "our registry";
/// How long it is seen that a change does nothing.
const AFTERWARDS: Duration = Duration::from_secs(2);

pub(super) fn run(world: &World, pod: &Pod, port: u16, report: &mut Report) {
    let mut registry = match Registry::start_with(Some(REALM)) {
        Ok(registry) => registry,
        Err(fault) => return report.scenario("a registry that asks for credentials", || Err(fault)),
    };
    let [_, password] = LOGIN;
    let host = registry.host();
    report.scenario("a registry that asks for credentials: the push", || {
        for credentials in [None, Some(&*config(world, &host, "another"))] {
            let said = registry.push(credentials).err().ok_or("it was let in without a good password")?;
            let advice = format!("it takes the credentials of: docker login {host}");
            ensure(said.contains(&advice) && said.ends_with(": 401 Unauthorized"), || said.clone())?;
        }
        registry.push(Some(&config(world, &host, password)))?;
        Ok("taken with the credentials of $DOCKER_CONFIG/config.json, refused without and with a wrong password".into())
    });
    let open = plugin(world, &registry.by_tag("0.1.0"), Some(&registry.digest));
    let private = with_secret(open.clone());
    let right = secret(world, NAMESPACE, &host, password);
    let wrong = secret(world, NAMESPACE, &host, "another");
    let mut with = |name: &str, check: &dyn Fn() -> Result<String, String>| {
        report.scenario(&format!("a registry that asks for credentials: {name}"), check);
    };
    with("no imagePullSecret, then one", &|| {
        world.cluster.apply(&open);
        let agent = world.agent(pod);
        let refused = denied(port)?;
        let said = told(&agent)?;
        println!("      agent's log: {said}");
        ensure(said.contains("UNAUTHORIZED: authentication required"), || said.clone())?;
        world.cluster.apply(&[&right[..], &private].concat());
        let took = guarded(port)?;
        Ok(format!("{refused}; guarded {} ms after `kubectl apply` of Secret and plugin", took.as_millis()))
    });
    with("imagePullSecret", &|| {
        world.cluster.apply(&[&right[..], &private].concat());
        let agent = world.agent(pod);
        let took = guarded(port)?;
        let counted = pulled(&agent)?;
        let dump = agent.admin("/config_dump?include_eds");
        ensure(
            dump.contains("jwtproxy") && !dump.contains(password) && !dump.contains("PULL_SECRET"),
            || "Envoy got to see the credentials".into(),
        )?;
        let load = Load::start(port, usual());
        world.cluster.apply(&wrong);
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        Ok(format!(
            "guarded {} ms after the start; {counted}; Envoy never sees the Secret; a wrong password while serving changes \
             nothing: {figures}",
            took.as_millis()
        ))
    });
    with("imagePullSecret, at a gateway", &|| {
        let resources = with_secret(gateway::plugin(world, &registry));
        let credentials = secret(world, gateway::NAMESPACE, &host, password);
        world.cluster.namespace(gateway::NAMESPACE, "default");
        let all = [credentials, resources].concat();
        gateway::while_open(world, &all, &|_| Ok(String::new()))
    });
    with("a wrong password, then the right one", &|| {
        world.cluster.apply(&[&wrong[..], &private].concat());
        mended(world, pod, port, "UNAUTHORIZED: authentication required", &right)
    });
    with("no such Secret, then the right one", &|| {
        world.cluster.delete(&right);
        world.cluster.apply(&private);
        let figures = mended(world, pod, port, "missing image pulling secret", &right)?;
        let said = world.istiod.said("Failed to fetch docker credential").ok_or("istiod does not say why")?;
        println!("      istiod's log: {}", without_time(&said));
        Ok(figures)
    });
    registry.realm = Some(PLAIN_REALM);
    let started = registry.start();
    with("its realm is no address", &|| {
        started.clone()?;
        world.cluster.apply(&[&right[..], &private].concat());
        let agent = world.agent(pod);
        let refused = denied(port)?;
        let said = told(&agent)?;
        println!("      agent's log: {said}");
        ensure(said.contains("rejected unsafe bearer realm"), || said.clone())?;
        Ok(format!("{refused}, for Istio takes any realm for an address that credentials would be sent to"))
    });
    world.cluster.delete(&[right, private].concat());
}

/// An agent that gets no image, says so, and gets it when the Secret becomes another.
fn mended(world: &World, pod: &Pod, port: u16, says: &str, right: &[Value]) -> Result<String, String> {
    let agent = world.agent(pod);
    let refused = denied(port)?;
    let said = told(&agent)?;
    println!("      agent's log: {said}");
    ensure(said.contains(says), || said.clone())?;
    let load = Load::start(port, while_denied());
    world.cluster.apply(right);
    let took = guarded(port)?;
    let figures = load.end()?.without_errors()?;
    Ok(format!(
        "{refused}; guarded {} ms after `kubectl apply` of the Secret alone; {figures}",
        took.as_millis()
    ))
}

/// The plugins as they are when the shipped line is no comment any more.
pub(crate) fn with_secret(mut plugins: Vec<Value>) -> Vec<Value> {
    let text = fs::read_to_string(repository("envoy/istio/wasmplugin.yaml")).expect("a shipped file");
    let line = text.lines().find_map(|line| line.strip_prefix("  # imagePullSecret: ")).expect("the line");
    assert_eq!(line, SECRET);
    plugins[0]["spec"]["imagePullSecret"] = json!(line);
    plugins
}

/// The Secret, as `kubectl` makes it.
fn secret(world: &World, namespace: &str, host: &str, password: &str) -> Vec<Value> {
    let text = credentials(world, host, password, "json");
    let mut secret: Value = serde_json::from_str(&text).expect("a Secret in JSON");
    secret["metadata"]["namespace"] = json!(namespace);
    vec![secret]
}

/// The same as a `config.json`, as `docker login` writes it.
pub(crate) fn config(world: &World, host: &str, password: &str) -> String {
    credentials(world, host, password, r#"go-template={{index .data ".dockerconfigjson" | base64decode}}"#)
}

fn credentials(world: &World, host: &str, password: &str, form: &str) -> String {
    let [server, user, password] = [("server", host), ("username", LOGIN[0]), ("password", password)]
        .map(|(name, value)| format!("--docker-{name}={value}"));
    let create = ["create", "secret", "docker-registry", SECRET, &server, &user, &password];
    world.cluster.run(&[&create[..], &["--dry-run=client", "-o", form]].concat())
}
