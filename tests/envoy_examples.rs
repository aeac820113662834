//! The examples `envoy/che/envoy.yaml` and `envoy/keycloak/envoy.yaml`, as they are shipped, in a real Envoy. Only
//! ports, the address and the TLS of the Che server, the address of Keycloak and who certifies it, and the way to the
//! module are a test's.

#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the helpers of tests fail as tests do"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use rig::envoy::{Envoy, Options, validate_with};
use rig::http::{self, Response};
use rig::issuer::{Issuer, Serve};
use rig::jwt::{Key, mint, now};
use rig::shipped;
use rig::tls::{Authority, TlsServer, Valid};
use rig::upstream::Upstream;
use serde_json::{Value, json};

const MODULE: &str = "dist/jwtproxy.wasm";

type Headers<'a> = &'a [(&'a str, &'a str)];

fn get(port: u16, path: &str, headers: Headers<'_>) -> Response {
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    http::request(port, "GET", path, &headers, b"")
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What a script is told.
fn refusal(response: &Response) -> (u16, String) {
    (response.status, response.json()["reason"].as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, reason: &str) -> (u16, String) {
    (status, reason.to_owned())
}

/// The values of a header as the upstream saw them.
fn seen(response: &Response, name: &str) -> Vec<String> {
    assert_eq!(response.status, 200, "{response:?}");
    let body = response.json();
    let lines = body["headers"].as_array().expect("an upstream's answer").iter();
    lines.filter(|line| line[0] == name).map(|line| line[1].as_str().unwrap().to_owned()).collect()
}

fn env<'a>(variables: &[(&'a str, &'a str)]) -> Options {
    Options::with_env(variables.iter().copied())
}

// Eclipse Che.

const WORKSPACE_ID: &str = "workspace123";
const PUBLIC_KEY: &str = "CHE_MACHINE_AUTH_SIGNATURE__PUBLIC__KEY";
const ALGORITHM: &str = "CHE_MACHINE_AUTH_SIGNATURE__ALGORITHM";

/// A workspace that runs: the Envoy and its four upstreams.
struct Workspace {
    envoy: Envoy,
    che: Upstream,
    _servers: [Upstream; 3],
}

static WORKSPACE: LazyLock<Workspace> = LazyLock::new(|| {
    let key = workspace_key();
    let servers = ["ide", "api", "open"].map(|name| (name, Upstream::start()));
    let che = Upstream::start();
    let mut bootstrap = che_bootstrap();
    shipped::free_ports(&mut bootstrap);
    for (name, server) in &servers {
        shipped::set_cluster_port(&mut bootstrap, name, server.port());
    }
    let cluster = che_on_this_machine(&mut bootstrap, che.port());
    cluster.as_object_mut().unwrap().remove("transport_socket");
    Workspace {
        envoy: Envoy::start_with(bootstrap, &che_env(&key.public_der_base64(), "RSA")),
        che,
        _servers: servers.map(|(_, server)| server),
    }
});

fn che_bootstrap() -> Value {
    let mut bootstrap = shipped::bootstrap("che/envoy.yaml");
    shipped::set_module(&mut bootstrap, &rig::repository(MODULE));
    bootstrap
}

fn che_env(public_key: &str, algorithm: &str) -> Options {
    env(&[
        (PUBLIC_KEY, public_key),
        (ALGORITHM, algorithm),
        ("CHE_WORKSPACE_ID", WORKSPACE_ID),
        ("CHE_MACHINE_TOKEN", &own_token()),
    ])
}

fn che_on_this_machine(bootstrap: &mut Value, port: u16) -> &mut Value {
    shipped::set_cluster_port(bootstrap, "che", port);
    let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().unwrap();
    let cluster = clusters.iter_mut().find(|cluster| cluster["name"] == "che").unwrap();
    let endpoint = &mut cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"];
    endpoint["address"]["socket_address"]["address"] = json!("127.0.0.1");
    cluster
}

impl Workspace {
    fn get(&self, listener: &str, path: &str, headers: Headers<'_>) -> Response {
        get(self.envoy.port(listener), path, headers)
    }
}

fn workspace_key() -> Key {
    Key::fixed("a")
}

/// The documented machine token.
fn own_token() -> String {
    machine_token("RS512", "machine_token", machine_claims(WORKSPACE_ID))
}

fn machine_token(alg: &str, kind: &str, claims: Value) -> String {
    mint(&workspace_key(), alg, json!({"alg": alg, "kind": kind}), claims)
}

fn machine_claims(workspace: &str) -> Value {
    json!({
        "wsid": workspace,
        "uid": "user13",
        "uname": "testUser",
        "jti": "900a505f-af8e-41d1-aac9-11d8b9909cd1",
    })
}

#[test]
fn che_a_machine_token_opens_the_ide_in_a_header_and_in_the_query() {
    let workspace = &*WORKSPACE;
    let in_header = workspace.get("ide", "/files", &[("authorization", &bearer(&own_token()))]);
    assert_eq!(in_header.json()["path"], "/files");

    // A script of the IDE: no redirect, and the server does not see the token.
    let path = format!("/ws?a=1&token={}&b=2", own_token());
    let in_query = workspace.get("ide", &path, &[("sec-fetch-mode", "cors")]);
    assert_eq!(in_query.json()["path"], "/ws?a=1&b=2");

    // As Che signs them since July 2018.
    let mut claims = machine_claims(WORKSPACE_ID);
    for (name, value) in [("iss", json!("wsmaster")), ("aud", json!(WORKSPACE_ID)), ("nbf", json!(-1))] {
        claims[name] = value;
    }
    claims["iat"] = json!(now());
    claims["exp"] = json!(now() + 365 * 86_400);
    let newer = machine_token("RS256", "machine_token", claims.clone());
    assert_eq!(workspace.get("ide", "/", &[("authorization", &bearer(&newer))]).status, 200);
    // An end that is written counts.
    claims["exp"] = json!(now() - 3600);
    let over = machine_token("RS256", "machine_token", claims);
    let answer = workspace.get("ide", "/", &[("authorization", &bearer(&over))]);
    assert_eq!(refusal(&answer), refused(401, "token_expired"));
}

#[test]
fn che_the_loader_signs_a_browser_in() {
    let workspace = &*WORKSPACE;
    let host = ("host", "ide-workspace123.example.com");
    let https = ("x-forwarded-proto", "https");
    let navigation = [host, https, ("sec-fetch-mode", "navigate")];

    let first = workspace.get("ide", "/?folder=/projects", &navigation);
    assert_eq!(first.status, 302);
    assert_eq!(
        first.header("location"),
        Some(
            "https://che.example.com/_app/loader.html\
             ?redirectUrl=https%3A%2F%2Fide-workspace123.example.com%2F%3Ffolder%3D%2Fprojects\
             &workspaceId=workspace123"
        )
    );
    assert!(!first.header_all("set-cookie").iter().any(|line| line.starts_with("access_token=")));

    let origin = ("origin", "https://che.example.com");
    let preflight = http::request(
        workspace.envoy.port("ide"),
        "OPTIONS",
        "/jwt/auth",
        &[
            ("origin", b"https://che.example.com"),
            ("access-control-request-method", b"GET"),
            ("access-control-request-headers", b"authorization"),
        ],
        b"",
    );
    assert_eq!(preflight.status, 204);
    assert_eq!(preflight.header("access-control-allow-origin"), Some("https://che.example.com"));

    let (token, header) = (own_token(), bearer(&own_token()));
    let from_loader = [
        host,
        https,
        origin,
        ("authorization", &header),
        ("sec-fetch-mode", "cors"),
        ("sec-fetch-site", "same-site"),
    ];
    let signed_in = workspace.get("ide", "/jwt/auth", &from_loader);
    assert_eq!(signed_in.status, 204, "{signed_in:?}");
    assert_eq!(signed_in.header("access-control-allow-origin"), Some("https://che.example.com"));
    assert_eq!(signed_in.header("access-control-allow-credentials"), Some("true"));
    // No Max-Age: the token has no end.
    assert_eq!(
        signed_in.header_all("set-cookie"),
        [format!("access_token={token}; Path=/; HttpOnly; Secure; SameSite=Lax")]
    );

    let cookie = format!("theme=dark; access_token={token}");
    let back = workspace.get("ide", "/?folder=/projects", &[host, https, ("cookie", &cookie)]);
    assert_eq!(back.json()["path"], "/?folder=/projects");
    assert_eq!(seen(&back, "cookie"), ["theme=dark"]);

    let elsewhere = [host, https, ("origin", "https://evil.example.com"), ("authorization", &*header)];
    let elsewhere = workspace.get("ide", "/jwt/auth", &elsewhere);
    assert_eq!(elsewhere.header("access-control-allow-origin"), None);
    let post: &[(&str, &[u8])] = &[
        ("cookie", cookie.as_bytes()),
        ("origin", b"https://evil.example.com"),
        ("host", host.1.as_bytes()),
    ];
    let forged = http::request(workspace.envoy.port("ide"), "POST", "/save", post, b"");
    assert_eq!(refusal(&forged), refused(403, "csrf"));
}

#[test]
fn che_only_machine_tokens_of_this_workspace_pass() {
    let workspace = &*WORKSPACE;
    let ask = |token: &str| refusal(&workspace.get("ide", "/", &[("authorization", &bearer(token))]));
    let elsewhere = machine_token("RS512", "machine_token", machine_claims("workspace31"));
    let mut without_workspace = machine_claims(WORKSPACE_ID);
    without_workspace.as_object_mut().unwrap().remove("wsid");
    let foreign = mint(
        &Key::fixed("b"),
        "RS512",
        json!({"alg": "RS512", "kind": "machine_token"}),
        machine_claims(WORKSPACE_ID),
    );

    assert_eq!(refusal(&workspace.get("ide", "/", &[])), refused(401, "missing_token"));
    assert_eq!(ask(&elsewhere), refused(403, "claim_mismatch"));
    let unnamed = machine_token("RS512", "machine_token", without_workspace);
    assert_eq!(ask(&unnamed), refused(403, "claim_mismatch"));
    let user = machine_token("RS512", "user_token", machine_claims(WORKSPACE_ID));
    assert_eq!(ask(&user), refused(401, "header_mismatch"));
    let plain = mint(&workspace_key(), "RS512", json!({"alg": "RS512"}), machine_claims(WORKSPACE_ID));
    assert_eq!(ask(&plain), refused(401, "header_mismatch"));
    assert_eq!(ask(&foreign), refused(401, "invalid_signature"));

    // A person is not sent to the loader for a token that it would only bring again.
    let header = bearer(&elsewhere);
    let page = workspace.get("ide", "/", &[("authorization", &header), ("sec-fetch-mode", "navigate")]);
    assert_eq!((page.status, page.header("location")), (403, None));

    // The operator reads the same word, and no token.
    workspace.get("ide", "/logged?token=secret", &[]);
    let log = workspace.envoy.log_with("/logged");
    let line = log.lines().find(|line| line.contains("/logged")).unwrap();
    assert!(line.contains(r#""reason":"malformed_token""#) && !line.contains("secret"), "{line}");
}

#[test]
fn che_unsecured_paths_are_open_and_their_neighbours_are_not() {
    let workspace = &*WORKSPACE;
    for (listener, path) in [("ide", "/liveness"), ("api", "/api/liveness")] {
        let answer = workspace.get(listener, path, &[("x-che-user-id", "admin")]);
        assert_eq!(seen(&answer, "x-che-user-id"), [""; 0], "{listener}");
        for neighbour in [format!("{path}X"), format!("/private{path}"), format!("{path}/../secret")] {
            assert_eq!(workspace.get(listener, &neighbour, &[]).status, 401, "{listener}{neighbour}");
        }
    }
}

#[test]
fn che_the_cookie_of_the_ide_counts_for_nothing_at_the_api() {
    let workspace = &*WORKSPACE;
    let cookie = format!("access_token={}", own_token());
    assert_eq!(workspace.get("ide", "/", &[("cookie", &cookie)]).status, 200);
    let answer = workspace.get("api", "/", &[("cookie", &cookie)]);
    assert_eq!(refusal(&answer), refused(401, "missing_token"));

    let header = bearer(&own_token());
    assert_eq!(workspace.get("api", "/run", &[("authorization", &header)]).json()["path"], "/run");
    let path = format!("/run?token={}", own_token());
    assert_eq!(workspace.get("api", &path, &[]).json()["path"], "/run");
    // Nor is one set: the sign-in endpoint is a path of the API's own, and a link keeps its token.
    let own = workspace.get("api", "/jwt/auth", &[("authorization", &header)]);
    assert_eq!((own.header("set-cookie"), &own.json()["path"]), (None, &json!("/jwt/auth")));
    let link = workspace.get("api", &path, &[("sec-fetch-mode", "navigate")]);
    assert_eq!((link.status, link.header("set-cookie")), (200, None));
    // People get a page there; the loader would not help them.
    let page = workspace.get("api", "/run", &[("sec-fetch-mode", "navigate")]);
    assert_eq!((page.status, page.header("location")), (401, None));
}

#[test]
fn che_a_server_that_is_not_secure_is_for_everybody() {
    let workspace = &*WORKSPACE;
    let answer = workspace.get("open", "/any?token=a.b.c", &[("authorization", "Bearer a.b.c")]);
    assert_eq!(answer.json()["path"], "/any?token=a.b.c");
    assert_eq!(seen(&answer, "authorization"), ["Bearer a.b.c"]);
}

#[test]
fn che_the_servers_learn_who_the_user_is_and_from_nobody_else() {
    let workspace = &*WORKSPACE;
    let header = bearer(&own_token());
    for listener in ["ide", "api"] {
        let answer = workspace.get(
            listener,
            "/",
            &[
                ("authorization", &header),
                ("x-che-user-id", "admin"),
                ("X-Che-User-Id", "root"),
                ("x_che_user_name", "admin"),
            ],
        );
        assert_eq!(seen(&answer, "x-che-user-id"), ["user13"]);
        assert_eq!(seen(&answer, "x-che-user-name"), ["testUser"]);
        assert_eq!(seen(&answer, "x_che_user_name"), [""; 0]);
        assert_eq!(seen(&answer, "authorization"), [""; 0]);
    }
}

#[test]
fn che_calls_to_the_che_server_carry_the_token_of_the_workspace_whatever_the_caller_sent() {
    let workspace = &*WORKSPACE;
    let own = bearer(&own_token());
    for headers in
        [&[][..], &[("authorization", "Bearer mine")], &[("authorization", "a"), ("Authorization", "b")]]
    {
        let answer = workspace.get("outbound", "/api/workspace/workspace123?x=1", headers);
        assert_eq!(seen(&answer, "authorization"), [own.as_str()]);
        assert_eq!(seen(&answer, "host"), ["che.example.com"]);
        assert_eq!(seen(&answer, "x-forwarded-proto"), [""; 0]);
        assert_eq!(answer.json()["path"], "/api/workspace/workspace123?x=1");
    }
    let before = workspace.che.requests();
    for elsewhere in ["/", "/api", "/dashboard/", "/api/../dashboard/"] {
        assert_eq!(workspace.get("outbound", elsewhere, &[]).status, 404, "{elsewhere}");
    }
    assert_eq!(workspace.che.requests(), before);
}

#[test]
fn che_the_token_of_the_workspace_goes_to_no_other_server_than_that_of_che() {
    let impostor = Key::fixed("b");
    let plain = Upstream::start();
    let server = tls_server(&impostor, plain.port());
    let ask = |change: fn(&mut Value, &str)| {
        let mut bootstrap = che_bootstrap();
        shipped::free_ports(&mut bootstrap);
        // The filters have no part in this.
        let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().unwrap();
        listeners.retain(|listener| listener["name"] == "outbound");
        let cluster = che_on_this_machine(&mut bootstrap, server.port("tls"));
        let tls = &mut cluster["transport_socket"]["typed_config"]["common_tls_context"];
        change(&mut tls["validation_context"], &impostor.certificate_pem());
        let envoy = Envoy::start_with(bootstrap, &che_env(&workspace_key().public_der_base64(), "RSA"));
        let answer = get(envoy.port("outbound"), "/api/workspace", &[]);
        (answer, envoy.log_with("/api/workspace"))
    };
    let trust = |validation: &mut Value, authority: &str| {
        validation["trusted_ca"] = json!({"inline_string": authority});
    };
    let trust_any_name = |validation: &mut Value, authority: &str| {
        *validation = json!({"trusted_ca": {"inline_string": authority}});
    };
    for change in [|_: &mut Value, _: &str| (), trust] {
        let (answer, log) = ask(change);
        assert_eq!(answer.status, 503);
        assert!(log.contains("CERTIFICATE_VERIFY_FAILED"), "{log}");
    }
    assert_eq!(plain.requests(), 0);
    // It is the certificate that is not believed, not the server that is broken.
    assert_eq!(seen(&ask(trust_any_name).0, "authorization"), [bearer(&own_token())]);
}

/// An Envoy without a filter that ends TLS with a certificate of its own.
fn tls_server(key: &Key, upstream: u16) -> Envoy {
    let mut bootstrap = shipped::bootstrap("envoy.yaml");
    shipped::free_ports(&mut bootstrap);
    shipped::set_cluster_port(&mut bootstrap, "upstream", upstream);
    let listener = &mut bootstrap["static_resources"]["listeners"][0];
    listener["name"] = json!("tls");
    let chain = &mut listener["filter_chains"][0];
    chain["filters"][0]["typed_config"]["http_filters"].as_array_mut().unwrap().remove(0);
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": {"tls_certificates": [{
                "certificate_chain": {"inline_string": key.certificate_pem()},
                "private_key": {"inline_string": key.pkcs8_pem()},
            }]},
        },
    });
    Envoy::start(bootstrap)
}

#[test]
fn che_the_algorithm_of_the_environment_is_rsa_or_pins_one() {
    let mut bootstrap = che_bootstrap();
    shipped::free_ports(&mut bootstrap);
    let server = Upstream::start();
    shipped::set_cluster_port(&mut bootstrap, "api", server.port());
    let envoy = Envoy::start_with(bootstrap, &che_env(&workspace_key().public_der_base64(), "RS512"));
    let ask = |alg: &str| {
        let token = machine_token(alg, "machine_token", machine_claims(WORKSPACE_ID));
        get(envoy.port("api"), "/", &[("authorization", &bearer(&token))])
    };
    assert_eq!(ask("RS512").status, 200);
    assert_eq!(refusal(&ask("RS256")), refused(401, "algorithm_not_allowed"));
}

#[test]
fn che_an_environment_that_is_not_whole_is_refused_at_load() {
    // The 1024-bit key of the tokens that Che's own tests publish.
    const PUBLISHED: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC85cPsQ8FLvvI6NY5DGiq2YIdAlq2MkNcGgrQggQqTwTyQ7MgP\
        YO7o4BYc5BjOljQ93g/vzyN9Ku9YahHjQTT9X3IdZSk7+UINvKF/3gPjprHYQ2t1PswNNCViqwEN1nktvbugJjI3FYnr5eiBxkV+7wwggxEI\
        LGfKL67I+HnA0QIDAQAB";
    let key = Key::fixed("a").public_der_base64();
    let without = |name: &str| {
        let mut options = che_env(&key, "RSA");
        options.env.retain(|(other, _)| other != name);
        options
    };
    for (options, field, reason) in [
        (che_env(&key, "HS256"), "keys[0].alg", "HS256 is not among the `algorithms`"),
        (che_env("", "RSA"), "keys[0].env", "CHE_MACHINE_AUTH_SIGNATURE__PUBLIC__KEY is empty"),
        (without(PUBLIC_KEY), "keys[0].env", "CHE_MACHINE_AUTH_SIGNATURE__PUBLIC__KEY is not set"),
        (without(ALGORITHM), "keys[0].alg", "CHE_MACHINE_AUTH_SIGNATURE__ALGORITHM is not set"),
        (without("CHE_WORKSPACE_ID"), "required_claims.wsid", "CHE_WORKSPACE_ID is not set"),
        (che_env(PUBLISHED, "RSA"), "keys[0].env", "1024 bits is too short; at least 2048"),
    ] {
        let (accepted, said) = validate_with(che_bootstrap(), &options);
        let refusal = said.lines().find(|line| line.contains("the configuration is refused"));
        let refusal = refusal.unwrap_or_else(|| panic!("{field}: {reason}: not refused: {said}"));
        assert!(!accepted && refusal.contains(field) && refusal.contains(reason), "{reason}: {refusal}");
    }
}

// Keycloak.

const REALM: &str = "https://keycloak.example.com/realms/NAME";

/// A realm: its keys, and an Envoy that fetches them.
struct Realm {
    envoy: Envoy,
    keys: [(&'static str, Key); 2],
    encryption: Key,
    _servers: (Upstream, Issuer, TlsServer),
}

static KEYCLOAK: LazyLock<Realm> = LazyLock::new(|| {
    let keys = [("active", Key::fixed("a")), ("passive", Key::fixed("b"))];
    let encryption = Key::generate();
    let server = Upstream::start();
    let mut bootstrap = keycloak_bootstrap();
    shipped::free_ports(&mut bootstrap);
    shipped::set_cluster_port(&mut bootstrap, "upstream", server.port());
    let issuer = Issuer::start();
    let jwks = format!("{REALM}/protocol/openid-connect/certs");
    issuer.serve(
        "/realms/NAME/.well-known/openid-configuration",
        Serve::json(&json!({"issuer": REALM, "jwks_uri": jwks})),
    );
    issuer.serve("/realms/NAME/protocol/openid-connect/certs", Serve::json(&certs(&keys, &encryption)));
    let (authority, own) = (Authority::new(Key::fixed("a")), Key::fixed("b"));
    let certificate = authority.certify(&own, "keycloak.example.com", Valid::Long);
    let tls = TlsServer::start(&certificate, &own, issuer.port());
    shipped::lead_here(&mut bootstrap, "keycloak", tls.port(), &authority.certificate());
    let envoy = Envoy::start(bootstrap);
    Realm { envoy, keys, encryption, _servers: (server, issuer, tls) }
});

fn keycloak_bootstrap() -> Value {
    let mut bootstrap = shipped::bootstrap("keycloak/envoy.yaml");
    shipped::set_module(&mut bootstrap, &rig::repository(MODULE));
    bootstrap
}

/// The answer of a realm's endpoint `certs`.
fn certs(signing: &[(&str, Key)], encryption: &Key) -> Value {
    let entry = |kid: &str, key: &Key, purpose: &str, alg: &str| {
        let mut jwk = key.jwk(kid);
        for (name, value) in [("use", purpose), ("alg", alg), ("x5t", "wPbR5f7W3Vf7tS3u0W5rQ0XHcXo")] {
            jwk[name] = json!(value);
        }
        jwk["x5c"] = json!(["MIIClTCCAX0CBgF"]);
        jwk
    };
    let mut keys = vec![entry("encryption", encryption, "enc", "RSA-OAEP")];
    keys.extend(signing.iter().map(|(kid, key)| entry(kid, key, "sig", "RS256")));
    json!({ "keys": keys })
}

/// The claims of an access token.
fn access() -> Value {
    json!({
        "exp": now() + 300,
        "iat": now(),
        "auth_time": now(),
        "jti": "onrtac:6ed3b0a6-5a75-4a5a-8f4e-0f4d1e0a5d0e",
        "iss": REALM,
        "aud": ["app", "account"],
        "sub": "f5c1c1a0-7d1c-4a57-9c43-0a2c3b0f8a11",
        "typ": "Bearer",
        "azp": "app-login",
        "sid": "0d4c2f6e-47c2-4b0f-8f43-6f0f3b1f0c55",
        "acr": "1",
        "scope": "openid email profile",
        "email_verified": true,
        "preferred_username": "alice",
        "email": "alice@example.com",
    })
}

impl Realm {
    fn token(&self, key: usize, claims: Value) -> String {
        let (kid, key) = &self.keys[key];
        mint(key, "RS256", json!({"alg": "RS256", "typ": "JWT", "kid": kid}), claims)
    }

    fn ask(&self, token: &str) -> Response {
        get(self.envoy.port("app"), "/", &[("authorization", &bearer(token))])
    }

    /// The answer to an access token with other claims; `null` removes one.
    fn ask_with(&self, changes: &Value) -> (u16, String) {
        let mut claims = access();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        refusal(&self.ask(&self.token(0, claims)))
    }
}

#[test]
fn keycloak_access_tokens_of_either_key_of_the_realm_pass() {
    let realm = &*KEYCLOAK;
    for key in [0, 1] {
        let token = realm.token(key, access());
        let spoofed = [("authorization", &*bearer(&token)), ("x-user-id", "root"), ("x-user-email", "root@")];
        let answer = get(realm.envoy.port("app"), "/", &spoofed);
        assert_eq!(seen(&answer, "x-user-id"), ["f5c1c1a0-7d1c-4a57-9c43-0a2c3b0f8a11"]);
        assert_eq!(seen(&answer, "x-user-name"), ["alice"]);
        assert_eq!(seen(&answer, "x-user-email"), ["alice@example.com"]);
        assert_eq!(seen(&answer, "authorization"), [""; 0]);
    }
    assert_eq!(get(realm.envoy.port("app"), "/healthz", &[]).status, 200);
}

#[test]
fn keycloak_other_tokens_of_the_realm_are_refused() {
    let realm = &*KEYCLOAK;
    // An ID token is for the client that asked for it.
    let id = json!({"typ": "ID", "aud": "app-login", "nonce": "7f", "at_hash": "q0"});
    assert_eq!(realm.ask_with(&id), refused(403, "audience_mismatch"));
    assert_eq!(realm.ask_with(&json!({"typ": "ID", "aud": "app"})), refused(403, "claim_mismatch"));
    assert_eq!(realm.ask_with(&json!({"typ": "Logout"})), refused(403, "claim_mismatch"));
    assert_eq!(realm.ask_with(&json!({ "typ": null })), refused(403, "claim_mismatch"));
    assert_eq!(realm.ask_with(&json!({"azp": "other"})), refused(403, "claim_mismatch"));
    assert_eq!(realm.ask_with(&json!({"aud": "account"})), refused(403, "audience_mismatch"));
    assert_eq!(realm.ask_with(&json!({"exp": now() - 3600})), refused(401, "token_expired"));
    assert_eq!(realm.ask_with(&json!({"iss": format!("{REALM}-2")})), refused(401, "unknown_issuer"));
}

#[test]
fn keycloak_keys_are_chosen_by_kid_and_use() {
    let realm = &*KEYCLOAK;
    let refusal_of = |alg: &str, kid: &str, key: &Key| {
        let token = mint(key, "RS256", json!({"alg": alg, "typ": "JWT", "kid": kid}), access());
        refusal(&realm.ask(&token))
    };
    let [(_, active), _] = &realm.keys;
    assert_eq!(refusal_of("RS256", "retired", active), refused(401, "unknown_key"));
    assert_eq!(refusal_of("RS256", "passive", active), refused(401, "invalid_signature"));
    assert_eq!(refusal_of("RS256", "encryption", &realm.encryption), refused(401, "unknown_key"));
    // A refresh token names a key that only Keycloak has; to ask for it would not help.
    assert_eq!(refusal_of("HS512", "hmac", active), refused(401, "algorithm_not_allowed"));
    assert_eq!(refusal_of("HS256", "active", active), refused(401, "algorithm_not_allowed"));

    let log = realm.envoy.log();
    let skipped = log.lines().find(|line| line.contains("skipped")).expect("a warning");
    let says = [
        "[warning]",
        "the keys of provider keycloak",
        "the key's use says that it does not verify signatures",
    ];
    assert!(says.iter().all(|part| skipped.contains(part)), "{skipped}");
}

#[test]
fn keycloak_the_page_of_the_client_signs_a_browser_in() {
    let realm = &*KEYCLOAK;
    let port = realm.envoy.port("app");
    let host = ("host", "app.example.com");
    let first = get(port, "/inbox?page=2", &[host, ("sec-fetch-mode", "navigate")]);
    assert_eq!(
        (first.status, first.header("location")),
        (
            302,
            Some(
                "https://login.example.com/loader.html\
                 ?redirectUrl=http%3A%2F%2Fapp.example.com%2Finbox%3Fpage%3D2"
            )
        )
    );
    let token = realm.token(0, access());
    let from_page = [host, ("origin", "https://login.example.com"), ("authorization", &*bearer(&token))];
    let signed_in = get(port, "/jwt/auth", &from_page);
    assert_eq!(
        (signed_in.status, signed_in.header("access-control-allow-origin")),
        (204, Some("https://login.example.com"))
    );
    let cookie = signed_in.header("set-cookie").expect("a cookie").split(';').next().unwrap();
    assert_eq!(cookie, format!("access_token={token}"));
    assert_eq!(seen(&get(port, "/inbox", &[host, ("cookie", cookie)]), "x-user-name"), ["alice"]);
}

#[test]
fn keycloak_the_sign_in_page_fits_the_filter_and_stands_outside_of_it() {
    let bootstrap = keycloak_bootstrap();
    let plugin = shipped::plugin_config(&bootstrap);
    let port = KEYCLOAK.envoy.port("app");
    let page = |path: &str| get(port, path, &[("host", "login.example.com:443")]);

    let settings = page("/api/keycloak/settings");
    assert_eq!(settings.header("content-type"), Some("application/json"));
    let settings = settings.json();
    let setting = |name: &str| settings[format!("che.keycloak.{name}")].as_str().unwrap().to_owned();
    assert_eq!(format!("{}/realms/{}", setting("auth_server_url"), setting("realm")), REALM);
    assert_eq!(setting("jwks.endpoint"), format!("{REALM}/protocol/openid-connect/certs"));
    assert_eq!(plugin["providers"][0]["required_claims"]["azp"], json!([setting("client_id")]));

    let loader = page("/loader.html");
    assert_eq!((loader.status, loader.header("content-type")), (200, Some("text/html")));
    let policy = loader.header("content-security-policy").unwrap();
    for application in page("/loader.json").json()["applications"].as_array().unwrap() {
        let origin = application["url"].as_str().unwrap().trim_end_matches('/');
        for directive in ["connect-src", "frame-src", "form-action"] {
            let sources = policy.split(';').find(|own| own.trim_start().starts_with(directive)).unwrap();
            assert!(sources.split_whitespace().any(|source| source == origin), "{directive}: {policy}");
        }
    }

    // No filter there, and nothing that it would guard.
    for path in ["/", "/jwt/auth", "/healthz", "/loader.html/x", "/%2e%2e/"] {
        assert_eq!(page(path).status, 404, "{path}");
    }
}

// Both.

#[test]
fn the_examples_are_valid_as_they_are_shipped() {
    let che = che_env(&Key::fixed("a").public_der_base64(), "RSA");
    for (path, options) in [("che/envoy.yaml", &che), ("keycloak/envoy.yaml", &Options::default())] {
        let (accepted, said) = validate_with(shipped::bootstrap(path), options);
        assert!(accepted, "{path}: {said}");
    }
    let (accepted, said) = validate_with(shipped::bootstrap("che/envoy.yaml"), &Options::default());
    assert!(!accepted && said.contains("is not set in the VM"), "{said}");
}

#[test]
fn the_examples_guard_their_filters_as_the_first_file_does() {
    let filters = |path: &str| {
        let listeners = shipped::yaml(path)["static_resources"]["listeners"].clone();
        let chains = listeners.as_array().unwrap().iter();
        let filters = chains.map(|listener| {
            listener["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"][0]["typed_config"]
                    ["config"]
                    .clone()
        });
        filters.filter(|config| !config.is_null()).collect::<Vec<_>>()
    };
    let first = &filters("envoy.yaml")[0];
    for (path, count) in [("che/envoy.yaml", 2), ("keycloak/envoy.yaml", 1)] {
        let own = filters(path);
        let ids: BTreeSet<_> = own.iter().map(|config| config["vm_config"]["vm_id"].as_str()).collect();
        assert_eq!((own.len(), ids.len()), (count, count), "{path}: a VM for each");
        for config in own {
            assert_eq!(config["failure_policy"], first["failure_policy"]);
            let [of_own, of_first] =
                [&config, first].map(|config| &config["vm_config"]["capability_restriction_config"]);
            assert_eq!(of_own, of_first, "{path}");
        }
    }
}
