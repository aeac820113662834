//! The shipped Envoy with the built module in front of a sample service.
//!
//! `demo` walks the journey of a token, once, and fails where an answer is not as promised. `demo serve`
//! stays for a browser.

mod journey;
mod print;
mod site;
mod walk;

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

use rig::envoy::{Envoy, Options};
use rig::jwt::{self, Key};
use rig::upstream::Upstream;
use rig::{repository, shipped};
use serde_json::{Value, json};

use print::Style;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => demo(),
        Some("serve") => serve(),
        Some(_) => {
            eprintln!("usage: demo [serve]");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> ExitCode {
    let issuer = Issuer::new();
    let upstream = Upstream::start();
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut bootstrap);
    let envoy = start(bootstrap, &issuer, &upstream);
    journey::walk(envoy.port(LISTENER), &upstream, &issuer)
}

fn serve() -> ExitCode {
    let (stop, stopped) = mpsc::channel();
    ctrlc::set_handler(move || _ = stop.send(())).expect("the only handler");

    let issuer = Issuer::new();
    let upstream = Upstream::serve(site::answer(issuer.clone()));
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    let address = &bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"];
    let port = address["port_value"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
    if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_err() {
        eprintln!("port {port} is taken, using another");
        shipped::free_ports(&mut bootstrap);
    }
    let mut envoy = start(bootstrap, &issuer, &upstream);

    let style = Style::of_stdout();
    let origin = format!("http://127.0.0.1:{}", envoy.port(LISTENER));
    let token = issuer.token("alice");
    fs::write(repository("dist/demo/token"), &token).expect("a file for the token");
    println!("\n  {}  {}", style.bold("The service "), style.link(&format!("{origin}/")));
    println!(
        "  {}  {}",
        style.bold("Sign in     "),
        style.link(&format!("{origin}/jwt/auth?token={token}&redirectUrl=/"))
    );
    println!(
        "  {}  curl -H \"authorization: Bearer $(cat dist/demo/token)\" {origin}/notes",
        style.bold("As a script ")
    );
    println!("\n  {}", style.dim("Ctrl-C ends it."));

    while let Err(mpsc::RecvTimeoutError::Timeout) = stopped.recv_timeout(Duration::from_millis(500)) {
        if !envoy.is_alive() {
            eprintln!("Envoy ended by itself:\n{}", envoy.log());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The listener of the shipped file.
const LISTENER: &str = "workspace";

fn start(mut bootstrap: Value, issuer: &Issuer, upstream: &Upstream) -> Envoy {
    shipped::set_cluster_port(&mut bootstrap, "upstream", upstream.port());
    Envoy::start_with(bootstrap, &Options::with_env([("JWT_PUBLIC_KEY", &*issuer.key.public_pem())]))
}

/// Who signs the tokens that the shipped configuration trusts.
#[derive(Clone)]
struct Issuer {
    key: Key,
    name: Value,
    audience: Value,
}

impl Issuer {
    /// The key is kept, so that a link of the last run still works.
    fn new() -> Self {
        let file = repository("dist/demo/key.pem");
        let key = if let Ok(pem) = fs::read_to_string(&file) {
            Key::from_pkcs8_pem(&pem)
        } else {
            let key = Key::generate();
            fs::create_dir_all(repository("dist/demo")).expect("a folder for the key");
            fs::write(&file, key.pkcs8_pem()).expect("a file for the key");
            key
        };
        let provider = &shipped::plugin_config(&shipped::yaml("envoy.yaml"))["providers"][0];
        Self { key, name: provider["issuer"].clone(), audience: provider["audiences"].clone() }
    }

    /// A good token, for an hour.
    fn token(&self, subject: &str) -> String {
        self.sign(&self.key, &self.audience, subject, 3600)
    }

    /// A token that ended an hour ago.
    fn expired(&self, subject: &str) -> String {
        self.sign(&self.key, &self.audience, subject, -3600)
    }

    /// A token of the same words, signed with another key.
    fn forged(&self, subject: &str) -> String {
        self.sign(&Key::fixed("b"), &self.audience, subject, 3600)
    }

    /// A good token for another place.
    fn elsewhere(&self, subject: &str) -> String {
        self.sign(&self.key, &json!("elsewhere"), subject, 3600)
    }

    fn sign(&self, key: &Key, audience: &Value, subject: &str, seconds: i64) -> String {
        let now = jwt::now();
        let claims = json!({
            "iss": self.name, "aud": audience, "sub": subject,
            "iat": now.saturating_add_signed(seconds.min(0) - 60), "exp": now.saturating_add_signed(seconds),
        });
        jwt::mint(key, "RS256", json!({"alg": "RS256", "typ": "JWT"}), claims)
    }
}
