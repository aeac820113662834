//! A real container registry, with the image that `envoy/image.py` makes of the module.

use std::fs;
use std::process::Command;
use std::time::Duration;

use rig::repository;
use serde_json::json;
use tempfile::TempDir;

use crate::control_plane::status;
use crate::parts::{Part, bring, free_port};

const START_LIMIT: Duration = Duration::from_secs(30);
const IMAGE: &str = "team/jwtproxy";

/// On this machine, over plain HTTP. It can be stopped and started, and keeps what it has.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: TempDir,
    port: u16,
    running: Option<Part>,
    /// The hexadecimal digest of the image's manifest.
    pub(crate) digest: String,
}

impl Registry {
    /// Starts it and pushes the image, with the tag 0.1.0.
    ///
    /// # Errors
    /// What `tests/bring` or `envoy/image.py` said.
    pub(crate) fn with_image() -> Result<Self, String> {
        let folder = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let config = json!({
            "version": 0.1, "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": folder.path().join("data")}},
            "http": {"addr": format!("127.0.0.1:{port}")},
        });
        // JSON is YAML, too.
        fs::write(folder.path().join("config.yml"), config.to_string()).expect("a file");
        let mut registry = Self { folder, port, running: None, digest: String::new() };
        registry.start()?;
        registry.digest = registry.push()?;
        Ok(registry)
    }

    /// Starts it, again where it was before.
    ///
    /// # Errors
    /// `tests/bring` has none.
    pub(crate) fn start(&mut self) -> Result<(), String> {
        self.stop();
        let mut command = Command::new(bring("registry")?);
        command.arg("serve").arg(self.folder.path().join("config.yml"));
        let mut part = Part::start(&mut command, &self.folder.path().join("log"));
        part.wait("the registry", START_LIMIT, || status(self.port, "/v2/") == Some(200));
        self.running = Some(part);
        Ok(())
    }

    pub(crate) fn stop(&mut self) {
        self.running = None;
    }

    fn push(&self) -> Result<String, String> {
        let target = format!("127.0.0.1:{}/{IMAGE}:0.1.0", self.port);
        let output = Command::new("python3")
            .args(["-B", "envoy/image.py", "dist/jwtproxy.wasm"])
            .arg(self.folder.path())
            .args(["push", &target])
            .current_dir(repository(""))
            .output()
            .map_err(|error| format!("python3: {error}"))?;
        let said = String::from_utf8_lossy(&output.stdout);
        let digest = said.lines().find_map(|line| line.trim().strip_prefix("sha256: "));
        match digest {
            Some(digest) if output.status.success() => Ok(digest.to_owned()),
            _ => Err(format!("envoy/image.py: {said}{}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// What a plugin names it by, with that tag.
    pub(crate) fn by_tag(&self, tag: &str) -> String {
        format!("oci://127.0.0.1:{}/{IMAGE}:{tag}", self.port)
    }

    /// The same, by a hexadecimal digest.
    pub(crate) fn by_digest(&self, digest: &str) -> String {
        format!("oci://127.0.0.1:{}/{IMAGE}@sha256:{digest}", self.port)
    }
}
