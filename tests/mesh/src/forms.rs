//! Sign-in by a posted form: the filter by an `EnvoyFilter`, which lets Envoy hand the form over, and what becomes of a
//! workload where that is wrong.

use std::thread::sleep;
use std::time::Duration;

use rig::http::{self, Connection, Response};
use rig::place::{bearer, bytes, cookie};
use rig::repository;
use serde_json::{Value, json};

use crate::envoy_filter;
use crate::journey::{self, Token};
use crate::life::restart;
use crate::load::{Load, usual};
use crate::pairings;
use crate::parts::until;
use crate::registry::Registry;
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, get, guarded, led_to, settled, status_with, token_of, while_applied};

const WRONG: &str = "audience";
const WRONG_DIGEST: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// The agent's word for a module that it does not get.
const NOT_FETCHED: &str = "error in converting the wasm config to local";
const PATIENCE: Duration = Duration::from_secs(30);
/// How long something is watched that must last.
const LASTS: Duration = Duration::from_secs(1);

pub(crate) fn run(world: &World, workspace: &mut Workspace, report: &mut Report) {
    serves(world, workspace, report);
    let shipped = Ways::of(&world.shipped("envoyfilter.yaml"));
    while_serving(world, workspace, report, &shipped);
    as_the_first(world, workspace, report, &shipped);
    with_an_image(world, workspace, report);
    in_line(world, workspace, report);
}

/// What the shipped file is for.
fn serves(world: &World, workspace: &Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let edge = workspace.ingress;
    let mut with = |name: &str, resources: Vec<Value>, check: &dyn Fn() -> Result<String, String>| {
        report.scenario(name, || while_applied(world, workspace, &resources, check));
    };
    let filter = world.shipped("envoyfilter.yaml");
    with("envoyfilter.yaml at a sidecar", filter.clone(), &|| {
        let took = guarded(port)?;
        let steps = journey::walk(port, Token::Stays)?;
        let form = signs_in(port)?;
        Ok(format!("journey of {steps} steps, guarded {} ms after it was applied; {form}", took.as_millis()))
    });
    let mut gateway = filter.clone();
    envoy_filter::move_to_gateway(&mut gateway[0], "istio-ingress", &json!({"istio": "ingressgateway"}));
    with("envoyfilter.yaml, written for a gateway", gateway, &|| {
        guarded(edge)?;
        let steps = journey::walk(edge, Token::Stays)?;
        let form = signs_in(edge)?;
        ensure(status_with(port, "/notes", None) == Some(200), || "it guards the sidecar, too".into())?;
        Ok(format!("journey of {steps} steps; {form}"))
    });
    let mut hands_on = filter.clone();
    envoy_filter::configure(&mut hands_on[0], |configuration| {
        configuration["forward_token"] = json!({"header": "authorization", "scheme": "Bearer"});
    });
    let pairing = pairings::second_lock(world);
    let policies = [hands_on, pairing, world.shipped("authorization.yaml")].concat();
    with("envoyfilter.yaml before Istio's own authentication and authorization", policies, &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 200), (Some(token_of("carol")), 403)])?;
        let found = get(port, "/notes", &[("cookie", &cookie(&token_of("alice")))]);
        ensure(found == 200, || format!("a cookie got {found}"))?;
        let found =
            get(port, "/notes", &[("authorization", &bearer(&token_of("carol"))), ("x-jwt-sub", "alice")]);
        ensure(found == 403, || format!("carol as alice got {found}"))?;
        Ok(format!("by principal and by claim header alice 200, carol 403; {}", signs_in(port)?))
    });
}

/// The form that a browser posts when a login page sends it back: a cookie, and the way on; and the cookie is good.
fn signs_in(port: u16) -> Result<String, String> {
    let token = token_of("alice");
    let answer = post(port, &format!("token={token}&redirectUrl=%2Fnotes"));
    let set = answer.header("set-cookie").unwrap_or_default();
    let session = set.split(';').next().unwrap_or_default();
    let so = answer.status == 303
        && answer.header("location") == Some("/notes")
        && session == cookie(&token)
        && get(port, "/notes", &[("cookie", session)]) == 200;
    ensure(so, || format!("a posted form got {} {set:?} {}", answer.status, answer.text()))?;
    let forged = post(port, "token=e30.e30.e30");
    ensure(forged.status == 401 && forged.header("set-cookie").is_none(), || {
        format!("a forged form got {} {:?}", forged.status, forged.header("set-cookie"))
    })?;
    Ok("a posted form is signed in: 303 and its cookie; a forged one 401".into())
}

fn post(port: u16, form: &str) -> Response {
    let headers = [
        ("accept", "text/html"),
        ("content-type", "application/x-www-form-urlencoded"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-mode", "navigate"),
        ("sec-fetch-dest", "document"),
    ];
    http::request(port, "POST", "/jwt/auth", &bytes(&headers), form.as_bytes())
}

/// A filter as it should be, and how it should not.
struct Ways {
    right: Vec<Value>,
    /// With a field that nobody knows.
    wrong: Vec<Value>,
    /// With a module that is not to be had.
    without_module: Vec<Value>,
}

impl Ways {
    fn of(right: &[Value]) -> Self {
        let changed = |change: &dyn Fn(&mut Value)| {
            let mut changed = right.to_vec();
            change(&mut changed[0]);
            changed
        };
        Self {
            right: right.to_vec(),
            wrong: changed(&|filter| {
                envoy_filter::configure(filter, |own| own["providers"][0][WRONG] = json!(["workspace"]));
            }),
            without_module: changed(&|filter| {
                let code = &mut envoy_filter::plugin(filter)["vm_config"]["code"];
                match code.get_mut("remote") {
                    Some(remote) => remote["sha256"] = json!(WRONG_DIGEST),
                    None => code["local"]["filename"] = json!("/nowhere.wasm"),
                }
            }),
        }
    }

    /// The right one with another login page.
    fn changed(&self) -> Vec<Value> {
        let mut changed = self.right.clone();
        envoy_filter::configure(&mut changed[0], |own| own["session"]["login_url"] = json!("/other"));
        changed
    }
}

/// What serves, serves on.
fn while_serving(world: &World, workspace: &mut Workspace, report: &mut Report, ways: &Ways) {
    let [port, _] = workspace.ports;
    restart(world, workspace);
    let sidecar = &workspace.sidecar;
    report.scenario("envoyfilter.yaml: a change under load", || {
        let (kept, told) = change(world, port, ways)?;
        ensure(kept.starts_with("/other"), || format!("a connection from before is led to {kept}"))?;
        Ok(format!("{told}; a connection from before obeys the new one"))
    });
    for (name, wrong, said) in [
        ("a wrong configuration", &ways.wrong, WRONG),
        ("a module that cannot be fetched", &ways.without_module, NOT_FETCHED),
    ] {
        report.scenario(&format!("envoyfilter.yaml: {name} while serving"), || {
            let load = Load::start(port, usual());
            world.cluster.apply(wrong);
            let told = until(PATIENCE, || sidecar.said(said).is_some());
            sleep(LASTS);
            let figures = load.end()?.without_errors()?;
            told.ok_or("the agent's log never says why")?;
            println!("      agent's log: {}", short(&sidecar.said(said).unwrap_or_default()));
            world.cluster.apply(&ways.changed());
            let mended = until(PATIENCE, || led_to(port).starts_with("/other"));
            world.cluster.apply(&ways.right);
            until(PATIENCE, || led_to(port).starts_with("/login")).ok_or("the way back never came")?;
            let mended = mended.ok_or("what was right again never came")?.as_millis();
            Ok(format!("the old one serves on, {figures}; a right one comes after {mended} ms"))
        });
    }
}

/// Another login page, and back again: where a connection from before is led meanwhile, and the figures.
fn change(world: &World, port: u16, ways: &Ways) -> Result<(String, String), String> {
    world.cluster.apply(&ways.right);
    guarded(port)?;
    let mut kept = Connection::open(port);
    led_by(&mut kept, port);
    let load = Load::start(port, usual());
    world.cluster.apply(&ways.changed());
    let came = until(PATIENCE, || led_to(port).starts_with("/other"));
    let came = came.ok_or("it never came")?.as_millis();
    sleep(LASTS);
    let kept = led_by(&mut kept, port);
    let figures = load.end()?.without_errors()?;
    ensure(figures.cut == 0, || figures.to_string())?;
    world.cluster.apply(&ways.right);
    until(PATIENCE, || led_to(port).starts_with("/login")).ok_or("the way back never came")?;
    Ok((kept, format!("it came after {came} ms; {figures}")))
}

/// A workload that never had the filter gets a wrong one: it is closed, until it gets the right one.
fn as_the_first(world: &World, workspace: &mut Workspace, report: &mut Report, ways: &Ways) {
    let [port, _] = workspace.ports;
    for (name, wrong) in
        [("a wrong configuration", &ways.wrong), ("a module that cannot be fetched", &ways.without_module)]
    {
        report.scenario(
            &format!("envoyfilter.yaml: {name} as the first one, at a workload that runs"),
            || {
                world.cluster.delete(&ways.right);
                restart(world, workspace);
                settled(port, &[(None, 200)])?;
                world.cluster.apply(wrong);
                let closed = settled(port, &[(None, 500), (Some(token_of("alice")), 500)])?;
                sleep(LASTS);
                settled(port, &[(None, 500), (Some(token_of("alice")), 500)])?;
                world.cluster.apply(&ways.right);
                let took = guarded(port)?;
                Ok(format!(
                    "500 to everything after {} ms; guarded {} ms after the right one was applied",
                    closed.as_millis(),
                    took.as_millis()
                ))
            },
        );
        report.scenario(&format!("envoyfilter.yaml: a cold start with {name}"), || {
            world.cluster.apply(wrong);
            restart(world, workspace);
            settled(port, &[(None, 500), (Some(token_of("alice")), 500)])?;
            world.cluster.apply(&ways.right);
            let took = guarded(port)?;
            Ok(format!("500 to everything; guarded {} ms after the right one was applied", took.as_millis()))
        });
    }
    report.scenario("envoyfilter.yaml: a wrong configuration, deleted, and applied again at once", || {
        world.cluster.apply(&ways.wrong);
        until(PATIENCE, || workspace.sidecar.said(WRONG).is_some()).ok_or("the log never says why")?;
        world.cluster.delete(&ways.right);
        settled(port, &[(None, 200)])?;
        // While the listener that had the filter is drained, Envoy keeps what it last heard of it, and refuses a new
        // listener by that.
        world.cluster.apply(&ways.wrong);
        sleep(3 * LASTS);
        let first = status_with(port, "/notes", None);
        world.cluster.apply(&ways.right);
        sleep(3 * LASTS);
        let then = status_with(port, "/notes", None);
        world.cluster.delete(&ways.right);
        sleep(LASTS);
        world.cluster.apply(&ways.right);
        let took = guarded(port)?.as_millis();
        ensure([first, then] == [Some(200); 2], || {
            format!("{first:?}, then {then:?}: say so in docs/istio.md")
        })?;
        Ok(format!(
            "it stays open, and also when the right one is applied; guarded {took} ms after it was deleted and applied anew"
        ))
    });
    world.cluster.delete(&ways.right);
}

/// The module comes from a registry, as for a `WasmPlugin`; and late.
fn with_an_image(world: &World, workspace: &mut Workspace, report: &mut Report) {
    let mut filter = world.shipped("envoyfilter.yaml");
    report.scenario("envoyfilter.yaml with an image, and the registry is down when a pod starts", || {
        let mut registry = Registry::with_image()?;
        envoy_filter::set_module(&mut filter[0], &registry.by_tag("0.1.0"), &registry.digest);
        registry.stop();
        world.cluster.apply(&filter);
        restart(world, workspace);
        comes_late(world, workspace, &mut registry)
    });
    world.cluster.delete(&filter);
}

fn comes_late(world: &World, workspace: &Workspace, registry: &mut Registry) -> Result<String, String> {
    let [port, _] = workspace.ports;
    settled(port, &[(None, 500), (Some(token_of("alice")), 500)])?;
    workspace.sidecar.said(NOT_FETCHED).ok_or("the agent's log does not say why")?;
    registry.start()?;
    let touch = |annotation: &str| {
        let touched = ["annotate", "--overwrite", "-n", "workspaces", "envoyfilter/jwtproxy", annotation];
        world.cluster.run(&touched);
    };
    // istiod sends what has another specification or says something of Istio's.
    touch("again=1");
    sleep(3 * LASTS);
    let ignored = status_with(port, "/notes", None);
    ensure(ignored == Some(500), || format!("any annotation does: {ignored:?}"))?;
    touch("istio.io/again=1");
    let took = guarded(port)?;
    let form = signs_in(port)?;
    Ok(format!(
        "500 to everything; guarded {} ms after `kubectl annotate … istio.io/again=1`; {form}",
        took.as_millis()
    ))
}

/// Why the shipped file is not the plainer one.
fn in_line(world: &World, workspace: &mut Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let mut filter = world.shipped("envoyfilter.yaml");
    let module = repository("dist/jwtproxy.wasm");
    envoy_filter::put_in_line(&mut filter[0], module.to_str().expect("a path in UTF-8"));
    let ways = Ways::of(&filter);
    report.scenario("the same in line: a wrong one as the first one, at a workload that runs", || {
        restart(world, workspace);
        settled(port, &[(None, 200)])?;
        let mut told = Vec::new();
        for (name, wrong, said) in [
            ("a wrong configuration", &ways.wrong, "Unable to create Wasm plugin"),
            ("no module", &ways.without_module, "Invalid path"),
        ] {
            world.cluster.apply(wrong);
            until(PATIENCE, || workspace.sidecar.said(said).is_some()).ok_or("the log never says why")?;
            sleep(LASTS);
            let found = status_with(port, "/notes", None);
            ensure(found == Some(200), || format!("{name}: {found:?}: it may be shipped now"))?;
            told.push(name);
        }
        world.cluster.apply(&ways.right);
        let took = guarded(port)?;
        Ok(format!(
            "it stays open with {}; guarded {} ms after the right one was applied",
            told.join(" and with "),
            took.as_millis()
        ))
    });
    report.scenario("the same in line: a change under load", || {
        let (kept, told) = change(world, port, &ways)?;
        signs_in(port)?;
        ensure(kept.starts_with("/login"), || format!("a connection from before is led to {kept}"))?;
        Ok(format!("{told}; a connection from before obeys the old one"))
    });
    world.cluster.delete(&ways.right);
    report.scenario("the workspace is open again", || {
        Ok(format!("after {} ms", settled(port, &[(None, 200)])?.as_millis()))
    });
}

/// Where a browser without a token is led by that connection.
fn led_by(connection: &mut Connection, port: u16) -> String {
    let response =
        connection.send(&http::raw(port, "GET", "/notes", &bytes(&[("accept", "text/html")]), b""));
    response.header("location").unwrap_or_default().to_owned()
}

fn short(line: &str) -> String {
    line.chars().take(400).collect()
}
