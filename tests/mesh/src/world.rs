//! The mesh that the scenarios run in.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rig::http;
use rig::jwt::{Key, mint, now};
use rig::place::{bearer, bytes};
use rig::upstream::Upstream;
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::control_plane::{Cluster, Istiod};
use crate::manifests;
use crate::module::Module;
use crate::parts::{Parts, free_port, free_ports, is_free, until};

/// API server, istiod, a module to download, and an upstream.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) parts: Parts,
    pub(crate) cluster: Cluster,
    pub(crate) istiod: Istiod,
    pub(crate) module: Module,
    pub(crate) upstream: Upstream,
}

impl World {
    pub(crate) fn start() -> Result<Self, String> {
        let parts = Parts::bring()?;
        let cluster = Cluster::start(&parts);
        let istiod = Istiod::start(&parts, &cluster);
        Ok(Self { parts, cluster, istiod, module: Module::serve(), upstream: Upstream::start() })
    }

    pub(crate) fn agent(&self, pod: &Pod) -> Agent {
        Agent::start(&self.parts, &self.cluster, &self.istiod, pod)
    }

    /// The same, for one that `pilot-agent request` asks, which knows these ports and no other.
    pub(crate) fn agent_to_ask(&self, pod: &Pod) -> Agent {
        let admin = [15_000, 15_020, 15_021, 15_004].into_iter().find(|port| is_free(*port));
        let admin = admin.unwrap_or_else(free_port);
        Agent::start_at(admin, &self.parts, &self.cluster, &self.istiod, pod)
    }

    /// The resources of a shipped file, with this run's module and key.
    pub(crate) fn shipped(&self, file: &str) -> Vec<Value> {
        manifests::shipped(file, &self.module)
    }
}

/// A gateway, and behind it a workspace with a sidecar that has two ports: the pods that the shipped files speak of.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) sidecar: Agent,
    _gateway: Agent,
    pub(crate) ports: [u16; 2],
    pub(crate) ingress: u16,
}

pub(crate) const SIDECAR_HOST: &str = "workspace.internal";

impl Workspace {
    pub(crate) fn start(world: &World) -> Self {
        let [first, second, ingress] = free_ports(3).try_into().expect("three ports");
        let app = json!({"app": "workspace"});
        let edge = json!({"istio": "ingressgateway"});
        for namespace in ["workspaces", "istio-ingress"] {
            world.cluster.namespace(namespace, "default");
        }
        world.cluster.apply(
            &[
                vec![manifests::sidecar("workspaces", &app, &[first, second], world.upstream.port())],
                manifests::service("workspaces", SIDECAR_HOST, &app, "127.0.0.1", &[first, second]),
                manifests::gateway("istio-ingress", &edge, &[ingress], SIDECAR_HOST, first),
            ]
            .concat(),
        );
        let sidecar = world.agent_to_ask(&sidecar_pod());
        let gateway = world.agent(&Pod {
            role: "router",
            namespace: "istio-ingress".into(),
            labels: edge,
            address: "127.0.0.2",
            workers: 2,
        });
        Self { sidecar, _gateway: gateway, ports: [first, second], ingress }
    }
}

/// The pod of the workspace.
pub(crate) fn sidecar_pod() -> Pod {
    Pod {
        role: "sidecar",
        namespace: "workspaces".into(),
        labels: json!({"app": "workspace"}),
        address: "127.0.0.1",
        workers: 2,
    }
}

/// The status of a GET with that token, if any; none where nobody answers.
pub(crate) fn status_with(port: u16, path: &str, token: Option<&str>) -> Option<u16> {
    let value = token.map(bearer);
    let headers: Vec<_> = value.iter().map(|value| ("authorization", value.as_str())).collect();
    let mut connection = http::Connection::try_open(port).ok()?;
    let response = connection.try_send(&http::raw(port, "GET", path, &bytes(&headers), b"")).ok()?;
    Some(response.status)
}

/// Waits until the filter guards a port: 401 without a token, 200 with one.
///
/// # Errors
/// It does not within half a minute: what it does.
pub(crate) fn guarded(port: u16) -> Result<Duration, String> {
    settled(port, &[(None, 401), (Some(token_of("alice")), 200)])
}

/// The same by way of a gateway. A connection of the gateway's that was open before the sidecar got its plugin carries one
/// more request past it: Envoy drains a listener that gets another filter, and answers that one by `connection: close`.
///
/// # Errors
/// As above.
pub(crate) fn guarded_behind(edge: u16) -> Result<Duration, String> {
    let token = token_of("alice");
    for _ in 0..20 {
        status_with(edge, "/notes", Some(&token));
    }
    guarded(edge)
}

/// Waits until a port answers these tokens so.
///
/// # Errors
/// What it answers after half a minute.
pub(crate) fn settled(port: u16, wanted: &[(Option<String>, u16)]) -> Result<Duration, String> {
    let found = || -> Vec<Option<u16>> {
        wanted.iter().map(|(token, _)| status_with(port, "/notes", token.as_deref())).collect()
    };
    let wanted: Vec<_> = wanted.iter().map(|(_, status)| Some(*status)).collect();
    // More than once, for the workers do not learn of it at the same moment.
    until(Duration::from_secs(30), || (0..5).all(|_| found() == wanted))
        .ok_or_else(|| format!("wanted {wanted:?}, found {:?} after 30 s", found()))
}

/// A good token of that person, no other of which is the same: who signs out with it ends no other.
pub(crate) fn token_of(person: &str) -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let claims = json!({
        "iss": "https://login.example.com", "aud": "workspace", "sub": person, "exp": now() + 3600,
        "jti": NUMBER.fetch_add(1, Ordering::Relaxed).to_string(),
    });
    mint(&Key::fixed("a"), "RS256", json!({"alg": "RS256", "kid": "a"}), claims)
}

/// The status of a GET.
pub(crate) fn get(port: u16, path: &str, headers: &[(&str, &str)]) -> u16 {
    http::request(port, "GET", path, &bytes(headers), b"").status
}

/// Where a browser without a token is led.
pub(crate) fn led_to(port: u16) -> String {
    let response = http::request(port, "GET", "/notes", &bytes(&[("accept", "text/html")]), b"");
    response.header("location").unwrap_or_default().to_owned()
}

/// Checks something while these resources are applied, and takes them away again.
pub(crate) fn while_applied(
    world: &World,
    workspace: &Workspace,
    resources: &[Value],
    check: &dyn Fn() -> Result<String, String>,
) -> Result<String, String> {
    world.cluster.apply(resources);
    let result = check();
    world.cluster.delete(resources);
    for port in workspace.ports.into_iter().chain([workspace.ingress]) {
        settled(port, &[(None, 200)])?;
    }
    result
}
