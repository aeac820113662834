//! How many instructions the core takes for a request, counted by callgrind, and how many it may take.
//!
//! A count depends on the compiler, the lockfile and the profile `micro`, which are pinned, and by up to five hundredths on the
//! processor and the C library: it has a `memcpy` for each kind. The limits are a tenth above what was counted.
//!
//! `instructions [FILE]` also writes the counts to that file, as JSON.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use micro::worst::WORST;
use micro::{SCENARIOS, Scenario};
use serde_json::json;

/// How many instructions each scenario may take on `x86_64`.
const LIMITS: [(&str, u64); SCENARIOS.len()] = [
    ("hit, header", 8_900),
    ("hit, cookie among 30", 18_100),
    ("hit, query", 19_500),
    ("miss, host verifies", 43_800),
    ("miss, crate rsa", 507_000),
    ("no token", 18_500),
    ("no JWT", 20_600),
    ("junk of three parts", 23_400),
    ("forged", 51_500),
    ("forged, crate rsa", 514_000),
    ("public path", 3_200),
    ("sign-in", 76_500),
];

/// How many any of the [worst requests](WORST) may take. In Envoy that is some 2.5 ms, of 3 that no request may take.
const LIMIT_OF_WORST: u64 = 13_000_000;

/// Before the name of a scenario: the call of this program that callgrind watches.
const WATCHED: &str = "--watched";
/// The same for all of the worst requests.
const WATCHED_WORST: &str = "--watched-worst";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == WATCHED_WORST) {
        for worst in WORST {
            black_box(worst.ready().judge());
            counted();
        }
        return ExitCode::SUCCESS;
    }
    if let [WATCHED, name] = arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("a scenario");
        let ready = scenario.ready();
        assert_eq!(ready.judge(), scenario.outcome, "{name}");
        return ExitCode::SUCCESS;
    }
    let profiles = env::current_exe().expect("a path of this program").with_file_name("callgrind");
    fs::create_dir_all(&profiles).expect("a folder for the profiles");
    let mut counts = Vec::new();
    let mut exceeded = false;
    println!("{:<46}{:>14}{:>14}", "instructions", "measured", "limit");
    for (scenario, (name, limit)) in SCENARIOS.iter().zip(LIMITS) {
        assert_eq!(scenario.name, name, "limits stand in the order of the scenarios");
        let count = count(scenario, &profiles);
        exceeded |= is_over(name, count, limit);
        counts.push(json!({"scenario": name, "instructions": count, "limit": limit}));
    }
    println!("\n{:<46}{:>14}{:>14}", "worst requests", "measured", "limit");
    for (worst, count) in WORST.iter().zip(worst_counts(&profiles)) {
        exceeded |= is_over(worst.name, count, LIMIT_OF_WORST);
        counts.push(json!({"worst": worst.name, "instructions": count, "limit": LIMIT_OF_WORST}));
    }
    if let Some(file) = arguments.first() {
        fs::write(file, format!("{:#}\n", json!(counts))).expect("a file of counts");
    }
    if exceeded {
        eprintln!(
            "More instructions than allowed. What takes them: callgrind_annotate {}/….out",
            profiles.display()
        );
    }
    ExitCode::from(u8::from(exceeded))
}

/// Callgrind writes what it counted, and begins anew, before this is called.
#[inline(never)]
fn counted() {
    black_box(());
}

fn is_over(name: &str, count: u64, limit: u64) -> bool {
    let over = cfg!(target_arch = "x86_64") && count > limit;
    println!("{name:<46}{count:>14}{limit:>14}{}", if over { "  exceeded" } else { "" });
    over
}

/// Runs the scenario once and counts the instructions of [`micro::Ready::judge`] alone.
fn count(scenario: &Scenario, profiles: &Path) -> u64 {
    let profile = profiles.join(format!("{}.out", scenario.name.replace(", ", "_").replace(' ', "_")));
    callgrind(&profile, &[], &[WATCHED, scenario.name]);
    total(&profile)
}

/// Does the same for all of the worst requests, in one process.
fn worst_counts(profiles: &Path) -> impl Iterator<Item = u64> + use<> {
    let profile = profiles.join("worst.out");
    callgrind(&profile, &["--dump-before=instructions::counted"], &[WATCHED_WORST]);
    (1..).map(move |number| total(&profile.with_extension(format!("out.{number}"))))
}

fn callgrind(profile: &Path, more: &[&str], arguments: &[&str]) {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=micro::Ready::judge*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .args(more)
        .arg(env::current_exe().expect("a path of this program"))
        .args(arguments)
        .output()
        .expect("valgrind");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn total(profile: &Path) -> u64 {
    let text = fs::read_to_string(profile).expect("a profile");
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    let total = total.expect("a total").trim().parse().expect("a number");
    assert_ne!(total, 0, "callgrind saw no call of Ready::judge");
    total
}
