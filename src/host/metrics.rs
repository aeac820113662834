//! Counters and gauges, which Envoy shows as `wasmcustom.jwtproxy_…`.

use std::cell::RefCell;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

/// The counters of one configuration; workers with equal names share a value.
pub(super) struct Metrics {
    /// A dozen at the most: looking through them is as quick as hashing.
    counters: RefCell<Vec<(&'static str, u32)>>,
}

impl Metrics {
    /// Makes those that are worth a zero; the one for a reason appears with its first refusal.
    pub(super) fn new() -> Self {
        let metrics = Self { counters: RefCell::default() };
        for outcome in ["forwarded", "preflight", "public", "refused", "signed_in", "signed_out"] {
            metrics.counter(outcome, &format!("jwtproxy_{outcome}_total"));
        }
        metrics
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.increment(outcome, || format!("jwtproxy_{outcome}_total"));
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        self.count("refused");
        self.increment(reason, || format!("jwtproxy_refused_{reason}_total"));
    }

    #[expect(clippy::unused_self, reason = "gauges are set once, and need no memory")]
    pub(super) fn set_gauge(&self, name: &str, value: bool) {
        if let Ok(gauge) = hostcalls::define_metric(MetricType::Gauge, name) {
            let _ = hostcalls::record_metric(gauge, value.into());
        }
    }

    fn increment(&self, key: &'static str, name: impl Fn() -> String) {
        let known = self.counters.borrow().iter().find(|(own, _)| *own == key).map(|(_, counter)| *counter);
        if let Some(counter) = known.or_else(|| self.counter(key, &name())) {
            let _ = hostcalls::increment_metric(counter, 1);
        }
    }

    fn counter(&self, key: &'static str, name: &str) -> Option<u32> {
        let counter = hostcalls::define_metric(MetricType::Counter, name).ok()?;
        self.counters.borrow_mut().push((key, counter));
        Some(counter)
    }
}
