//! A workspace whose people come from a real Keycloak: its keys are fetched by the way that `issuer.yaml` makes, and
//! machines bring tokens of another issuer side by side, while Keycloak gets new keys, loses old ones, and is away.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::http::{self, Response};
use rig::place::{bearer, bytes, seen};
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::load::{Load, Probe, probe};
use crate::manifests::{self, ISSUER, Ways};
use crate::parts::{free_ports, until};
use crate::realm::Keycloak;
use crate::report::{Report, ensure};
use crate::world::{World, settled, token_of};

const NAMESPACE: &str = "people";
/// A `kid` that is not known makes the keys be fetched once more, this long after the last time at the earliest.
const BETWEEN_FETCHES: Duration = Duration::from_secs(11);
/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(2);
/// For what happens while Keycloak is away, in place of five minutes.
const REFRESH_SECONDS: u32 = 2;
const LOGIN: &str = "https://login.example.com/loader.html";

pub(crate) fn run(world: &World, report: &mut Report) {
    let mut place = None;
    report.scenario("issuer.yaml with a real Keycloak: people and machines side by side", || {
        place.insert(Place::start(world)?).side_by_side()
    });
    let Some(mut place) = place else { return };
    report.scenario("a program beside it that asks Keycloak itself", || place.programs());
    report.scenario("a person of Keycloak at a browser", || place.browser());
    report.scenario("Keycloak rotates its key under load", || place.rotation());
    report
        .scenario("Keycloak is killed, starts again, and disables the old key, under load", || place.away());
    // A gateway that is started later would wait for the certificate that they name.
    world.cluster.delete(&place.resources());
}

/// Keycloak, a workspace with a sidecar, and a gateway in front of it.
struct Place<'a> {
    world: &'a World,
    keycloak: Keycloak,
    ways: Ways,
    ingress: u16,
    sidecar: Agent,
    _gateway: Agent,
    /// Of alice, by Keycloak's first key.
    first: String,
    machine: String,
}

impl<'a> Place<'a> {
    fn start(world: &'a World) -> Result<Self, String> {
        let keycloak = Keycloak::start()?;
        let [port, ingress, of_filter, of_programs] = free_ports(4).try_into().expect("four ports");
        let ways = Ways { of_filter, of_programs };
        let (app, edge) = (json!({"app": "workspace"}), json!({"istio": "people-gateway"}));
        world.cluster.namespace(NAMESPACE, "default");
        let mut sidecar = manifests::sidecar(NAMESPACE, &app, &[port], world.upstream.port());
        sidecar["spec"]["egress"] = json!([{"hosts": [format!("./{ISSUER}")]}]);
        let host = "people.internal";
        world.cluster.apply(
            &[
                vec![sidecar],
                manifests::issuer(&world.module, NAMESPACE, ways, keycloak.port, &keycloak.authority()),
                manifests::service(NAMESPACE, host, &app, "127.0.0.1", &[port]),
                manifests::gateway(NAMESPACE, &edge, &[ingress], host, port),
            ]
            .concat(),
        );
        let pod =
            |role, labels, address| Pod { role, namespace: NAMESPACE.into(), labels, address, workers: 2 };
        let sidecar = world.agent(&pod("sidecar", app, "127.0.0.6"));
        let gateway = world.agent(&pod("router", edge, "127.0.0.7"));
        let first = keycloak.token()?;
        let machine = token_of("robot");
        Ok(Self { world, keycloak, ways, ingress, sidecar, _gateway: gateway, first, machine })
    }

    /// The resources of `issuer.yaml` as they are applied here: entry, rule and plugin.
    fn resources(&self) -> Vec<Value> {
        let authority = self.keycloak.authority();
        manifests::issuer(&self.world.module, NAMESPACE, self.ways, self.keycloak.port, &authority)
    }

    fn side_by_side(&self) -> Result<String, String> {
        let (person, machine) = (&self.first, &self.machine);
        settled(self.ingress, &[(None, 401), (Some(person.clone()), 200), (Some(machine.clone()), 200)])?;
        let who = |token: &str| {
            let spoofed = [("authorization", &*bearer(token)), ("x-user-name", "mallory")];
            let seen_there = self.get("/", &spoofed).json();
            ["x-jwt-sub", "x-user-name"].map(|name| seen(&seen_there, name).join(","))
        };
        let [sub, name] = who(person);
        ensure(sub.len() == 36 && name == "alice", || format!("of a person it saw {sub} and {name}"))?;
        let found = who(machine);
        ensure(found == ["robot", ""], || format!("of a machine it saw {found:?}"))?;
        // The last one is of a realm that nobody named, though by the same server.
        let refused =
            [(forged(person), "invalid_signature"), (self.keycloak.admin_token()?, "unknown_issuer")];
        for (token, reason) in refused {
            let answer = self.get("/notes", &[("authorization", &bearer(&token))]);
            ensure(answer.status == 401 && answer.json()["reason"] == reason, || {
                format!("wanted {reason}, got {}: {}", answer.status, answer.text())
            })?;
        }
        Ok("through a gateway, by discovery and verified TLS: a person is alice, a machine robot; a forged token and one of \
            another realm get 401"
            .into())
    }

    /// The rule is for the filter's way alone. Were it for all ports, programs would speak TLS within TLS.
    fn programs(&self) -> Result<String, String> {
        let ask = || {
            let path = "/realms/people/.well-known/openid-configuration";
            self.keycloak.ask_by(self.ways.of_programs, path, &["--max-time", "2"])
        };
        let said = ask()?["issuer"].clone();
        ensure(said == format!("https://{ISSUER}/realms/people"), || format!("it says {said}"))?;
        let mut resources = self.resources();
        let policy = &mut resources[1]["spec"]["trafficPolicy"];
        *policy = json!({"tls": policy["portLevelSettings"][0]["tls"]});
        self.world.cluster.apply(&resources[1..2]);
        // More than once, for the change itself may cut one off.
        let fails = until(Duration::from_secs(20), || (0..3).all(|_| ask().is_err()));
        self.world.cluster.apply(&self.resources()[1..2]);
        fails.ok_or("with the rule for all ports it works as well")?;
        until(Duration::from_secs(20), || ask().is_ok()).ok_or("with the rule as it was it fails")?;
        Ok("it reaches it through the sidecar, as before; not with the rule for all ports".into())
    }

    /// From the first page to the page of the login and back.
    fn browser(&self) -> Result<String, String> {
        let navigation = |path: &str, site: &str, more: &[(&str, &str)]| {
            let own = [
                ("accept", "text/html"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("sec-fetch-site", site),
            ];
            self.get(path, &[&own, more].concat())
        };
        let led = navigation("/notes", "none", &[]);
        let location = led.header("location").unwrap_or_default();
        let back = location.strip_prefix(LOGIN).and_then(|rest| rest.strip_prefix("?redirectUrl="));
        let back =
            back.filter(|_| led.status == 302).ok_or_else(|| format!("{} to {location}", led.status))?;
        let attempt = cookie_of(&led);

        let sign_in = format!("/jwt/auth?token={}&redirectUrl={back}", self.first);
        let from = [("cookie", attempt), ("referer", "https://login.example.com/")];
        let signed_in = navigation(&sign_in, "same-site", &from);
        let location = signed_in.header("location").unwrap_or_default();
        ensure(signed_in.status == 303 && location.ends_with("/notes"), || {
            format!("{} to {location}: {}", signed_in.status, signed_in.text())
        })?;
        let session = cookie_of(&signed_in);
        ensure(session == format!("access_token={}", self.first), || format!("the cookie is {session}"))?;
        let page = navigation("/notes", "same-site", &[("cookie", &format!("theme=dark; {session}"))]);
        ensure(page.status == 200, || format!("{} {}", page.status, page.text()))?;
        let found = ["x-user-name", "cookie"].map(|name| seen(&page.json(), name).join(","));
        ensure(found == ["alice", "theme=dark"], || format!("it saw {found:?}"))?;
        let whole = signed_in.header("set-cookie").unwrap_or_default().len();
        // What browsers keep at the most.
        ensure(whole < 4096, || format!("a cookie of {whole} bytes"))?;
        Ok(format!(
            "302, 303, 200; Keycloak's token of {} bytes in a cookie of {whole}, beside {} of ours",
            self.first.len(),
            self.machine.len()
        ))
    }

    /// As shipped: the next time it would fetch by itself is in minutes.
    fn rotation(&self) -> Result<String, String> {
        sleep(BETWEEN_FETCHES);
        let before = self.counter("jwks_fetched");
        let began = Instant::now();
        let load = Load::start(self.ingress, self.probes(&[probe("of key 1", Some(&self.first), &[200])]));
        sleep(AFTERWARDS);
        self.keycloak.add_key("200")?;
        let second = self.keycloak.token()?;
        ensure(key_of(&second) != key_of(&self.first), || "it is signed by the same key".into())?;
        // The first of them waits, and nobody is refused.
        let new = Load::start(self.ingress, vec![probe("of key 2", Some(&second), &[200])]);
        sleep(AFTERWARDS);
        let new = new.end()?.without_errors()?;
        let old = load.end()?.without_errors()?;
        // Envoy's counters are a moment late.
        until(Duration::from_secs(3), || self.counter("jwks_fetched") > before).ok_or("it is not fetched")?;
        let (fetches, seconds) = (self.counter("jwks_fetched") - before, began.elapsed().as_secs());
        // One in ten seconds, however many workers and tokens there are; a machine may be slow.
        ensure(fetches <= 1 + seconds / 10, || format!("{fetches} fetches in {seconds} s"))?;
        Ok(format!(
            "with the new key, from its first token on: {new}; with the old one, machines and others: {old}; \
             {fetches} fetch in {seconds} s by 2 workers"
        ))
    }

    fn away(&mut self) -> Result<String, String> {
        let second = self.keycloak.token()?;
        let mut plugin = self.resources().remove(2);
        plugin["spec"]["pluginConfig"]["providers"][0]["remote_jwks"]["refresh_seconds"] =
            json!(REFRESH_SECONDS);
        self.world.cluster.apply(&[plugin]);
        let before = self.counter("jwks_fetched");
        until(Duration::from_secs(20), || self.counter("jwks_fetched") > before + 1)
            .ok_or("it is not fetched sooner")?;
        let of_second = probe("of key 2", Some(&second), &[200]);

        let load = Load::start(
            self.ingress,
            self.probes(&[probe("of key 1", Some(&self.first), &[200]), of_second.clone()]),
        );
        let stale = self.counter("jwks_stale");
        self.keycloak.kill();
        let failed = until(Duration::from_mins(1), || self.counter("jwks_stale") >= stale + 2);
        self.keycloak.run()?;
        let figures = load.end()?.without_errors()?;
        failed.ok_or("it is not told that keys are stale")?;

        let load = Load::start(
            self.ingress,
            self.probes(&[probe("of key 1", Some(&self.first), &[200, 401]), of_second]),
        );
        self.keycloak.disable_key("rsa-generated")?;
        let gone = settled(self.ingress, &[(Some(self.first.clone()), 401), (Some(second), 200)])?;
        sleep(AFTERWARDS);
        let afterwards = load.end()?.without_errors()?;
        Ok(format!(
            "away, {} failed fetches, and back: {figures}; the old key forgotten {} ms after it was disabled: \
             {afterwards}",
            self.counter("jwks_stale") - stale,
            gone.as_millis()
        ))
    }

    /// These, and those that nothing of what happens to people concerns.
    fn probes(&self, more: &[Probe]) -> Vec<Probe> {
        let others = [
            probe("no token", None, &[401]),
            probe("forged", Some(&forged(&self.first)), &[401]),
            probe("machine", Some(&self.machine), &[200]),
        ];
        others.into_iter().chain(more.iter().cloned()).collect()
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        http::request(self.ingress, "GET", path, &bytes(headers), b"")
    }

    /// What the sidecar's filter has counted.
    fn counter(&self, name: &str) -> u64 {
        let stats = self.sidecar.admin(&format!("/stats?filter=jwtproxy_{name}_total"));
        stats.lines().filter_map(|line| line.rsplit_once(": ")?.1.parse::<u64>().ok()).sum()
    }
}

/// The same token with a signature of nobody's.
fn forged(token: &str) -> String {
    let signed = token.rsplit_once('.').map_or(token, |(signed, _)| signed);
    format!("{signed}.{}", "A".repeat(342))
}

/// The token's header, which names the key.
fn key_of(token: &str) -> &str {
    token.split('.').next().unwrap_or_default()
}

/// Name and value of the cookie that an answer sets.
fn cookie_of(response: &Response) -> &str {
    response.header("set-cookie").and_then(|cookie| cookie.split(';').next()).unwrap_or_default()
}
