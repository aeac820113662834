//! Counters and gauges, which Envoy shows as `wasmcustom.jwtproxy_…`.

use std::cell::RefCell;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MetricType;

use crate::feed::FeedKind;

/// The counters of one configuration; workers with equal names share a value. What they count reaches Envoy with the
/// next [`flush`](Self::flush).
pub(super) struct Metrics {
    /// Two dozen at the most: looking through them is as quick as hashing.
    counters: RefCell<Vec<Counter>>,
}

struct Counter {
    /// The outcome or the reason that it counts.
    key: &'static str,
    id: u32,
    since_flush: i64,
}

const OUTCOMES: [&str; 8] =
    ["forwarded", "preflight", "public", "refused", "signed_in", "signed_out", "streams_ended", "told"];

impl Metrics {
    /// Makes those that are worth a zero; the one for a reason appears with its first refusal.
    pub(super) fn new() -> Self {
        let metrics = Self { counters: RefCell::default() };
        for outcome in OUTCOMES {
            metrics.add(outcome, 0, || format!("jwtproxy_{outcome}_total"));
        }
        metrics
    }

    pub(super) fn count(&self, outcome: &'static str) {
        self.add(outcome, 1, || format!("jwtproxy_{outcome}_total"));
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        self.count("refused");
        self.add(reason, 1, || format!("jwtproxy_refused_{reason}_total"));
    }

    pub(super) fn count_streams_ended(&self, streams: i64) {
        self.add("streams_ended", streams, || "jwtproxy_streams_ended_total".to_owned());
    }

    /// An answer of a feed was taken.
    pub(super) fn count_fetched(&self, feed: FeedKind) {
        match feed {
            FeedKind::Keys(_) => self.count("jwks_fetched"),
            FeedKind::Revocations(_) => self.count("revocations_fetched"),
        }
    }

    /// A feed could not be fetched; what was there before `is_stale`, if there was anything.
    pub(super) fn count_failed(&self, feed: FeedKind, is_stale: bool) {
        let (failed, stale) = match feed {
            FeedKind::Keys(_) => ("jwks_failed", "jwks_stale"),
            FeedKind::Revocations(_) => ("revocations_failed", "revocations_stale"),
        };
        self.count(failed);
        if is_stale {
            self.count(stale);
        }
    }

    /// Keys of an issuer that are of no use.
    pub(super) fn count_skipped(&self, keys: usize) {
        let keys = i64::try_from(keys).unwrap_or(i64::MAX);
        self.add("jwks_keys_skipped", keys, || "jwtproxy_jwks_keys_skipped_total".to_owned());
    }

    #[expect(clippy::unused_self, reason = "gauges are set once, and need no memory")]
    pub(super) fn set_gauge(&self, name: &str, value: bool) {
        if let Ok(gauge) = hostcalls::define_metric(MetricType::Gauge, name) {
            let _ = hostcalls::record_metric(gauge, value.into());
        }
    }

    /// Tells Envoy.
    pub(super) fn flush(&self) {
        let Ok(mut counters) = self.counters.try_borrow_mut() else { return };
        for counter in counters.iter_mut().filter(|counter| counter.since_flush != 0) {
            if hostcalls::increment_metric(counter.id, counter.since_flush).is_ok() {
                counter.since_flush = 0;
            }
        }
    }

    fn add(&self, key: &'static str, count: i64, name: impl Fn() -> String) {
        let Ok(mut counters) = self.counters.try_borrow_mut() else { return };
        if let Some(counter) = counters.iter_mut().find(|counter| counter.key == key) {
            counter.since_flush = counter.since_flush.saturating_add(count);
        } else if let Ok(id) = hostcalls::define_metric(MetricType::Counter, &name()) {
            counters.push(Counter { key, id, since_flush: count });
        }
    }
}

/// A configuration was refused, in this worker or on the main thread, which tries it first.
pub(super) fn count_refused_configuration() {
    if let Ok(counter) = hostcalls::define_metric(MetricType::Counter, "jwtproxy_configuration_refused_total")
    {
        let _ = hostcalls::increment_metric(counter, 1);
    }
}

/// The last counts of a configuration that another one replaces.
impl Drop for Metrics {
    fn drop(&mut self) {
        self.flush();
    }
}
