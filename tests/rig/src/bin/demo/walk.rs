//! A step: what is asked, what it brings about, and how both look on a terminal.

use std::fs;
use std::process::ExitCode;

use rig::envoy::binary_version;
use rig::http::{self, Response};
use rig::repository;
use rig::upstream::Upstream;
use serde_json::Value;

use crate::print::{Style, column, shorten};

pub(crate) struct Ask {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
}

impl Ask {
    /// What curl or a program sends.
    pub(crate) fn script(method: &'static str, path: &str) -> Self {
        Self { method, path: path.into(), headers: Vec::new() }
    }

    /// What a browser sends for a page or a form; `site` tells where the person came from.
    pub(crate) fn browser(method: &'static str, path: &str, site: &str) -> Self {
        Self::script(method, path)
            .with("accept", "text/html")
            .with("sec-fetch-mode", "navigate")
            .with("sec-fetch-dest", "document")
            .with("sec-fetch-site", site)
    }

    /// What a script in a page sends.
    pub(crate) fn fetch(method: &'static str, path: &str, site: &str) -> Self {
        Self::script(method, path).with("sec-fetch-mode", "no-cors").with("sec-fetch-site", site)
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// All that a request can bring about. Tokens are shortened.
#[derive(Default, PartialEq)]
pub(crate) struct Effect {
    pub(crate) status: u16,
    pub(crate) reason: Option<String>,
    pub(crate) location: Option<String>,
    pub(crate) set_cookie: Option<String>,
    /// What reached the upstream, if anything did.
    pub(crate) upstream: Option<Seen>,
}

#[derive(Default, PartialEq)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) cookie: Option<String>,
    pub(crate) subject: Option<String>,
    /// Where a token was seen: nowhere, it is hoped.
    pub(crate) token: Option<String>,
}

pub(crate) fn passes(path: &str, subject: Option<&str>) -> Effect {
    let seen = Seen { path: path.into(), subject: subject.map(Into::into), ..Seen::default() };
    Effect { status: 200, upstream: Some(seen), ..Effect::default() }
}

pub(crate) fn refuses(status: u16, reason: &str) -> Effect {
    Effect { status, reason: Some(reason.into()), ..Effect::default() }
}

pub(crate) fn redirects(status: u16, location: &str) -> Effect {
    Effect { status, location: Some(location.into()), ..Effect::default() }
}

impl Effect {
    fn of(response: &Response, reached: bool) -> Self {
        let text = |name| response.header(name).map(shorten);
        let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        Self {
            status: response.status,
            reason: json["reason"].as_str().map(Into::into),
            location: text("location"),
            set_cookie: text("set-cookie").map(|cookie| without_age(&cookie)),
            upstream: reached.then(|| Seen::of(&json)),
        }
    }
}

impl Seen {
    /// The upstream answers with what it saw.
    fn of(echo: &Value) -> Self {
        let fields: Vec<_> = echo["headers"].as_array().into_iter().flatten().collect();
        let field = |name: &str| fields.iter().find(|field| field[0] == name)?[1].as_str().map(shorten);
        let leak = fields.iter().find(|field| field[1].as_str().is_some_and(|value| value.contains("eyJ")));
        Self {
            path: shorten(echo["path"].as_str().unwrap_or_default()),
            cookie: field("cookie"),
            subject: field("x-jwt-sub"),
            token: leak.map(|field| shorten(&field.to_string())),
        }
    }
}

/// The session ends with its token, within the hour: to the second it depends on this machine's pace.
fn without_age(cookie: &str) -> String {
    let age = |attribute| {
        let seconds = str::strip_prefix(attribute, "Max-Age=").and_then(|seconds| seconds.parse().ok());
        if matches!(seconds, Some(1..=3600)) { "Max-Age=…" } else { attribute }
    };
    cookie.split("; ").map(age).collect::<Vec<_>>().join("; ")
}

pub(crate) struct Walk<'a> {
    port: u16,
    upstream: &'a Upstream,
    style: Style,
    steps: usize,
    differing: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn start(port: u16, upstream: &'a Upstream) -> Self {
        let style = Style::of_stdout();
        let module =
            fs::metadata(repository("dist/jwtproxy.wasm")).map_or(0, |file| file.len().div_ceil(1000));
        let what = format!("Envoy {}, envoy/envoy.yaml, dist/jwtproxy.wasm ({module} kB)", binary_version());
        println!("\n{}  {}\n", style.bold("The journey of a token"), style.dim(&what));
        Self { port, upstream, style, steps: 0, differing: 0 }
    }

    pub(crate) fn step(&mut self, title: &str, ask: &Ask, expected: &Effect) -> Response {
        let before = self.upstream.requests();
        let headers: Vec<_> = ask.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let response = http::request(self.port, ask.method, &ask.path, &headers, b"");
        let effect = Effect::of(&response, self.upstream.requests() > before);
        let same = effect == *expected;
        self.steps += 1;
        self.differing += usize::from(!same);

        let style = self.style;
        let mark = if same { style.good("✓") } else { style.bad("✗") };
        println!("{} {mark} {}", style.dim(&format!("{:>2}", self.steps)), style.bold(title));
        self.show_ask(ask);
        self.show(&effect);
        if !same {
            println!("     {}", style.bad("but it should be"));
            self.show(expected);
        }
        response
    }

    pub(crate) fn end(&self) -> ExitCode {
        let Self { steps, differing, style, .. } = *self;
        if differing == 0 {
            println!("\n{}\n", style.good(&format!("{steps} steps, each as promised.")));
            ExitCode::SUCCESS
        } else {
            println!("\n{}\n", style.bad(&format!("{differing} of {steps} steps differ.")));
            ExitCode::FAILURE
        }
    }

    fn show_ask(&self, ask: &Ask) {
        let told = ask.headers.iter().filter(|(name, _)| !name.starts_with("sec-fetch") && *name != "accept");
        let told: Vec<_> = told.map(|(name, value)| format!("{name}: {value}")).collect();
        self.row("asks", &column(ask.method, 5), &ask.path, &told);
    }

    fn show(&self, effect: &Effect) {
        let status = self.style.status(&column(&effect.status.to_string(), 5));
        let what = effect.reason.as_deref().or(effect.location.as_deref()).unwrap_or_default();
        let cookie: Vec<_> = effect.set_cookie.iter().map(|cookie| format!("set-cookie: {cookie}")).collect();
        self.row("gets", &status, what, &cookie);
        if let Some(Seen { path, cookie, subject, token }) = &effect.upstream {
            let seen = [("x-jwt-sub: ", subject), ("cookie: ", cookie), ("TOKEN ", token)];
            let seen = seen.iter().filter_map(|(name, value)| Some(format!("{name}{}", value.as_ref()?)));
            self.row("upstream", &column("saw", 5), path, &seen.collect::<Vec<_>>());
        } else {
            self.row("upstream", &self.style.dim("saw nothing"), "", &[]);
        }
    }

    fn row(&self, who: &str, verb: &str, what: &str, details: &[String]) {
        let (what, details) = (shorten(what), shorten(&details.join("  ")));
        let who = self.style.dim(&column(who, 9));
        let line =
            if details.is_empty() { what } else { format!("{what:<44}  {}", self.style.dim(&details)) };
        println!("     {who} {}", format!("{verb} {line}").trim_end());
    }
}
