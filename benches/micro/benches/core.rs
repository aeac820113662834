//! How long the core takes for a request.

use std::time::Duration;

use criterion::{BatchSize, Criterion};
use micro::SCENARIOS;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for scenario in SCENARIOS {
        let ready = scenario.ready();
        assert_eq!(ready.judge(), scenario.outcome, "{}", scenario.name);
        // What was verified is known: then each time needs a policy of its own, which takes longer to make than what is
        // measured.
        let milliseconds = if scenario.verifies() { 50 } else { 1000 };
        criterion = criterion
            .warm_up_time(Duration::from_millis(milliseconds / 2))
            .measurement_time(Duration::from_millis(milliseconds));
        criterion.bench_function(scenario.name, |bencher| {
            if scenario.verifies() {
                bencher.iter_batched_ref(|| scenario.ready(), |ready| ready.judge(), BatchSize::SmallInput);
            } else {
                bencher.iter(|| ready.judge());
            }
        });
    }
    criterion.final_summary();
}
