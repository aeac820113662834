//! What workers do together: those with equal providers fetch, and all know which sessions ended.

use std::cell::RefCell;

use proxy_wasm::hostcalls;

use super::fetch::{Desk, Fetcher};
use super::shared::{self, Neighbours, Shared};
use super::{AT_ONCE, Filter, SHORT_TICK, TICK};
use crate::ended::{EndedEntry, EndedSession, EndedSessions};
use crate::jwt::Clock;
use crate::policy::Policy;

/// The list of sessions that ended, and what tells it from the one before.
const ENDED: &str = "ended";
const ENDED_STAMP: &str = "ended.stamp";

/// What workers do together.
pub(super) struct Fleet {
    /// Of those with equal providers.
    pub shared: Shared,
    /// Of all of the plugin: a session that ended stays so when the configuration changes, for both of them.
    of_plugin: Shared,
    pub neighbours: Neighbours,
    pub fetcher: Fetcher,
    /// What tells the list of ended sessions that is known from a later one.
    stamp: RefCell<Vec<u8>>,
    /// What ended, and may have streams open.
    ended: RefCell<Vec<EndedEntry>>,
}

impl Fleet {
    /// None where there is nothing to share.
    pub(super) fn of(policy: &Policy) -> Option<Self> {
        if policy.feeds().iter().next().is_none() && !policy.remembers_sign_outs() {
            return None;
        }
        let (shared, of_plugin) = (Shared::of(policy.fingerprint()), Shared::of_plugin());
        let fetcher = Fetcher::new(policy, &shared);
        if policy.remembers_sign_outs() {
            of_plugin.create(ENDED, EndedSessions::EMPTY);
        }
        let (neighbours, stamp, ended) = (Neighbours::new(), RefCell::default(), RefCell::default());
        Some(Self { shared, of_plugin, neighbours, fetcher, stamp, ended })
    }
}

impl Filter {
    pub(super) fn desk<'d>(&'d self, fleet: &'d Fleet) -> Desk<'d> {
        let Fleet { shared, neighbours, .. } = fleet;
        Desk { policy: &self.policy, shared, neighbours, metrics: &self.metrics, now: self.clock.now() }
    }

    /// Tells all workers that these sessions are over.
    pub(super) fn end_sessions(&self, fleet: &Fleet, sessions: &[EndedSession]) {
        if sessions.is_empty() {
            return;
        }
        let now = self.clock.now();
        fleet.of_plugin.update(ENDED, |list| EndedSessions::merged(list, sessions, now));
        fleet.of_plugin.write(ENDED_STAMP, &shared::stamp());
        fleet.neighbours.call();
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
        let current = fleet.of_plugin.read(ENDED_STAMP).0.unwrap_or_default();
        if current != *stamp {
            let list = fleet.of_plugin.read(ENDED).0.unwrap_or_default();
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
    pub(super) fn hurry(&self) {
        if self.tick.replace(AT_ONCE) != AT_ONCE {
            let _ = hostcalls::set_tick_period(AT_ONCE);
        }
    }

    /// Until when there is nothing to do.
    pub(super) fn set_tick(&self) {
        let feeds = self.policy.feeds();
        let is_whole = feeds.iter().all(|(number, _)| feeds.record(number).is_filled());
        let tick = if self.held.is_ready() {
            AT_ONCE
        } else if is_whole && !self.held.need_any() {
            TICK
        } else {
            SHORT_TICK
        };
        if self.tick.replace(tick) != tick {
            let _ = hostcalls::set_tick_period(tick);
        }
    }
}
