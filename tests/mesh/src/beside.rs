//! A second plugin on the workload, before ours and behind it: one more of ours, and Coraza, a firewall that others
//! have written in another language. Whatever comes, changes its place or goes, nobody gets a wrong answer meanwhile.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::http::{self, Response};
use rig::place::{bearer, bytes, cookie, good};
use serde_json::{Value, json};

use crate::journey::{self, Token};
use crate::load::{Figures, Load, usual, with_attack};
use crate::module::Module;
use crate::parts::{bring, until};
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, guarded, led_to, settled, token_of};

/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// A firewall is 25 MB to be compiled, and its rules to be read by every worker.
const PATIENCE: Duration = Duration::from_mins(2);
/// What a firewall denies, and we do not.
const SCRIPT: &str = "/notes?page=%3Cscript%3Ealert(1)%3C/script%3E";
/// The same, but not by the few rules: a firewall that was here a moment ago may begin with those that it had then.
const SQL: &str = "/notes?page=1%27%20or%20%271%27=%271";

/// A phase, and the priority in it.
type Place = (&'static str, i32);

pub(crate) fn run(world: &World, workspace: &Workspace, report: &mut Report) {
    let [port, _] = workspace.ports;
    let ours = world.shipped("wasmplugin.yaml");
    let clean = || world.cluster.delete(&ours);
    report.scenario("a second plugin of ours before and after, by priority and phase, under load", || {
        world.cluster.apply(&ours);
        guarded(port)?;
        let result = two_of_ours(world, port, &ours);
        clean();
        settled(port, &[(None, 200)])?;
        result
    });
    let module = bring("coraza").map(|path| Module::serve_file(&path));
    let with_firewall = |check: &dyn Fn(&Beside<'_>) -> Result<String, String>| {
        let beside =
            Beside { world, workspace, port, ours: &ours, module: module.as_ref().map_err(Clone::clone)? };
        world.cluster.apply(&ours);
        let result = guarded(port).and_then(|_| check(&beside));
        world.cluster.delete(&[beside.firewall(("AUTHN", 1), FEW)]);
        clean();
        settled(port, &[(None, 200)])?;
        result
    };
    let name = "a firewall (Coraza) comes, changes its place and goes, under load";
    report.scenario(name, || with_firewall(&|beside| beside.rounds()));
    let name = "a firewall with the OWASP Core Rule Set before and after";
    report.scenario(name, || with_firewall(&|beside| beside.core_rule_set()));
}

/// Two of our plugins on one workload, each with a login page of its own: a browser is led to that of the first.
fn two_of_ours(world: &World, port: u16, plugin: &[Value]) -> Result<String, String> {
    let with = |name: &str, place: Place| {
        let mut plugins = placed(plugin, place);
        plugins[0]["spec"]["pluginConfig"]["forward_token"] = json!(true);
        plugins[0]["spec"]["pluginConfig"]["session"]["login_url"] = json!(format!("/{name}"));
        plugins[0]["metadata"]["name"] = json!(if name == "ours" { "jwtproxy" } else { "other" });
        plugins
    };
    let rounds: [(Place, Place, &str); 4] = [
        (("AUTHN", 10), ("AUTHN", 5), "/ours"),
        (("AUTHN", 5), ("AUTHN", 10), "/other"),
        (("AUTHN", 5), ("AUTHZ", 10), "/ours"),
        (("STATS", 10), ("AUTHZ", 5), "/other"),
    ];
    // The first must hand the token on before there is a second that wants it.
    world.cluster.apply(&with("ours", rounds[0].0));
    until(Duration::from_secs(20), || led_to(port).starts_with("/ours")).ok_or("ours alone never came")?;
    settled(port, &[(None, 401), (Some(good()), 200)])?;
    let mut told = Vec::new();
    let mut total = Figures::default();
    for (ours, other, first) in rounds {
        let load = Load::start(port, usual());
        world.cluster.apply(&[with("ours", ours), with("other", other)].concat());
        let led = until(Duration::from_secs(20), || led_to(port).starts_with(first));
        sleep(AFTERWARDS);
        total = total + load.end()?.without_errors()?;
        led.ok_or_else(|| format!("{ours:?} and {other:?}: led to {}", led_to(port)))?;
        settled(port, &[(Some(good()), 200)])?;
        told.push(format!("{}/{} and {}/{}: {first}", ours.0, ours.1, other.0, other.1));
    }
    let load = Load::start(port, usual());
    world.cluster.delete(&with("other", ("AUTHN", 1)));
    let led = until(Duration::from_secs(20), || led_to(port).starts_with("/ours"));
    sleep(AFTERWARDS);
    total = total + load.end()?.without_errors()?;
    led.ok_or("the second never went")?;
    settled(port, &[(None, 401)])?;
    Ok(format!("the first is {}; a good token passes both; {total}", told.join(", ")))
}

fn placed(plugin: &[Value], (phase, priority): Place) -> Vec<Value> {
    let mut plugins = plugin.to_vec();
    plugins[0]["spec"]["phase"] = json!(phase);
    plugins[0]["spec"]["priority"] = json!(priority);
    plugins
}

/// Rules of one's own: the least that denies something in a query, a form and a JSON text.
const FEW: &[&str] = &[
    "SecRuleEngine On",
    "SecRequestBodyAccess On",
    "SecRule REQUEST_HEADERS:Content-Type \"^application/json\" \
     \"id:100,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"",
    "SecRule ARGS \"@contains <script\" \"id:101,phase:2,deny,status:403\"",
];
/// The rules that come with it, as its own example has them. That a request has an address for a host, and no name of
/// a browser, is a matter of these tests.
const CORE_RULE_SET: &[&str] = &[
    "Include @demo-conf",
    "SecAuditEngine Off",
    "Include @crs-setup-conf",
    "Include @owasp_crs/*.conf",
    "SecRuleRemoveById 920350 920320",
];

/// Ours, and a firewall to set beside it.
struct Beside<'a> {
    world: &'a World,
    workspace: &'a Workspace,
    port: u16,
    ours: &'a [Value],
    module: &'a Module,
}

impl Beside<'_> {
    fn firewall(&self, (phase, priority): Place, rules: &[&str]) -> Value {
        json!({
            "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
            "metadata": {"name": "coraza", "namespace": "workspaces"},
            "spec": {
                "selector": {"matchLabels": {"app": "workspace"}}, "match": [{"mode": "SERVER"}],
                "phase": phase, "priority": priority, "failStrategy": "FAIL_CLOSE",
                "url": self.module.url(), "sha256": self.module.sha256(), "pluginName": "coraza",
                "pluginConfig": {"directives_map": {"default": rules}, "default_directives": "default"},
            },
        })
    }

    /// By priority and by phase, from none to none.
    fn rounds(&self) -> Result<String, String> {
        const ROUNDS: [(Place, Place, Answers); 4] = [
            (("AUTHN", 10), ("AUTHN", 5), FIREWALL_FIRST),
            (("AUTHN", 5), ("AUTHN", 10), OURS_FIRST),
            (("AUTHN", 5), ("AUTHZ", 10), FIREWALL_FIRST),
            (("STATS", 10), ("AUTHN", 5), OURS_FIRST),
        ];
        let alone = self.virtual_machines().ok_or("Envoy does not count its virtual machines")?;
        let gone = self.signed_out()?;
        let (mut changes, mut between) = (Figures::default(), Figures::default());
        let (mut steps, mut longest) = (0, Duration::ZERO);
        for (number, (firewall, ours, answers)) in ROUNDS.into_iter().enumerate() {
            let resources = [placed(self.ours, ours), vec![self.firewall(firewall, FEW)]].concat();
            // Once it is there, it denies whatever place it changes to.
            let denied: &[u16] = if number == 0 { &[200, 403] } else { &[403] };
            let load = Load::start(self.port, with_attack(SCRIPT, denied, &[401, 403]));
            self.world.cluster.apply(&resources);
            let came = self.answers(SCRIPT, answers);
            sleep(AFTERWARDS);
            let said = |fault: String| format!("{firewall:?} beside our {ours:?}: {fault}");
            changes = changes + load.end().and_then(Figures::without_errors).map_err(said)?;
            longest = longest.max(came.map_err(said)?);
            let load = Load::start(self.port, with_attack(SCRIPT, &[403], answers.nobody()));
            let walked = self.walk(SCRIPT, answers, &gone).map_err(said);
            sleep(AFTERWARDS);
            between = between + load.end().and_then(Figures::without_errors).map_err(said)?;
            steps += walked?;
        }
        let load = Load::start(self.port, with_attack(SCRIPT, &[200, 403], &[401, 403]));
        self.world.cluster.delete(&[self.firewall(("AUTHN", 1), FEW)]);
        let went = self.answers(SCRIPT, ALONE);
        sleep(AFTERWARDS);
        changes = changes + load.end()?.without_errors()?;
        went?;
        self.is_revoked(&gone)?;
        let left = until(PATIENCE, || self.virtual_machines() == Some(alone));
        left.ok_or_else(|| format!("{alone} virtual machines, then {:?}", self.virtual_machines()))?;
        Ok(format!(
            "whoever is first denies: 403 or 401; journeys of {steps} steps, forms and JSON through both, and who was \
             signed out before stays so; {alone} virtual machines before and after; five changes, which came within \
             {} ms: {changes}; between them: {between}",
            longest.as_millis()
        ))
    }

    /// The rules that everybody takes, in front and behind.
    fn core_rule_set(&self) -> Result<String, String> {
        let gone = self.signed_out()?;
        let firewall = self.firewall(("AUTHN", 10), CORE_RULE_SET);
        let load = Load::start(self.port, with_attack(SQL, &[200, 403], &[401, 403]));
        let start = Instant::now();
        self.world.cluster.apply(std::slice::from_ref(&firewall));
        // It is compiled where Envoy takes whatever istiod sends: what is applied to ours meanwhile waits for it.
        let mut changed = self.ours.to_vec();
        changed[0]["spec"]["pluginConfig"]["session"]["login_url"] = json!("/meanwhile");
        self.world.cluster.apply(&changed);
        let meanwhile =
            until(PATIENCE, || led_to(self.port).starts_with("/meanwhile")).map(|_| start.elapsed());
        let came = self.answers(SQL, FIREWALL_FIRST).map(|_| start.elapsed());
        sleep(AFTERWARDS);
        let mut total = load.end()?.without_errors()?;
        let (came, meanwhile) = (came?, meanwhile.ok_or("what was applied to ours meanwhile never came")?);
        let mut steps = 0;
        for (ours, answers) in [(("AUTHN", 5), FIREWALL_FIRST), (("AUTHN", 20), OURS_FIRST)] {
            let load = Load::start(self.port, with_attack(SQL, &[403], &[401, 403]));
            self.world.cluster.apply(&placed(self.ours, ours));
            let came = self.answers(SQL, answers);
            sleep(AFTERWARDS);
            total = total + load.end()?.without_errors()?;
            came?;
            steps += self.walk(SQL, answers, &gone)?;
        }
        Ok(format!(
            "it came after {} ms, and what was applied to ours meanwhile after {} ms; journeys of {steps} steps, forms \
             and JSON through both; {total}",
            came.as_millis(),
            meanwhile.as_millis()
        ))
    }

    /// Waits for these answers to the attack, by whatever worker.
    fn answers(&self, attack: &str, Answers { signed_in, nobody }: Answers) -> Result<Duration, String> {
        let found = || [Some(good()), None].map(|token| get(self.port, attack, token.as_deref()).status);
        let so = until(PATIENCE, || (0..10).all(|_| found() == [signed_in, nobody]));
        so.ok_or_else(|| format!("{attack} gets {:?}, not {:?}", found(), [signed_in, nobody]))
    }

    /// Both do what they did alone.
    fn walk(&self, attack: &str, answers: Answers, gone: &str) -> Result<usize, String> {
        let denied = get(self.port, attack, None);
        let reason = serde_json::from_slice::<Value>(&denied.body).unwrap_or_default()["reason"].clone();
        let wanted = if answers == OURS_FIRST { json!("missing_token") } else { Value::Null };
        ensure(reason == wanted, || format!("{} has the reason {reason}", denied.status))?;
        self.is_revoked(gone)?;
        bodies(self.port)?;
        journey::walk(self.port, Token::Stays)
    }

    /// A token with which somebody signed out.
    fn signed_out(&self) -> Result<String, String> {
        let token = token_of("bob");
        let headers = [("cookie", cookie(&token)), ("sec-fetch-site", "same-origin".into())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let left = http::request(self.port, "POST", "/jwt/logout", &bytes(&headers), b"");
        ensure(left.status == 204, || format!("the sign-out got {}", left.status))?;
        self.is_revoked(&token).map(|()| token)
    }

    /// What is revoked lies in the data that all virtual machines of Envoy share.
    fn is_revoked(&self, token: &str) -> Result<(), String> {
        let response = get(self.port, "/notes", Some(token));
        ensure(response.status == 401 && response.json()["reason"] == "token_revoked", || {
            format!("who was signed out gets {}: {}", response.status, response.text())
        })
    }

    /// How many of them there are, all plugins together.
    fn virtual_machines(&self) -> Option<usize> {
        let stats = self.workspace.sidecar.admin("/stats?filter=^wasm.*v8.active");
        stats.lines().find_map(|line| line.rsplit(": ").next()?.trim().parse().ok())
    }
}

/// What the attack gets.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Answers {
    signed_in: u16,
    nobody: u16,
}

const FIREWALL_FIRST: Answers = Answers { signed_in: 403, nobody: 403 };
const OURS_FIRST: Answers = Answers { signed_in: 403, nobody: 401 };
const ALONE: Answers = Answers { signed_in: 200, nobody: 401 };

impl Answers {
    fn nobody(self) -> &'static [u16] {
        if self.nobody == 401 { &[401] } else { &[403] }
    }
}

/// Bodies reach the service as they were sent, unless the firewall denies them.
fn bodies(port: u16) -> Result<(), String> {
    let rows = [
        ("application/x-www-form-urlencoded", "text=two+words&page=2", 200),
        ("application/json", r#"{"text": "two words", "page": 2}"#, 200),
        ("application/x-www-form-urlencoded", "text=%3Cscript%3Ealert(1)%3C/script%3E", 403),
        ("application/json", r#"{"text": "<script>alert(1)</script>"}"#, 403),
    ];
    for (kind, body, status) in rows {
        let send = |token: Option<String>| {
            let value = token.as_deref().map(bearer);
            let mut headers = vec![("content-type", kind), ("accept", "*/*")];
            headers.extend(value.iter().map(|value| ("authorization", value.as_str())));
            http::request(port, "POST", "/notes", &bytes(&headers), body.as_bytes())
        };
        let response = send(Some(good()));
        let arrived = status != 200 || response.status != 200 || response.json()["body"] == body;
        ensure(response.status == status && arrived, || {
            format!("{kind} {body:?} gets {}: {}", response.status, response.text())
        })?;
        let nobody = send(None).status;
        ensure(nobody == 401 || (nobody == 403 && status == 403), || {
            format!("{kind} {body:?} without a token gets {nobody}")
        })?;
    }
    Ok(())
}

fn get(port: u16, path: &str, token: Option<&str>) -> Response {
    let value = token.map(bearer);
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    http::request(port, "GET", path, &bytes(&headers), b"")
}
