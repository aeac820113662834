//! The commands of `docs/istio.md`, each as it stands there, from a mesh without the plugin to one that has it no more.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::repository;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::oci::private;
use crate::parts::free_port;
use crate::registry::{LOGIN, Registry};
use crate::report::{Report, ensure};
use crate::world::{Workspace, World, token_of};

/// How long a change may take to arrive, where a command only looks.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn run(world: &World, workspace: &Workspace, report: &mut Report) {
    report.scenario("the commands of docs/istio.md", || {
        let page = fs::read_to_string(repository("docs/istio.md")).map_err(|error| error.to_string())?;
        let commands = commands(&page);
        let reader = Reader::new(world, workspace)?;
        let followed = commands.iter().try_for_each(|command| {
            reader.follow(command).map_err(|fault| format!("{}\n{fault}", command.line))
        });
        world.cluster.delete(&[&way(world, 0, 0)[1..], &world.shipped("wasmplugin.yaml")].concat());
        followed?;
        let expected = commands.iter().filter(|command| command.prints.is_some()).count();
        ensure(commands.len() > 10 && expected > 10, || "the page has lost its commands".into())?;
        Ok(format!("{} run, {expected} of them printed what the page says", commands.len()))
    });
}

/// A command of the page, and what must be in its output.
#[derive(Debug)]
struct PageCommand {
    line: String,
    prints: Option<String>,
}

/// The lines of all blocks of `sh`.
fn commands(page: &str) -> Vec<PageCommand> {
    let mut commands = Vec::new();
    let mut inside = false;
    for line in page.lines().map(str::trim) {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside => {
                let (line, prints) = match line.split_once(" # => ") {
                    Some((line, prints)) => (line.trim_end(), Some(prints.to_owned())),
                    None => (line, None),
                };
                commands.push(PageCommand { line: line.to_owned(), prints });
            }
            _ => {}
        }
    }
    commands
}

/// Somebody with a clone of the repository, `kubectl`, a login at a registry, and a token.
struct Reader {
    folder: TempDir,
    registry: Registry,
    token: String,
}

impl Reader {
    fn new(world: &World, workspace: &Workspace) -> Result<Self, String> {
        let registry = Registry::start_with(Some(private::REALM))?;
        let (_, digest) = registry.layout()?;
        let [_, password] = LOGIN;
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let reader = Self { folder, registry, token: token_of("alice") };
        let ingress = free_port();
        reader.write("istio/workspace.yaml", &list(&way(world, workspace.ports[0], ingress)));
        reader.write("config.json", &private::config(world, &reader.registry.host(), password));
        let mut plugin = private::with_secret(world.shipped("wasmplugin.yaml"));
        plugin[0]["spec"]["url"] = json!(reader.registry.by_tag("0.1.0"));
        plugin[0]["spec"]["sha256"] = json!(digest);
        reader.write("istio/wasmplugin.yaml", &list(&plugin));
        reader.write(".curlrc", &format!("connect-to = \"workspace.example.com:80:127.0.0.1:{ingress}\"\n"));
        let (kubeconfig, agent) = (world.cluster.kubeconfig.display(), world.parts.path("pilot-agent"));
        let log = workspace.sidecar.log_file().display();
        // This mesh has no kubelet, which would answer `exec` and `logs`: the command runs here, and the log is the agent's.
        reader.command(
            "kubectl",
            &format!(
                "case $1 in\nexec) while [ \"$1\" != -- ]; do shift; done; shift; exec \"$@\" ;;\n\
                 logs) exec cat '{log}' ;;\n*) PATH=${{PATH#*:}} exec kubectl --kubeconfig '{kubeconfig}' \"$@\" ;;\nesac"
            ),
        );
        let admin = workspace.sidecar.admin;
        reader.command("pilot-agent", &format!("exec '{}' \"$@\" --debug-port {admin}", agent.display()));
        Ok(reader)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a folder");
        fs::write(path, text).expect("a file");
    }

    fn command(&self, name: &str, script: &str) {
        self.write(&format!("bin/{name}"), &format!("#!/bin/sh\n{script}\n"));
        let path = self.folder.path().join("bin").join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a command");
    }

    /// Runs it. What only looks is asked again until it shows what the page says: a change needs its time.
    fn follow(&self, command: &PageCommand) -> Result<(), String> {
        let only_looks =
            ["curl ", "kubectl exec ", "kubectl logs "].iter().any(|start| command.line.starts_with(start));
        let start = Instant::now();
        loop {
            let output = self.output(&command.line)?;
            let so =
                output.succeeded && command.prints.as_ref().is_none_or(|text| output.text.contains(text));
            if so {
                return Ok(());
            }
            ensure(only_looks && start.elapsed() < PATIENCE, || {
                format!("prints {:?}, and not {:?}", output.text, command.prints)
            })?;
            sleep(Duration::from_millis(200));
        }
    }

    fn output(&self, line: &str) -> Result<Output, String> {
        let folder = self.folder.path();
        let [name, password] = LOGIN;
        let line = line
            .replace("envoy/istio/", &format!("'{}'/istio/", folder.display()))
            .replace("registry.example.com", &self.registry.host());
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("bash")
            .args(["-o", "pipefail", "-c", "[ ! -f \"$1\" ] || . \"$1\"; eval \"$2\"", "bash"])
            .arg(folder.join("exports"))
            .arg(&line)
            .current_dir(repository(""))
            .env("PATH", format!("{}:{path}", folder.join("bin").display()))
            .env("CURL_HOME", folder)
            .env("DOCKER_CONFIG", folder)
            .envs([("NAME", name), ("PASSWORD", password), ("TOKEN", &self.token)])
            .output()
            .map_err(|error| format!("bash: {error}"))?;
        if line.starts_with("export ") {
            self.write("exports", &line);
        }
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        Ok(Output { succeeded: output.status.success(), text })
    }
}

/// `workspace.yaml`, at ports that anybody may listen on; its namespace is the first.
fn way(world: &World, port: u16, ingress: u16) -> Vec<Value> {
    let mut resources = world.shipped("workspace.yaml");
    for (kind, path, port) in
        [("Service", "/spec/ports/0/targetPort", port), ("Gateway", "/spec/servers/0/port/number", ingress)]
    {
        let resource =
            resources.iter_mut().find(|resource| resource["kind"] == kind).expect("such a resource");
        *resource.pointer_mut(path).expect("a port") = json!(port);
        if kind == "Gateway" {
            resource["spec"]["servers"][0]["bind"] = json!("127.0.0.1");
        }
    }
    resources
}

/// A file of them. JSON is YAML, too.
fn list(resources: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": resources}).to_string()
}

struct Output {
    succeeded: bool,
    text: String,
}
