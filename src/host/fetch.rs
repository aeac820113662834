//! Fetches what the configuration says, for all workers at once.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use log::{debug, info, warn};
use proxy_wasm::hostcalls;

use super::answer::Answer;
use super::held::HeldRequests;
use super::metrics::Metrics;
use super::shared::{Neighbours, Shared, chance};
use crate::feed::{Discovery, Feed, Occasion, Record, Source, Uri, max_age};
use crate::jwt::NumericDate;
use crate::policy::Policy;

/// The fetching of one worker.
pub(super) struct Fetcher {
    /// For each feed: which content this worker has.
    serials: Vec<Cell<u32>>,
    /// Where the keys of an issuer were found.
    found: Vec<RefCell<Option<Uri>>>,
    calls: RefCell<Vec<Call>>,
}

/// A request to a source that has no answer yet.
struct Call {
    token: u32,
    feed: usize,
    /// Whether it is for the discovery document.
    discovers: bool,
}

/// What is at hand while fetching.
pub(super) struct Desk<'d> {
    pub policy: &'d Policy,
    pub shared: &'d Shared,
    pub neighbours: &'d Neighbours,
    pub metrics: &'d Metrics,
    pub now: NumericDate,
}

impl Fetcher {
    pub(super) fn new(policy: &Policy, shared: &Shared) -> Self {
        let feeds = policy.feeds();
        for (number, _) in feeds.iter() {
            shared.create(&record_name(number), &Record::default().to_bytes());
        }
        Self {
            serials: feeds.iter().map(|_| Cell::new(0)).collect(),
            found: feeds.iter().map(|_| RefCell::default()).collect(),
            calls: RefCell::default(),
        }
    }

    /// Takes over what the workers know. A feed whose fetch ended, well or not, is told to `ended`.
    pub(super) fn follow(&self, desk: &Desk<'_>, ended: impl Fn(usize)) {
        for (number, feed) in desk.policy.feeds().iter() {
            let (record, _) = read(desk, number, feed);
            let before = desk.policy.feeds().record(number);
            self.load(desk, number, record);
            if record != before && !record.is_busy(desk.now) {
                ended(number);
            }
        }
    }

    /// Takes over what another worker fetched.
    fn load(&self, desk: &Desk<'_>, number: usize, record: Record) {
        let Some(serial) = self.serials.get(number) else { return };
        if serial.get() != record.serial {
            let answer = desk.shared.read(&answer_name(number)).0.unwrap_or_default();
            if let Err(fault) = desk.policy.take(number, &answer, record.fetched) {
                warn!("jwtproxy: what another worker fetched is of no use: {fault}");
                return;
            }
            serial.set(record.serial);
        }
        desk.policy.feeds().note(number, record);
    }

    /// Fetches what is due, or needed, unless another worker does. Who waits for what cannot be asked for is judged.
    pub(super) fn attend(&self, desk: &Desk<'_>, held: &HeldRequests) {
        for (number, feed) in desk.policy.feeds().iter() {
            let occasion = if held.need(number) { Occasion::Need } else { Occasion::Schedule };
            let (record, version) = read(desk, number, feed);
            let Some(claimed) = record.claimed(desk.now, occasion, feed.patience()) else { continue };
            if !desk.shared.replace(&record_name(number), &claimed.to_bytes(), version) {
                continue;
            }
            desk.policy.feeds().note(number, claimed);
            desk.neighbours.call();
            let found = self.found.get(number).and_then(|found| found.try_borrow().ok()?.clone());
            let asked = match (&feed.source, found) {
                (Source::At(uri), _) => self.ask(number, feed, uri, &feed.cluster, false),
                (Source::Discovered(discovery), None) => {
                    self.ask(number, feed, &discovery.document, &feed.cluster, true)
                }
                (Source::Discovered(discovery), Some(uri)) => {
                    self.ask(number, feed, &uri, jwks_cluster(feed, discovery), false)
                }
            };
            if let Err(why) = asked {
                self.fail(desk, number, feed, &why);
                held.wake(number);
            }
        }
    }

    fn ask(
        &self,
        number: usize,
        feed: &Feed,
        uri: &Uri,
        cluster: &str,
        discovers: bool,
    ) -> Result<(), String> {
        debug!("jwtproxy: {} are asked for at {uri}", feed.name);
        let scheme = if uri.https { "https" } else { "http" };
        let headers = vec![
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", &uri.authority),
            (":path", &uri.target),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("user-agent", concat!("jwtproxy-wasm/", env!("CARGO_PKG_VERSION"))),
        ];
        let timeout = Duration::from_secs_f64(feed.timeout);
        let token = hostcalls::dispatch_http_call(cluster, headers, None, Vec::new(), timeout);
        let token = token.map_err(|_| format!("there is no cluster {cluster}, or it has no endpoint"))?;
        if let Ok(mut calls) = self.calls.try_borrow_mut() {
            calls.push(Call { token, feed: number, discovers });
        }
        Ok(())
    }

    /// Takes an answer, and tells of which feed, unless there is more to ask.
    pub(super) fn answered(&self, desk: &Desk<'_>, token: u32, size: usize) -> Option<usize> {
        let call = self.calls.try_borrow_mut().ok().and_then(|mut calls| {
            let at = calls.iter().position(|call| call.token == token)?;
            Some(calls.swap_remove(at))
        });
        let call = call?;
        let feed = desk.policy.feeds().get(call.feed)?;
        let outcome = match Answer::read(feed, size) {
            Err(why) => Err(why),
            Ok(answer) => match (&feed.source, call.discovers) {
                (Source::Discovered(discovery), true) => {
                    match self.discovered(desk, call.feed, feed, discovery, &answer) {
                        Ok(()) => return None,
                        Err(why) => Err(why),
                    }
                }
                _ => self.keep(desk, call.feed, feed, &answer),
            },
        };
        if let Err(why) = outcome {
            self.fail(desk, call.feed, feed, &why);
        }
        Some(call.feed)
    }

    fn discovered(
        &self,
        desk: &Desk<'_>,
        number: usize,
        feed: &Feed,
        discovery: &Discovery,
        answer: &Answer,
    ) -> Result<(), String> {
        let uri = discovery.jwks(&answer.body).map_err(|fault| answer.fault(&fault))?;
        if let Some(mut found) = self.found.get(number).and_then(|found| found.try_borrow_mut().ok()) {
            *found = Some(uri.clone());
        }
        debug!("jwtproxy: {} are at {uri}", feed.name);
        // The first of the two answers took its time.
        let (record, version) = read(desk, number, feed);
        let busy = Record { busy: desk.now.plus(feed.patience()), ..record };
        desk.shared.replace(&record_name(number), &busy.to_bytes(), version);
        self.ask(number, feed, &uri, jwks_cluster(feed, discovery), false)
    }

    /// Puts an answer to use, and tells the others.
    fn keep(&self, desk: &Desk<'_>, number: usize, feed: &Feed, answer: &Answer) -> Result<(), String> {
        let (before, _) = read(desk, number, feed);
        let is_same = before.is_filled()
            && desk.shared.read(&answer_name(number)).0.as_deref() == Some(answer.body.as_slice());
        let is_known = self.serials.get(number).is_some_and(|serial| serial.get() == before.serial);
        if !(is_same && is_known) {
            let skipped =
                desk.policy.take(number, &answer.body, desk.now).map_err(|fault| answer.fault(&fault))?;
            desk.metrics.count_skipped(skipped.len());
            for why in &skipped {
                warn!("jwtproxy: {}: skipped, {why}", feed.name);
            }
        }
        let max_age = max_age(&answer.cache_control, &answer.age);
        let interval = feed.interval(max_age, chance());
        if !is_same {
            desk.shared.write(&answer_name(number), &answer.body);
        }
        let record = settle(desk, number, feed, |record| record.succeeded(desk.now, interval, !is_same));
        if let Some(serial) = self.serials.get(number) {
            // What another worker settled meanwhile is loaded with the next look.
            let is_own = desk.shared.read(&answer_name(number)).0.as_deref() == Some(answer.body.as_slice());
            serial.set(if is_own { record.serial } else { 0 });
        }
        desk.policy.feeds().note(number, record);
        desk.metrics.count_fetched(feed.kind);
        if !is_same {
            info!("jwtproxy: {} were fetched", feed.name);
        }
        desk.neighbours.call();
        Ok(())
    }

    /// Keeps what there is, and tells the others that nothing new comes.
    fn fail(&self, desk: &Desk<'_>, number: usize, feed: &Feed, why: &str) {
        // The issuer may have moved them.
        if let Some(mut found) = self.found.get(number).and_then(|found| found.try_borrow_mut().ok()) {
            *found = None;
        }
        let record = settle(desk, number, feed, |record| record.failed(desk.now, feed.refresh));
        desk.policy.feeds().note(number, record);
        desk.metrics.count_failed(feed.kind, record.is_filled());
        if record.is_filled() {
            let age = NumericDate::from_seconds(desk.now.seconds() - record.fetched.seconds());
            warn!(
                "jwtproxy: {} could not be fetched ({why}); stale, those of {age} seconds ago stay",
                feed.name
            );
        } else {
            warn!("jwtproxy: {} could not be fetched ({why}), and there are none yet", feed.name);
        }
        desk.neighbours.call();
    }
}

fn jwks_cluster<'f>(feed: &'f Feed, discovery: &'f Discovery) -> &'f str {
    discovery.jwks_cluster.as_deref().unwrap_or(&feed.cluster)
}

fn record_name(number: usize) -> String {
    format!("feed.{number}")
}

fn answer_name(number: usize) -> String {
    format!("feed.{number}.answer")
}

fn read(desk: &Desk<'_>, number: usize, feed: &Feed) -> (Record, Option<u32>) {
    let (bytes, version) = desk.shared.read(&record_name(number));
    let record = bytes.and_then(|bytes| Record::from_bytes(&bytes)).unwrap_or_default();
    (record.plausible(desk.now, feed.refresh, feed.patience()), version)
}

/// Writes how a fetch ended, and tells what is true then.
fn settle(desk: &Desk<'_>, number: usize, feed: &Feed, change: impl Fn(&Record) -> Record) -> Record {
    desk.shared.update(&record_name(number), |bytes| {
        change(&Record::from_bytes(bytes).unwrap_or_default()).to_bytes()
    });
    read(desk, number, feed).0
}
