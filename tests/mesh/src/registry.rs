//! A real container registry, and the ways to send the image of the module there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rig::repository;
use serde_json::json;
use tempfile::TempDir;

use crate::control_plane::status;
use crate::parts::{Part, bring, free_port};
use crate::report::ensure;

const START_LIMIT: Duration = Duration::from_secs(30);
/// Whom a registry knows that asks for credentials.
pub(crate) const LOGIN: [&str; 2] = ["someone", "correct horse"];
/// They for bcrypt, the only form that the registry takes.
const PASSWORDS: &str = "someone:$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2\n";

/// On this machine, over plain HTTP. It can be stopped and started, and keeps what it has.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: TempDir,
    port: u16,
    running: Option<Part>,
    /// What it calls itself to those who come without credentials; without it, it asks for none.
    pub(crate) realm: Option<&'static str>,
    /// The hexadecimal digest of the image's manifest.
    pub(crate) digest: String,
}

impl Registry {
    /// Starts one that asks for no credentials and pushes the image, as team/jwtproxy:0.1.0.
    ///
    /// # Errors
    /// What `tests/bring` or `envoy/image.py` said.
    pub(crate) fn with_image() -> Result<Self, String> {
        let mut registry = Self::start_with(None)?;
        registry.push(None)?;
        Ok(registry)
    }

    /// Starts one that is empty.
    ///
    /// # Errors
    /// `tests/bring` has none.
    pub(crate) fn start_with(realm: Option<&'static str>) -> Result<Self, String> {
        let folder = TempDir::new().expect("a temporary folder");
        let mut registry = Self { folder, port: free_port(), running: None, realm, digest: String::new() };
        registry.start()?;
        Ok(registry)
    }

    /// Starts it, again where it was before.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        self.stop();
        let mut config = json!({
            "version": 0.1, "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": self.file("data")}},
            "http": {"addr": self.host()},
        });
        if let Some(realm) = self.realm {
            fs::write(self.file("passwords"), PASSWORDS).expect("a file");
            config["auth"] = json!({"htpasswd": {"realm": realm, "path": self.file("passwords")}});
        }
        // JSON is YAML, too.
        fs::write(self.file("config.yml"), config.to_string()).expect("a file");
        let mut command = Command::new(bring("registry")?);
        command.arg("serve").arg(self.file("config.yml"));
        let mut part = Part::start(&mut command, &self.file("log"));
        let own = if self.realm.is_some() { 401 } else { 200 };
        part.wait("the registry", START_LIMIT, || status(self.port, "/v2/") == Some(own));
        self.running = Some(part);
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    /// Pushes the image as `./justw image push` does, as team/jwtproxy:0.1.0, with the credentials of a `config.json`.
    ///
    /// # Errors
    /// What `envoy/image.py` said.
    pub(crate) fn push(&mut self, credentials: Option<&str>) -> Result<(), String> {
        self.digest = self.image(&["push", &format!("{}/{IMAGE}:0.1.0", self.host())], credentials)?;
        Ok(())
    }

    /// Makes the image as `./justw image` does: its folder, and the digest that was printed.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn layout(&self) -> Result<(PathBuf, String), String> {
        let digest = self.image(&[], None)?;
        Ok((self.file("image"), digest))
    }

    fn image(&self, arguments: &[&str], credentials: Option<&str>) -> Result<String, String> {
        let docker = self.file("docker");
        fs::create_dir_all(&docker).expect("a folder");
        fs::write(docker.join("config.json"), credentials.unwrap_or("{}")).expect("a file");
        let mut command = Command::new("python3");
        command.args(["-B", "envoy/image.py", "dist/jwtproxy.wasm"]).arg(self.folder.path()).args(arguments);
        let said = run(command.env("DOCKER_CONFIG", docker))?;
        let digest = said.lines().find_map(|line| line.trim().strip_prefix("sha256: "));
        digest.map(str::to_owned).ok_or_else(|| format!("envoy/image.py names no digest: {said}"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its name in that of an image.
    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// What a plugin names it by, with that tag.
    pub(crate) fn by_tag(&self, tag: &str) -> String {
        format!("oci://{}/{IMAGE}:{tag}", self.host())
    }

    /// The same, by a hexadecimal digest.
    pub(crate) fn by_digest(&self, digest: &str) -> String {
        format!("oci://{}/{IMAGE}@sha256:{digest}", self.host())
    }
}

const IMAGE: &str = "team/jwtproxy";

/// Sends an image layout somewhere, by a program that `docs/istio.md` names: what it says.
///
/// # Errors
/// The same, of its failure.
pub(crate) fn copy(program: &str, layout: &Path, to: &str) -> Result<String, String> {
    let mut command = Command::new(bring(program)?);
    let layout = layout.to_str().expect("a path in UTF-8");
    match program {
        "crane" => command.args(["push", layout, to]),
        "skopeo" => command.args(["copy", &format!("oci:{layout}"), &format!("docker://{to}")]),
        other => return Err(format!("{other} sends no image")),
    };
    // The registry of this machine speaks plain HTTP, which crane sees by its address.
    if program == "skopeo" {
        command.arg("--dest-tls-verify=false");
    }
    run(&mut command)
}

/// What a command said that ended well.
fn run(command: &mut Command) -> Result<String, String> {
    let output =
        command.current_dir(repository("")).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure(output.status.success(), || said(&output.stderr).trim().to_owned())?;
    Ok(said(&output.stdout))
}
