//! What both are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jwtproxy_wasm::Policy;
use rig::jwt::{Key, mint};
use rig::{repository, table};
use serde_json::{Value, json};
use wycheproof_ng_kdf_jose::json_web::TestName;

use crate::key_forms::configuration;
use crate::{jwt_authn, text};

/// Keys and rules, as both have them.
pub struct Place {
    /// The configuration, or why it does not load.
    pub config: Result<Value, String>,
    /// The filter `jwt_authn`.
    pub jwt_authn: Value,
    /// The headers that claims are written to, in lower case.
    pub claim_headers: BTreeSet<String>,
}

/// A request.
pub struct Case {
    /// Where it comes from.
    pub name: String,
    /// The place it is sent to.
    pub place: String,
    /// Its bytes.
    pub request: Vec<u8>,
    /// Whether it must pass here, where no other test says so of the module in Envoy.
    pub accepted: Option<bool>,
}

/// All of them. What `jwt_authn` has nothing for is in the list `left_out`.
pub fn all(rows: &Value) -> (BTreeMap<String, Place>, Vec<Case>) {
    let (mut places, mut cases) = (BTreeMap::new(), Vec::new());
    of_the_table(rows, &mut places, &mut cases);
    sources(&mut places, &mut cases);
    keys(&mut places, &mut cases);
    signatures(&mut places, &mut cases);
    (places, cases)
}

impl Place {
    fn new(config: Value, jwt_authn: Value) -> Self {
        let variables = table::env();
        let env = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| value.clone());
        let claim_headers = config["providers"].as_array().expect("providers").iter();
        let claim_headers = claim_headers.filter_map(|provider| provider["claim_headers"].as_object());
        let claim_headers =
            claim_headers.flat_map(|headers| headers.keys().map(|name| name.to_ascii_lowercase()));
        let claim_headers = claim_headers.collect();
        let loads = Policy::from_json(config.to_string().as_bytes(), &env).map_err(|error| error.to_string());
        Self { config: loads.map(|_| config), jwt_authn, claim_headers }
    }

    /// Of keys alone: `exp` need not be there.
    fn of_keys(name: &str, keys: &Value) -> Self {
        let config = configuration(keys);
        let filter = jwt_authn::filter(name, &config).unwrap_or_else(|field| panic!("{field}"));
        Self::new(config, filter)
    }
}

/// The files of the table that speak of tokens and keys: `cases_tokens.json` and so on.
const STEMS: [&str; 3] = ["tokens", "keys", "algorithms"];

/// Their cases. Where `jwt_authn` cannot be told the rule, the token is sent to the place `api` all the same.
fn of_the_table(rows: &Value, places: &mut BTreeMap<String, Place>, cases: &mut Vec<Case>) {
    let table = table::load();
    let left_out = rows["left_out"].as_object().expect("what is left out");
    let mut unused: BTreeSet<&String> = left_out.keys().collect();
    for stem in STEMS {
        let file = repository(format!("tests/vectors/cases_{stem}.json"));
        let file: Value = serde_json::from_str(&fs::read_to_string(file).expect("cases")).expect("cases");
        for (name, config) in file["configs"].as_object().expect("configurations") {
            let name = format!("{stem}/{name}");
            match jwt_authn::filter(&name, config) {
                Ok(filter) => {
                    places.insert(name.clone(), Place::new(table.configs[&name].clone(), filter));
                }
                Err(field) => {
                    let word = field.split(' ').next().unwrap_or_default();
                    assert!(
                        left_out.contains_key(word),
                        "{name}: {field} can neither be written there nor is left out"
                    );
                    unused.retain(|known| known.as_str() != word);
                }
            }
        }
    }
    assert!(unused.is_empty(), "left out without need: {unused:?}");
    for case in table.cases.iter().filter(|case| case.now.is_none()) {
        if !STEMS.iter().any(|stem| case.config.split('/').next() == Some(stem)) {
            continue;
        }
        let place = if places.contains_key(&case.config) { &case.config } else { "tokens/api" };
        cases.push(Case {
            name: case.name.clone(),
            place: place.to_owned(),
            request: request(&case.fields),
            accepted: None,
        });
    }
}

fn request(fields: &[(String, Vec<u8>)]) -> Vec<u8> {
    let pseudo =
        |name: &str| fields.iter().find(|(own, _)| own == name).expect("a pseudo-header").1.as_slice();
    let line =
        [pseudo(":method"), b" ", pseudo(":path"), b" HTTP/1.1\r\nhost: ", pseudo(":authority"), b"\r\n"];
    let mut raw = line.concat();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
        raw.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    raw.extend(b"\r\n");
    raw
}

/// Where a token stands.
fn sources(places: &mut BTreeMap<String, Place>, cases: &mut Vec<Case>) {
    let config = json!({
        "providers": [{"issuer": "https://issuer.example", "audiences": ["app"], "keys": [{"jwk": Key::fixed("a").jwk("a")}]}],
        "session": {},
    });
    let filter = jwt_authn::filter("sources", &config).unwrap_or_else(|field| panic!("{field}"));
    places.insert("sources".into(), Place::new(config, filter));
    let token = |key: &str, exp: u64| {
        let claims = json!({"iss": "https://issuer.example", "aud": "app", "sub": "alice", "exp": exp});
        mint(&Key::fixed(key), "RS256", json!({"alg": "RS256"}), claims)
    };
    let (good, forged, expired) =
        (token("a", 4_102_444_800), token("b", 4_102_444_800), token("a", 1_700_000_000));
    let all: &[(&str, &str, &[&str])] = &[
        ("a header", "/", &["authorization: Bearer {good}"]),
        ("a header, forged", "/", &["authorization: Bearer {forged}"]),
        ("a parameter", "/?a=1&token={good}&b=2", &[]),
        ("a parameter, forged", "/?token={forged}", &[]),
        ("a parameter, twice, good and forged", "/?token={good}&token={forged}", &[]),
        ("a parameter, twice, forged and good", "/?token={forged}&token={good}", &[]),
        ("a parameter, percent-encoded", "/?%74oken={good}", &[]),
        ("a cookie", "/", &["cookie: theme=dark; access_token={good}"]),
        ("a cookie, forged", "/", &["cookie: access_token={forged}"]),
        ("a cookie, quoted", "/", &["cookie: access_token=\"{good}\""]),
        ("a cookie, twice, good and forged", "/", &["cookie: access_token={good}; access_token={forged}"]),
        ("a cookie, twice, forged and good", "/", &["cookie: access_token={forged}; access_token={good}"]),
        (
            "a cookie, forged, and a good header",
            "/",
            &["cookie: access_token={forged}", "authorization: Bearer {good}"],
        ),
        (
            "a cookie, expired, and a good header",
            "/",
            &["cookie: access_token={expired}", "authorization: Bearer {good}"],
        ),
        (
            "a cookie, garbage, and a good header",
            "/",
            &["cookie: access_token=x", "authorization: Bearer {good}"],
        ),
        (
            "a cookie, empty, and a good header",
            "/",
            &["cookie: access_token=", "authorization: Bearer {good}"],
        ),
        (
            "a header, opaque, and a good cookie",
            "/",
            &["authorization: Bearer opaque", "cookie: access_token={good}"],
        ),
        (
            "a header of Basic and a good cookie",
            "/",
            &["authorization: Basic eDp5", "cookie: access_token={good}"],
        ),
        ("a header, bearer in small letters", "/", &["authorization: bearer {good}"]),
        ("a header, two spaces", "/", &["authorization: Bearer  {good}"]),
        (
            "a header, twice, good and forged",
            "/",
            &["authorization: Bearer {good}", "authorization: Bearer {forged}"],
        ),
        ("a header, with a comma behind", "/", &["authorization: Bearer {good}, x"]),
        ("no token", "/", &[]),
        ("no token, a navigation", "/", &["sec-fetch-mode: navigate", "accept: text/html"]),
        ("no token, gRPC", "/", &["content-type: application/grpc"]),
    ];
    for (name, path, headers) in all {
        let headers = headers.iter().map(|line| [*line, "\r\n"].concat()).collect::<String>();
        let request = format!("GET {path} HTTP/1.1\r\nhost: app.example.com\r\n{headers}\r\n");
        let request =
            request.replace("{good}", &good).replace("{forged}", &forged).replace("{expired}", &expired);
        cases.push(Case {
            name: format!("sources: {name}"),
            place: "sources".into(),
            request: request.into(),
            accepted: None,
        });
    }
    let preflight = "OPTIONS / HTTP/1.1\r\nhost: app.example.com\r\norigin: https://x.example\r\n";
    for (name, more) in [("a preflight", "access-control-request-method: GET\r\n"), ("OPTIONS", "")] {
        let request = format!("{preflight}{more}\r\n");
        cases.push(Case {
            name: format!("sources: {name}"),
            place: "sources".into(),
            request: request.into(),
            accepted: None,
        });
    }
}

/// The keys of Wycheproof's `json_web_key`, each with a token that its private half signed.
fn keys(places: &mut BTreeMap<String, Place>, cases: &mut Vec<Case>) {
    let set: Value = serde_json::from_str(TestName::JsonWebKey.json_data()).expect("vectors");
    let tokens = fs::read_to_string(repository("tests/vectors/jwt_authn_tokens.json")).expect("tokens");
    let tokens: Value = serde_json::from_str(&tokens).expect("tokens");
    for group in set["testGroups"].as_array().expect("groups") {
        let keys = group.get("public").unwrap_or(&group["private"]);
        for vector in group["tests"].as_array().expect("vectors") {
            let id = vector["tcId"].to_string();
            let name =
                format!("Wycheproof key {id}, {}: {}", text(&group["comment"]), text(&vector["comment"]));
            let Some(token) = tokens["tokens"][&id].as_str() else { panic!("no token for {name}") };
            places.insert(name.clone(), Place::of_keys(&name, keys));
            cases.push(bearer(name.clone(), name, token));
        }
    }
}

/// The examples of the RFCs and the forgeries, one place for each key.
fn signatures(places: &mut BTreeMap<String, Place>, cases: &mut Vec<Case>) {
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for file in ["jose_examples", "jose_forgeries"] {
        let rows = fs::read_to_string(repository(format!("tests/vectors/{file}.json"))).expect("vectors");
        let rows: Value = serde_json::from_str(&rows).expect("vectors");
        for vector in rows["vectors"].as_array().expect("vectors") {
            let keys = &vector["keys"];
            let name = [text(&vector["name"]), vector["from"].as_str().unwrap_or_default()].join(" ");
            let name = format!("{file}: {}", name.trim_end());
            let place = names.entry(keys.to_string()).or_insert_with(|| {
                let name = format!("key of {name}");
                places.insert(name.clone(), Place::of_keys(&name, keys));
                name
            });
            // The examples hold texts, or have expired: their signatures alone are good.
            let accepted = vector["accepted"].as_bool().filter(|_| file == "jose_forgeries");
            cases.push(Case { accepted, ..bearer(name, place.clone(), text(&vector["jws"])) });
        }
    }
}

fn bearer(name: String, place: String, token: &str) -> Case {
    let request = format!("GET / HTTP/1.1\r\nhost: app.example.com\r\nauthorization: Bearer {token}\r\n\r\n");
    Case { name, place, request: request.into(), accepted: None }
}
