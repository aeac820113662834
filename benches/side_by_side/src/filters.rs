//! The filters that are compared, each as a listener of one Envoy.

use std::path::Path;

use rig::envoy::{Envoy, Options};
use rig::shipped;
use serde_json::{Value, json};

use crate::tokens::{AUDIENCE, ISSUER, REGULARS, Tokens};

/// The built module, from the root of the repository, in which Envoy runs.
pub(crate) const MODULE: &str = "dist/jwtproxy.wasm";
/// The filter that does nothing, built by the recipe.
const NOOP: &str = "dist/bench/noop.wasm";
/// The cookie of a session.
pub(crate) const COOKIE: &str = "access_token";
/// The query parameter with a token.
pub(crate) const PARAMETER: &str = "token";

/// What stands before the router.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) enum Filter {
    /// Nothing.
    None,
    /// A Wasm filter that does nothing.
    Noop,
    /// Envoy's own filter as most run it: every signature is verified.
    JwtAuthn,
    /// The same with `jwt_cache_config`.
    JwtAuthnCached,
    /// The same, with tokens in cookies and queries.
    JwtAuthnWeb,
    /// This module, with one key.
    Ours,
    /// With a session: tokens in cookies, too.
    OursWeb,
    /// With a hundred keys; the one that signs is the last.
    OursManyKeys,
    /// Where the host may not verify signatures, so the crate `rsa` does.
    OursCrate,
    /// Where the host may not show it bodies, so no form signs anybody in.
    OursWithoutBodies,
}

impl Filter {
    /// Every one.
    pub(crate) const ALL: [Self; 10] = [
        Self::None,
        Self::Noop,
        Self::JwtAuthn,
        Self::JwtAuthnCached,
        Self::JwtAuthnWeb,
        Self::Ours,
        Self::OursWeb,
        Self::OursManyKeys,
        Self::OursCrate,
        Self::OursWithoutBodies,
    ];

    /// The name of its listener, which is also that of its statistics.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Noop => "noop",
            Self::JwtAuthn => "jwt_authn",
            Self::JwtAuthnCached => "jwt_authn_cached",
            Self::JwtAuthnWeb => "jwt_authn_web",
            Self::Ours => "ours",
            Self::OursWeb => "ours_web",
            Self::OursManyKeys => "ours_many_keys",
            Self::OursCrate => "ours_crate",
            Self::OursWithoutBodies => "ours_without_bodies",
        }
    }

    /// Whether it looks for a token.
    pub(crate) const fn reads_tokens(self) -> bool {
        !matches!(self, Self::None | Self::Noop)
    }

    fn config(self) -> Option<Value> {
        match self {
            Self::None => None,
            Self::Noop => Some(self.wasm(NOOP, "")),
            Self::JwtAuthn | Self::JwtAuthnCached | Self::JwtAuthnWeb => Some(self.jwt_authn()),
            Self::Ours | Self::OursWeb | Self::OursManyKeys | Self::OursCrate | Self::OursWithoutBodies => {
                Some(self.wasm(MODULE, &self.plugin_config().to_string()))
            }
        }
    }

    /// Everything that is not said stands as Envoy has it.
    fn jwt_authn(self) -> Value {
        let mut provider = json!({
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "local_jwks": {"inline_string": Tokens::jwks(0).to_string()},
            "forward": false,
            "claim_to_headers": [{"header_name": "x-jwt-sub", "claim_name": "sub"}],
        });
        if self != Self::JwtAuthn {
            // The default, 100, is less than the case `mixed` needs.
            provider["jwt_cache_config"] = json!({"jwt_cache_size": 2 * REGULARS});
        }
        if self == Self::JwtAuthnWeb {
            provider["from_cookies"] = json!([COOKIE]);
            provider["from_params"] = json!([PARAMETER]);
        }
        json!({"name": "envoy.filters.http.jwt_authn", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
            "providers": {"login": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "login"}}],
        }})
    }

    fn plugin_config(self) -> Value {
        let others = if self == Self::OursManyKeys { 99 } else { 0 };
        let mut config = json!({"providers": [{
            "name": "login",
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "keys": [{"jwks": Tokens::jwks(others)}],
            "claim_headers": {"x-jwt-sub": "sub"},
        }]});
        if self == Self::OursWeb {
            config["session"] = json!({"login_url": "/login", "cookie": {"name": COOKIE}});
        }
        config
    }

    /// The plugin as it is shipped, with its list of capabilities.
    fn wasm(self, module: &str, config: &str) -> Value {
        let mut bootstrap = shipped::bootstrap("envoy.yaml");
        shipped::set_module(&mut bootstrap, Path::new(module));
        shipped::set_plugin_config(&mut bootstrap, config);
        shipped::set_env(&mut bootstrap, &[]);
        if self == Self::OursCrate {
            shipped::capabilities(&mut bootstrap).remove("proxy_call_foreign_function").expect("is shipped");
        }
        if self == Self::OursWithoutBodies {
            shipped::capabilities(&mut bootstrap).remove("proxy_on_request_body").expect("is shipped");
        }
        let mut filter = shipped::manager(&mut bootstrap)["http_filters"][0].take();
        filter["typed_config"]["config"]["vm_config"]["vm_id"] = json!(self.name());
        filter
    }

    fn listener(self) -> Value {
        let route =
            |prefix: &str, cluster: &str| json!({"match": {"prefix": prefix}, "route": {"cluster": cluster}});
        let routes = [route("/upstream/", "upstream"), route("/witness/", "witness"), direct_response()];
        listener(self.name(), self.config(), &routes)
    }
}

/// Starts Envoy with a listener for each filter.
pub(crate) fn start(filters: &[Filter], workers: u32, upstream: u16, witness: u16) -> Envoy {
    let listeners = filters.iter().map(|filter| filter.listener()).collect();
    let clusters = vec![cluster("upstream", upstream), cluster("witness", witness)];
    Envoy::start_with(bootstrap(listeners, clusters), &options(workers))
}

/// The name of the listener of [`start_rich`].
pub(crate) const RICH: &str = "ours_rich";

/// Starts Envoy with the module in a configuration that asks much of each request.
pub(crate) fn start_rich() -> Envoy {
    let config = micro::worst::config(&json!([{"jwks": Tokens::jwks(0)}]));
    let filter = Filter::Ours.wasm(MODULE, &config.to_string());
    Envoy::start_with(
        bootstrap(vec![listener(RICH, Some(filter), &[direct_response()])], Vec::new()),
        &options(1),
    )
}

/// A service that costs as little as can be: an Envoy that answers by itself.
pub(crate) fn start_upstream() -> Envoy {
    let listener = listener(UPSTREAM, None, &[direct_response()]);
    Envoy::start_with(bootstrap(vec![listener], Vec::new()), &options(1))
}

/// The port of [`start_upstream`].
pub(crate) fn upstream_port(upstream: &Envoy) -> u16 {
    upstream.port(UPSTREAM)
}

const UPSTREAM: &str = "upstream";

/// No access log, no normalisation, no limits: what all listeners have in common costs as little as it can, so that the
/// filters stand out.
fn listener(name: &str, filter: Option<Value>, routes: &[Value]) -> Value {
    let last = json!({"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
    }});
    let filters: Vec<_> = filter.into_iter().chain([last]).collect();
    json!({
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network\
                    .http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "http_filters": filters,
                "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
            },
        }]}],
    })
}

fn direct_response() -> Value {
    json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "hello\n"}}})
}

fn cluster(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "name": name,
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

fn bootstrap(listeners: Vec<Value>, clusters: Vec<Value>) -> Value {
    json!({"admin": {}, "static_resources": {"listeners": Value::Array(listeners), "clusters": Value::Array(clusters)}})
}

fn options(workers: u32) -> Options {
    Options { concurrency: workers, ..Options::default() }
}
