//! A real Envoy.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{self, Connection};
use crate::process::Process;
use crate::repository;

const START_LIMIT: Duration = Duration::from_mins(5);
const POLL: Duration = Duration::from_millis(10);

/// How Envoy is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of workers.
    pub concurrency: u32,
    /// Environment variables of Envoy, beside the few that any process needs.
    pub env: Vec<(String, String)>,
    /// `trace`, `debug`, `info`, `warning`, `error`, `critical` or `off`.
    pub log_level: String,
    /// Levels of single components, such as `wasm:debug`.
    pub component_log_level: String,
    /// How many seconds the connections of what is replaced may live on; Envoy's own default is ten minutes.
    pub drain_seconds: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            concurrency: 1,
            env: Vec::new(),
            log_level: "info".into(),
            component_log_level: String::new(),
            drain_seconds: None,
        }
    }
}

impl Options {
    /// The default, with these environment variables.
    pub fn with_env<'a>(env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        Self {
            env: env.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
            ..Self::default()
        }
    }
}

/// A running Envoy. It ends with this value.
#[derive(Debug)]
pub struct Envoy {
    process: Process,
    admin: u16,
    folder: TempDir,
}

impl Envoy {
    /// Starts Envoy and waits until it is live. Its admin interface gets a port of its own, whatever the
    /// bootstrap says.
    pub fn start(bootstrap: Value) -> Self {
        Self::start_with(bootstrap, &Options::default())
    }

    /// The same with options.
    pub fn start_with(bootstrap: Value, options: &Options) -> Self {
        Self::try_start(bootstrap, options).unwrap_or_else(|reason| panic!("{reason}"))
    }

    /// The same for an Envoy that may not come up.
    ///
    /// # Errors
    ///
    /// Envoy ended, or was not live in time: the end of its log.
    pub fn try_start(bootstrap: Value, options: &Options) -> Result<Self, String> {
        let folder = TempDir::new().expect("a temporary folder");
        let config = write(&folder, bootstrap);
        let admin_address = folder.path().join("admin");
        let log =
            File::options().create(true).append(true).open(folder.path().join(LOG)).expect("a log file");
        let mut command = command(options);
        command.args([
            "--disable-hot-restart",
            "--file-flush-interval-msec",
            "20",
            "--log-level",
            &options.log_level,
        ]);
        command.arg("--concurrency").arg(options.concurrency.to_string());
        if !options.component_log_level.is_empty() {
            command.arg("--component-log-level").arg(&options.component_log_level);
        }
        if let Some(seconds) = options.drain_seconds {
            command.arg("--drain-time-s").arg(seconds.to_string());
        }
        command.arg("--admin-address-path").arg(&admin_address).arg("--config-path").arg(config);
        command.stdout(log.try_clone().expect("a log file")).stderr(log);
        let mut process = Process::spawn(&mut command);

        let give_up = Instant::now() + START_LIMIT;
        loop {
            sleep(POLL);
            if let Some(end) = process.child.try_wait().expect("the state of a child") {
                return Err(format!("Envoy ended with {end}:\n{}", tail(&folder)));
            }
            if let Some(admin) = live(&admin_address) {
                return Ok(Self { process, admin, folder });
            }
            if Instant::now() > give_up {
                return Err(format!("Envoy was not live after {START_LIMIT:?}:\n{}", tail(&folder)));
            }
        }
    }

    /// The port that a listener got.
    pub fn port(&self, listener: &str) -> u16 {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json"))
            .expect("JSON from the admin interface");
        let statuses = listeners["listener_statuses"].as_array().expect("a list of listeners");
        let status = statuses.iter().find(|status| status["name"] == listener);
        let port = status.and_then(|status| status["local_address"]["socket_address"]["port_value"].as_u64());
        port.and_then(|port| port.try_into().ok())
            .unwrap_or_else(|| panic!("no listener {listener} with a port: {listeners}"))
    }

    /// The ports of all listeners by their names, in one question.
    pub fn ports(&self) -> BTreeMap<String, u16> {
        let listeners: Value = serde_json::from_str(&self.admin("/listeners?format=json"))
            .expect("JSON from the admin interface");
        let statuses = listeners["listener_statuses"].as_array().expect("a list of listeners").iter();
        let port = |status: &Value| {
            let port = status["local_address"]["socket_address"]["port_value"].as_u64()?;
            Some((status["name"].as_str()?.to_owned(), port.try_into().ok()?))
        };
        statuses.filter_map(port).collect()
    }

    /// The answer of the admin interface to a GET.
    pub fn admin(&self, path: &str) -> String {
        http::request(self.admin, "GET", path, &[], b"").text().into()
    }

    /// The answer of the admin interface to a POST, as those want it that change something.
    pub fn admin_post(&self, path: &str) -> String {
        http::request(self.admin, "POST", path, &[], b"").text().into()
    }

    /// How much memory it takes, in bytes (`VmRSS`); none where the system does not say.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.child.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kilobytes * 1024)
    }

    /// All that Envoy has written so far: its log and what its access logs print.
    pub fn log(&self) -> String {
        read(&self.folder)
    }

    /// The log, as soon as it holds that text. Access logs come some milliseconds after the answer.
    pub fn log_with(&self, text: &str) -> String {
        let give_up = Instant::now() + Duration::from_mins(1);
        loop {
            let log = self.log();
            if log.contains(text) {
                return log;
            }
            assert!(Instant::now() < give_up, "the log never said {text:?}:\n{}", tail(&self.folder));
            sleep(POLL);
        }
    }

    /// The process id of what was started: of Envoy, or of func-e.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Whether it still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.process.child.try_wait(), Ok(None))
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Killed, func-e would leave its Envoy behind; asked to end, Envoy takes func-e along.
        if is_func_e(envoy()) && self.is_alive() {
            self.admin_post("/quitquitquit");
            let give_up = Instant::now() + Duration::from_secs(5);
            while self.is_alive() && Instant::now() < give_up {
                sleep(POLL);
            }
        }
    }
}

/// The linear memory of each Wasm VM in a process, in KiB, the largest first; none where the system is not Linux. There are two for a configuration
/// beside those of the workers, which never see a request.
///
/// V8 reserves 8 GiB for each, so that no address of 32 bits with an offset of 32 bits leads out; what is not yet part of
/// the memory, is a mapping that nobody may touch.
pub fn linear_memories(pid: u32) -> Vec<u32> {
    const RESERVED: u64 = 8 << 30;

    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let mut memories: Vec<u32> = maps
        .lines()
        .filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            let (start, end) = range.split_once('-')?;
            let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).ok());
            let guard = end?.checked_sub(start?)?;
            let is_guard = rest.starts_with("---p") && (RESERVED / 2..RESERVED).contains(&guard);
            is_guard.then(|| u32::try_from((RESERVED - guard) / 1024).ok())?
        })
        .collect();
    memories.sort_unstable_by(|a, b| b.cmp(a));
    memories
}

/// Whether Envoy takes this bootstrap, and what it says of it. The plugin reads its configuration here too.
pub fn validate(bootstrap: Value) -> (bool, String) {
    validate_with(bootstrap, &Options::default())
}

/// The same with options.
pub fn validate_with(bootstrap: Value, options: &Options) -> (bool, String) {
    let folder = TempDir::new().expect("a temporary folder");
    let config = write(&folder, bootstrap);
    let mut command = command(options);
    command
        .args(["--mode", "validate", "--disable-hot-restart", "--log-level", &options.log_level])
        .arg("--config-path")
        .arg(config);
    let output = command.output().expect("Envoy runs");
    (
        output.status.success(),
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat(),
    )
}

/// The version of the Envoy that is used, such as `1.40.0`.
pub fn binary_version() -> &'static str {
    static VERSION: OnceLock<String> = OnceLock::new();
    VERSION.get_or_init(|| {
        let output = command(&Options::default()).arg("--version").output().expect("Envoy runs");
        let text = String::from_utf8_lossy(&output.stdout);
        // "envoy  version: 9e558093…/1.40.0/Clean/RELEASE/BoringSSL"
        let version = text.lines().find_map(|line| line.split_once("version: ")?.1.split('/').nth(1));
        version.unwrap_or_else(|| panic!("no version in {text:?}")).to_owned()
    })
}

/// The port of the admin interface, once Envoy has written its address into that file and says it is live.
fn live(admin_address: &Path) -> Option<u16> {
    let admin = fs::read_to_string(admin_address).ok()?.rsplit_once(':')?.1.trim().parse().ok()?;
    let ready = Connection::try_open(admin).and_then(|mut admin_interface| {
        admin_interface.try_send(&http::raw(admin, "GET", "/ready", &[], b""))
    });
    (ready.ok()?.status == 200).then_some(admin)
}

const LOG: &str = "log";

fn read(folder: &TempDir) -> String {
    String::from_utf8_lossy(&fs::read(folder.path().join(LOG)).expect("the log file")).into_owned()
}

/// The end of the log, without what every start says.
fn tail(folder: &TempDir) -> String {
    let log = read(folder);
    let lines: Vec<_> = log.lines().filter(|line| !line.contains("][info][main]")).collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

fn write(folder: &TempDir, mut bootstrap: Value) -> PathBuf {
    bootstrap["admin"]["address"] = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let path = folder.path().join("bootstrap.json");
    fs::write(&path, bootstrap.to_string()).expect("a bootstrap file");
    path
}

/// Found once: by then it is on this machine and does not move.
fn envoy() -> &'static str {
    static ENVOY: OnceLock<String> = OnceLock::new();
    ENVOY.get_or_init(|| {
        let output = Command::new(repository("tests/bring"))
            .arg("envoy")
            .stderr(Stdio::inherit())
            .output()
            .expect("tests/bring runs");
        assert!(output.status.success(), "tests/bring envoy found none");
        String::from_utf8(output.stdout).expect("a path in UTF-8").trim_end().to_owned()
    })
}

fn is_func_e(envoy: &str) -> bool {
    Path::new(envoy).file_name() == Some(OsStr::new("func-e"))
}

/// Envoy in the repository, where `dist/jwtproxy.wasm` of the shipped files is found. A key that happens to
/// be exported in the developer's shell would make a test pass or fail, so only what Envoy and func-e
/// themselves read is inherited.
fn command(options: &Options) -> Command {
    let inherited = |name: &str| {
        matches!(name, "PATH" | "HOME" | "TMPDIR" | "LD_LIBRARY_PATH")
            || name.starts_with("ENVOY_")
            || name.starts_with("FUNC_E_")
    };
    let mut command = Command::new(envoy());
    if is_func_e(envoy()) {
        command.arg("run");
    }
    command
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| inherited(name)))
        .envs(options.env.iter().map(|(name, value)| (name, value)));
    command.current_dir(repository("")).stdin(Stdio::null());
    command
}
