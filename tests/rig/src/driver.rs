//! An Envoy for many configurations, and what becomes of a request in it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::envoy::{Envoy, Options};
use crate::http::Response;
use crate::table::{self, Outcome};
use crate::upstream::Upstream;
use crate::wire::latin1;
use crate::{h2, http, repository, shipped};

/// Running Envoys, started from the shipped `envoy/envoy.yaml`, with a listener for each configuration.
#[derive(Debug)]
pub struct Driver {
    envoys: Vec<Envoy>,
    ports: BTreeMap<String, u16>,
    _upstream: Upstream,
}

/// So many configurations one Envoy loads.
const PART: usize = 100;

fn start(base: &Value, listeners: &[(&str, &str)]) -> Envoy {
    let mut bootstrap = shipped::many_listeners(base, listeners);
    for listener in bootstrap["static_resources"]["listeners"].as_array_mut().expect("listeners") {
        // As Envoy is by default: the upstream gets the path as it came.
        if listener["name"].as_str().expect("a name").ends_with("/raw") {
            let manager = listener.pointer_mut("/filter_chains/0/filters/0/typed_config");
            manager.expect("a connection manager")["normalize_path"] = json!(false);
        }
    }
    Envoy::start_with(bootstrap, &Options::default())
}

impl Driver {
    /// Starts them. The listeners trust one hop before them, so that a case can say by which scheme it came.
    pub fn start(configs: &BTreeMap<String, Value>) -> Self {
        let upstream = Upstream::start();
        let mut base = shipped::bootstrap("envoy.yaml");
        shipped::set_cluster_port(&mut base, "upstream", upstream.port());
        shipped::set_module(&mut base, &repository("dist/jwtproxy.wasm"));
        let variables = table::env();
        let variables: Vec<(&str, &str)> =
            variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
        shipped::set_env(&mut base, &variables);
        shipped::manager(&mut base)["xff_num_trusted_hops"] = json!(1);

        let texts: Vec<(&str, String)> =
            configs.iter().map(|(name, config)| (name.as_str(), lasting(config).to_string())).collect();
        let listeners: Vec<(&str, &str)> = texts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        // One after another: to load hundreds of filters at once takes a busy machine minutes.
        let envoys: Vec<Envoy> = listeners.chunks(PART).map(|listeners| start(&base, listeners)).collect();
        let ports = envoys.iter().flat_map(Envoy::ports).collect();
        Self { envoys, ports, _upstream: upstream }
    }

    /// Sends a request to the listener of that configuration.
    pub fn outcome(&self, config: &str, fields: &[(String, Vec<u8>)], body: &[u8]) -> Outcome {
        outcome(&http::send(self.ports[config], &raw(fields, body)))
    }

    /// The same over HTTP/2; none if that has no such request: it has no `Connection` and `Upgrade`, and joins the lines of
    /// `Cookie`.
    pub fn outcome_by_http2(
        &self,
        config: &str,
        fields: &[(String, Vec<u8>)],
        body: &[u8],
    ) -> Option<Outcome> {
        const OF_HTTP1: [&str; 5] = ["connection", "host", "keep-alive", "transfer-encoding", "upgrade"];
        let cookies = fields.iter().filter(|(name, _)| name == "cookie").count();
        if cookies > 1 || fields.iter().any(|(name, _)| OF_HTTP1.contains(&name.as_str())) {
            return None;
        }
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let (pseudo, lines): (Vec<_>, Vec<_>) =
            fields.into_iter().partition(|(name, _)| name.starts_with(':'));
        let answers = h2::responses(self.ports[config], &[([pseudo, lines].concat(), body)]);
        let answer = answers.into_iter().next().flatten();
        // What Envoy resets here it answers by 400 there.
        Some(answer.map_or_else(
            || Outcome::Answered { status: 400, headers: Vec::new(), body: String::new() },
            |response| outcome(&response),
        ))
    }

    /// Fails if a VM crashed on the way: Envoy answers 503 in its place.
    pub fn finish(self) {
        let dead = |port: &u16| http::request(*port, "GET", "/", &[], b"").status == 503;
        let dead: Vec<&String> =
            self.ports.iter().filter(|(_, port)| dead(port)).map(|(name, _)| name).collect();
        for envoy in &self.envoys {
            let log = envoy.log();
            assert!(dead.is_empty() && !log.contains("panicked"), "the VMs of {dead:?} are no more:\n{log}");
        }
    }
}

/// These fields and this body as a request of HTTP/1.1.
pub fn raw(fields: &[(String, Vec<u8>)], body: &[u8]) -> Vec<u8> {
    let pseudo = |name: &str| {
        let (_, value) = fields.iter().find(|(own, _)| own == name).expect("a pseudo-header");
        value.as_slice()
    };
    let mut raw =
        [pseudo(":method"), b" ", pseudo(":path"), b" HTTP/1.1\r\nhost: ", pseudo(":authority"), b"\r\n"]
            .concat();
    for (name, value) in fields.iter().filter(|(name, _)| !name.starts_with(':')) {
        raw.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    raw.extend(b"\r\n");
    raw.extend(body);
    raw
}

/// What became of a request, by what came back.
pub fn outcome(response: &Response) -> Outcome {
    match serde_json::from_slice::<Value>(&response.body) {
        Ok(seen) if seen["headers"].is_array() && seen["path"].is_string() => {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let pseudo =
                [(":method".to_owned(), text(&seen["method"])), (":path".to_owned(), text(&seen["path"]))];
            let lines = seen["headers"].as_array().into_iter().flatten();
            let lines = lines.map(|line| (text(&line[0]).to_ascii_lowercase(), text(&line[1])));
            Outcome::Forwarded {
                path: text(&seen["path"]),
                headers: pseudo.into_iter().chain(lines).collect(),
            }
        }
        _ => Outcome::Answered {
            status: response.status,
            headers: response
                .headers
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), latin1(value)))
                .collect(),
            body: latin1(&response.body),
        },
    }
}

/// The same configuration where nobody is signed out for good: the cases share their tokens, and come in any order.
pub fn lasting(config: &Value) -> Value {
    let mut config = config.clone();
    if let Some(session) = config.get_mut("session").and_then(Value::as_object_mut) {
        session.entry("revoke_on_logout").or_insert(Value::Bool(false));
    }
    config
}
