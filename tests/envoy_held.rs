//! Nothing but the filter's own judgement lets a request go on that waits, whatever else comes of it, and whatever the filter
//! may not do.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics says what is wrong"
)]

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::Duration;

use jwtproxy_wasm::Decision;
use jwtproxy_wasm::feed::FeedKind;
use rig::envoy::linear_memories;
use rig::h2::{self, Piece};
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::{Place, TICK, bearer, bytes};
use rig::shipped;
use serde_json::{Value, json};

/// In which a request can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its form is not complete.
    Form,
    /// The same, and then nobody knows the `kid` of a token beside it.
    FormAndKid,
    /// The keys of its issuer were never fetched.
    Keys,
    /// Nobody knows its `kid`.
    Kid,
    /// What is revoked was never fetched.
    Revocations,
}

const STATES: [State; 5] = [State::Form, State::FormAndKid, State::Keys, State::Kid, State::Revocations];

impl State {
    const fn is_form(self) -> bool {
        matches!(self, Self::Form | Self::FormAndKid)
    }
}

/// A new way to wait does not compile before it has a state here.
#[expect(dead_code, reason = "it is the compiler that asks")]
fn every_wait_has_a_state(decision: &Decision<'_>, kind: FeedKind) -> &'static [State] {
    match (decision, kind) {
        (Decision::ReadForm, _) => &[State::Form, State::FormAndKid],
        (Decision::Await { .. }, FeedKind::Keys(_)) => &[State::Keys, State::Kid],
        (Decision::Await { .. }, FeedKind::Revocations(_)) => &[State::Revocations],
        (Decision::Answer(_) | Decision::Forward(_), _) => &[],
    }
}

/// What may come behind the head of a request.
const WAYS: [(&str, &[Piece<'_>]); 11] = [
    ("trailers", &[Piece::Pause, Piece::Trailers(TRAILERS)]),
    ("trailers at once", &[Piece::Trailers(TRAILERS)]),
    ("data, trailers", &[Piece::Data(b"x"), Piece::Pause, Piece::Trailers(TRAILERS)]),
    ("data in pieces", &[Piece::Data(b"x"), Piece::Pause, Piece::Data(b"y"), Piece::Pause, Piece::End]),
    // A second one in a row Envoy takes for a flood.
    ("empty data", &[Piece::Pause, Piece::Data(b""), Piece::Pause, Piece::End]),
    ("the end", &[Piece::Pause, Piece::End]),
    ("empty data, trailers", &[Piece::Data(b""), Piece::Pause, Piece::Trailers(TRAILERS)]),
    ("metadata, trailers", &[Piece::Metadata, Piece::Pause, Piece::Trailers(TRAILERS)]),
    ("metadata, data", &[Piece::Metadata, Piece::Data(b"x"), Piece::Metadata, Piece::Pause, Piece::End]),
    ("much data, trailers", &[Piece::Data(&[b'x'; 16_000]), Piece::Pause, Piece::Trailers(TRAILERS)]),
    ("reset", &[Piece::Data(b"x"), Piece::Pause, Piece::Reset]),
];

const TRAILERS: &[(&str, &[u8])] = &[("x-jwt-sub", b"root"), ("x-trailer", b"a")];

/// Three issuers: the keys of the first never come, the second has one key and takes its time, what is revoked of the third
/// never comes.
struct World {
    issuer: Issuer,
}

impl World {
    fn new() -> Self {
        let issuer = Issuer::start();
        issuer.serve("/never", Serve::Silence);
        issuer.serve_keys("/late", &[Key::fixed("a").jwk("1")]);
        Self { issuer }
    }

    fn change(&self, bootstrap: &mut Value) {
        let port = self.issuer.port();
        let remote = |path: &str| {
            json!({"uri": format!("http://127.0.0.1:{port}/{path}"), "cluster": "issuer", "allow_http": true,
                   "timeout_seconds": 2})
        };
        let headers = json!({"x-jwt-sub": "sub"});
        let mut config = shipped::plugin_config(bootstrap);
        config["providers"] = json!([
            {"name": "keys", "issuer": "keys", "claim_headers": headers, "remote_jwks": remote("never")},
            {"name": "kid", "issuer": "kid", "claim_headers": headers, "remote_jwks": remote("late")},
            {"name": "revocations", "issuer": "revocations", "claim_headers": headers,
             "keys": [{"env": "JWT_PUBLIC_KEY"}], "revoked": {"remote": remote("never")}},
            {"name": "good", "issuer": "good", "claim_headers": headers, "keys": [{"env": "JWT_PUBLIC_KEY"}]},
        ]);
        shipped::set_plugin_config(bootstrap, &config.to_string());
        shipped::add_cluster(bootstrap, "issuer", port);
        let manager = shipped::manager(bootstrap);
        // A filter behind that gives every request a path.
        let filters = manager["http_filters"].as_array_mut().expect("filters");
        let code = "function envoy_on_request(handle)\n\
                    local path = handle:headers():get(':path') or ''\n\
                    handle:headers():replace(':path', path .. '?lua')\nend";
        filters.insert(
            1,
            json!({"name": "lua", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua",
                "default_source_code": {"inline_string": code}}}),
        );
        // What hangs for lack of a capability ends so.
        manager["stream_idle_timeout"] = json!("6s");
        manager["http2_protocol_options"] = json!({"allow_metadata": true});
        manager["http_protocol_options"] = json!({"enable_trailers": true});
    }

    /// From now on the second issuer takes its time.
    fn slow_down(&self) {
        let keys = Serve::json(&json!({"keys": [Key::fixed("a").jwk("1")]}));
        self.issuer.serve("/late", Serve::Late(Duration::from_millis(1_800), Box::new(keys)));
    }
}

fn token(issuer: &str, key: &str, kid: &str) -> String {
    let exp = i64::try_from(now()).expect("fits") + 3600;
    mint(
        &Key::fixed(key),
        "RS256",
        json!({"alg": "RS256", "kid": kid}),
        json!({"iss": issuer, "sub": "mallory", "exp": exp}),
    )
}

/// The head of a request that waits.
fn head(state: State) -> Vec<(&'static str, String)> {
    let forged = match state {
        State::Form => None,
        State::Keys => Some(token("keys", "b", "1")),
        State::Kid | State::FormAndKid => Some(token("kid", "b", "nobody's")),
        // Only a genuine token is compared with what is revoked.
        State::Revocations => Some(token("revocations", "a", "1")),
    };
    let mut fields = vec![
        (":method", "POST".to_owned()),
        (":scheme", "http".to_owned()),
        (":authority", "app.example.com".to_owned()),
        (":path", if state.is_form() { "/jwt/auth".to_owned() } else { "/app".to_owned() }),
        ("sec-fetch-site", "same-origin".to_owned()),
        ("x-jwt-sub", "root".to_owned()),
        ("x-jwtproxy-held-path", "/app".to_owned()),
        ("x-jwtproxy-held-method", "GET".to_owned()),
    ];
    if state.is_form() {
        fields.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
    }
    if let Some(forged) = forged {
        fields.push(("authorization", bearer(&forged)));
    }
    fields
}

/// Sends each state on each way, all at once, and tells what came back; none: no answer.
fn everything(port: u16) -> Vec<(String, Option<u16>)> {
    let answers = Arc::new(Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for state in STATES {
            for (way, pieces) in WAYS {
                let answers = Arc::clone(&answers);
                scope.spawn(move || {
                    let owned = head(state);
                    let fields: Vec<_> =
                        owned.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
                    let status = h2::in_pieces(port, &fields, pieces).map(|answer| answer.status);
                    answers.lock().expect("no panic").push((format!("{state:?}, HTTP/2, {way}"), status));
                });
            }
            for (way, raw) in of_http1(state) {
                let answers = Arc::clone(&answers);
                scope.spawn(move || {
                    let status = first_status(port, &raw);
                    answers.lock().expect("no panic").push((format!("{state:?}, HTTP/1.1, {way}"), status));
                });
            }
        }
    });
    Arc::into_inner(answers).expect("all ended").into_inner().expect("no panic")
}

/// The same request over HTTP/1.1, in the pieces in which it is sent.
fn of_http1(state: State) -> Vec<(&'static str, Vec<String>)> {
    let lines = head(state).into_iter().filter(|(name, _)| !name.starts_with(':'));
    let lines = lines.fold(String::new(), |mut lines, (name, value)| {
        let _ = write!(lines, "{name}: {value}\r\n");
        lines
    });
    let path = if state.is_form() { "/jwt/auth" } else { "/app" };
    let head = |method: &str, more: &str| {
        format!("{method} {path} HTTP/1.1\r\nhost: app.example.com\r\n{lines}{more}\r\n")
    };
    let chunked = head("POST", "transfer-encoding: chunked\r\n");
    let mut all = vec![
        ("a body with its length", vec![head("POST", "content-length: 2\r\n"), "x".into(), "y".into()]),
        ("chunks", vec![chunked.clone(), "1\r\nx\r\n".into(), "0\r\n\r\n".into()]),
        (
            "chunks and trailers",
            vec![chunked.clone(), "1\r\nx\r\n".into(), "0\r\nx-jwt-sub: root\r\n\r\n".into()],
        ),
        ("trailers alone", vec![chunked, "0\r\nx-jwt-sub: root\r\n\r\n".into()]),
        ("100-continue", vec![head("POST", "expect: 100-continue\r\ncontent-length: 1\r\n"), "x".into()]),
    ];
    if !state.is_form() {
        let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        all.push(("upgrade", vec![head("GET", upgrade), "x".repeat(100)]));
        all.push(("a request behind it", vec![head("GET", ""), head("GET", "")]));
    }
    all
}

/// The status of the final answer; none: there was none.
fn first_status(port: u16, pieces: &[String]) -> Option<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    for piece in pieces {
        let _ = stream.write_all(piece.as_bytes());
        sleep(Duration::from_millis(50));
    }
    let (mut text, mut byte) = (String::new(), [0; 1]);
    while stream.read(&mut byte).ok()? == 1 {
        text.push(char::from(byte[0]));
        if text.ends_with("\r\n\r\n") {
            let status = text.split(' ').nth(1)?.parse().ok()?;
            if status != 100 {
                return Some(status);
            }
            text.clear();
        }
    }
    None
}

/// None of them may have come to the upstream.
fn nothing_went_on(place: &Place, answers: &[(String, Option<u16>)], what: &str) {
    let through: Vec<_> = answers.iter().filter(|(_, status)| matches!(status, Some(200 | 101))).collect();
    assert!(through.is_empty(), "{what}: went on: {through:?}");
    assert_eq!(place.upstream.requests(), 0, "{what}: the upstream was asked: {answers:?}");
}

fn lets_good_ones_through(place: &Place) -> u16 {
    place.get("/app", &[("authorization", &bearer(&token("good", "a", "1")))]).status
}

#[test]
fn what_waits_goes_on_by_a_judgement_alone() {
    let world = World::new();
    let place = Place::start_changed(1, |bootstrap| world.change(bootstrap));
    // Once the second issuer has answered, its token of an unknown key waits for the next answer.
    sleep(TICK);
    world.slow_down();
    let answers = everything(place.port);
    nothing_went_on(&place, &answers, "all granted");
    let refused = |status: &Option<u16>| matches!(status, Some(401 | 403 | 413 | 503));
    let odd: Vec<_> =
        answers.iter().filter(|(name, status)| !refused(status) && !name.ends_with("reset")).collect();
    assert!(odd.is_empty(), "neither waited nor were refused: {odd:?}");
    sleep(TICK);
    let waited = place.stat("wasmcustom.jwtproxy_waited_total").unwrap_or_default();
    // All but the forms, which wait for themselves.
    let of_feeds = answers.iter().filter(|(name, _)| !name.starts_with("Form")).count();
    // Behind the first request of a connection the second one comes later, and may not wait any more.
    assert!(usize::try_from(waited).expect("fits") >= of_feeds, "only {waited} of {of_feeds} waited");
    assert_eq!(lets_good_ones_through(&place), 200);
}

/// Who waits with a good token goes on when the keys are there, whole, and without what its trailers claim.
#[test]
fn what_is_judged_well_goes_on_whole() {
    let world = World::new();
    let place = Place::start_changed(1, |bootstrap| world.change(bootstrap));
    sleep(TICK);
    let keys = json!({"keys": [Key::fixed("a").jwk("1"), Key::fixed("b").jwk("2")]});
    world.issuer.serve("/late", Serve::Late(Duration::from_secs(1), Box::new(Serve::json(&keys))));
    let authorization = bearer(&token("kid", "b", "2"));
    let mut fields = bytes(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "app.example.com"),
        (":path", "/app?a=1"),
        ("authorization", &authorization),
        ("x-jwt-sub", "root"),
    ]);
    fields.extend([("x-jwtproxy-held-path", b"/other".as_slice()), ("x-jwtproxy-held-method", b"GET")]);
    let answer = h2::in_pieces(
        place.port,
        &fields,
        &[Piece::Data(b"one "), Piece::Pause, Piece::Data(b"two"), Piece::Trailers(TRAILERS)],
    );
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{}", place.envoy.log());
    let seen = answer.json();
    assert_eq!(
        (&seen["path"], &seen["body"], &seen["method"]),
        (&json!("/app?a=1?lua"), &json!("one two"), &json!("POST"))
    );
    assert_eq!(rig::place::seen(&seen, "x-jwt-sub"), ["mallory"]);
    assert_eq!(rig::place::seen(&seen, "x-jwtproxy-held-path"), <[&str; 0]>::default());
}

/// Whatever single thing the operator does not grant: such a filter does not load, or lets nothing that waits go on.
#[test]
fn without_a_capability_nothing_goes_on() {
    let mut names: Vec<String> = {
        let mut bootstrap = shipped::bootstrap("envoy.yaml");
        shipped::capabilities(&mut bootstrap).keys().cloned().collect()
    };
    // Without it the filter is never asked, as the shipped files say.
    names.retain(|name| name != "proxy_on_request_headers");
    assert!(names.len() > 30, "{names:?}");
    let todo = Mutex::new(names);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let Some(name) = todo.lock().expect("no panic").pop() else { break };
                    let world = World::new();
                    let place = Place::try_start(1, |bootstrap| {
                        world.change(bootstrap);
                        shipped::capabilities(bootstrap).remove(&name).expect("is shipped");
                    });
                    // It says so at once.
                    let Ok(place) = place else { continue };
                    sleep(TICK);
                    world.slow_down();
                    let answers = everything(place.port);
                    nothing_went_on(&place, &answers, &name);
                }
            });
        }
    });
}

/// The module of a worker never gives memory back: what waits is kept by Envoy, and has a budget.
#[test]
fn forms_that_wait_for_keys_take_no_memory_of_the_worker() {
    const FORMS: usize = 600;
    let world = World::new();
    let place = Place::start_changed(1, |bootstrap| world.change(bootstrap));
    sleep(TICK);
    let port = place.port;
    let form = format!("token={}&filler={}", token("keys", "b", "1"), "x".repeat(64_000));
    let head = format!(
        "POST /jwt/auth HTTP/1.1\r\nhost: app.example.com\r\nsec-fetch-site: same-origin\r\ncontent-length: {}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n",
        form.len()
    );
    let before = linear_memories(place.envoy.pid()).first().copied();
    let mut waiting = Vec::new();
    for _ in 0..FORMS {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        stream.write_all(head.as_bytes()).expect("a head");
        stream.write_all(form.as_bytes()).expect("a form");
        waiting.push(stream);
    }
    let mut status = [0; 12];
    for mut stream in waiting {
        stream.read_exact(&mut status).expect("an answer, once the keys do not come");
        assert_eq!(&status, b"HTTP/1.1 503");
    }
    let after = linear_memories(place.envoy.pid()).first().copied();
    if let (Some(before), Some(after)) = (before, after) {
        assert!(after < 16 << 10 && after <= before + (4 << 10), "{before} KiB became {after}");
    }
    assert_eq!(place.upstream.requests(), 0);
    assert_eq!(lets_good_ones_through(&place), 200);
}
