//! The same requests, keys and rules judged by Envoy's own `jwt_authn` in another listener of the same Envoy. Where the
//! two differ, `tests/vectors/jwt_authn.json` says why, and `docs/jwt_authn.md` says it to people.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that panics says what is wrong"
)]

mod cases;
mod jwt_authn;
#[path = "../drivers/key_forms.rs"]
mod key_forms;

use std::collections::{BTreeMap, BTreeSet};

use cases::{Case, Place};
use rig::envoy::{self, Envoy, Options};
use rig::table::matches;
use rig::upstream::Upstream;
use rig::{http, repository, shipped};
use serde_json::{Value, json};

/// What became of a request: `passes`, with the claim headers that the upstream saw, or a status.
type Verdict = String;

const NOT_LOADED: &str = "does not load";

#[test]
fn every_difference_has_its_row() {
    let rows = rows_of_this_envoy();
    let (places, cases) = cases::all(&rows);
    let envoy = Pair::start(&places);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for case in &cases {
        let [ours, theirs] = envoy.ask(case);
        let row =
            rows["differences"].as_array().expect("rows").iter().position(|row| explains(row, &case.name));
        let wanted = row.map(|row| &rows["differences"][row]);
        let fits = wanted.map_or_else(
            || same(&ours, &theirs),
            |row| !same(&ours, &theirs) && is(&row["ours"], &ours) && is(&row["jwt_authn"], &theirs),
        );
        seen.extend(row);
        if case.accepted.is_some_and(|accepted| accepted != lets_in(&ours)) {
            wrong.push(format!("{}: {ours}", case.name));
        }
        if !fits {
            wrong.push(format!(
                "{}: ours {ours}, jwt_authn {theirs}, row {:?}",
                case.name,
                wanted.map(|row| &row["what"])
            ));
        }
    }
    for (at, row) in rows["differences"].as_array().expect("rows").iter().enumerate() {
        for pattern in row["cases"].as_array().expect("cases") {
            if !cases.iter().any(|case| matches(text(pattern), &case.name)) {
                wrong.push(format!("no case is called {pattern}"));
            }
        }
        if !seen.contains(&at) {
            wrong.push(format!("a row without a difference: {}", row["what"]));
        }
    }
    rig::say(&format!(
        "{} requests to {} configurations of ours and of jwt_authn, {} differences",
        cases.len(),
        places.len(),
        seen.len()
    ));
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Keys that do not load let nobody in either.
fn same(ours: &str, theirs: &str) -> bool {
    ours == theirs || [ours, theirs].contains(&NOT_LOADED) && !lets_in(ours) && !lets_in(theirs)
}

fn lets_in(verdict: &str) -> bool {
    verdict.starts_with("passes")
}

/// `passes` is said of any claim headers.
fn is(wanted: &Value, verdict: &str) -> bool {
    matches(text(wanted), verdict) || verdict.split(", ").next() == wanted.as_str()
}

/// The page is the table.
#[test]
fn the_page_says_the_same() {
    let page = std::fs::read_to_string(repository("docs/jwt_authn.md")).expect("a page");
    let rows = rows();
    let cell = |verdict: &Value| match text(verdict).strip_prefix("~passes, ") {
        Some("a token*") => "passes, with the token".to_owned(),
        Some(header) => format!("passes, `{}`", header.trim_end_matches(['*', ',', ' '])),
        None => text(verdict).to_owned(),
    };
    let differences = rows["differences"].as_array().expect("rows").iter().map(|row| {
        format!(
            "| {} | {} | {} | {} |",
            text(&row["what"]),
            cell(&row["jwt_authn"]),
            cell(&row["ours"]),
            text(&row["why"])
        )
    });
    let left_out = rows["left_out"].as_object().expect("what is left out").iter();
    let left_out = left_out.map(|(field, why)| format!("- `{field}`: {}", text(why)));
    let wanted: Vec<String> = differences.chain(left_out).collect();
    let found: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| ") || line.starts_with("- ")).skip(1).collect();
    assert_eq!(found, wanted);
}

fn rows() -> Value {
    let text = std::fs::read_to_string(repository("tests/vectors/jwt_authn.json")).expect("rows");
    serde_json::from_str(&text).expect("rows")
}

/// A row with `in` holds for an Envoy whose version begins so, and for no other.
fn rows_of_this_envoy() -> Value {
    let mut rows = rows();
    let all = rows["differences"].as_array_mut().expect("rows");
    all.retain(|row| row["in"].as_str().is_none_or(|version| envoy::binary_version().starts_with(version)));
    rows
}

fn explains(row: &Value, case: &str) -> bool {
    row["cases"].as_array().expect("cases").iter().any(|pattern| matches(text(pattern), case))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// An Envoy with two listeners for each configuration.
struct Pair<'p> {
    places: &'p BTreeMap<String, Place>,
    ports: BTreeMap<String, u16>,
    _envoy: Envoy,
    _upstream: Upstream,
}

impl<'p> Pair<'p> {
    fn start(places: &'p BTreeMap<String, Place>) -> Self {
        let upstream = Upstream::start();
        let mut base = shipped::bootstrap("envoy.yaml");
        shipped::set_cluster_port(&mut base, "upstream", upstream.port());
        shipped::set_module(&mut base, &repository("dist/jwtproxy.wasm"));
        let variables = rig::table::env();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        shipped::set_env(&mut base, &variables);

        let loaded = || places.iter().filter_map(|(name, place)| Some((name, place.config.as_ref().ok()?)));
        let texts: Vec<(&str, String)> =
            loaded().map(|(name, config)| (name.as_str(), config.to_string())).collect();
        let texts: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let mut bootstrap = shipped::many_listeners(&base, &texts);
        shipped::free_ports(&mut base);
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().expect("listeners");
        let broken = broken(&base, places);
        for (name, place) in places.iter().filter(|(name, _)| !broken.contains(*name)) {
            listeners.push(listener_of(&base, name, place));
        }
        let envoy = Envoy::start_with(bootstrap, &Options::default());
        let ports = envoy.ports();
        Self { places, ports, _envoy: envoy, _upstream: upstream }
    }

    fn ask(&self, case: &Case) -> [Verdict; 2] {
        let place = &self.places[&case.place];
        let ask = |listener: &str| match self.ports.get(listener) {
            Some(port) => verdict(&http::send(*port, &case.request), &place.claim_headers),
            None => NOT_LOADED.to_owned(),
        };
        [ask(&case.place), ask(&theirs(&case.place))]
    }
}

fn listener_of(base: &Value, name: &str, place: &Place) -> Value {
    let mut listener = base["static_resources"]["listeners"][0].clone();
    listener["name"] = json!(theirs(name));
    listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0] = place.jwt_authn.clone();
    listener
}

/// The places whose keys `jwt_authn` does not load. Envoy names one at a time.
fn broken(base: &Value, places: &BTreeMap<String, Place>) -> BTreeSet<String> {
    let mut broken = BTreeSet::new();
    loop {
        let mut bootstrap = base.clone();
        let whole = places.iter().filter(|(name, _)| !broken.contains(*name));
        bootstrap["static_resources"]["listeners"] =
            whole.map(|(name, place)| listener_of(base, name, place)).collect();
        let (loads, said) = envoy::validate(bootstrap);
        if loads {
            return broken;
        }
        let place = said.split("Provider '").nth(1).and_then(|rest| rest.split('#').next());
        assert!(place.is_some_and(|place| broken.insert(place.to_owned())), "{said}");
    }
}

fn theirs(name: &str) -> String {
    format!("jwt_authn {name}")
}

/// Envoy's upstream answers with what it saw.
fn verdict(response: &http::Response, claim_headers: &BTreeSet<String>) -> Verdict {
    let seen: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    if !seen["headers"].is_array() {
        return response.status.to_string();
    }
    let is_claim = |line: &&Value| claim_headers.contains(&text(&line[0]).to_ascii_lowercase());
    let (claims, others): (Vec<&Value>, Vec<&Value>) =
        seen["headers"].as_array().into_iter().flatten().partition(is_claim);
    let mut claims: BTreeSet<String> =
        claims.iter().map(|line| format!("{}: {}", text(&line[0]), text(&line[1]))).collect();
    // The beginning of a header of JSON.
    if text(&seen["path"]).contains("eyJ") || others.iter().any(|line| text(&line[1]).contains("eyJ")) {
        claims.insert("a token".to_owned());
    }
    let claims: Vec<String> = claims.into_iter().collect();
    if claims.is_empty() { "passes".into() } else { format!("passes, {}", claims.join(", ")) }
}
