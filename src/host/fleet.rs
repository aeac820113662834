//! What workers with equal providers do together: fetch, and know which sessions ended.

use std::cell::RefCell;

use proxy_wasm::hostcalls;

use super::fetch::{Desk, Fetcher};
use super::shared::{self, Neighbours, Shared};
use super::waiting::{Waiter, Waiting};
use super::{AT_ONCE, Done, Filter, SHORT_TICK, TICK, fail};
use crate::ended::{EndedSession, EndedSessions};
use crate::jwt::{Clock, TokenHash};
use crate::policy::Policy;

/// The list of sessions that ended, and what tells it from the one before.
const ENDED: &str = "ended";
const ENDED_STAMP: &str = "ended.stamp";

/// What workers with equal providers do together.
pub(super) struct Fleet {
    pub shared: Shared,
    pub neighbours: Neighbours,
    pub fetcher: Fetcher,
    pub waiting: Waiting,
    /// What tells the list of ended sessions that is known from a later one.
    stamp: RefCell<Vec<u8>>,
    /// Tokens of sessions that ended, whose streams may be open.
    ended: RefCell<Vec<TokenHash>>,
}

impl Fleet {
    /// None where there is nothing to share.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        if policy.feeds().iter().next().is_none() && !policy.remembers_sign_outs() {
            return None;
        }
        let shared = Shared::new(policy.fingerprint());
        let neighbours = Neighbours::new(&shared);
        let fetcher = Fetcher::new(policy, &shared);
        if policy.remembers_sign_outs() {
            shared.create(ENDED, EndedSessions::EMPTY);
        }
        Some(Self {
            shared,
            neighbours,
            fetcher,
            waiting: Waiting::default(),
            stamp: RefCell::default(),
            ended: RefCell::default(),
        })
    }
}

impl Filter {
    pub(super) fn desk<'d>(&'d self, fleet: &'d Fleet) -> Desk<'d> {
        let Fleet { shared, neighbours, .. } = fleet;
        Desk { policy: &self.policy, shared, neighbours, metrics: &self.metrics, now: self.clock.now() }
    }

    /// Lets a request wait for a feed, and hurries. False: too many wait already.
    pub(super) fn wait(&self, id: u32, feed: usize, form: Option<&[u8]>) -> bool {
        /// For what is asked for a little later, and for a worker that is gone with the answer.
        const SLACK: f64 = 1.0;
        let Some(fleet) = &self.fleet else { return false };
        let patience = self.policy.feeds().get(feed).map_or(0.0, |feed| feed.patience() + SLACK);
        let until = self.clock.now().plus(patience);
        let waits = fleet.waiting.add(Waiter { id, feed, form: form.map(<[u8]>::to_vec), until });
        if waits {
            self.metrics.count("waited");
            self.hurry();
        }
        waits
    }

    pub(super) fn waits(&self, id: u32) -> bool {
        self.fleet.as_ref().is_some_and(|fleet| fleet.waiting.has(id))
    }

    /// Those who wait have what they waited for, or know that it does not come.
    pub(super) fn judge_again(&self, fleet: &Fleet) {
        for waiter in fleet.waiting.take(|_| true) {
            self.judge_waiter(fleet, waiter, true);
        }
    }

    /// Whoever fetched for them is gone, or too slow.
    pub(super) fn judge_overdue(&self, fleet: &Fleet) {
        let now = self.clock.now();
        for waiter in fleet.waiting.take(|waiter| waiter.until <= now) {
            self.judge_waiter(fleet, waiter, false);
        }
    }

    /// Judges a request that waited; of the root, which speaks for it.
    fn judge_waiter(&self, fleet: &Fleet, waiter: Waiter, may_wait: bool) {
        if hostcalls::set_effective_context(waiter.id).is_err() {
            return;
        }
        match self.handle(waiter.form.as_deref(), may_wait) {
            Some(Done::Answered) => {}
            Some(Done::Await(feed)) => {
                fleet.waiting.add(Waiter { feed, ..waiter });
                self.hurry();
            }
            // The last call of all: a stream that goes on may be gone.
            Some(Done::Forwarded) => {
                let _ = hostcalls::resume_http_request();
            }
            Some(Done::Opened(token)) => {
                self.streams.add(waiter.id, token);
                let _ = hostcalls::resume_http_request();
            }
            Some(Done::ReadForm) | None => {
                fail();
            }
        }
    }

    /// Tells all workers that these sessions are over.
    pub(super) fn end_sessions(&self, fleet: &Fleet, sessions: &[EndedSession]) {
        if sessions.is_empty() {
            return;
        }
        let now = self.clock.now();
        fleet.shared.update(ENDED, |list| EndedSessions::merged(list, sessions, now));
        fleet.shared.write(ENDED_STAMP, &shared::stamp());
        fleet.neighbours.call(&fleet.shared);
        self.follow_sign_outs(fleet);
        // Their streams end with the next tick: now it is a request that is spoken for.
        self.hurry();
    }

    /// Takes over which sessions ended.
    pub(super) fn follow_sign_outs(&self, fleet: &Fleet) {
        if !self.policy.remembers_sign_outs() {
            return;
        }
        let (Ok(mut stamp), Ok(mut ended)) = (fleet.stamp.try_borrow_mut(), fleet.ended.try_borrow_mut())
        else {
            return;
        };
        let current = fleet.shared.read(ENDED_STAMP).0.unwrap_or_default();
        if current != *stamp {
            let list = fleet.shared.read(ENDED).0.unwrap_or_default();
            ended.extend(self.policy.note_ended(&list));
            *stamp = current;
        }
    }

    /// Ends the streams of ended sessions and of revoked tokens; of the root, as it speaks for each of them.
    pub(super) fn end_streams(&self, fleet: &Fleet) {
        let ended = fleet.ended.take();
        if self.policy.ends_streams() {
            let count = self.streams.end(&ended, |token| self.policy.is_revoked(token));
            self.metrics.count_streams_ended(count);
        }
    }

    /// The next tick comes at once; from any context, it is that of the root.
    fn hurry(&self) {
        if self.tick.replace(AT_ONCE) != AT_ONCE {
            let _ = hostcalls::set_tick_period(AT_ONCE);
        }
    }

    /// Until when there is nothing to do.
    pub(super) fn set_tick(&self) {
        let feeds = self.policy.feeds();
        let is_whole = feeds.iter().all(|(number, _)| feeds.record(number).is_filled());
        let is_empty = self.fleet.as_ref().is_none_or(|fleet| fleet.waiting.is_empty());
        let tick = if is_whole && is_empty { TICK } else { SHORT_TICK };
        if self.tick.replace(tick) != tick {
            let _ = hostcalls::set_tick_period(tick);
        }
    }
}
