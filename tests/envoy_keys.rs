//! Keys that are fetched from an issuer: first, again, in time for a token of a new key, and not at all.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test that panics says what is wrong"
)]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rig::http::{Connection, Response, raw};
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::place::{Place, TICK, bearer, bytes, seen};
use rig::shipped;
use rig::table::filled;
use rig::time::{fetches, soon};
use serde_json::{Value, json};

const JWKS: &str = "/certs";
const SECOND: Duration = Duration::from_secs(1);

/// A token of that key and `kid`.
fn token(key: &str, kid: &str) -> String {
    let exp = i64::try_from(now()).expect("fits") + 3600;
    let claims = json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice", "exp": exp});
    mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": kid}), claims)
}

fn jwk(key: &str, kid: &str) -> Value {
    Key::fixed(key).jwk(kid)
}

/// The shipped Envoy with these workers, whose provider fetches its keys from that issuer; `remote` is beside what must be.
fn place(issuer: &Issuer, workers: u32, remote: &Value) -> Place {
    Place::start_changed(workers, |bootstrap| with_issuer(bootstrap, issuer.port(), remote))
}

fn with_issuer(bootstrap: &mut Value, port: u16, remote: &Value) {
    let mut config = shipped::plugin_config(bootstrap);
    let provider = config["providers"][0].as_object_mut().expect("a provider");
    provider.remove("keys");
    let mut written =
        json!({"uri": format!("http://127.0.0.1:{port}{JWKS}"), "cluster": "issuer", "allow_http": true});
    for (name, value) in remote.as_object().expect("fields") {
        written[name] = value.clone();
        if value.is_null() {
            written.as_object_mut().expect("fields").remove(name);
        }
    }
    provider.insert("remote_jwks".into(), written);
    shipped::set_plugin_config(bootstrap, &config.to_string());
    shipped::add_cluster(bootstrap, "issuer", port);
}

fn ask(place: &Place, token: &str) -> Response {
    place.get("/app", &[("authorization", &bearer(token))])
}

fn reason(response: &Response) -> String {
    response.json()["reason"].as_str().unwrap_or_default().to_owned()
}

fn is_refused(response: &Response, status: u16, why: &str) {
    assert_eq!((response.status, reason(response).as_str()), (status, why), "{response:?}");
}

fn counter(place: &Place, name: &str) -> u64 {
    place.stat(&format!("wasmcustom.jwtproxy_{name}_total")).unwrap_or_default()
}

#[test]
fn keys_are_there_before_the_first_request_is_judged() {
    let issuer = Issuer::start();
    let keys = Serve::json(&json!({"keys": [jwk("a", "1")]}));
    issuer.serve(JWKS, Serve::Late(SECOND, Box::new(keys)));
    let place = place(&issuer, 4, &json!({}));
    // Every worker has some that wait.
    let waiting: Vec<_> = (0..24)
        .map(|_| {
            let port = place.port;
            thread::spawn(move || {
                let headers = [("authorization", bearer(&token("a", "1")))];
                let headers: Vec<(&str, &str)> =
                    headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                rig::http::request(port, "GET", "/app", &bytes(&headers), b"").status
            })
        })
        .collect();
    let statuses: Vec<u16> = waiting.into_iter().map(|one| one.join().expect("an answer")).collect();
    assert_eq!(statuses, [200; 24]);
    assert_eq!(issuer.requests(JWKS), 1, "one fetch for all workers");
    is_refused(&ask(&place, &token("b", "1")), 401, "invalid_signature");
    sleep(TICK);
    assert_eq!(counter(&place, "jwks_fetched"), 1);
}

#[test]
fn without_keys_nobody_is_let_in_or_led_in_circles() {
    for (how, message) in [
        (Serve::Status(500), "status 500"),
        (Serve::Close, "status 503"),
        (Serve::Body("{\"keys\": []}".into(), vec![]), "the set is empty"),
        (Serve::Body("<html>".into(), vec![]), "no JSON"),
        (Serve::Redirect("/elsewhere"), "status 302"),
        (Serve::Silence, "status 504"),
    ] {
        let issuer = Issuer::start();
        issuer.serve("/elsewhere", Serve::json(&json!({"keys": [jwk("a", "1")]})));
        issuer.serve(JWKS, how.clone());
        let place = place(&issuer, 2, &json!({"timeout_seconds": 1}));
        let began = Instant::now();
        is_refused(&ask(&place, &token("a", "1")), 503, "keys_unavailable");
        assert!(began.elapsed() < 5 * SECOND, "{how:?}: {:?}", began.elapsed());
        let person = place.get(
            "/app",
            &[
                ("accept", "text/html"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "document"),
                ("cookie", &format!("access_token={}", token("a", "1"))),
            ],
        );
        assert_eq!(
            (person.status, person.header("location"), person.header("set-cookie")),
            (503, None, None)
        );
        let grpc = place.send(
            "POST",
            "/app",
            &[("content-type", "application/grpc"), ("authorization", &bearer(&token("a", "1")))],
            b"",
        );
        assert_eq!(grpc.header("grpc-status"), Some("14"), "{grpc:?}");
        // Nobody else is concerned.
        assert_eq!(place.get("/healthz", &[]).status, 200);
        is_refused(&place.get("/app", &[]), 401, "missing_token");
        let log = place.envoy.log_with("there are none yet");
        assert!(log.contains(message), "{how:?}: {log}");
        assert_eq!(issuer.requests("/elsewhere"), 0, "redirects are not followed");
        // It recovers by itself.
        issuer.serve_keys(JWKS, &[jwk("a", "1")]);
        soon("the keys are there", || ask(&place, &token("a", "1")).status == 200);
    }
}

#[test]
fn without_a_way_to_the_issuer_it_is_said() {
    for remove in [true, false] {
        let issuer = Issuer::start();
        issuer.serve_keys(JWKS, &[jwk("a", "1")]);
        let place = Place::start_changed(1, |bootstrap| {
            with_issuer(bootstrap, issuer.port(), &json!({}));
            let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("clusters");
            let cluster = clusters.pop().expect("that of the issuer");
            if !remove {
                let mut empty = cluster;
                empty["load_assignment"]["endpoints"] = json!([]);
                clusters.push(empty);
            }
        });
        is_refused(&ask(&place, &token("a", "1")), 503, "keys_unavailable");
        place.envoy.log_with(if remove { "there is no cluster issuer" } else { "there are none yet" });
        is_refused(&ask(&place, &token("a", "1")), 503, "keys_unavailable");
    }
}

#[test]
fn a_token_of_a_new_key_waits_for_it() {
    for workers in [2, 4] {
        let issuer = Issuer::start();
        issuer.serve_keys(JWKS, &[jwk("a", "1")]);
        let place = place(&issuer, workers, &json!({}));
        assert_eq!(ask(&place, &token("a", "1")).status, 200);
        // A thousand requests over ten seconds, on more connections than there are workers.
        let (rotated, began) = (AtomicBool::new(false), Instant::now());
        let statuses = thread::scope(|scope| {
            let lanes: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let (old, new) = (token("a", "1"), token("b", "2"));
                        let mut connection = Connection::open(place.port);
                        let mut statuses = BTreeMap::new();
                        for turn in 0..125 {
                            let token = if rotated.load(Ordering::SeqCst) { &new } else { &old };
                            let headers = [("authorization", bearer(token))];
                            let headers: Vec<(&str, &str)> =
                                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
                            let request = raw(place.port, "GET", "/app", &bytes(&headers), b"");
                            *statuses.entry(connection.send(&request).status).or_insert(0) += 1;
                            let due = began + Duration::from_millis(80 * turn);
                            sleep(due.saturating_duration_since(Instant::now()));
                        }
                        statuses
                    })
                })
                .collect();
            sleep(5 * SECOND);
            // As issuers rotate: the new key is there, then it signs.
            issuer.serve_keys(JWKS, &[jwk("a", "1"), jwk("b", "2")]);
            rotated.store(true, Ordering::SeqCst);
            let mut all = BTreeMap::new();
            for lane in lanes {
                for (status, count) in lane.join().expect("answers") {
                    *all.entry(status).or_insert(0) += count;
                }
            }
            all
        });
        assert_eq!(statuses, BTreeMap::from([(200, 1000)]), "{workers} workers");
        let (needed, asked) = (fetches(2, began + 5 * SECOND), issuer.requests(JWKS));
        assert!(needed.contains(&asked), "the first fetch, and one for the new key: {needed:?}, {asked}");
    }
}

#[test]
fn a_flood_of_unknown_keys_asks_for_them_once_in_ten_seconds() {
    let issuer = Issuer::start();
    issuer.serve_keys(JWKS, &[jwk("a", "1")]);
    let place = place(&issuer, 2, &json!({}));
    assert_eq!(ask(&place, &token("a", "1")).status, 200);
    let (forged, began) = (token("b", "2"), Instant::now());
    // Nobody looks at the signature, so it need not be made.
    let (_, rest) = forged.split_once('.').expect("a token");
    let flood = |count: usize| {
        let mut connection = Connection::open(place.port);
        for number in 0..count {
            let header =
                BASE64_URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"RS256\",\"kid\":\"random-{number}\"}}"));
            let headers = [("authorization", bearer(&format!("{header}.{rest}")))];
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let refused = connection.send(&raw(place.port, "GET", "/app", &bytes(&headers), b""));
            is_refused(&refused, 401, "unknown_key");
        }
    };
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| flood(250));
        }
    });
    let took = began.elapsed();
    let most = 2 + usize::try_from(took.as_secs() / 10).expect("fits");
    assert!(issuer.requests(JWKS) <= most, "{} requests in {took:?}", issuer.requests(JWKS));
    // It has what it takes to be flooded; from then on nothing grows.
    let before = place.envoy.resident_bytes();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| flood(1000));
        }
    });
    if let (Some(before), Some(after)) = (before, place.envoy.resident_bytes()) {
        assert!(after < before + 4 * 1024 * 1024, "{before} bytes before, {after} after");
    }
    sleep(TICK);
    assert!(counter(&place, "waited") < 100, "{} waited", counter(&place, "waited"));
    // Within the ten seconds an unknown key is refused at once.
    let began = Instant::now();
    flood(1);
    assert!(began.elapsed() < SECOND / 2);
    assert_eq!(ask(&place, &token("a", "1")).status, 200);
}

#[test]
fn keys_are_refreshed_once_for_all_workers() {
    let issuer = Issuer::start();
    issuer.serve_keys(JWKS, &[jwk("a", "1")]);
    let place = place(&issuer, 4, &json!({"refresh_seconds": 2}));
    assert_eq!(ask(&place, &token("a", "1")).status, 200);
    let began = Instant::now();
    issuer.serve_keys(JWKS, &[jwk("b", "1")]);
    sleep(9 * SECOND);
    let took = began.elapsed();
    // Two seconds, a tenth less by chance; a tick notices it, once in a second or later.
    let refreshes = issuer.requests(JWKS) - 1;
    assert!(refreshes >= 1, "none in {took:?}");
    let each = took / u32::try_from(refreshes).expect("fits");
    assert!(each > 17 * SECOND / 10, "{refreshes} in {took:?}");
    let asked = u64::try_from(issuer.requests(JWKS)).expect("fits");
    sleep(TICK);
    assert!((asked..=asked + 1).contains(&counter(&place, "jwks_fetched")));
    // The key is gone, and what it had signed with it: in every worker, however often it was taken before.
    for _ in 0..16 {
        is_refused(&ask(&place, &token("a", "1")), 401, "invalid_signature");
        assert_eq!(ask(&place, &token("b", "1")).status, 200);
    }
}

#[test]
fn a_broken_answer_never_replaces_good_keys() {
    let issuer = Issuer::start();
    issuer.serve_keys(JWKS, &[jwk("a", "1")]);
    let place = place(&issuer, 2, &json!({"refresh_seconds": 1, "timeout_seconds": 1}));
    assert_eq!(ask(&place, &token("a", "1")).status, 200);
    for (how, message) in [
        (Serve::Body("garbage".into(), vec![]), "no JSON"),
        (Serve::Body("x".repeat(10_000_000), vec![]), "10000000 bytes"),
        (Serve::Body("{\"keys\": []}".into(), vec![]), "the set is empty"),
        (
            Serve::Body("{\"keys\": [{\"kty\": \"oct\", \"k\": \"AAAA\"}]}".into(), vec![]),
            "no key of the set can be used",
        ),
        (
            Serve::Bytes(b"\x1f\x8b\x08\0".to_vec(), vec![("content-encoding", "gzip")]),
            "it is compressed, though nobody asked for that, and is not unpacked; content-type: none, content-encoding: gzip",
        ),
        (
            Serve::Body("<!doctype html>".into(), vec![("content-type", "text/html; charset=utf-8")]),
            "it is a page (HTML or XML), and no JSON; content-type: text/html; charset=utf-8, content-encoding: none",
        ),
        (
            Serve::Body(Key::fixed("a").public_pem(), vec![("content-type", "application/x-pem-file")]),
            "it is PEM; keys are fetched as a JWK Set, and PEM is written in `keys`; content-type: application/x-pem-file",
        ),
        (Serve::Bytes(b"\xef\xbb\xbf{\"keys\": []}".to_vec(), vec![]), "byte order mark"),
        (Serve::Body("{\"keys\": [], \"keys\": []}".into(), vec![]), "it has a member twice"),
        (Serve::Redirect("/elsewhere"), "status 302"),
        (Serve::Drip(Duration::from_millis(50)), "the answer broke off"),
        (Serve::Status(404), "status 404"),
        (Serve::Close, "status 503"),
    ] {
        let asked = issuer.requests(JWKS);
        issuer.serve(JWKS, how.clone());
        soon("it is asked again", || issuer.requests(JWKS) > asked + 1);
        for _ in 0..8 {
            assert_eq!(ask(&place, &token("a", "1")).status, 200, "{how:?}");
        }
        let log = place.envoy.log_with(message);
        assert!(log.contains("stale, those of"), "{log}");
    }
    sleep(TICK);
    assert!(counter(&place, "jwks_stale") >= 8);
    // What is of no use in a good set is left out.
    issuer.serve_keys(JWKS, &[json!({"kty": "XX", "kid": "0"}), jwk("short", "9"), jwk("b", "2")]);
    soon("the new key is there", || ask(&place, &token("b", "2")).status == 200);
    sleep(TICK);
    assert_eq!(counter(&place, "jwks_keys_skipped"), 2);
    // Whoever has a token of one is told in the log; once for each worker, not for each token.
    for _ in 0..20 {
        is_refused(&ask(&place, &token("a", "9")), 401, "unknown_key");
    }
    let told = "the key with the kid of the token is skipped since ";
    let log = place.envoy.log_with(told);
    assert!(log.contains("kid 9: an RSA key of 1024 bits is too short"), "{log}");
    let warned = |line: &&str| line.contains(told) && line.contains("[warning]");
    assert!((1..=2).contains(&place.envoy.log().lines().filter(warned).count()), "{}", place.envoy.log());
}

/// What issuers write that is not quite what the RFCs say; one set of all.
#[test]
fn keys_of_an_issuer_are_read_leniently() {
    let rows = [
        ("a", "RS256", json!({"key_ops": [], "oth": [], "x5c": []})),
        ("a", "RS256", json!({"use": null, "alg": null, "d": null, "p": "", "x5t": ""})),
        ("a", "RS256", json!({"use": "jwt-svid"})),
        ("a", "RS256", json!({"n": "$padded", "e": "$wrapped"})),
        ("a", "RS256", json!({"n": "$wrapped", "e": "$a_zero_before"})),
        ("a", "RS256", json!({"n": null, "e": "$none", "x5c": "$x5c"})),
        ("p256_short_x", "ES256", json!({"x": "$stripped"})),
        ("p256_short_y", "ES256", json!({"y": "$stripped"})),
        ("p256", "ES256", json!({"x": "$a_zero_before", "y": "$padded"})),
        ("p256", "ES256", json!({"x": "$none", "y": "$none", "x5c": "$x5c"})),
        ("p384", "ES384", json!({"x": "$a_zero_before", "y": "$a_zero_before", "use": "jwt-svid"})),
        ("p521_b", "ES512", json!({"x": "$stripped", "y": "$stripped"})),
        ("ed25519", "EdDSA", json!({"x": "$padded", "d": null})),
        ("ed25519", "EdDSA", json!({"x": "", "x5c": "$x5c"})),
    ];
    let keys = rows.iter().enumerate().map(|(kid, (key, _, changes))| {
        let mut jwk = filled(&json!({"$jwk_with": [key, changes]}), now());
        jwk["kid"] = json!(kid.to_string());
        jwk
    });
    let issuer = Issuer::start();
    issuer.serve(JWKS, Serve::json(&json!({"keys": keys.chain([Value::Null]).collect::<Vec<_>>()})));
    let place = Place::start_changed(2, |bootstrap| {
        with_issuer(bootstrap, issuer.port(), &json!({}));
        let mut config = shipped::plugin_config(bootstrap);
        config["providers"][0]["algorithms"] = json!(["RS256", "ES256", "ES384", "ES512", "EdDSA"]);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    });
    let exp = i64::try_from(now()).expect("fits") + 3600;
    for (kid, (key, alg, changes)) in rows.iter().enumerate() {
        let claims =
            json!({"iss": "https://login.example.com", "aud": "workspace", "sub": "alice", "exp": exp});
        let header = json!({"alg": alg, "kid": kid.to_string()});
        let found = ask(&place, &mint(&Key::fixed(key), alg, header, claims));
        assert_eq!(found.status, 200, "{key} {changes}: {found:?}");
    }
    place.envoy.log_with("skipped, keys[14]: it is no object");
    sleep(TICK);
    assert_eq!(counter(&place, "jwks_keys_skipped"), 1);
}

#[test]
fn an_issuer_may_say_how_long_its_keys_are_good() {
    let issuer = Issuer::start();
    let keys = json!({"keys": [jwk("a", "1")]}).to_string();
    issuer.serve(JWKS, Serve::Body(keys, vec![("cache-control", "max-age=0")]));
    let place = place(&issuer, 1, &json!({"refresh_seconds": 3600}));
    assert_eq!(ask(&place, &token("a", "1")).status, 200);
    let began = Instant::now();
    sleep(8 * SECOND);
    assert!(fetches(1, began).contains(&issuer.requests(JWKS)), "not more often than every ten seconds");
    soon("it is asked again", || issuer.requests(JWKS) >= 2);
}

#[test]
fn keys_are_found_by_discovery() {
    let issuer = Issuer::start();
    let port = issuer.port();
    let name = format!("http://127.0.0.1:{port}/realms/che");
    let document = "/realms/che/.well-known/openid-configuration";
    let jwks_uri = format!("http://127.0.0.1:{port}{JWKS}");
    issuer.serve(document, Serve::json(&json!({"issuer": "http://evil.example", "jwks_uri": jwks_uri})));
    issuer.serve_keys(JWKS, &[jwk("a", "1")]);
    let place = Place::start_changed(2, |bootstrap| {
        with_issuer(bootstrap, port, &json!({"uri": null, "discovery": true, "refresh_seconds": 1}));
        let mut config = shipped::plugin_config(bootstrap);
        config["providers"][0]["issuer"] = json!(name);
        shipped::set_plugin_config(bootstrap, &config.to_string());
    });
    let exp = i64::try_from(now()).expect("fits") + 3600;
    let of = |key: &str, kid: &str| {
        let claims = json!({"iss": name, "aud": "workspace", "sub": "alice", "exp": exp});
        mint(&Key::fixed(key), "RS256", json!({"alg": "RS256", "kid": kid}), claims)
    };
    is_refused(&ask(&place, &of("a", "1")), 503, "keys_unavailable");
    place
        .envoy
        .log_with(&format!("not that of the provider's issuer `{name}`, but of `http://evil.example`"));
    let slash = json!({"issuer": format!("{name}/"), "jwks_uri": jwks_uri});
    issuer.serve(document, Serve::json(&slash));
    place.envoy.log_with(&format!("`{name}`, but of `{name}/`: they differ by a slash"));
    let elsewhere = json!({"issuer": name, "jwks_uri": "http://127.0.0.2:1/certs"});
    issuer.serve(document, Serve::json(&elsewhere));
    place.envoy.log_with("`jwks_cluster` must lead");
    assert_eq!(issuer.requests(JWKS), 0);
    issuer.serve(document, Serve::json(&json!({"issuer": name, "jwks_uri": jwks_uri})));
    soon("the keys are found", || ask(&place, &of("a", "1")).status == 200);
    // Where they are is known then.
    let discovered = issuer.requests(document);
    sleep(4 * SECOND);
    assert!(issuer.requests(JWKS) >= 3 && issuer.requests(document) <= discovered + 2);
    // They move.
    issuer.serve(JWKS, Serve::Status(410));
    issuer.serve_keys("/new", &[jwk("b", "2")]);
    let moved = json!({"issuer": name, "jwks_uri": format!("http://127.0.0.1:{port}/new")});
    issuer.serve(document, Serve::json(&moved));
    soon("they are found again", || ask(&place, &of("b", "2")).status == 200);
}

#[test]
fn a_request_that_waits_keeps_its_body_and_its_stream() {
    let issuer = Issuer::start();
    let keys = Serve::json(&json!({"keys": [jwk("a", "1")]}));
    issuer.serve(JWKS, Serve::Late(SECOND, Box::new(keys)));
    let (place, began) = (place(&issuer, 1, &json!({})), Instant::now());
    let body = "x".repeat(100_000);
    let sent = place.send("POST", "/app", &[("authorization", &bearer(&token("a", "1")))], body.as_bytes());
    assert_eq!(sent.status, 200);
    let saw = sent.json();
    assert_eq!(saw["body"].as_str().map(str::len), Some(body.len()));
    assert_eq!(
        (seen(&saw, "x-jwt-sub"), seen(&saw, "authorization")),
        (vec!["alice".to_owned()], Vec::new())
    );
    // A form with a token of a key that is not known yet.
    issuer.serve_keys(JWKS, &[jwk("a", "1"), jwk("b", "2")]);
    let form = format!("token={}&redirectUrl=/app", token("b", "2"));
    let signed_in = place.send(
        "POST",
        "/jwt/auth",
        &[("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")],
        form.as_bytes(),
    );
    assert_eq!((signed_in.status, signed_in.header("location")), (303, Some("/app")), "{signed_in:?}");
    assert!(fetches(2, began).contains(&issuer.requests(JWKS)));
}

/// While there are no keys the filter looks more often; who is slow has as much time as ever.
#[test]
fn a_slow_form_has_its_time_without_keys_too() {
    let issuer = Issuer::start();
    issuer.serve(JWKS, Serve::Status(500));
    let place = place(&issuer, 1, &json!({}));
    let form = format!("token={}", token("a", "1"));
    let head = format!(
        "POST /jwt/auth HTTP/1.1\r\nhost: app.example.com\r\nsec-fetch-site: same-origin\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n",
        form.len()
    );
    let mut slow = TcpStream::connect(("127.0.0.1", place.port)).expect("a connection");
    slow.write_all(head.as_bytes()).expect("a head");
    sleep(3 * SECOND);
    slow.write_all(form.as_bytes()).expect("a form");
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 503");
}

/// Clients that do not wait for their answer, while others do.
#[test]
fn clients_that_go_away_while_they_wait_do_no_harm() {
    let issuer = Issuer::start();
    issuer.serve(JWKS, Serve::Silence);
    let place = place(&issuer, 2, &json!({"timeout_seconds": 2}));
    for _ in 0..50 {
        let mut gone = TcpStream::connect(("127.0.0.1", place.port)).expect("a connection");
        let head =
            format!("GET /app HTTP/1.1\r\nhost: a\r\nauthorization: {}\r\n\r\n", bearer(&token("a", "1")));
        gone.write_all(head.as_bytes()).expect("a request");
    }
    issuer.serve_keys(JWKS, &[jwk("a", "1")]);
    soon("the keys are there", || ask(&place, &token("a", "1")).status == 200);
    assert!(!place.envoy.log().contains("panicked"));
}
