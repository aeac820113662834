//! How many instructions the core takes for a request, counted by callgrind, and how many it may take.
//!
//! A count depends on the compiler, the lockfile and the profile `micro`, which are pinned, and by up to five hundredths on the
//! processor and the C library: it has a `memcpy` for each kind. The limits are a tenth above what was counted.
//!
//! `instructions [FILE]` also writes the counts to that file, as JSON.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::{env, fs};

use micro::{SCENARIOS, Scenario};
use serde_json::json;

/// How many instructions each scenario may take on `x86_64`.
const LIMITS: [(&str, u64); SCENARIOS.len()] = [
    ("hit, header", 9_800),
    ("hit, cookie among 30", 29_800),
    ("hit, query", 29_700),
    ("miss, host verifies", 40_200),
    ("miss, crate rsa", 507_000),
    ("no token", 19_300),
    ("no JWT", 21_200),
    ("junk of three parts", 23_400),
    ("forged", 48_300),
    ("forged, crate rsa", 514_000),
    ("public path", 3_300),
    ("sign-in", 76_500),
    ("worst, parts", WORST),
    ("worst, cookies", WORST),
    ("worst, other cookies", WORST),
    ("worst, parameters", WORST),
    ("worst, separators", WORST),
    ("worst, separators let by", WORST),
    ("worst, dot segments", WORST),
    ("worst, twins", WORST),
];

/// No request, whatever it brings, may take Envoy more than 3 ms; as many instructions are some 2 ms there.
const WORST: u64 = 10_000_000;

/// Before the name of a scenario: the call of this program that callgrind watches.
const WATCHED: &str = "--watched";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
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
    println!("{:<26}{:>14}{:>14}", "instructions", "measured", "limit");
    for (scenario, (name, limit)) in SCENARIOS.iter().zip(LIMITS) {
        assert_eq!(scenario.name, name, "limits stand in the order of the scenarios");
        let count = count(scenario, &profiles);
        let over = cfg!(target_arch = "x86_64") && count > limit;
        println!("{name:<26}{count:>14}{limit:>14}{}", if over { "  exceeded" } else { "" });
        counts.push(json!({"scenario": name, "instructions": count, "limit": limit}));
        exceeded |= over;
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

/// Runs the scenario once and counts the instructions of [`micro::Ready::judge`] alone.
fn count(scenario: &Scenario, profiles: &Path) -> u64 {
    let profile = profiles.join(format!("{}.out", scenario.name.replace(", ", "_").replace(' ', "_")));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=micro::Ready::judge*"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(env::current_exe().expect("a path of this program"))
        .args([WATCHED, scenario.name])
        .output()
        .expect("valgrind");
    assert!(output.status.success(), "{}: {}", scenario.name, String::from_utf8_lossy(&output.stderr));
    let text = fs::read_to_string(&profile).expect("a profile");
    let total = text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("a total");
    let total = total.trim().parse().expect("a number");
    assert_ne!(total, 0, "callgrind saw no call of Ready::judge");
    total
}
