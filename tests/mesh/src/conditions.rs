//! What the conditions of an `AuthorizationPolicy` see of the filter: a path for each of them, so that one policy asks all.

use std::time::Duration;

use rig::jwt::{Key, mint, now};
use rig::place::bearer;
use serde_json::{Value, json};

use crate::manifests;
use crate::parts::until;
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, get, settled, status_with, token_of, while_applied};

type Check<'a> = dyn Fn() -> Result<String, String> + 'a;

pub(crate) fn run(world: &World, workspace: &Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let mut with = |name: &str, resources: Vec<Value>, check: &Check<'_>| {
        report.scenario(name, || while_applied(world, workspace, &resources, check));
    };
    // With `expires_in` the filter writes filter state for every good token, so that there is something to be seen.
    let tells = plugin(world, |config| config["expires_in"] = json!(true));
    let keys: Vec<String> = ["wasm", "jwtproxy", "http.wasm", "http.jwtproxy", "http.jwt_authn"]
        .iter()
        .flat_map(|filter| ["sub", "wasm.jwt_expires_in", "jwt_expires_in"].map(|key| (filter, key)))
        .map(|(filter, key)| format!("experimental.envoy.filters.{filter}[{key}]"))
        .collect();
    let is_set = keys.iter().map(|key| json!({"key": key, "values": ["*"]}));
    let is_not = keys.iter().map(|key| json!({"key": key, "notValues": ["*"]}));
    // A filter of Envoy's own can write it, and what it writes is seen.
    let written = json!({"key": "experimental.envoy.filters.http.wasm[other]", "values": ["yes"]});
    let known = json!({"key": "request.headers[x-jwt-sub]", "values": ["alice"]});
    let asked: Vec<Value> = is_set.chain(is_not).chain([written, known]).collect();
    let resources = [tells, vec![metadata_writer(), allow_by_path(&asked)]].concat();
    with("conditions on metadata", resources, &|| {
        settled_at(
            port,
            &format!("/{}", asked.len() - 1),
            &[(token_of("alice"), 200), (token_of("carol"), 403)],
        )?;
        let alice = bearer(&token_of("alice"));
        let mut found: Vec<_> = (0..asked.len() - 1)
            .map(|number| get(port, &format!("/{number}"), &[("authorization", &alice)]))
            .collect();
        ensure(found.pop() == Some(200), || "what another filter writes is not seen, either".into())?;
        let (set, not) = found.split_at(keys.len());
        ensure(set.iter().all(|status| *status == 403), || {
            format!("something is seen: {set:?} of {keys:?}")
        })?;
        ensure(not.iter().all(|status| *status == 200), || {
            format!("something is seen: {not:?} of {keys:?}")
        })?;
        Ok(format!(
            "a good token gets 403 by each of {} keys, and 200 where the key must not be there; what another filter writes is seen",
            keys.len()
        ))
    });

    let deny = |condition: Value| policy("DENY", &[json!({"when": [condition]})]);
    let named = deny(json!({"key": "request.headers[x-jwt-sub]", "values": ["carol"]}));
    with("DENY on a claim header", [plugin(world, |_| {}), vec![named]].concat(), &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 200), (Some(token_of("carol")), 403)])?;
        let [alice, carol] = ["alice", "carol"].map(|person| bearer(&token_of(person)));
        let found = [
            get(port, "/notes", &[("authorization", &alice), ("x-jwt-sub", "carol")]),
            get(port, "/notes", &[("authorization", &carol), ("x-jwt-sub", "alice")]),
            get(port, "/healthz", &[("x-jwt-sub", "carol")]),
            get(port, "/healthz", &[("authorization", &carol)]),
        ];
        ensure(found == [200, 403, 200, 200], || format!("names that a client wrote got {found:?}"))?;
        Ok("carol 403, alice and public paths 200, whatever a client writes there".into())
    });
    let others = deny(json!({"key": "request.headers[x-jwt-sub]", "notValues": ["alice"]}));
    with("DENY on another claim header than", [plugin(world, |_| {}), vec![others]].concat(), &|| {
        settled(port, &[(None, 401), (Some(token_of("alice")), 200), (Some(token_of("carol")), 403)])?;
        let found = get(port, "/healthz", &[]);
        ensure(found == 403, || format!("a public path got {found}"))?;
        Ok("alice 200, carol 403, and public paths 403, too, for they have no header".into())
    });
    lists(world, port, &mut with);
}

/// A claim that is a list, in a header and as Istio itself reads it.
fn lists(world: &World, port: u16, with: &mut dyn FnMut(&str, Vec<Value>, &Check<'_>)) {
    let groups: [&[&str]; 7] = [
        &["admins"],
        &["admins", "dev"],
        &["dev", "admins"],
        &["dev", "admins", "ops"],
        &["admins-of-nothing"],
        &["no-admins"],
        &["admins,dev"],
    ];
    let comma = "request.headers[x-jwt-groups]";
    let json_list = "request.headers[x-jwt-groups-json]";
    // The condition, and whom of the above it lets in.
    let table: [(&str, &str, &[usize]); 9] = [
        (comma, "admins", &[0]),
        (comma, "admins,*", &[1]),
        (comma, "*,admins", &[2]),
        (comma, "admins*", &[0, 1, 4]),
        (comma, "*admins", &[0, 2, 5]),
        (comma, "*admins*", &[]),
        (json_list, "[\"admins\"]", &[0]),
        (json_list, "[\"admins\"*", &[0, 1]),
        ("request.auth.claims[groups]", "admins", &[0, 1, 2, 3]),
    ];
    let config = plugin(world, |config| {
        let headers = json!({
            "x-jwt-groups": {"claim": "groups", "format": "comma_list"},
            "x-jwt-groups-json": {"claim": "groups", "format": "json"},
        });
        config["providers"][0]["claim_headers"] = headers;
        config["forward_token"] = json!({"header": "authorization", "scheme": "Bearer"});
    });
    let authentication = json!({
        "apiVersion": "security.istio.io/v1", "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "workspaces"},
        "spec": {"selector": {"matchLabels": {"app": "workspace"}}, "jwtRules": [{
            "issuer": "https://login.example.com",
            "jwks": json!({"keys": [Key::fixed("a").jwk("a")]}).to_string()}]},
    });
    let asked: Vec<Value> =
        table.iter().map(|(key, value, _)| json!({"key": key, "values": [value]})).collect();
    let resources = [config, vec![authentication, allow_by_path(&asked)]].concat();
    with("conditions on a claim that is a list", resources, &|| {
        let tokens: Vec<String> = groups.iter().map(|groups| of_groups(groups)).collect();
        let last = format!("/{}", table.len() - 1);
        settled_at(port, &last, &[(tokens[3].clone(), 200), (tokens[4].clone(), 403)])?;
        for (number, (key, value, wanted)) in table.iter().enumerate() {
            let status =
                |token: &String| get(port, &format!("/{number}"), &[("authorization", &bearer(token))]);
            let found: Vec<_> = tokens.iter().map(status).collect();
            let so = found
                .iter()
                .enumerate()
                .all(|(group, status)| *status == if wanted.contains(&group) { 200 } else { 403 });
            ensure(so, || format!("{key} {value}: wanted {wanted:?} of {groups:?}, found {found:?}"))?;
        }
        Ok(format!(
            "{} conditions, {} tokens: a header is compared as a whole, with * at one end, so no condition says \"contains\"; \
             request.auth.claims does",
            table.len(),
            groups.len()
        ))
    });
}

/// The shipped one, changed.
fn plugin(world: &World, change: impl FnOnce(&mut Value)) -> Vec<Value> {
    let mut plugin = world.shipped("wasmplugin.yaml");
    change(&mut manifests::plugin(&mut plugin[0])["pluginConfig"]);
    plugin
}

fn of_groups(groups: &[&str]) -> String {
    let claims = json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice",
        "exp": now() + 3600, "groups": groups});
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": "a"}), claims)
}

/// A filter that writes dynamic metadata under the name of a Wasm filter.
fn metadata_writer() -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
        "metadata": {"name": "metadata", "namespace": "workspaces"},
        "spec": {"workloadSelector": {"labels": {"app": "workspace"}}, "configPatches": [{
            "applyTo": "HTTP_FILTER",
            "match": {"context": "SIDECAR_INBOUND",
                "listener": {"filterChain": {"filter": {"name": "envoy.filters.network.http_connection_manager"}}}},
            "patch": {"operation": "INSERT_FIRST", "value": {
                "name": "envoy.filters.http.set_metadata",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
                    "metadata": [{"metadata_namespace": "envoy.filters.http.wasm", "value": {"other": "yes"}}]}}}}]},
    })
}

/// `ALLOW` for /0 by the first condition, for /1 by the second, and so on.
fn allow_by_path(conditions: &[Value]) -> Value {
    let rules: Vec<Value> = conditions
        .iter()
        .enumerate()
        .map(|(number, condition)| {
            json!({"to": [{"operation": {"paths": [format!("/{number}")]}}], "when": [condition]})
        })
        .collect();
    policy("ALLOW", &rules)
}

fn policy(action: &str, rules: &[Value]) -> Value {
    json!({
        "apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "conditions", "namespace": "workspaces"},
        "spec": {"selector": {"matchLabels": {"app": "workspace"}}, "action": action, "rules": rules},
    })
}

/// Waits until that path answers these tokens so.
fn settled_at(port: u16, path: &str, wanted: &[(String, u16)]) -> Result<(), String> {
    let found =
        || -> Vec<_> { wanted.iter().map(|(token, _)| status_with(port, path, Some(token))).collect() };
    let wanted: Vec<_> = wanted.iter().map(|(_, status)| Some(*status)).collect();
    let so = until(Duration::from_secs(30), || (0..5).all(|_| found() == wanted));
    so.map(|_| ()).ok_or_else(|| format!("{path}: wanted {wanted:?}, found {:?}", found()))
}
