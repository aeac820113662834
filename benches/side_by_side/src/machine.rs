//! What was measured, and on what.

use std::fs;
use std::process::Command;
use std::thread;

use rig::{envoy, repository};
use serde_json::{Value, json};

use crate::filters::MODULE;
use crate::procfs;

/// What every figure depends on.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_kib: u32,
    kernel: String,
    load_average: String,
    envoy: &'static str,
    /// Of the module.
    pub(crate) bytes: u32,
    sha256: String,
    commit: String,
    date: String,
}

impl Machine {
    /// This one, now. Whoever else uses it shows in the load average.
    pub(crate) fn now() -> Self {
        let module = fs::read(repository(MODULE)).expect("the built module");
        let digest = ring::digest::digest(&ring::digest::SHA256, &module);
        Self {
            processor: procfs::processor(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory_kib: procfs::total_memory(),
            kernel: procfs::kernel(),
            load_average: procfs::load_average(),
            envoy: envoy::binary_version(),
            bytes: module.len().try_into().expect("a module that fits"),
            sha256: hexadecimal(digest.as_ref()),
            commit: output("git", &["describe", "--always", "--dirty"]),
            date: output("date", &["-u", "+%Y-%m-%d"]),
        }
    }

    /// In words, for a person.
    pub(crate) fn text(&self) -> String {
        let Self { processor, cores, memory_kib, kernel, load_average, envoy, bytes, sha256, commit, date } =
            self;
        format!(
            "{date}: {processor}, {cores} cores, {} GiB, Linux {kernel}, load average {load_average} before the run; \
             Envoy {envoy}; commit {commit}, module {bytes} bytes, sha256 {}…",
            memory_kib.div_ceil(1024 * 1024),
            &sha256[..16],
        )
    }

    /// For a program.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "processor": self.processor, "cores": self.cores, "memory_kib": self.memory_kib, "kernel": self.kernel,
            "load_average_before": self.load_average, "envoy": self.envoy, "date": self.date,
            "module": {"commit": self.commit, "bytes": self.bytes, "sha256": self.sha256},
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |half| char::from_digit(u32::from(half), 16).expect("half a byte");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What a command prints, or that it is not there.
fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).current_dir(repository("")).output();
    let text = output.ok().filter(|output| output.status.success());
    text.map_or_else(|| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().into())
}
