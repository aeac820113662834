//! What Eclipse Che's JwtProxy answered: `tests/vectors/jwtproxy_tokens.json` and `jwtproxy_http.json`.
//!
//! Every answer must be the recorded one, but for those that `jwtproxy_deviations.json` declares, each with the answer
//! given instead and the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Map, Value, json};

use crate::repository;
use crate::table::Outcome;

/// All recordings.
#[derive(Debug)]
pub struct Recording {
    /// Our configurations for those of JwtProxy, by their names.
    pub configs: BTreeMap<String, Value>,
    /// Those of them that we refuse.
    pub refused: BTreeMap<String, Value>,
    cases: Vec<Recorded>,
    declared: Value,
}

/// A recorded request and its answer, in the words of the table of cases.
#[derive(Debug)]
struct Recorded {
    name: String,
    config: String,
    fields: Vec<(String, Vec<u8>)>,
    expect: Value,
}

impl Recording {
    /// Reads the recordings.
    pub fn load() -> Self {
        let (tokens, requests) = (filled("jwtproxy_tokens.json"), filled("jwtproxy_http.json"));
        let common = &tokens["config_common"];
        let key = text(&tokens["public_key_pem"]);
        assert_eq!(key, text(&requests["public_key_pem"]));

        let (mut configs, mut cases) = (BTreeMap::new(), Vec::new());
        for (column, config) in [("no_redirect", "config_no_redirect"), ("redirect", "config_redirect")] {
            configs.insert(column.to_owned(), configuration(common, &tokens[config], key));
            cases.extend(array(&tokens["cases"]).iter().map(|case| of_token(case, column)));
        }
        for (name, config) in requests["configs"].as_object().expect("configurations") {
            configs.insert(name.clone(), configuration(common, config, key));
        }
        cases.extend(array(&requests["cases"]).iter().map(of_request));

        let declared = filled("jwtproxy_deviations.json");
        let names: BTreeSet<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names.len(), cases.len(), "two cases of one name");
        for entry in ["deviations", "not_compared"].iter().flat_map(|list| array(&declared[*list])) {
            assert!(names.contains(text(&entry["case"])), "no case is called {}", entry["case"]);
        }
        let refused = array(&declared["refused_configs"])
            .iter()
            .filter_map(|name| configs.remove_entry(text(name)))
            .collect();
        Self { configs, refused, cases, declared }
    }

    /// Compares every case with what `outcome` makes of its configuration and its request, prints a summary, and fails
    /// where an answer is neither the recorded nor the declared one, or a declaration is of no use.
    pub fn compare(&self, run: &str, outcome: impl Fn(&str, &[(String, Vec<u8>)]) -> Outcome) {
        let (mut same, mut deviating, mut left_out) = (0, 0, 0);
        let mut failures = Vec::new();
        for case in &self.cases {
            if let Some(entry) = find(&self.declared["not_compared"], case)
                && entry["in"].as_str().is_none_or(|only| only == run)
            {
                println!("not compared: {}: {}", case.name, entry["because"]);
                left_out += 1;
                continue;
            }
            let deviation = find(&self.declared["deviations"], case).map(|entry| &entry["instead"]);
            let found = self
                .configs
                .contains_key(&case.config)
                .then(|| joined_cookies(outcome(&case.config, &case.fields)));
            let verdict = match (found, deviation) {
                (None, Some(instead)) if instead == "the configuration is refused" => Ok(false),
                (None, _) => Err("the configuration is refused, and no deviation says so".to_owned()),
                (Some(outcome), None) => outcome.check(&case.expect).map(|()| true),
                (Some(outcome), Some(instead)) => match outcome.check(&case.expect) {
                    Ok(()) => Err("is declared to deviate, and does not".to_owned()),
                    Err(_) => outcome
                        .check(instead)
                        .map(|()| false)
                        .map_err(|difference| format!("deviates otherwise than declared: {difference}")),
                },
            };
            match verdict {
                Ok(true) => same += 1,
                Ok(false) => deviating += 1,
                Err(difference) => failures.push(format!("{}\n    {difference}", case.name)),
            }
        }
        crate::say(&format!(
            "{run}: {same} of {} as recorded, {deviating} deviations, {left_out} not compared",
            self.cases.len() - left_out
        ));
        assert!(failures.is_empty(), "{run}: {} differ:\n{}", failures.len(), failures.join("\n"));
    }
}

fn find<'a>(list: &'a Value, case: &Recorded) -> Option<&'a Value> {
    array(list).iter().find(|entry| entry["case"] == case.name)
}

/// HTTP/2 splits a `Cookie` line and Envoy joins its parts: several lines and one are the same.
fn joined_cookies(outcome: Outcome) -> Outcome {
    let Outcome::Forwarded { path, headers } = outcome else { return outcome };
    let (cookies, mut headers): (Vec<_>, Vec<_>) =
        headers.into_iter().partition(|(name, _)| name == "cookie");
    if !cookies.is_empty() {
        let values: Vec<String> = cookies.into_iter().map(|(_, value)| value).collect();
        headers.push(("cookie".to_owned(), values.join("; ")));
    }
    Outcome::Forwarded { path, headers }
}

fn vectors(name: &str) -> String {
    let path = repository("tests/vectors").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

/// A file with `{VALID}` and its like filled in.
fn filled(name: &str) -> Value {
    let recorded = vectors("jwtproxy_http.json");
    let mut text = vectors(name);
    for (name, token) in parsed(&recorded)["tokens"].as_object().expect("tokens") {
        text = text.replace(&format!("{{{name}}}"), token.as_str().expect("a token"));
    }
    parsed(&text)
}

/// Our configuration for one of JwtProxy's `verifier_proxies`: `common` is what all of them have.
fn configuration(common: &Value, verifier: &Value, key: &str) -> Value {
    let claims: Map<String, Value> = array(&common["claims_verifiers"])
        .iter()
        .filter(|verifier| verifier["type"] == "static")
        .flat_map(|verifier| verifier["options"].as_object().expect("options").clone())
        .collect();
    let mut config = json!({
        "profile": "jwtproxy",
        "providers": [{
            "name": "che",
            "issuer": common["issuer"],
            "audiences": [common["audience"]],
            "keys": [{"pem": key, "kid": common["key_id"]}],
            "clock_skew_seconds": seconds(&common["max_skew"]),
            "max_ttl_seconds": seconds(&common["max_ttl"]),
            "required_claims": claims,
        }],
    });
    if let Some(excludes) = verifier["excludes"].as_array() {
        config["public_paths"] = excludes.iter().map(|exclude| json!({"regex": exclude})).collect();
    }
    let cookies = verifier["auth_cookies_enabled"] == true;
    let login = verifier["auth_redirect_url"].as_str();
    if cookies || login.is_some() {
        let mut session = json!({});
        if let Some(login) = login {
            session["login_url"] = json!(login);
            session["login_params"] = json!({"redirectUrl": "{url}", "workspaceId": common["audience"]});
        }
        if let Some(path) = verifier["cookie_path"].as_str() {
            session["cookie"] = json!({"path": path});
        }
        if let Some(base) = verifier["public_base_path"].as_str() {
            session["public_base_path"] = json!(base);
        }
        config["session"] = session;
    }
    if !cookies && login.is_some() {
        config["token_sources"] =
            json!([{"query": "token"}, {"header": "authorization", "scheme": "Bearer"}]);
    }
    config
}

/// A duration as Go writes it, of one unit.
fn seconds(duration: &Value) -> u64 {
    let written = text(duration);
    let of = |unit: char, seconds: u64| {
        let number: u64 = written.strip_suffix(unit)?.parse().ok()?;
        Some(number * seconds)
    };
    let seconds = of('h', 3600).or_else(|| of('m', 60)).or_else(|| of('s', 1));
    seconds.unwrap_or_else(|| panic!("no duration: {written}"))
}

/// The request that all tokens were recorded with, and the answer of one column.
fn of_token(case: &Value, column: &str) -> Recorded {
    let bearer = format!("Bearer {}", text(&case["token"]));
    let answer = &case[column];
    let expect = if answer["status"] == 200 {
        json!({"forward": {"path": "/app?x=1", "headers": {"authorization": bearer}}})
    } else {
        answered(answer, &[("location", answer["location"].clone())])
    };
    Recorded {
        name: format!("{column}: {}", text(&case["name"])),
        config: column.to_owned(),
        fields: head("GET", "/app?x=1", "srv.example.com", [("Authorization", bearer.as_str())]),
        expect,
    }
}

fn of_request(case: &Value) -> Recorded {
    let config = text(&case["config"]);
    let request = &case["request"];
    let expect = match case.get("forwarded") {
        Some(forwarded) => {
            let line: Vec<&str> = text(&forwarded["request_line"]).split(' ').collect();
            let mut headers = json!({":method": line[0]});
            for (name, value) in lines(&forwarded["headers"]) {
                match name.to_ascii_lowercase().as_str() {
                    // Its own, and not of the next hop.
                    "accept-encoding" | "user-agent" | "connection" | "proxy-authorization" => {}
                    // Envoy adds the address of the client, as the shipped configuration says.
                    name @ "x-forwarded-for" => headers[name] = json!(format!("~{value}*")),
                    name @ "cookie" if headers[name].is_string() => {
                        headers[name] = json!(format!("{}; {value}", text(&headers[name])));
                    }
                    name => headers[name] = json!(value),
                }
            }
            json!({"forward": {"path": line[1], "headers": headers}})
        }
        None => answered(&case["response"], &lines(&case["response"]["headers"])),
    };
    Recorded {
        name: format!("{config}: {}", text(&case["name"])),
        config: config.to_owned(),
        fields: head(
            text(&request["method"]),
            text(&request["path"]),
            text(&request["host"]),
            lines(&request["headers"]),
        ),
        expect,
    }
}

/// Status, body, and those header lines that a client acts on: present or absent as they were.
fn answered<V: Into<Value> + Clone>(answer: &Value, lines: &[(&str, V)]) -> Value {
    const COMPARED: [&str; 6] = [
        "access-control-allow-credentials",
        "access-control-allow-headers",
        "access-control-allow-methods",
        "access-control-allow-origin",
        "location",
        "set-cookie",
    ];
    let line = |name: &str| {
        let (_, value) = lines.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(value.clone().into())
    };
    let headers: Map<String, Value> =
        COMPARED.iter().map(|name| ((*name).to_owned(), line(name).unwrap_or(Value::Null))).collect();
    json!({"status": answer["status"], "headers": headers, "body": answer["body"].as_str().unwrap_or_default()})
}

fn head<'a>(
    method: &'a str,
    path: &'a str,
    host: &'a str,
    lines: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, Vec<u8>)> {
    let pseudo = [(":authority", host), (":path", path), (":method", method), (":scheme", "http")];
    pseudo
        .into_iter()
        .chain(lines)
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec()))
        .collect()
}

fn lines(headers: &Value) -> Vec<(&str, &str)> {
    headers.as_array().into_iter().flatten().map(|line| (text(&line[0]), text(&line[1]))).collect()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
