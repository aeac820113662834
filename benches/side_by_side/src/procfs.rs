//! What Linux tells about a process, and about the machine. Elsewhere there is no such account.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Does this, and tells how many microseconds of CPU the process has spent meanwhile.
pub(crate) fn cpu_during<T>(pid: u32, work: impl FnOnce() -> T) -> (T, f64) {
    let before = cpu_time(pid);
    let done = work();
    (done, cpu_time(pid).saturating_sub(before).as_secs_f64() * 1e6)
}

/// The time that all threads of a process have spent on a CPU, to the nanosecond. A thread that runs may be a few
/// milliseconds further than its account, so ask while it waits for requests.
fn cpu_time(pid: u32) -> Duration {
    let threads =
        fs::read_dir(format!("/proc/{pid}/task")).expect("the threads of a process, which Linux lists");
    let nanoseconds = threads.flatten().map(|thread| {
        // A thread that has ended since is one of V8's, and was idle.
        let account = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        account.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0u64)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// Physical memory of a process, in KiB.
pub(crate) fn resident(pid: u32) -> u32 {
    let status = read(format!("/proc/{pid}/status"));
    number(field(&status, "VmRSS"))
}

/// The name of the processor.
pub(crate) fn processor() -> String {
    field(&read("/proc/cpuinfo"), "model name").to_owned()
}

/// Of the kernel.
pub(crate) fn kernel() -> String {
    read("/proc/sys/kernel/osrelease").trim().to_owned()
}

/// Of the machine, in KiB.
pub(crate) fn total_memory() -> u32 {
    number(field(&read("/proc/meminfo"), "MemTotal"))
}

/// How many threads wanted to run, on average over the last minute.
pub(crate) fn load_average() -> String {
    read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}, which Linux has: {error}", path.display()))
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let values = text.lines().filter_map(|line| line.split_once(':'));
    let mut values = values.filter(|(own, _)| own.trim() == name).map(|(_, value)| value.trim());
    values.next().unwrap_or("unknown")
}

fn number(text: &str) -> u32 {
    text.split(' ')
        .next()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or_else(|| panic!("no number: {text}"))
}
