//! What Istio itself does beside the filter: mutual TLS, its authorization, its own check of tokens, open connections.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::http::{self, Connection};
use rig::jwt::Key;
use rig::place::{bearer, bytes, cookie};
use serde_json::{Value, json};

use crate::journey::{self, Token};
use crate::manifests;
use crate::report::{Report, ensure};
use crate::world::{
    Workspace, World, get, guarded, guarded_behind, settled, status_with, token_of, while_applied,
};

/// Istio's own check of the tokens that key a signs.
pub(crate) fn second_lock(world: &World) -> Vec<Value> {
    let mut pairing = world.shipped("request_authentication.yaml");
    pairing[0]["spec"]["jwtRules"][0]["jwks"] =
        json!(json!({"keys": [Key::fixed("a").jwk("a")]}).to_string());
    pairing
}

pub(crate) fn run(world: &World, workspace: &Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let mut with = |name: &str, resources: Vec<Value>, check: &dyn Fn() -> Result<String, String>| {
        report.scenario(name, || while_applied(world, workspace, &resources, check));
    };
    let plugin = world.shipped("wasmplugin.yaml");

    let rules = [plugin.clone(), world.shipped("authorization.yaml")].concat();
    with("authorization.yaml beside wasmplugin.yaml", rules, &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 200), (Some(token_of("carol")), 403)])?;
        let spoofed = [("authorization", bearer(&token_of("carol"))), ("x-jwt-sub", "alice".into())];
        let spoofed: Vec<_> = spoofed.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let found = [
            get(port, "/notes", &spoofed),
            get(port, "/healthz", &[]),
            get(port, "/nothing", &[("x-jwt-sub", "alice")]),
        ];
        ensure(found == [403, 200, 401], || format!("spoofed, public and forged got {found:?}"))?;
        Ok("alice 200, carol 403, carol as x-jwt-sub: alice 403, without a token 401".into())
    });
    let mut hands_on = plugin.clone();
    manifests::plugin(&mut hands_on[0])["pluginConfig"]["forward_token"] =
        json!({"header": "authorization", "scheme": "Bearer"});
    let pairing = second_lock(world);
    with("request_authentication.yaml behind wasmplugin.yaml", [hands_on, pairing.clone()].concat(), &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 200), (Some(token_of("carol")), 403)])?;
        let found = get(port, "/notes", &[("cookie", &cookie(&token_of("alice")))]);
        ensure(found == 200, || format!("a cookie got {found}"))?;
        Ok("requestPrincipals of a token from a cookie: alice 200, carol 403".into())
    });
    with("the same without forward_token", [plugin.clone(), pairing].concat(), &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 403)])?;
        Ok("403: Istio never sees the token".into())
    });

    let edge = workspace.ingress;
    report.scenario("mutual TLS alone between gateway and sidecar", || {
        let strict = json!({
            "apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication",
            "metadata": {"name": "strict", "namespace": "workspaces"},
            "spec": {"selector": {"matchLabels": {"app": "workspace"}}, "mtls": {"mode": "STRICT"}},
        });
        while_applied(world, workspace, &[plugin.clone(), vec![strict.clone()]].concat(), &|| {
            guarded_behind(edge)?;
            let steps = journey::walk(edge, Token::Stays)?;
            let plain = status_with(port, "/notes", Some(&token_of("alice")));
            ensure(plain.is_none(), || format!("plain text got {plain:?}"))?;
            Ok(format!("journey of {steps} steps; plain text is cut off"))
        })
    });
    report.scenario("a connection that was open before the first plugin", || {
        let raw = http::raw(port, "GET", "/notes", &[], b"");
        let mut kept = Connection::open(port);
        kept.send(&raw);
        world.cluster.apply(&plugin);
        let took = guarded(port)?;
        let start = Instant::now();
        let (mut passed, mut told) = (0, false);
        while let Ok(response) = kept.try_send(&raw) {
            ensure(start.elapsed() < Duration::from_mins(1), || "it lives on for a minute".into())?;
            passed += usize::from(response.status == 200);
            told |= response.header("connection") == Some("close");
            sleep(Duration::from_millis(100));
        }
        let lived = start.elapsed();
        world.cluster.delete(&plugin);
        settled(port, &[(None, 200)])?;
        ensure(told, || "it was never told to close".into())?;
        Ok(format!(
            "new ones are guarded after {} ms; it was told to close, and for one that does not it was cut off after {} ms, with \
             {passed} more requests without a token",
            took.as_millis(),
            lived.as_millis()
        ))
    });
    report.scenario("a posted form behind wasmplugin.yaml", || {
        while_applied(world, workspace, &plugin, &|| {
            guarded(port)?;
            let start = Instant::now();
            let headers =
                [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
            let body = format!("token={}", token_of("alice"));
            let response = http::request(port, "POST", "/jwt/auth", &bytes(&headers), body.as_bytes());
            let reason = response.json()["reason"].clone();
            ensure(response.status == 501 && reason == "form_unreadable", || {
                format!("{} {reason}", response.status)
            })?;
            ensure(start.elapsed() < Duration::from_secs(8), || "late".into())?;
            Ok(format!(
                "501 form_unreadable after {} ms, as a WasmPlugin cannot let it through",
                start.elapsed().as_millis()
            ))
        })
    });
}
