//! What a real Envoy makes of the module, beyond single answers: started from the shipped `envoy/envoy.yaml`, with the
//! configuration that stands in it.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics says what is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread::sleep;

use rig::http::{Connection, raw};
use rig::jwt::{Key, mint};
use rig::place::{Place, TICK, bearer, bytes, cookie, good, seen, signed, token};
use rig::{h2, http, repository, shipped};
use serde_json::{Value, json};

fn forged() -> String {
    token("b", 3600)
}

fn accepts_good_and_refuses_forged(place: &Place) {
    let accepted = place.get("/app", &[("authorization", &bearer(&good()))]);
    assert_eq!((accepted.status, seen(&accepted.json(), "x-jwt-sub")), (200, vec!["alice".to_owned()]));
    let refused = place.get("/app", &[("authorization", &bearer(&forged()))]);
    assert_eq!((refused.status, &refused.json()["reason"]), (401, &json!("invalid_signature")));
}

#[test]
fn the_host_verifies_signatures_where_it_can() {
    let place = Place::start_changed(2, |_| {});
    accepts_good_and_refuses_forged(&place);
    assert_eq!(place.stat("wasmcustom.jwtproxy_signatures_by_host"), Some(1));
    assert_eq!(place.stat("wasmcustom.jwtproxy_open_jwtproxy"), Some(0));
    let log = place.envoy.log();
    // What nobody allows is not tried.
    let told = log.matches("signatures are verified by the host (RS256, RS384, RS512)\n").count();
    // Each worker has a VM, and so has the main thread.
    assert!(told >= 2, "{told} times in\n{log}");
    assert!(!log.contains("by crates"), "{log}");
}

#[test]
fn crates_verify_signatures_where_the_host_may_not() {
    let place = Place::start_changed(1, |bootstrap| {
        let removed = shipped::capabilities(bootstrap).remove("proxy_call_foreign_function");
        assert!(removed.is_some(), "is shipped");
    });
    accepts_good_and_refuses_forged(&place);
    assert_eq!(place.stat("wasmcustom.jwtproxy_signatures_by_host"), Some(0));
    let log = place.envoy.log();
    let told = "signatures are verified by crates (RS256, RS384, RS512), since the host does not verify RS256, RS384, \
                RS512, or not rightly";
    assert!(log.contains(told), "{log}");
    assert!(!log.contains("verified by the host"), "{log}");
}

/// Every algorithm, each with the key that has it.
const EVERY_ALGORITHM: [(&str, &str); 13] = [
    ("RS256", "a"),
    ("RS384", "a"),
    ("RS512", "a"),
    ("PS256", "a"),
    ("PS384", "a"),
    ("PS512", "a"),
    ("ES256", "p256"),
    ("ES384", "p384"),
    ("ES512", "p521"),
    ("EdDSA", "ed25519"),
    ("HS256", "secret64"),
    ("HS384", "secret64"),
    ("HS512", "secret64"),
];

/// Lets the shipped provider take every algorithm.
fn allow_every_algorithm(bootstrap: &mut Value) {
    let mut config = shipped::plugin_config(bootstrap);
    let provider = &mut config["providers"][0];
    provider["algorithms"] = EVERY_ALGORITHM.map(|(alg, _)| alg).to_vec().into();
    provider["keys"] = json!([
        {"pem": Key::fixed("a").public_pem()},
        {"pem": Key::fixed("p256").public_pem()},
        {"pem": Key::fixed("p384").public_pem()},
        {"pem": Key::fixed("p521").public_pem()},
        {"pem": Key::fixed("ed25519").public_pem()},
        {"jwk": Key::fixed("secret64").jwk("s")},
    ]);
    shipped::set_plugin_config(bootstrap, &config.to_string());
}

fn accepts_every_algorithm_and_no_forgery(place: &Place) {
    for (alg, key) in EVERY_ALGORITHM {
        let other = if key == "a" { "b".to_owned() } else { format!("{key}_b") };
        for (key, status) in [(key, 200), (other.as_str(), 401)] {
            let token = signed(key, alg, 3600);
            let answer = place.get("/app", &[("authorization", &bearer(&token))]);
            assert_eq!(answer.status, status, "{alg} by {key}: {}", place.envoy.log());
        }
    }
}

#[test]
fn the_host_verifies_ecdsa_too_and_crates_the_rest() {
    let place = Place::start_changed(1, allow_every_algorithm);
    accepts_every_algorithm_and_no_forgery(&place);
    assert_eq!(place.stat("wasmcustom.jwtproxy_signatures_by_host"), Some(1));
    let told = "signatures are verified by the host (RS256, RS384, RS512, ES256, ES384, ES512) and by crates (PS256, \
                PS384, PS512, EdDSA, HS256, HS384, HS512)\n";
    let log = place.envoy.log();
    assert!(log.contains(told), "{log}");
}

#[test]
fn crates_verify_every_algorithm_where_the_host_may_not() {
    let place = Place::start_changed(1, |bootstrap| {
        allow_every_algorithm(bootstrap);
        shipped::capabilities(bootstrap).remove("proxy_call_foreign_function").expect("is shipped");
    });
    accepts_every_algorithm_and_no_forgery(&place);
    assert_eq!(place.stat("wasmcustom.jwtproxy_signatures_by_host"), Some(0));
    let log = place.envoy.log();
    assert!(
        log.contains("since the host does not verify RS256, RS384, RS512, ES256, ES384, ES512, or"),
        "{log}"
    );
}

#[test]
fn every_outcome_is_counted() {
    let place = Place::start();
    let counters = || -> Vec<(String, u64)> {
        let stats = place.envoy.admin("/stats?filter=^wasmcustom\\.jwtproxy_.*_total$");
        let lines =
            stats.lines().filter_map(|line| line.strip_prefix("wasmcustom.jwtproxy_")?.split_once(": "));
        let pairs = lines.map(|(name, value)| (name.replace("_total", ""), value.parse().unwrap()));
        pairs.collect::<BTreeMap<_, _>>().into_iter().collect()
    };
    let of = |pairs: &[(&str, u64)]| -> Vec<(String, u64)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    };
    assert_eq!(
        counters(),
        of(&[
            ("forwarded", 0),
            ("preflight", 0),
            ("public", 0),
            ("refused", 0),
            ("signed_in", 0),
            ("signed_out", 0),
            ("streams_ended", 0),
            ("told", 0),
        ])
    );

    let (good, forged, expired) = (bearer(&good()), bearer(&forged()), bearer(&token("a", -3600)));
    let preflight = vec![("origin", "https://a.example"), ("access-control-request-method", "POST")];
    for (method, path, headers, status) in [
        ("GET", "/app", vec![("authorization", good.as_str())], 200),
        ("GET", "/app", vec![("authorization", &good)], 200),
        ("OPTIONS", "/jwt/auth", preflight.clone(), 204),
        ("OPTIONS", "/app", preflight, 200),
        ("GET", "/healthz", vec![], 200),
        ("GET", "/app", vec![], 401),
        ("GET", "/app", vec![("accept", "text/html")], 302),
        ("GET", "/app", vec![("authorization", &forged)], 401),
        ("GET", "/app", vec![("authorization", &expired)], 401),
        ("POST", "/jwt/auth", vec![("authorization", &good)], 204),
        ("POST", "/jwt/logout", vec![], 204),
        ("POST", "/jwt/logout", vec![("sec-fetch-site", "cross-site")], 403),
    ] {
        assert_eq!(place.send(method, path, &headers, b"").status, status, "{method} {path} {headers:?}");
    }
    sleep(TICK);
    assert_eq!(
        counters(),
        of(&[
            ("forwarded", 2),
            ("preflight", 1),
            ("public", 2),
            ("refused", 5),
            ("refused_csrf", 1),
            ("refused_invalid_signature", 1),
            ("refused_missing_token", 2),
            ("refused_token_expired", 1),
            ("signed_in", 1),
            ("signed_out", 1),
            ("streams_ended", 0),
            ("told", 0),
        ])
    );
    let exported = place.envoy.admin("/stats/prometheus?filter=jwtproxy");
    assert!(exported.contains("jwtproxy_refused_total{} 5"), "{exported}");
}

#[test]
fn logs_tell_reasons_and_no_secrets() {
    let place = Place::start();
    let tokens = [good(), forged(), token("a", -3600)];
    for (at, token) in tokens.iter().enumerate() {
        let query = format!("/in-query-{at}?token={token}");
        for method in ["GET", "POST"] {
            place.send(method, &query, &[], b"");
            place.send(method, &query, &[("accept", "text/html")], b"");
            place.send(method, "/in-header", &[("authorization", &bearer(token))], b"");
            place.send(method, "/in-cookie", &[("cookie", &cookie(token))], b"");
            place.send(method, "/jwt/auth", &[("authorization", &bearer(token))], b"");
            place.send(method, &format!("/jwt/auth?token={token}&redirectUrl=/x"), &[], b"");
        }
    }
    place.get("/last", &[]);
    let log = place.envoy.log_with(r#""path":"/last""#);

    let line = |path: &str| -> Value {
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let found = lines.into_iter().find(|line| line["path"] == path && line["method"] == "GET");
        found.unwrap_or_else(|| panic!("no line for {path} in\n{log}"))
    };
    assert_eq!((&line("/last")["reason"], &line("/last")["status"]), (&json!("missing_token"), &json!(401)));
    assert_eq!(line("/in-query-0")["reason"], Value::Null);
    assert_eq!(line("/in-query-1")["reason"], "invalid_signature");
    assert_eq!(line("/in-query-2")["reason"], "token_expired");
    assert!(log.contains("jwtproxy: invalid_signature: "), "the log at debug tells more:\n{log}");

    let key = Key::fixed("a").public_pem();
    let key = key.lines().nth(1).unwrap();
    for secret in tokens.iter().flat_map(|token| token.split('.')).chain([key, "access_token="]) {
        // The header is the same in every token, and no secret.
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
}

/// Every worker sees such tokens, and one says it.
#[test]
fn an_exp_in_milliseconds_is_warned_of_once() {
    let place = Place::start_changed(2, |_| {});
    let said = "a token has a lifetime of more than 30 years";
    place.get("/", &[("authorization", &bearer(&token("a", 900_000_000)))]);
    assert!(!place.envoy.log().contains(said), "not of one that is valid for 28 years");
    for number in 0..20 {
        let token = token("a", 1_700_000_000_000 + number);
        assert_eq!(place.get("/", &[("authorization", &bearer(&token))]).status, 200);
    }
    let log = place.envoy.log_with(said);
    assert_eq!(log.matches(said).count(), 1, "{log}");
}

#[test]
fn http2_requests_are_judged_as_those_of_http1() {
    let place = Place::start();
    let (bearer_good, bearer_forged) = (bearer(&good()), bearer(&forged()));
    let (in_cookie, in_forged_cookie) = (cookie(&good()), cookie(&forged()));
    let request = |path: &'static str, lines: &[(&'static str, &'static str)]| {
        let pseudo =
            [(":method", "GET"), (":scheme", "http"), (":authority", "app.example.com"), (":path", path)];
        bytes(&[&pseudo, lines].concat())
    };
    let with = |path, name: &'static str, value| {
        let mut fields: Vec<(&str, &[u8])> = request(path, &[]);
        fields.push((name, value));
        fields
    };
    // Browsers send each cookie as a line of its own (RFC 9113 section 8.2.3).
    let crumbs = |token| {
        let mut fields = with("/app", "cookie", b"a=1".as_slice());
        fields.extend([("cookie", token), ("cookie", b"b=2".as_slice())]);
        fields
    };
    let requests = [
        with("/app", "authorization", bearer_good.as_bytes()),
        with("/app", "authorization", bearer_forged.as_bytes()),
        crumbs(in_cookie.as_bytes()),
        crumbs(in_forged_cookie.as_bytes()),
        request("/app", &[]),
        with("/app", "x-odd", b"\xff".as_slice()),
        request("/healthz", &[("x-jwt-sub", "mallory")]),
    ];
    let requests = requests.map(|fields| (fields, b"".as_slice()));
    let answers = h2::responses(place.port, &requests);
    let bodies: Vec<Value> =
        answers.iter().map(|answer| answer.as_ref().expect("an answer").json()).collect();
    assert_eq!(seen(&bodies[0], "x-jwt-sub"), ["alice"]);
    assert_eq!(seen(&bodies[0], "authorization"), [""; 0]);
    assert_eq!(bodies[1]["reason"], "invalid_signature");
    assert_eq!(seen(&bodies[2], "x-jwt-sub"), ["alice"]);
    assert_eq!(seen(&bodies[2], "cookie"), ["a=1; b=2"]);
    assert_eq!(bodies[3]["reason"], "invalid_signature");
    assert_eq!(bodies[4]["reason"], "missing_token");
    assert_eq!(bodies[5]["reason"], "missing_token");
    assert_eq!(seen(&bodies[6], "x-jwt-sub"), [""; 0]);
}

/// The core relies on it where it sends somebody to the address that they asked for.
#[test]
fn envoy_lets_no_path_through_without_its_slash() {
    let place = Place::start();
    let token = good();
    let signed_in = |before_query: &str| {
        let path = format!("{before_query}?token={token}");
        let request = bytes(&[
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "app.example.com"),
            (":path", &path),
            ("accept", "text/html"),
        ]);
        let answers = h2::responses(place.port, &[(request, b"")]);
        sleep(TICK);
        (answers[0].is_some(), place.stat("wasmcustom.jwtproxy_signed_in_total"))
    };
    for path in ["http://evil.example/", "@evil.example/", ""] {
        assert_eq!(signed_in(path), (false, Some(0)), "{path}");
    }
    assert_eq!(signed_in("/"), (true, Some(1)));
}

/// A path and header lines.
type Hostile<'a> = (&'a str, Vec<(&'a str, &'a [u8])>);

#[test]
fn workers_survive_hostile_requests() {
    let place = Place::start_changed(2, |_| {});
    let many_cookies = "a=1; ".repeat(10_000);
    let many_tokens = "access_token=a.b.c; ".repeat(2_500);
    let token = good();
    let (_, signature) = token.rsplit_once('.').unwrap();
    let long = format!("Bearer {}.{}.{signature}", "e".repeat(25_000), "A".repeat(25_000));
    let nested =
        format!("Bearer {}", mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256"}), nested_claims()));
    let parameters = format!("/?{}", "token=a.b.c&".repeat(2_000));
    let hostile: Vec<Hostile<'_>> = vec![
        ("/", vec![("authorization", b"Bearer \xff\xfe.\xff.\xff")]),
        ("/", vec![("cookie", b"access_token=\xc3\x28.\x80.\xff"), ("x-any", b"\xff")]),
        ("/", vec![("accept", b"text/html\xff"), ("origin", b"\xff"), ("referer", b"\xf0\x28")]),
        ("/", vec![("authorization", long.as_bytes())]),
        ("/", vec![("authorization", nested.as_bytes())]),
        ("/", vec![("cookie", many_cookies.as_bytes())]),
        ("/", vec![("cookie", many_tokens.as_bytes())]),
        ("/", vec![("authorization", b""), ("cookie", b""), ("accept", b"")]),
        (&parameters, vec![]),
        ("/%ff%00%zz?%ff=%zz&token=%ff", vec![("accept", b"text/html")]),
        ("/jwt/auth?redirectUrl=%0d%0aset-cookie:%20a&token=..", vec![("accept", b"text/html")]),
    ];
    for (path, headers) in &hostile {
        // A connection each: the kernel spreads them over the workers.
        for _ in 0..6 {
            let answer = http::request(place.port, "GET", path, headers, b"");
            assert!(
                matches!(answer.status, 302 | 400 | 401 | 431),
                "{} to {path:.40} {headers:?}",
                answer.status
            );
        }
    }
    let connections = |worker: &str| {
        let stats = place.envoy.admin(&format!("/stats?filter=\\.{worker}\\.downstream_cx_total"));
        let counts = stats
            .lines()
            .filter(|line| line.contains("listener.127"))
            .filter_map(|line| line.split_once(": "));
        counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum::<u64>()
    };
    let before = ["worker_0", "worker_1"].map(connections);
    for _ in 0..200 {
        assert_eq!(place.get("/app", &[("authorization", &bearer(&token))]).status, 200);
        let after = ["worker_0", "worker_1"].map(connections);
        if before[0] < after[0] && before[1] < after[1] {
            let reloads = place.envoy.admin("/stats?filter=vm_reload");
            assert!(
                reloads.lines().count() > 0 && reloads.lines().all(|line| line.ends_with(": 0")),
                "{reloads}"
            );
            assert!(!place.envoy.log().contains("panicked"), "{}", place.envoy.log());
            return;
        }
    }
    panic!(
        "one worker got no request: {before:?} before, {:?} after",
        ["worker_0", "worker_1"].map(connections)
    );
}

/// Lists in lists, deep enough to exhaust a stack.
fn nested_claims() -> Value {
    (0..100).fold(json!([]), |inner, _| json!([inner]))
}

#[test]
fn a_websocket_opens_for_the_same_site_only() {
    let place = Place::start();
    let (token, host) = (cookie(&good()), "app.example.com");
    let upgrade = |origin: &str| {
        let headers = [
            ("host", host),
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("origin", origin),
            ("cookie", token.as_str()),
        ];
        let mut socket = Connection::open(place.port);
        let answer = socket.send(&raw(place.port, "GET", "/socket", &bytes(&headers), b""));
        (answer, socket)
    };
    let (opened, mut socket) = upgrade("http://app.example.com");
    assert_eq!(opened.status, 101);
    let request: Value = serde_json::from_slice(&socket.frame()).unwrap();
    assert_eq!(seen(&request, "cookie"), [""; 0]);
    assert_eq!(seen(&request, "x-jwt-sub"), ["alice"]);

    let (refused, _) = upgrade("https://evil.example");
    assert_eq!((refused.status, &refused.json()["reason"]), (403, &json!("csrf")));
    assert_eq!(place.upstream.requests(), 1);
}

#[test]
fn grpc_is_refused_in_its_own_words() {
    let place = Place::start();
    let kind = ("content-type", "application/grpc");
    for (headers, status) in [
        (vec![kind], "16"),
        (vec![kind, ("authorization", "Bearer a.b.c")], "16"),
        (vec![("content-type", "application/grpc+proto"), ("accept", "text/html")], "16"),
    ] {
        let refused = place.send("POST", "/package.Service/Method", &headers, b"\0\0\0\0\0");
        assert_eq!((refused.status, refused.header("grpc-status")), (200, Some(status)), "{headers:?}");
        assert!(refused.header("grpc-message").is_some_and(|message| !message.is_empty()));
        assert!(refused.body.is_empty());
    }
    let token = bearer(&good());
    let forwarded = place.send("POST", "/package.Service/Method", &[kind, ("authorization", &token)], b"\0");
    assert_eq!(forwarded.json()["body"], "\0");
}

#[test]
fn a_body_passes_untouched() {
    let place = Place::start();
    let token = bearer(&good());
    // Token parameters in a body are the application's: only the head is read.
    let body = format!("token={}&x=\u{0}\r\n", forged());
    let headers = [("authorization", token.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let forwarded = place.send("POST", "/form?x=1", &headers, body.as_bytes()).json();
    assert_eq!((&forwarded["body"], &forwarded["path"]), (&json!(body), &json!("/form?x=1")));
    assert_eq!(seen(&forwarded, "authorization"), [""; 0]);

    let large = "0123456789abcdef".repeat(65_536);
    let forwarded = place.send("PUT", "/large", &[("authorization", &token)], large.as_bytes()).json();
    assert!(forwarded["body"] == large, "a MiB has changed");

    let chunked = format!(
        "POST /chunked HTTP/1.1\r\nhost: x\r\nauthorization: {token}\r\ntransfer-encoding: chunked\r\n\r\n\
         2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
    );
    assert_eq!(http::send(place.port, chunked.as_bytes()).json()["body"], "abc");
}

/// A name that is no longer called, or was never right, would grant nothing or too much and nobody would see it.
#[test]
fn every_shipped_capability_is_one_that_the_module_has() {
    let module = fs::read(repository("dist/jwtproxy.wasm")).expect("dist/jwtproxy.wasm");
    let names: BTreeSet<String> = imports(&module).union(&exports(&module)).cloned().collect();
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    let strangers: Vec<&String> =
        shipped::capabilities(&mut bootstrap).keys().filter(|name| !names.contains(*name)).collect();
    assert_eq!(strangers, [""; 0], "of {names:?}");
}

/// Envoy calls whatever is exported, with each request: a callback more is a cost more.
#[test]
fn the_module_exports_what_the_filter_has_something_to_do_in() {
    let module = fs::read(repository("dist/jwtproxy.wasm")).expect("dist/jwtproxy.wasm");
    let exports = exports(&module);
    let expected = [
        "_initialize",
        "memory",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_context_create",
        "proxy_on_delete",
        "proxy_on_http_call_response",
        "proxy_on_memory_allocate",
        "proxy_on_queue_ready",
        "proxy_on_request_body",
        "proxy_on_request_headers",
        "proxy_on_request_trailers",
        "proxy_on_tick",
        "proxy_on_vm_start",
    ];
    assert_eq!(exports.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// What else a module could ask of its host: files, sockets, clocks. The SDK names every function of proxy-wasm, the rest
/// is this.
#[test]
fn the_module_imports_nothing_but_proxy_wasm_and_a_little_of_wasi() {
    let module = fs::read(repository("dist/jwtproxy.wasm")).expect("dist/jwtproxy.wasm");
    let others: Vec<String> =
        imports(&module).into_iter().filter(|name| !name.starts_with("proxy_")).collect();
    assert_eq!(others, ["environ_get", "environ_sizes_get", "fd_write", "proc_exit", "random_get"]);
}

fn imports(module: &[u8]) -> BTreeSet<String> {
    const IMPORTS: u8 = 2;
    names(module, IMPORTS, |section| {
        section.name();
        let name = section.name();
        assert_eq!(section.take(1), [0], "a module of proxy-wasm imports functions only");
        section.number();
        name
    })
}

fn exports(module: &[u8]) -> BTreeSet<String> {
    const EXPORTS: u8 = 7;
    names(module, EXPORTS, |section| {
        let name = section.name();
        section.take(1);
        section.number();
        name
    })
}

/// The names in one section of a module (WebAssembly 2.0, section 5.5).
fn names(module: &[u8], wanted: u8, read: impl Fn(&mut Reader<'_>) -> String) -> BTreeSet<String> {
    let mut reader = Reader(&module[8..]);
    let mut names = BTreeSet::new();
    while !reader.0.is_empty() {
        let id = reader.take(1)[0];
        let length = reader.number();
        let mut section = Reader(reader.take(length));
        if id == wanted {
            names.extend((0..section.number()).map(|_| read(&mut section)));
        }
    }
    names
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).expect("a whole module");
        self.0 = rest;
        taken
    }

    /// LEB128, without a sign.
    fn number(&mut self) -> usize {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.take(1)[0];
            number |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return number;
            }
        }
    }

    fn name(&mut self) -> String {
        let length = self.number();
        String::from_utf8(self.take(length).to_vec()).expect("a name in UTF-8")
    }
}
