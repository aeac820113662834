//! The Envoys of the supported Istios, each under the same agent: does it carry the module?

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rig::http;
use rig::place::{bearer, bytes, token};
use rig::repository;
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::journey::{self, Token};
use crate::manifests;
use crate::parts::{Parts, free_port, until};
use crate::report::{Report, ensure};
use crate::world::{World, guarded, settled, status_with};

const NAMESPACE: &str = "versions";
/// An Envoy, and the Istio that has its minor version.
const VERSIONS: [(&str, &str); 5] = [
    ("1.36.4", "1.28"),
    ("1.37.0", "1.29"),
    ("1.38.2", "1.30"),
    ("1.39.3", "1.31"),
    ("1.40.0", "1.32, in development"),
];
/// What the package index has as 1.38.3 was built without V8.
const WITHOUT_V8: (&str, &str) = ("1.38.3", "1.30");
const NO_V8: &str = "Envoy was compiled without support for it";
const PATIENCE: Duration = Duration::from_secs(20);
const STRATEGIES: [&str; 2] = ["FAIL_RELOAD", "FAIL_CLOSE"];

pub(crate) fn run(world: &World, report: &mut Report) {
    let labels = json!({"app": "workspace"});
    let port = free_port();
    world.cluster.namespace(NAMESPACE, "default");
    world.cluster.apply(&[manifests::sidecar(NAMESPACE, &labels, &[port], world.upstream.port())]);
    let pod = Pod { role: "sidecar", namespace: NAMESPACE.into(), labels, address: "127.0.0.8", workers: 1 };
    let plugin = |strategy: &str| -> Vec<Value> {
        let mut plugin = world.shipped("wasmplugin.yaml");
        plugin[0]["metadata"]["namespace"] = json!(NAMESPACE);
        plugin[0]["spec"]["failStrategy"] = json!(strategy);
        plugin
    };
    let start = |version: &str| -> Result<Agent, String> {
        let envoy = envoy(version)?;
        let parts = Parts { folder: world.parts.folder.clone(), envoy };
        let agent = Agent::start(&parts, &world.cluster, &world.istiod, &pod);
        let runs: Value = serde_json::from_str(&agent.admin("/server_info")).unwrap_or_default();
        let is_it = runs["version"].as_str().is_some_and(|runs| runs.contains(&format!("/{version}/")));
        ensure(is_it, || format!("another Envoy runs: {}", runs["version"]))?;
        Ok(agent)
    };
    for (version, istio) in VERSIONS {
        report.scenario(&format!("Envoy {version} (Istio {istio})"), || {
            world.cluster.apply(&plugin(STRATEGIES[0]));
            let agent = start(version)?;
            let took = guarded(port)?;
            let steps = journey::walk(port, Token::Stays)?;
            world.cluster.apply(&plugin(STRATEGIES[1]));
            let is_closed = || agent.admin("/config_dump").contains("FAIL_CLOSED");
            until(PATIENCE, is_closed).ok_or("FAIL_CLOSE never came")?;
            settled(port, &[(None, 401), (Some(another()), 200)])?;
            signs_in(port)?;
            Ok(format!(
                "{} work; journey of {steps} steps, guarded {} ms after the start",
                STRATEGIES.join(" and "),
                took.as_millis()
            ))
        });
    }
    let (version, istio) = WITHOUT_V8;
    report.scenario(&format!("Envoy {version} (Istio {istio}), of PyPI: no V8"), || {
        world.cluster.apply(&plugin(STRATEGIES[0]));
        let agent = start(version)?;
        let said = until(PATIENCE, || agent.said(NO_V8).is_some());
        said.ok_or_else(|| format!("it does not say {NO_V8:?}: does it carry the module now?"))?;
        let found = [None, Some(another())].map(|token| status_with(port, "/notes", token.as_deref()));
        ensure(found.iter().all(|status| status.is_none_or(|status| status >= 500)), || {
            format!("{found:?}")
        })?;
        Ok(format!("closed ({found:?}), and the log says \"{NO_V8}\""))
    });
    world.cluster.delete(&plugin(STRATEGIES[0]));
}

fn envoy(version: &str) -> Result<PathBuf, String> {
    let output = Command::new(repository("tests/bring")).arg("envoy").env("ENVOY_VERSION", version).output();
    let output = output.map_err(|error| format!("tests/bring: {error}"))?;
    let path = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    ensure(output.status.success() && Path::new(&path).is_file(), || {
        String::from_utf8_lossy(&output.stderr).into_owned()
    })?;
    Ok(path.into())
}

/// A good token that the journey did not sign out.
fn another() -> String {
    token("a", 1800)
}

/// The four that tell most: nobody, a forgery, somebody, and the cookie of a person.
fn signs_in(port: u16) -> Result<(), String> {
    let status = |path: &str, headers: &[(&str, &str)]| {
        let answer = http::request(port, "GET", path, &bytes(headers), b"");
        (answer.status, answer.header("set-cookie").unwrap_or_default().to_owned())
    };
    let good = another();
    let sign_in = format!("/jwt/auth?token={good}&redirectUrl=/notes");
    let (led, cookie) = status(&sign_in, &[("sec-fetch-site", "same-origin")]);
    let session = cookie.split(';').next().unwrap_or_default();
    let found = [
        status("/notes", &[]).0,
        status("/notes", &[("authorization", &bearer(&token("b", 3600)))]).0,
        status("/notes", &[("authorization", &bearer(&good))]).0,
        led,
        status("/notes", &[("cookie", session)]).0,
    ];
    ensure(found == [401, 401, 200, 303, 200], || format!("found {found:?}"))
}
