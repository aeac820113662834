//! The shipped Envoy with the configuration that stands in its file, and an upstream behind it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::envoy::{Envoy, Options};
use crate::http::{self, Response};
use crate::jwt::{Key, mint, now};
use crate::shipped;
use crate::upstream::Upstream;

/// The shipped Envoy and its upstream.
#[derive(Debug)]
pub struct Place {
    /// Envoy, with workers as asked for.
    pub envoy: Envoy,
    /// What it protects.
    pub upstream: Upstream,
    /// Where it listens.
    pub port: u16,
}

impl Place {
    /// Starts it with one worker.
    pub fn start() -> Self {
        Self::start_changed(1, |_| {})
    }

    /// Starts it with a changed bootstrap.
    pub fn start_changed(workers: u32, change: impl FnOnce(&mut Value)) -> Self {
        Self::try_start(workers, change).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The same of one that may not come up.
    ///
    /// # Errors
    /// Envoy ended, or was not live in time: the end of its log.
    pub fn try_start(workers: u32, change: impl FnOnce(&mut Value)) -> Result<Self, String> {
        let upstream = Upstream::start();
        let mut bootstrap = shipped::bootstrap("envoy.yaml");
        shipped::free_ports(&mut bootstrap);
        shipped::set_cluster_port(&mut bootstrap, "upstream", upstream.port());
        change(&mut bootstrap);
        let options = Options {
            concurrency: workers,
            env: vec![("JWT_PUBLIC_KEY".into(), Key::fixed("a").public_pem())],
            component_log_level: "wasm:debug".into(),
            ..Options::default()
        };
        let envoy = Envoy::try_start(bootstrap, &options)?;
        let port = envoy.port("workspace");
        Ok(Self { envoy, upstream, port })
    }

    /// Asks for a path.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response {
        self.send("GET", path, headers, b"")
    }

    /// Sends a request.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        http::request(self.port, method, path, &bytes(headers), body)
    }

    /// The value of a statistic; none if Envoy has it not.
    pub fn stat(&self, name: &str) -> Option<u64> {
        let stats = self.envoy.admin("/stats");
        let line = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.map(|value| value.parse().expect("a number"))
    }
}

/// The filter hands its counts over once in a second.
pub const TICK: Duration = Duration::from_millis(1_300);

/// Header lines as bytes.
pub fn bytes<'a>(headers: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a [u8])> {
    headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect()
}

/// A token of alice that the shipped configuration accepts if key `a` signed it.
pub fn token(key: &str, lifetime: i64) -> String {
    signed(key, "RS256", lifetime)
}

/// The same, signed by another algorithm.
pub fn signed(key: &str, alg: &str, lifetime: i64) -> String {
    let claims = json!({
        "iss": "https://login.example.com",
        "aud": "workspace",
        "sub": "alice",
        "exp": i64::try_from(now()).expect("fits") + lifetime,
    });
    mint(&Key::fixed(key), alg, json!({"alg": alg}), claims)
}

/// A good one, for an hour.
pub fn good() -> String {
    token("a", 3600)
}

/// It as `Authorization`.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// It as `Cookie`.
pub fn cookie(token: &str) -> String {
    format!("access_token={token}")
}

/// What the upstream saw of a header.
pub fn seen(body: &Value, name: &str) -> Vec<String> {
    let lines = body["headers"].as_array().expect("an answer of the upstream").iter();
    lines.filter(|line| line[0] == name).map(|line| line[1].as_str().expect("fits").to_owned()).collect()
}
