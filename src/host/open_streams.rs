//! Streams that end with their session, and the sessions that ended, which all workers know.

use std::cell::RefCell;

use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use crate::http;
use crate::jwt::{NumericDate, TokenHash};
use crate::streams::EndedSession;

/// The first byte of the shared list: a module of another version has another list.
const FORMAT: u8 = 1;
/// When an ended session would have expired, in seconds since the epoch, and the hash of its token.
const ENTRY: usize = 8 + 32;
/// More would be a flood; then those go that ended first.
const MOST: usize = 1000;

/// The open streams of one worker. Their own end Envoy's router sees to.
pub(super) struct OpenStreams {
    streams: RefCell<Vec<(u32, TokenHash)>>,
    /// Workers with equal providers share a list under this name.
    key: String,
}

impl OpenStreams {
    pub(super) fn new(fingerprint: &[u8; 32]) -> Self {
        let key = format!("jwtproxy.ended_sessions.{}", http::hex(fingerprint));
        // To write what is not there yet, two workers could do at once.
        if hostcalls::get_shared_data(&key).is_ok_and(|(list, _)| list.is_none()) {
            let _ = hostcalls::set_shared_data(&key, Some(&[FORMAT]), None);
        }
        Self { streams: RefCell::default(), key }
    }

    pub(super) fn add(&self, id: u32, token: TokenHash) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.push((id, token));
        }
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut streams) = self.streams.try_borrow_mut() {
            streams.retain(|(own, _)| *own != id);
        }
    }

    /// Tells all workers that these sessions are over.
    pub(super) fn end_sessions(&self, sessions: &[EndedSession], now: NumericDate) {
        if sessions.is_empty() {
            return;
        }
        // Another worker may write in between; it does so once.
        for _ in 0..10 {
            let Ok((list, version)) = hostcalls::get_shared_data(&self.key) else { return };
            let mut entries: Vec<[u8; ENTRY]> = entries(list.as_deref().unwrap_or_default()).collect();
            entries.retain(|entry| expires(entry) > whole(now));
            entries.extend(sessions.iter().map(entry));
            let surplus = entries.len().saturating_sub(MOST);
            let list = [vec![FORMAT], entries.split_off(surplus).concat()].concat();
            match hostcalls::set_shared_data(&self.key, Some(&list), version) {
                Err(Status::CasMismatch) => {}
                Ok(()) | Err(_) => return,
            }
        }
    }

    /// Resets the streams of this worker whose session is over, and tells how many.
    pub(super) fn end_those_of_ended_sessions(&self) -> i64 {
        let streams: Vec<(u32, TokenHash)> = match self.streams.try_borrow() {
            Ok(streams) if !streams.is_empty() => streams.clone(),
            Ok(_) | Err(_) => return 0,
        };
        let Ok((Some(list), _)) = hostcalls::get_shared_data(&self.key) else { return 0 };
        let mut ended = 0_i64;
        for (id, TokenHash(token)) in streams {
            if entries(&list).any(|entry| entry.ends_with(&token))
                && hostcalls::set_effective_context(id).is_ok()
            {
                let _ = hostcalls::set_property(vec!["jwt_end"], Some(b"signed_out"));
                let _ = hostcalls::reset_http_request();
                self.remove(id);
                ended = ended.saturating_add(1);
            }
        }
        if ended > 0 {
            info!("jwtproxy: {ended} streams ended with their session");
        }
        ended
    }
}

fn entries(list: &[u8]) -> impl Iterator<Item = [u8; ENTRY]> {
    let entries = list.strip_prefix(&[FORMAT]).unwrap_or_default();
    entries.as_chunks().0.iter().copied()
}

/// A token without `exp` is remembered for
/// as long as the list lasts.
fn entry(session: &EndedSession) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let expires = session.expires.map_or(u64::MAX, whole);
    let bytes = expires.to_be_bytes().into_iter().chain(session.token.0);
    entry.iter_mut().zip(bytes).for_each(|(own, byte)| *own = byte);
    entry
}

fn expires(entry: &[u8; ENTRY]) -> u64 {
    entry.first_chunk().map_or(0, |time| u64::from_be_bytes(*time))
}

fn whole(date: NumericDate) -> u64 {
    #[expect(
        clippy::as_conversions,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates"
    )]
    let whole = date.seconds() as u64;
    whole
}
