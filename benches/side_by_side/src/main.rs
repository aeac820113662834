//! What the module costs, beside Envoy's own filter and none, in one run: `./justw bench`.
//!
//! `docs/benchmarks.md` says what is measured and how to read it.

mod alone;
mod cases;
mod check;
mod filters;
mod load;
mod machine;
mod plot;
mod procfs;
mod promises;
mod report;
mod requests;
mod rounds;
mod stats;
mod supply;
mod tokens;
mod worst;

use std::fs;
use std::process::ExitCode;

use rig::repository;

use check::Services;
use load::Fault;
use machine::Machine;
use report::Report;
use rounds::Rounds;
use tokens::Tokens;

/// Where the results are left.
const RESULTS: &str = "dist/bench";
const ROUNDS: &str = "15";
/// Instead of a number of rounds: the worst requests alone.
const WORST: &str = "worst";

fn main() -> ExitCode {
    let rounds = std::env::args().nth(1).unwrap_or_else(|| ROUNDS.into());
    if rounds == WORST {
        println!("{}", report::worst(&worst::costs(&Tokens::get())));
        return ExitCode::SUCCESS;
    }
    let Some(rounds) = rounds.parse().ok().filter(|rounds| *rounds > 0) else {
        eprintln!("usage: side_by_side [ROUNDS | worst]");
        return ExitCode::FAILURE;
    };
    match measure(rounds) {
        Ok(report) => {
            write("bench.json", &format!("{:#}\n", report.json()));
            write("bench.md", &report.markdown());
            write("cpu_per_request.svg", &plot::cpu(&report));
            write("latency.svg", &plot::latency(&report));
            println!("\n{}\nAll of it: {RESULTS}/bench.md, bench.json, *.svg", report.markdown());
            ExitCode::SUCCESS
        }
        Err(fault) => {
            eprintln!("This was not as it should be, so nothing is reported: {fault}");
            ExitCode::FAILURE
        }
    }
}

/// A limit that is missed is no fault: it is reported.
fn measure(rounds: u32) -> Result<Report, Fault> {
    let machine = Machine::now();
    println!("{}", machine.text());
    let tokens = Tokens::get();
    let services = Services::start();
    let rounds = Rounds::run(&services, &tokens, rounds)?;
    println!("from start to live");
    let starts = alone::starts(&services)?;
    println!("memory");
    let memory = alone::memory(&services, &tokens)?;
    println!("one worker and two");
    let scaled = alone::scaled(&services, &tokens)?;
    println!("worst requests");
    let worst = worst::costs(&tokens);
    Ok(Report { machine, rounds, starts, memory, scaled, worst })
}

fn write(name: &str, text: &str) {
    let folder = repository(RESULTS);
    fs::create_dir_all(&folder).expect("a folder for the results");
    fs::write(folder.join(name), text).expect("a file of results");
}
