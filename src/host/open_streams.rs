//! Streams that end with their session.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use log::info;
use proxy_wasm::hostcalls;

use crate::ended::EndedEntry;
use crate::token_cache::KnownToken;

/// The open streams of one worker, and their tokens. Their own end Envoy's router sees to.
#[derive(Default)]
pub(super) struct OpenStreams(RefCell<BTreeMap<u32, Rc<KnownToken>>>);

impl OpenStreams {
    pub(super) fn add(&self, id: u32, token: Rc<KnownToken>) {
        if let Ok(mut streams) = self.0.try_borrow_mut() {
            streams.insert(id, token);
        }
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut streams) = self.0.try_borrow_mut() {
            streams.remove(&id);
        }
    }

    /// Resets the streams whose session is among those that `ended`, or whose token `is_revoked`, and tells how many.
    pub(super) fn end(&self, ended: &[EndedEntry], is_revoked: impl Fn(&KnownToken) -> bool) -> i64 {
        let why = |token: &KnownToken| {
            if EndedEntry::any_of(ended, &token.jwt) {
                Some("signed_out")
            } else {
                is_revoked(token).then_some("revoked")
            }
        };
        let over: Vec<(u32, &str)> = match self.0.try_borrow() {
            Ok(streams) => streams.iter().filter_map(|(id, token)| Some((*id, why(token)?))).collect(),
            Err(_) => return 0,
        };
        let mut count = 0_i64;
        for (id, why) in over {
            if hostcalls::set_effective_context(id).is_ok() {
                let _ = hostcalls::set_property(vec!["jwt_end"], Some(why.as_bytes()));
                let _ = hostcalls::reset_http_request();
                count = count.saturating_add(1);
            }
            self.remove(id);
        }
        if count > 0 {
            info!("jwtproxy: {count} streams ended with their session");
        }
        count
    }
}
