//! The API server of a Kubernetes without nodes, and an istiod that reads it.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rig::{http, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::parts::{Part, Parts, free_port, free_ports};

const START_LIMIT: Duration = Duration::from_mins(2);

/// A cluster: what `kubectl` talks to.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) kubeconfig: PathBuf,
    _api_server: Part,
    pub(crate) folder: TempDir,
}

impl Cluster {
    /// Starts it, with the resource types of Istio.
    pub(crate) fn start(parts: &Parts) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        let port = free_port();
        fs::write(at("sa.key"), rig::jwt::Key::fixed("b").pkcs8_pem()).expect("a key");
        fs::write(at("tokens.csv"), "admin,admin,admin,\"system:masters\"\n").expect("a token");
        let kubeconfig = at("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "mesh",
            "clusters": [{"name": "mesh", "cluster": {
                "server": format!("https://127.0.0.1:{port}"), "insecure-skip-tls-verify": true}}],
            "users": [{"name": "admin", "user": {"token": "admin"}}],
            "contexts": [{"name": "mesh", "context": {"cluster": "mesh", "user": "admin"}}],
        });
        fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
        let mut command = Command::new(parts.path("apiserver"));
        command.current_dir(&folder).args([
            "etcd",
            "--service-account-key-file=sa.key",
            "--service-account-signing-key-file=sa.key",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--token-auth-file=tokens.csv",
            "--bind-address=127.0.0.1",
            "--cert-dir=certificates",
            "--service-cluster-ip-range=10.96.0.0/16",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount",
        ]);
        command.arg(format!("--secure-port={port}"));
        let mut api_server = Part::start(&mut command, &at("apiserver.log"));
        let ready = || {
            let output = kubectl(&kubeconfig).args(["get", "--raw", "/readyz"]).output();
            output.expect("kubectl runs").status.success()
        };
        api_server.wait("the API server", START_LIMIT, ready);
        let cluster = Self { kubeconfig, _api_server: api_server, folder };
        let types = parts.path("crd-all.gen.yaml");
        cluster.run(&["apply", "--server-side", "-f", types.to_str().expect("a path in UTF-8")]);
        cluster.run(&["wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"]);
        cluster
    }

    /// Runs `kubectl`, which must succeed.
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.try_run(arguments, None).unwrap_or_else(|said| panic!("kubectl {arguments:?}: {said}"))
    }

    /// Runs it with that input.
    ///
    /// # Errors
    /// What it said of its failure.
    pub(crate) fn try_run(&self, arguments: &[&str], input: Option<&str>) -> Result<String, String> {
        let mut command = kubectl(&self.kubeconfig);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("its input");
        let input = input.unwrap_or_default().to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().expect("kubectl runs");
        // Its own end says whether it wanted all of it.
        let _ = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// Applies resources as a person would who wants every field to be known.
    ///
    /// # Errors
    /// Why they were refused.
    pub(crate) fn try_apply(&self, resources: &[Value]) -> Result<String, String> {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
        self.try_run(&["apply", "--validate=strict", "-f", "-"], Some(&list))
    }

    /// Applies resources, which must be accepted.
    pub(crate) fn apply(&self, resources: &[Value]) {
        self.try_apply(resources).unwrap_or_else(|said| panic!("kubectl apply: {said}"));
    }

    /// Takes resources away.
    pub(crate) fn delete(&self, resources: &[Value]) {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string();
        self.try_run(&["delete", "--ignore-not-found", "-f", "-"], Some(&list))
            .unwrap_or_else(|said| panic!("kubectl delete: {said}"));
    }

    /// A namespace with a service account.
    pub(crate) fn namespace(&self, name: &str, account: &str) {
        self.apply(&[
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}),
            json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": account, "namespace": name}}),
        ]);
    }
}

fn kubectl(kubeconfig: &PathBuf) -> Command {
    let mut command = Command::new("kubectl");
    command.arg("--kubeconfig").arg(kubeconfig);
    command
}

/// Istio's control plane. It can be stopped and started.
#[derive(Debug)]
pub(crate) struct Istiod {
    binary: PathBuf,
    ports: [u16; 4],
    running: Option<Part>,
    /// For how long it keeps a connection of an agent's.
    pub(crate) connection_age: &'static str,
    /// Whether it knows of ambient mode, from its next start on.
    pub(crate) ambient: bool,
}

/// As Istio's own charts have it.
pub(crate) const CONNECTION_AGE: &str = "30m";

impl Istiod {
    /// Starts it.
    pub(crate) fn start(parts: &Parts, cluster: &Cluster) -> Self {
        cluster.namespace("istio-system", "istiod");
        // What only Istio's own build of Envoy has stays out: metadata exchange, ALPN, its metrics.
        let mesh = json!({"defaultProviders": {"metrics": []}, "enablePrometheusMerge": false}).to_string();
        cluster.apply(&[json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh}})]);
        let mut istiod = Self {
            binary: parts.path("pilot-discovery"),
            ports: free_ports(4).try_into().expect("four ports"),
            running: None,
            connection_age: CONNECTION_AGE,
            ambient: false,
        };
        istiod.run(cluster);
        istiod
    }

    /// Starts it again, where it was before.
    pub(crate) fn run(&mut self, cluster: &Cluster) {
        let [http_port, grpc, secure, monitoring] = self.ports;
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&cluster.folder)
            .env("POD_NAME", "istiod-1")
            .env("POD_NAMESPACE", "istio-system")
            .env("PILOT_ENABLE_METADATA_EXCHANGE", "false")
            .env("PILOT_ENABLE_ALPN_FILTER", "false")
            .env("PILOT_ENABLE_AMBIENT", self.ambient.to_string())
            .env("INJECTION_WEBHOOK_CONFIG_NAME", "")
            .env("VALIDATION_WEBHOOK_CONFIG_NAME", "")
            .args(["discovery", "--namespace", "istio-system", "--httpsAddr", "", "--ctrlz_port", "0"])
            .args(["--keepaliveMaxServerConnectionAge", self.connection_age])
            .arg("--kubeconfig")
            .arg(&cluster.kubeconfig)
            .args(["--httpAddr", &local(http_port), "--grpcAddr", &local(grpc)])
            .args(["--secureGRPCAddr", &local(secure), "--monitoringAddr", &local(monitoring)]);
        let mut part = Part::start(&mut command, &cluster.folder.path().join("istiod.log"));
        part.wait("istiod", START_LIMIT, || status(http_port, "/ready") == Some(200));
        self.running = Some(part);
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Its version as a Go module.
    pub(crate) fn version() -> String {
        let list = fs::read_to_string(repository("tests/mesh/istio/go.mod")).expect("a list of modules");
        let version =
            list.lines().find_map(|line| line.trim().strip_prefix("istio.io/istio ")?.split(' ').next());
        version.expect("Istio").to_owned()
    }

    /// Where agents find it.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ports[2])
    }

    /// The last line of its log that holds that text.
    pub(crate) fn said(&self, text: &str) -> Option<String> {
        let log = self.running.as_ref()?.log();
        log.lines().rev().find(|line| line.contains(text)).map(str::to_owned)
    }

    /// The lines of its metrics that begin so.
    pub(crate) fn metrics(&self, prefix: &str) -> Vec<String> {
        let text = http::request(self.ports[3], "GET", "/metrics", &[], b"");
        text.text().lines().filter(|line| line.starts_with(prefix)).map(str::to_owned).collect()
    }
}

/// The status of an answer to that path; none where nobody answers.
pub(crate) fn status(port: u16, path: &str) -> Option<u16> {
    let mut connection = http::Connection::try_open(port).ok()?;
    connection.try_send(&http::raw(port, "GET", path, &[], b"")).ok().map(|response| response.status)
}
