//! Memory that workers share, and how one of them calls the others.

use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use log::error;
use proxy_wasm::hostcalls;
use proxy_wasm::types::Status;

use super::plugin_name;
use crate::http::hex;
use crate::jwt::{NumericDate, sha256};

/// Memory that workers share: values by name, as plugins of the same VM see them, too.
pub(super) struct Shared {
    prefix: String,
}

impl Shared {
    /// That of workers with equal providers.
    pub(super) fn of(fingerprint: &[u8; 32]) -> Self {
        Self { prefix: format!("jwtproxy.{}", hex(fingerprint)) }
    }

    /// That of all workers of the plugin, those of a configuration that is going included.
    pub(super) fn of_plugin() -> Self {
        Self { prefix: format!("jwtproxy.{}", hex(&sha256(plugin_name().as_bytes()))) }
    }

    /// A value, and the version by which it can be replaced.
    pub(super) fn read(&self, name: &str) -> (Option<Vec<u8>>, Option<u32>) {
        hostcalls::get_shared_data(&self.name(name)).unwrap_or_default()
    }

    /// Writes what is not there yet: to replace nothing, two workers could do at once.
    pub(super) fn create(&self, name: &str, value: &[u8]) {
        if self.read(name).0.is_none() {
            self.write(name, value);
        }
    }

    /// Writes a value, whatever was there.
    pub(super) fn write(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_shared_data(&self.name(name), Some(value), None);
    }

    /// Replaces the value of that version. False: somebody was quicker.
    pub(super) fn replace(&self, name: &str, value: &[u8], version: Option<u32>) -> bool {
        hostcalls::set_shared_data(&self.name(name), Some(value), version) != Err(Status::CasMismatch)
    }

    /// Changes a value, however many others do.
    pub(super) fn update(&self, name: &str, change: impl Fn(&[u8]) -> Vec<u8>) {
        // Whoever loses a race lost it to somebody who is done.
        const RACES: usize = 100;
        for _ in 0..RACES {
            let (value, version) = self.read(name);
            if self.replace(name, &change(value.as_deref().unwrap_or_default()), version) {
                return;
            }
        }
        error!("jwtproxy: could not write to the memory of all workers: {RACES} others were quicker");
    }

    fn name(&self, name: &str) -> String {
        [&self.prefix, ".", name].concat()
    }
}

/// All workers of the plugin. Each has a queue, by which the others call it.
pub(super) struct Neighbours {
    shared: Shared,
    own: Option<u32>,
    announced: Cell<f64>,
}

/// Queue and time in seconds.
const ENTRY: usize = 4 + 8;
const LIST: &str = "queues";
/// So often each tells that it is still there, and for so long the others believe it, in seconds.
const ANNOUNCE: f64 = 300.0;
const BELIEVE: f64 = 1000.0;
const MOST: usize = 1024;

impl Neighbours {
    /// Makes the queue of this worker. Its name is nobody else's: the one who registers a name last gets its calls.
    pub(super) fn new() -> Self {
        let shared = Shared::of_plugin();
        let name = shared.name(&format!("queue.{:x}", chance_bits()));
        shared.create(LIST, &[]);
        let own = hostcalls::register_shared_queue(&name).ok();
        Self { shared, own, announced: Cell::new(0.0) }
    }

    /// Tells the others of this worker, now and then.
    pub(super) fn announce(&self, now: NumericDate) {
        let now = now.seconds();
        let Some(own) = self.own.filter(|_| self.announced.get() + ANNOUNCE <= now) else { return };
        self.announced.set(now);
        self.shared.update(LIST, |list| {
            let mut list: Vec<(u32, f64)> = entries(list).collect();
            list.retain(|(queue, seen)| *queue != own && *seen + BELIEVE > now);
            list.push((own, now));
            let surplus = list.len().saturating_sub(MOST);
            list.drain(..surplus);
            list.iter()
                .flat_map(|(queue, seen)| queue.to_be_bytes().into_iter().chain(seen.to_be_bytes()))
                .collect()
        });
    }

    /// Makes the others look at what is shared.
    pub(super) fn call(&self) {
        let list = self.shared.read(LIST).0.unwrap_or_default();
        for (queue, _) in entries(&list).filter(|(queue, _)| Some(*queue) != self.own) {
            // The SDK cannot tell an empty message from an empty queue.
            let _ = hostcalls::enqueue_shared_queue(queue, Some(b"!"));
        }
    }

    /// Takes what calls there are off the queue.
    pub(super) fn hear(&self) {
        let Some(own) = self.own else { return };
        while matches!(hostcalls::dequeue_shared_queue(own), Ok(Some(_))) {}
    }
}

fn entries(list: &[u8]) -> impl Iterator<Item = (u32, f64)> {
    let entries = list.as_chunks::<ENTRY>().0.iter();
    entries.filter_map(|entry| {
        let (queue, seen) = entry.split_first_chunk()?;
        Some((u32::from_be_bytes(*queue), f64::from_be_bytes(*seen.first_chunk()?)))
    })
}

/// A random number from 0 to 1.
pub(super) fn chance() -> f64 {
    f64::from(u16::try_from(chance_bits() & 0xffff).unwrap_or_default()) / f64::from(u16::MAX)
}

fn chance_bits() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// What nobody else has written.
pub(super) fn stamp() -> [u8; 8] {
    chance_bits().to_be_bytes()
}
