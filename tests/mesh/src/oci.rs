//! The module as an image: Istio's agent pulls it from a real registry, or cannot, and then nobody gets in.

mod gateway;
pub(crate) mod private;
mod publish;
mod recovery;

use std::thread::sleep;
use std::time::Duration;

use rig::http;
use rig::place::{bearer, bytes, good};
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::manifests;
use crate::parts::{free_port, until};
use crate::registry::Registry;
use crate::report::{Report, ensure};
use crate::world::{World, guarded, led_to};

const NAMESPACE: &str = "images";
/// How long an agent is watched that might try again by itself.
const PATIENCE: Duration = Duration::from_secs(8);
const WRONG_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The agent's word for every image that it does not get.
const FAILED: &str = "error in converting the wasm config to local";

pub(crate) fn run(world: &mut World, report: &mut Report) {
    let labels = json!({"app": "workspace"});
    let port = free_port();
    world.cluster.namespace(NAMESPACE, "default");
    world.cluster.apply(&[manifests::sidecar(NAMESPACE, &labels, &[port], world.upstream.port())]);
    let pod = Pod { role: "sidecar", namespace: NAMESPACE.into(), labels, address: "127.0.0.6", workers: 1 };
    let mut registry = match Registry::with_image() {
        Ok(registry) => registry,
        Err(fault) => return report.scenario("an image in a registry", || Err(fault)),
    };
    pulls(world, &pod, port, &mut registry, report);
    publish::run(world, &pod, port, &registry, report);
    gateway::run(world, &registry, report);
    private::run(world, &pod, port, report);
    recovery::run(world, &pod, port, &mut registry, report);
}

/// The shipped plugin of a workload, by that image.
fn plugin(world: &World, url: &str, sha256: Option<&str>) -> Vec<Value> {
    of_image(world, "wasmplugin.yaml", NAMESPACE, url, sha256)
}

fn of_image(world: &World, file: &str, namespace: &str, url: &str, sha256: Option<&str>) -> Vec<Value> {
    let mut resources = world.shipped(file);
    resources[0]["metadata"]["namespace"] = json!(namespace);
    resources[0]["spec"]["url"] = json!(url);
    resources[0]["spec"]["sha256"] = json!(sha256.unwrap_or_default());
    resources
}

/// Images by their names, and what does not come.
fn pulls(world: &World, pod: &Pod, port: u16, registry: &mut Registry, report: &mut Report) {
    let plugin = |url: &str, sha256: Option<&str>| plugin(world, url, sha256);
    // A new agent each time, for it keeps what it has pulled.
    let digest = registry.digest.clone();
    let ways = [
        ("by tag", registry.by_tag("0.1.0"), None),
        ("by tag, with its digest as sha256", registry.by_tag("0.1.0"), Some(&*digest)),
        ("by digest", registry.by_digest(&digest), None),
    ];
    for (name, url, sha256) in ways {
        report.scenario(&format!("an image {name}"), || {
            world.cluster.apply(&plugin(&url, sha256));
            let agent = world.agent(pod);
            let took = guarded(port)?;
            let counted = pulled(&agent)?;
            Ok(format!("guarded {} ms after the start; {counted}", took.as_millis()))
        });
    }
    let right = plugin(&registry.by_digest(&digest), None);
    let failures = [
        ("another sha256 than the image's", plugin(&registry.by_tag("0.1.0"), Some(WRONG_DIGEST))),
        ("a digest that the registry has not", plugin(&registry.by_digest(WRONG_DIGEST), None)),
        ("a tag that the registry has not", plugin(&registry.by_tag("9.9.9"), None)),
    ];
    for (name, wrong) in &failures {
        report.scenario(&format!("an image: {name}"), || {
            world.cluster.apply(wrong);
            let agent = world.agent(pod);
            let cold = denied(port)?;
            let said = told(&agent)?;
            world.cluster.apply(&right);
            let mended = guarded(port)?;
            world.cluster.apply(wrong);
            let while_serving = denied(port)?;
            world.cluster.apply(&right);
            guarded(port)?;
            println!("      agent's log: {said}");
            Ok(format!(
                "cold start: {cold}; guarded {} ms after the right one was applied; while serving: {while_serving}, too",
                mended.as_millis()
            ))
        });
    }
    report.scenario("an image, and the registry is down when a pod starts", || {
        world.cluster.apply(&right);
        registry.stop();
        let agent = world.agent(pod);
        let refused = denied(port)?;
        let said = told(&agent)?;
        registry.start()?;
        let alone = until(PATIENCE, || answers(port, &good()).0 == Some(200));
        ensure(alone.is_none(), || "the agent tried again by itself: say so in docs/istio.md".into())?;
        touch(world);
        let took = guarded(port)?;
        println!("      agent's log: {said}");
        Ok(format!(
            "{refused}; still so {} s after it is back; guarded {} ms after `kubectl annotate`, without a restart",
            PATIENCE.as_secs(),
            took.as_millis()
        ))
    });
    report.scenario("an image, and the registry is down when the configuration changes", || {
        world.cluster.apply(&right);
        registry.start()?;
        let agent = world.agent(pod);
        guarded(port)?;
        registry.stop();
        let mut changed = right.clone();
        changed[0]["spec"]["pluginConfig"]["session"]["login_url"] = json!("/other");
        world.cluster.apply(&changed);
        let came = until(Duration::from_secs(20), || led_to(port).starts_with("/other"));
        let came = came.ok_or("the change never came")?;
        ensure(agent.said(FAILED).is_none(), || "the agent asked the registry again".into())?;
        Ok(format!("the change came after {} ms, by the module that the agent keeps", came.as_millis()))
    });
    world.cluster.delete(&right);
    // For those who come next.
    registry.start().unwrap_or_else(|said| panic!("{said}"));
}

/// What the agent counts of its pulls: one, and a good one.
fn pulled(agent: &Agent) -> Result<String, String> {
    let name = "istio_agent_wasm_remote_fetch_count{result=\"success\"} ";
    let count = agent.metrics(name).pop().and_then(|line| line.strip_prefix(name).map(str::to_owned));
    match count.as_deref() {
        Some("1") => Ok("pulled once".into()),
        other => Err(format!("the agent counts {other:?} pulls: {:?}", agent.metrics("istio_agent_wasm"))),
    }
}

/// Waits until nobody gets in, with or without a token, and that lasts.
fn denied(port: u16) -> Result<String, String> {
    let found = || [answers(port, &good()), answers(port, "")];
    let so =
        || found().iter().all(|(status, body)| *status == Some(403) && body.contains("RBAC: access denied"));
    until(Duration::from_secs(30), so).ok_or_else(|| format!("wanted 403, found {:?}", found()))?;
    sleep(Duration::from_secs(1));
    ensure(so(), || format!("denied for a moment only, then {:?}", found()))?;
    Ok("403 \"RBAC: access denied\" with and without a token".into())
}

/// What an operator reads in the agent's log.
fn told(agent: &Agent) -> Result<String, String> {
    let line = agent.said(FAILED).ok_or("the agent's log does not say why")?;
    Ok(without_time(&line))
}

fn without_time(line: &str) -> String {
    line.split('\t').skip(1).collect::<Vec<_>>().join(" ")
}

/// As an operator would who wants the agents to try again.
fn touch(world: &World) {
    let again = "jwtproxy/again=1";
    world.cluster.run(&["annotate", "--overwrite", "-n", NAMESPACE, "wasmplugin/jwtproxy", again]);
}

fn answers(port: u16, token: &str) -> (Option<u16>, String) {
    let value = bearer(token);
    let headers = if token.is_empty() { Vec::new() } else { vec![("authorization", &*value)] };
    let answer = http::Connection::try_open(port)
        .and_then(|mut open| open.try_send(&http::raw(port, "GET", "/notes", &bytes(&headers), b"")));
    answer.map_or((None, String::new()), |answer| (Some(answer.status), answer.text().into()))
}
