//! A waypoint of ambient mode: what it wants of Envoy, and, where that is taken out, requests as ztunnel sends them.

use std::thread::sleep;
use std::time::Duration;

use rig::envoy::{self, Envoy};
use serde_json::{Value, json};

use crate::agent::{Agent, Pod};
use crate::journey::{self, Token};
use crate::load::{Load, usual};
use crate::parts::{bring, free_port, until};
use crate::report::{Report, ensure};
use crate::world::{World, guarded, led_to, settled};

const NAMESPACE: &str = "ambient";
const GATEWAY: &str = "waypoint";
const ADDRESS: &str = "127.0.0.9";
/// Where the mesh looks for a waypoint.
const HBONE: u16 = 15008;
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a load goes on behind the change.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// What a waypoint's listeners have that only Istio's own build of Envoy knows, as Envoy says it. `docs/istio.md` names
/// them.
const METADATA: [(&str, &str); 2] = [
    (
        "connect_terminate",
        "Didn't find a registered implementation for 'waypoint_downstream_peer_metadata' with type URL: \
         'io.istio.http.peer_metadata.Config'",
    ),
    (
        "main_internal",
        "Didn't find a registered implementation for 'waypoint_upstream_peer_metadata' with type URL: \
         'io.istio.http.peer_metadata.Config'",
    ),
];
/// It wants the factory `istio.hashable_string`.
const AUTHORITY: (&str, &str) =
    ("connect_terminate", "'io.istio.connect_authority' does not have an object factory");
/// The same of its bootstrap.
const BOOTSTRAP: &str = "istio.workload.BootstrapExtension";

pub(crate) fn run(world: &mut World, report: &mut Report) {
    world.istiod.stop();
    world.istiod.ambient = true;
    world.istiod.run(&world.cluster);
    let mut waypoint = None;
    report.scenario("what a waypoint wants that only the Envoy of Istio has", || {
        let types = bring("gateway-api")?;
        world.cluster.run(&["apply", "--server-side", "-f", types.to_str().expect("a path in UTF-8")]);
        world.cluster.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        waypoint.insert(Waypoint::start(world)).is_taken()
    });
    report.scenario("waypoint.yaml at a waypoint, by HBONE", || {
        waypoint.as_ref().ok_or("there is no waypoint")?.guards()
    });
    drop(waypoint);
    world.istiod.stop();
    world.istiod.ambient = false;
    world.istiod.run(&world.cluster);
}

struct Waypoint<'a> {
    world: &'a World,
    agent: Agent,
    /// Where it listens, here.
    port: u16,
}

impl<'a> Waypoint<'a> {
    /// A service, and a waypoint for it.
    fn start(world: &'a World) -> Self {
        world.cluster.namespace(NAMESPACE, "default");
        let metadata =
            |name: &str, labels: Value| json!({"name": name, "namespace": NAMESPACE, "labels": labels});
        let instance = json!({"gateway.networking.k8s.io/gateway-name": GATEWAY});
        // A machine, as Kubernetes has no nodes here, and none of its pods may have such an address.
        let workload = |name: &str, address: &str, labels: &Value| {
            json!({"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry",
                "metadata": metadata(name, json!({})),
                "spec": {"address": address, "labels": labels, "serviceAccount": "default"}})
        };
        let app = json!({"app": "workspace"});
        world.cluster.apply(&[
            json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
                "metadata": metadata(GATEWAY, json!({"istio.io/waypoint-for": "service"})),
                "spec": {"gatewayClassName": "istio-waypoint",
                    "listeners": [{"name": "mesh", "port": HBONE, "protocol": "HBONE"}]}}),
            // What istiod makes of that gateway where there are nodes: a service and its pods.
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": metadata(GATEWAY, json!({"gateway.networking.k8s.io/gateway-name": GATEWAY,
                    "gateway.istio.io/managed": "istio.io-mesh-controller"})),
                "spec": {"selector": instance, "ports": [{"name": "hbone", "port": HBONE}]}}),
            workload(GATEWAY, ADDRESS, &instance),
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": metadata("workspace", json!({"istio.io/use-waypoint": GATEWAY})),
                "spec": {"selector": app,
                    "ports": [{"name": "http", "port": 80, "targetPort": world.upstream.port()}]}}),
            workload("workspace", "127.0.0.1", &app),
        ]);
        let pod = Pod {
            role: "waypoint",
            namespace: NAMESPACE.into(),
            labels: instance,
            address: ADDRESS,
            workers: 2,
        };
        Self { world, agent: world.agent(&pod), port: free_port() }
    }

    /// What Envoy refuses of it, one after the other, until there is none of that any more.
    fn is_taken(&self) -> Result<String, String> {
        let (valid, said) = envoy::validate(json!({"bootstrap_extensions": [{
            "name": "metadata_discovery",
            "typed_config": {"@type": "type.googleapis.com/udpa.type.v1.TypedStruct",
                "type_url": format!("type.googleapis.com/{BOOTSTRAP}")},
        }]}));
        let unknown = said.contains("Didn't find a registered implementation") && said.contains(BOOTSTRAP);
        ensure(!valid && unknown, || format!("bootstrap: {said}"))?;
        let refused = |(listener, reason): (&str, &str)| {
            let so = until(PATIENCE, || self.refusal(listener).as_deref() == Some(reason));
            so.ok_or_else(|| {
                format!("{listener} is refused for {:?}, not for {reason}", self.refusal(listener))
            })
        };
        refused(METADATA[0])?;
        refused(METADATA[1])?;
        let without_metadata =
            ["waypoint_downstream_peer_metadata", "waypoint_upstream_peer_metadata"].map(remove);
        self.world.cluster.apply(&[self.patches(&without_metadata)]);
        refused(AUTHORITY)?;
        self.world.cluster.apply(&[self.patches(&[&without_metadata[..], &[replace_authority()]].concat())]);
        let listeners = [METADATA[0].0, METADATA[1].0];
        let taken = until(PATIENCE, || listeners.iter().all(|name| self.has(name)));
        taken.ok_or_else(|| format!("refused for {:?}", listeners.map(|name| self.refusal(name))))?;
        let listed =
            METADATA.iter().chain([&AUTHORITY]).map(|(listener, reason)| format!("{listener}: {reason}"));
        Ok(format!("{BOOTSTRAP}; {}; taken without", listed.collect::<Vec<_>>().join("; ")))
    }

    /// Somebody of the mesh asks the service by way of the waypoint.
    fn guards(&self) -> Result<String, String> {
        let client = self.client()?;
        let port = client.port("service");
        settled(port, &[(None, 200)])?;
        let mut plugin = self.world.shipped("waypoint.yaml");
        plugin[0]["metadata"]["namespace"] = json!(NAMESPACE);
        self.world.cluster.apply(&plugin);
        let took = guarded(port)?;
        let steps = journey::walk(port, Token::Stays)?;
        let load = Load::start(port, usual());
        let mut changed = plugin.clone();
        changed[0]["spec"]["pluginConfig"]["session"]["login_url"] = json!("/other");
        self.world.cluster.apply(&changed);
        let led = until(PATIENCE, || led_to(port).starts_with("/other"));
        sleep(AFTERWARDS);
        let figures = load.end()?.without_errors()?;
        led.ok_or("another login page never came")?;
        self.world.cluster.delete(&plugin);
        settled(port, &[(None, 200)])?;
        Ok(format!(
            "journey of {steps} steps, guarded {} ms after it was applied; changed under load: {figures}",
            took.as_millis()
        ))
    }

    /// What stands for ztunnel: it carries whatever comes to a port of this machine through a CONNECT to the service,
    /// in HTTP/2 over mutual TLS to the waypoint.
    fn client(&self) -> Result<Envoy, String> {
        let certificates = self.agent.certificates();
        let written = until(PATIENCE, || certificates.iter().all(|path| path.is_file()));
        written.ok_or("the agent has no certificate")?;
        let [chain, key, root] = certificates.map(|path| json!({"filename": path}));
        let jsonpath = "jsonpath={.spec.clusterIP}";
        let ip = self.world.cluster.run(&["get", "service", "workspace", "-n", NAMESPACE, "-o", jsonpath]);
        let local = |port: u16| json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
        let typed = |kind: &str, mut fields: Value| {
            fields["@type"] = json!(format!("type.googleapis.com/{kind}"));
            fields
        };
        let tunnel = typed(
            "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            json!({"stat_prefix": "service", "cluster": GATEWAY,
                "tunneling_config": {"hostname": format!("{}:80", ip.trim())}}),
        );
        let tls = typed(
            "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            json!({"common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificates": [{"certificate_chain": chain, "private_key": key}],
                "validation_context": {"trusted_ca": root, "match_typed_subject_alt_names": [{
                    "san_type": "URI",
                    "matcher": {"exact": format!("spiffe://cluster.local/ns/{NAMESPACE}/sa/default")}}]},
            }}),
        );
        let http2 = typed(
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            json!({"explicit_http_config": {"http2_protocol_options": {}}}),
        );
        Ok(Envoy::start(json!({"static_resources": {
            "listeners": [{"name": "service", "address": local(0), "filter_chains": [{"filters": [
                {"name": "envoy.filters.network.tcp_proxy", "typed_config": tunnel}]}]}],
            "clusters": [{
                "name": GATEWAY, "type": "STATIC",
                "load_assignment": {"cluster_name": GATEWAY, "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": local(self.port)}}]}]},
                "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls},
                "typed_extension_protocol_options": {
                    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            }],
        }})))
    }

    /// Changes of what istiod sends to the waypoint, and of the port where it listens: two meshes may run on a machine.
    fn patches(&self, more: &[Value]) -> Value {
        let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": self.port}});
        let listens = json!({
            "applyTo": "LISTENER",
            "match": {"context": "SIDECAR_INBOUND", "listener": {"name": "connect_terminate"}},
            "patch": {"operation": "MERGE", "value": {"address": address}},
        });
        let patches = [&[listens], more].concat();
        json!({
            "apiVersion": "networking.istio.io/v1alpha3", "kind": "EnvoyFilter",
            "metadata": {"name": "without-metadata", "namespace": NAMESPACE},
            "spec": {
                "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": GATEWAY}],
                "configPatches": patches,
            },
        })
    }

    /// Why Envoy has not taken a listener.
    fn refusal(&self, listener: &str) -> Option<String> {
        self.listener(listener)?["error_state"]["details"].as_str().map(str::to_owned)
    }

    fn has(&self, listener: &str) -> bool {
        self.listener(listener)
            .is_some_and(|listener| listener["active_state"].is_object() && listener["error_state"].is_null())
    }

    fn listener(&self, name: &str) -> Option<Value> {
        let dump: Value =
            serde_json::from_str(&self.agent.admin("/config_dump?resource=dynamic_listeners")).ok()?;
        dump["configs"].as_array()?.iter().find(|listener| listener["name"] == name).cloned()
    }
}

fn filter(name: &str) -> Value {
    json!({"context": "SIDECAR_INBOUND", "listener": {"filterChain": {"filter": {
        "name": "envoy.filters.network.http_connection_manager", "subFilter": {"name": name}}}}})
}

/// Who is at the other end is for metrics.
fn remove(name: &str) -> Value {
    json!({"applyTo": "HTTP_FILTER", "match": filter(name), "patch": {"operation": "REMOVE"}})
}

/// It keeps where the tunnel leads, which is all that Envoy itself needs. The rest is for policies of Istio.
fn replace_authority() -> Value {
    let state = |key: &str, format: &str| {
        json!({"object_key": key, "shared_with_upstream": "ONCE",
            "format_string": {"text_format_source": {"inline_string": format}}})
    };
    let name = "connect_authority";
    json!({"applyTo": "HTTP_FILTER", "match": filter(name), "patch": {"operation": "REPLACE", "value": {
        "name": name,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [
                state("envoy.filters.listener.original_dst.local_ip", "%REQ(:AUTHORITY)%"),
                state("envoy.filters.listener.original_dst.remote_ip", "%DOWNSTREAM_REMOTE_ADDRESS%"),
            ],
        },
    }}})
}
