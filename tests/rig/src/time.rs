//! Waiting, on a machine that may be busy with something else.

use std::ops::RangeInclusive;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long anything is waited for that should come within seconds.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Waits for something to become true, and panics with what it was.
#[track_caller]
pub fn soon(what: &str, is: impl Fn() -> bool) {
    let give_up = Instant::now() + PATIENCE;
    while !is() {
        assert!(Instant::now() < give_up, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

/// How often keys may have been fetched, where that often is needed: in ten seconds of a slow machine once more.
pub fn fetches(needed: usize, began: Instant) -> RangeInclusive<usize> {
    needed..=needed + usize::try_from(began.elapsed().as_secs() / 10).expect("fits")
}
