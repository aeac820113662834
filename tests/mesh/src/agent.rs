//! Istio's agent and the Envoy that it starts: what runs in a pod as `istio-proxy`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rig::http;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::control_plane::{Cluster, Istiod};
use crate::parts::{Part, Parts, free_port, free_ports};

/// What an agent is.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    /// `router` (a gateway), `sidecar` or `waypoint`.
    pub(crate) role: &'static str,
    pub(crate) namespace: String,
    pub(crate) labels: Value,
    /// Of 127.0.0.0/8, for this pod alone.
    pub(crate) address: &'static str,
    pub(crate) workers: u32,
}

/// A running agent. It takes its Envoy along when it ends.
#[derive(Debug)]
pub(crate) struct Agent {
    part: Part,
    pub(crate) admin: u16,
    status: u16,
    folder: TempDir,
}

const ACCOUNT: &str = "default";
const CERTIFICATES: &str = "certificates";
const START_LIMIT: Duration = Duration::from_mins(1);
/// An agent keeps the modules it downloads in /var/lib/istio/data, whoever starts it: here each has a /var/lib of its own,
/// empty at its start. In a process namespace of its own it cannot leave its Envoy behind.
const POD: [&str; 7] =
    ["--map-root-user", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh"];
const IN_POD: &str = "mount -t tmpfs none /var/lib && mkdir -p /var/lib/istio/data && exec \"$@\"";

impl Agent {
    /// Starts it and waits for its Envoy to answer, if not yet with the configuration.
    pub(crate) fn start(parts: &Parts, cluster: &Cluster, istiod: &Istiod, pod: &Pod) -> Self {
        Self::start_at(free_port(), parts, cluster, istiod, pod)
    }

    /// The same with that port for Envoy's admin interface.
    pub(crate) fn start_at(admin: u16, parts: &Parts, cluster: &Cluster, istiod: &Istiod, pod: &Pod) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let namespace = &pod.namespace;
        cluster.namespace(namespace, ACCOUNT);
        let token = cluster.run(&["create", "token", ACCOUNT, "-n", namespace, "--audience", "istio-ca"]);
        let root = cluster.run(&[
            "get",
            "configmap",
            "istio-ca-root-cert",
            "-n",
            "istio-system",
            "-o",
            "jsonpath={.data.root-cert\\.pem}",
        ]);
        let write = |path: &str, text: &str| {
            let path: PathBuf = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, text).expect("a file");
        };
        write("var/run/secrets/tokens/istio-token", token.trim());
        write("var/run/secrets/istio/root-cert.pem", &root);
        // With an address of one it would listen beyond this machine.
        let interfaces = interfaces().join(",");
        write(
            "etc/istio/pod/annotations",
            &format!("traffic.sidecar.istio.io/excludeInterfaces=\"{interfaces}\"\n"),
        );
        fs::create_dir(folder.path().join(CERTIFICATES)).expect("a folder");
        let [status, prometheus, envoy_status] = free_ports(3).try_into().expect("three ports");
        let config = json!({
            "discoveryAddress": istiod.address(), "controlPlaneAuthPolicy": "MUTUAL_TLS",
            "binaryPath": parts.envoy, "configPath": folder.path().join("envoy"),
            "proxyAdminPort": admin, "statusPort": status, "concurrency": pod.workers,
            // One hop is trusted, so that a case can say by which scheme it came.
            "gatewayTopology": {"numTrustedProxies": 1},
        });
        let template = fs::read_to_string(parts.path("envoy_bootstrap.json")).expect("a template");
        // A waypoint loads an extension that only Istio's own build of Envoy has, wherever its metrics go.
        let template = template.replace("{{- if .metadata_discovery }}", "{{- if false }}");
        // Nor what it listens at beyond this machine.
        let template = template.replace("{{ .wildcard }}", "127.0.0.1");
        write("envoy_bootstrap.json", &template);
        let mut command = Command::new("unshare");
        command
            .args(POD)
            .args(["-c", IN_POD, "sh"])
            .arg(parts.path("pilot-agent"))
            .args(["proxy", pod.role, "--domain", &format!("{namespace}.svc.cluster.local")])
            .args(["--templateFile", "envoy_bootstrap.json"])
            .args(["--proxyLogLevel", "warning", "--proxyComponentLogLevel", "wasm:info,config:info"])
            .current_dir(&folder)
            .env("SERVICE_ACCOUNT", ACCOUNT)
            .env("ISTIOD_SAN", "istiod.istio-system.svc")
            .env("JWT_POLICY", "third-party-jwt")
            .env("TRUST_DOMAIN", "cluster.local")
            .env("POD_NAME", format!("{}-{}", pod.role, pod.address))
            .env("POD_NAMESPACE", namespace)
            .env("INSTANCE_IP", pod.address)
            .env("ISTIO_META_CLUSTER_ID", "Kubernetes")
            .env("OUTPUT_CERTS", CERTIFICATES)
            .env("ISTIO_META_INTERCEPTION_MODE", "NONE")
            .env("ISTIO_METAJSON_LABELS", pod.labels.to_string())
            // The registries of this machine speak plain HTTP.
            .env("WASM_INSECURE_REGISTRIES", "*")
            .env("ENVOY_PROMETHEUS_PORT", prometheus.to_string())
            .env("ENVOY_STATUS_PORT", envoy_status.to_string())
            .env("PROXY_CONFIG", config.to_string());
        let mut part = Part::start(&mut command, &folder.path().join("log"));
        let answers = || crate::control_plane::status(admin, "/server_info") == Some(200);
        part.wait("an agent", START_LIMIT, answers);
        Self { part, admin, status, folder }
    }

    /// All that the agent and its Envoy have written.
    pub(crate) fn log(&self) -> String {
        self.part.log()
    }

    /// Where it writes that.
    pub(crate) fn log_file(&self) -> &Path {
        self.part.log_file()
    }

    /// What istiod certified it to be: its own certificate, its key, and whom it trusts, as files of PEM.
    pub(crate) fn certificates(&self) -> [PathBuf; 3] {
        let folder = self.folder.path().join(CERTIFICATES);
        ["cert-chain.pem", "key.pem", "root-cert.pem"].map(|name| folder.join(name))
    }

    /// What Envoy's admin interface says.
    pub(crate) fn admin(&self, path: &str) -> String {
        http::request(self.admin, "GET", path, &[], b"").text().into()
    }

    /// The lines of the agent's own metrics that begin so.
    pub(crate) fn metrics(&self, prefix: &str) -> Vec<String> {
        let answer = http::request(self.status, "GET", "/stats/prometheus", &[], b"");
        answer.text().lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }

    /// The first line of the log that holds that text, without its time.
    pub(crate) fn said(&self, text: &str) -> Option<String> {
        self.log().lines().find(|line| line.contains(text)).map(str::to_owned)
    }

    /// Ends it, and its Envoy with it.
    pub(crate) fn stop(&mut self) {
        self.part.stop();
    }
}

/// The network interfaces of this machine that lead out of it.
fn interfaces() -> Vec<String> {
    let all = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = all.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "lo").collect()
}
