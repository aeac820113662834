//! All parts, in two processes with a mesh each: most of the time somebody waits for something.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;

use rig::process::Process;

use crate::parts::Parts;
use crate::report::Total;

/// About as long as each other. What all of them stand on starts in either.
const LANES: [&[&str]; 2] = [
    &["shipped", "forms", "life", "beside", "page", "waypoint"],
    &["table", "keycloak", "oci", "keys", "versions"],
];
const LANE: &str = "MESH_LANE";

/// Whether this process is the only one, or the first of two.
pub(crate) fn is_first() -> bool {
    std::env::var(LANE).map_or(true, |lane| lane == "0")
}

/// Runs them, and says the total.
///
/// # Errors
/// Something that they need is not here.
pub(crate) fn run() -> Result<ExitCode, String> {
    // Once, before each of them asks for it.
    Parts::bring()?;
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    let lanes = LANES.iter().enumerate().map(|(number, parts)| {
        let mut command = Command::new(&own);
        command.args(*parts).env(LANE, number.to_string()).stdout(Stdio::piped());
        let process = Process::spawn(&mut command);
        thread::spawn(move || follow(process))
    });
    let lanes: Vec<_> = lanes.collect();
    // A lane that ends without its total has failed.
    let of_lane = |total: Option<Total>| total.unwrap_or(Total { passed: 0, failed: 1 });
    let total = lanes.into_iter().map(|lane| of_lane(lane.join().ok().flatten())).sum::<Total>();
    Ok(total.end())
}

/// Passes on what a lane says, but for its total.
fn follow(mut lane: Process) -> Option<Total> {
    let Child { stdout, .. } = &mut lane.child;
    let lines = BufReader::new(stdout.take()?).lines().map_while(Result::ok);
    let mut total = None;
    for line in lines {
        total = Total::parse(&line);
        if total.is_none() {
            println!("{line}");
        }
    }
    // What it says of itself last, and how it ended, must agree.
    let ended = lane.child.wait().ok()?;
    total.filter(|total| ended.success() == (total.failed == 0))
}
