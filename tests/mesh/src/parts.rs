//! What the mesh is made of, as `tests/bring` brings it, and the ways to start it.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rig::process::Process;
use rig::repository;

use crate::lanes;

/// Where the parts are.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The folder with the API server, istiod, the agent, and the files that they read.
    pub(crate) folder: PathBuf,
    /// The Envoy that the agents start.
    pub(crate) envoy: PathBuf,
}

impl Parts {
    /// Brings them.
    ///
    /// # Errors
    /// One is missing: `tests/bring` has said which.
    pub(crate) fn bring() -> Result<Self, String> {
        Ok(Self { folder: bring("mesh")?, envoy: bring("envoy")? })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Where `tests/bring` has put it.
///
/// # Errors
/// Nowhere: it has said why.
pub(crate) fn bring(what: &str) -> Result<PathBuf, String> {
    let output = Command::new(repository("tests/bring")).arg(what).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("tests/bring: {error}"))?;
    if !output.status.success() {
        return Err(format!("tests/bring {what} failed"));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
}

/// A part that runs, with all that it writes in one file.
#[derive(Debug)]
pub(crate) struct Part {
    process: Process,
    log: PathBuf,
}

impl Part {
    /// Starts it; the log is appended to.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log).expect("a log file");
        command.stdin(Stdio::null()).stdout(file.try_clone().expect("a log file")).stderr(file);
        Self { process: Process::spawn(command), log: log.into() }
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).expect("the log file")).into_owned()
    }

    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// Ends it.
    pub(crate) fn stop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.child.kill();
        let _ = self.process.child.wait();
    }

    /// Waits until that is so.
    ///
    /// # Panics
    /// It was not within that time, or the part ended.
    pub(crate) fn wait(&mut self, what: &str, limit: Duration, so: impl Fn() -> bool) {
        let give_up = Instant::now() + limit;
        while !so() {
            let ended = self.process.child.try_wait().expect("the state of a child");
            let late = Instant::now() > give_up;
            assert!(
                ended.is_none() && !late,
                "{what}: ended with {ended:?}, or was late:\n{}",
                tail(&self.log())
            );
            sleep(Duration::from_millis(50));
        }
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

/// That many ports nobody listens on, on any address of this machine. They lie below those that the kernel hands out
/// (32768 and more), so that nobody gets one of them by chance before it is used here; each lane has its own.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let spread = u16::try_from(std::process::id() % 60).expect("fits") * 100;
    let first = if lanes::is_first() { 20_000 } else { 26_000 };
    let mut candidates = (0..=u16::MAX)
        .map(|_| first + (spread + NEXT.fetch_add(1, Ordering::Relaxed)) % 6_000)
        .filter(|port| is_free(*port));
    (0..count).map(|_| candidates.next().expect("a free port")).collect()
}

/// Whether nobody listens there.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
}

/// One of them.
pub(crate) fn free_port() -> u16 {
    free_ports(1)[0]
}

/// Asks until it is so, for at most that long.
pub(crate) fn until(limit: Duration, mut so: impl FnMut() -> bool) -> Option<Duration> {
    let start = Instant::now();
    while !so() {
        if start.elapsed() > limit {
            return None;
        }
        sleep(Duration::from_millis(20));
    }
    Some(start.elapsed())
}
