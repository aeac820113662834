//! The shipped resources, each applied as it is, and what becomes of requests then.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use rig::http;
use rig::jwt::{Key, mint};
use rig::place::{bearer, bytes, cookie};
use rig::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::agent::Pod;
use crate::journey::{self, Token};
use crate::load::{Load, usual};
use crate::manifests;
use crate::parts::free_port;
use crate::report::{Report, ensure};
use crate::world::{
    Workspace, World, get, guarded, guarded_behind, settled, status_with, token_of, while_applied,
};

pub(crate) fn run(world: &World, workspace: &Workspace, report: &mut Report) {
    let [port, second] = workspace.ports;
    let edge = workspace.ingress;
    let mut with = |name: &str, resources: Vec<Value>, check: &dyn Fn() -> Result<String, String>| {
        report.scenario(name, || while_applied(world, workspace, &resources, check));
    };
    let plugin = world.shipped("wasmplugin.yaml");
    with("wasmplugin.yaml at a sidecar", plugin.clone(), &|| {
        let took = guarded(port)?;
        let steps = journey::walk(port, Token::Stays)?;
        Ok(format!("journey of {steps} steps, guarded {} ms after it was applied", took.as_millis()))
    });
    with("wasmplugin.yaml at a sidecar, by way of a gateway", plugin.clone(), &|| {
        guarded_behind(edge)?;
        Ok(format!("journey of {} steps", journey::walk(edge, Token::Stays)?))
    });
    with("gateway.yaml", world.shipped("gateway.yaml"), &|| {
        guarded(edge)?;
        let steps = journey::walk(edge, Token::IsHandedOn)?;
        ensure(status_with(port, "/notes", None) == Some(200), || "it guards the sidecar, too".into())?;
        Ok(format!("journey of {steps} steps"))
    });
    let both = [world.shipped("gateway.yaml"), plugin.clone()].concat();
    with("gateway.yaml and wasmplugin.yaml in a row", both, &|| {
        guarded(port)?;
        guarded_behind(edge)?;
        let load = Load::start(edge, usual());
        sleep(Duration::from_secs(1));
        let figures = load.end()?.without_errors()?;
        let steps = journey::walk(edge, Token::Stays)?;
        Ok(format!("the token survives the first: journey of {steps} steps; {figures}"))
    });
    let mut stays = world.shipped("gateway.yaml");
    manifests::plugin(&mut stays[0])["pluginConfig"]["forward_token"] = json!(false);
    with("the same in a row without forward_token", [stays, plugin.clone()].concat(), &|| {
        settled(port, &[(None, 401)])?;
        settled(edge, &[(None, 401), (Some(token_of("alice")), 401)])?;
        Ok("the sidecar answers 401 to a good token".into())
    });
    with("namespace.yaml", world.shipped("namespace.yaml"), &|| {
        guarded(port)?;
        guarded(second)?;
        Ok("both servers are guarded".into())
    });
    let mut two = world.shipped("two_servers.yaml");
    for (resource, port) in two.iter_mut().zip([port, second]) {
        resource["spec"]["match"][0]["ports"][0]["number"] = json!(port);
    }
    with("two_servers.yaml", two, &|| {
        guarded(port)?;
        guarded(second)?;
        let status = |port, header, value: &str| get(port, "/notes", &[(header, value)]);
        let token = token_of("alice");
        let found = [port, second].map(|port| status(port, "cookie", &cookie(&token)));
        ensure(found == [200, 401], || format!("a cookie got {found:?}"))?;
        let found = [port, second].map(|port| status(port, "accept", "text/html"));
        ensure(found == [302, 401], || format!("a browser got {found:?}"))?;
        Ok("cookies and the login page for one, neither for the other".into())
    });
    with("trafficextension.yaml", world.shipped("trafficextension.yaml"), &|| {
        guarded(port)?;
        Ok(format!("journey of {} steps", journey::walk(port, Token::Stays)?))
    });
    report.scenario("the overlay of a Che workspace, by kubectl kustomize", || che(world));
}

/// A workspace of Che: a copy of the folder, with its own `workspace.env`.
fn che(world: &World) -> Result<String, String> {
    let folder = TempDir::new().expect("a temporary folder");
    let copied = Command::new("cp").arg("-r").arg(repository("envoy/istio")).arg(folder.path()).status();
    ensure(copied.is_ok_and(|status| status.success()), || "cp failed".into())?;
    let overlay = folder.path().join("istio/che");
    let values = [
        ("PUBLIC_KEY", Key::fixed("a").public_der_base64()),
        ("WORKSPACE_ID", "workspace123".into()),
        ("LOGIN_URL", "https://che.example.com/_app/loader.html".into()),
        ("LOGIN_ORIGIN", "https://che.example.com".into()),
        ("MODULE_URL", world.module.url()),
        ("MODULE_SHA256", world.module.sha256().into()),
    ];
    let lines = values.map(|(name, value)| format!("{name}={value}"));
    fs::write(overlay.join("workspace.env"), lines.join("\n")).expect("a file");

    let labels = json!({"che.workspace_id": "workspace123"});
    let port = free_port();
    world.cluster.namespace("che-user", "default");
    world.cluster.apply(&[manifests::sidecar("che-user", &labels, &[port], world.upstream.port())]);
    let overlay = overlay.to_str().expect("a path in UTF-8");
    world.cluster.run(&["apply", "--validate=strict", "-k", overlay]);
    let _agent = world.agent(&Pod {
        role: "sidecar",
        namespace: "che-user".into(),
        labels,
        address: "127.0.0.5",
        workers: 1,
    });
    let machine = |workspace: &str| {
        let claims = json!({"wsid": workspace, "uid": "user1", "uname": "alice", "jti": "1"});
        mint(&Key::fixed("a"), "RS512", json!({"alg": "RS512", "kind": "machine_token"}), claims)
    };
    let (own, other) = (machine("workspace123"), machine("workspace9"));
    settled(port, &[(None, 401), (Some(own.clone()), 200), (Some(other), 403)])?;
    let seen = http::request(port, "GET", "/", &bytes(&[("authorization", &bearer(&own))]), b"").json();
    let name = rig::place::seen(&seen, "x-che-user-name");
    ensure(name == ["alice"], || format!("the server saw {name:?}"))?;
    let led = http::request(port, "GET", "/ide", &bytes(&[("accept", "text/html")]), b"");
    let location = led.header("location").unwrap_or_default();
    let wanted = "https://che.example.com/_app/loader.html?redirectUrl=";
    ensure(location.starts_with(wanted) && location.contains("workspaceId=workspace123"), || {
        location.into()
    })?;
    Ok("machine token 200, another workspace's 403, a browser is led to the loader".into())
}
