//! The time.

use std::cell::Cell;
use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;

use crate::jwt::{Clock, NumericDate};

/// The clock of the host, and what it said at the last tick.
#[derive(Default)]
pub(super) struct HostClock {
    /// None until the first tick: a host that gives none, or may not, is asked each time.
    ticked: Cell<Option<NumericDate>>,
}

impl HostClock {
    pub(super) fn tick(&self) {
        self.ticked.set(Some(self.now()));
    }

    /// Whether there was a tick.
    pub(super) const fn ticks(&self) -> bool {
        self.ticked.get().is_some()
    }
}

impl Clock for HostClock {
    /// A clock that fails is far ahead, so that every token has expired.
    fn now(&self) -> NumericDate {
        let since = hostcalls::get_current_time().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        NumericDate::from_seconds(since.map_or(f64::INFINITY, |since| since.as_secs_f64()))
    }

    fn recent(&self) -> NumericDate {
        self.ticked.get().unwrap_or_else(|| self.now())
    }
}
