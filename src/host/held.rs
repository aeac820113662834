//! Requests that must not go on yet.
//!
//! Envoy goes on with a paused request as soon as a later callback of it says so, and of itself where a callback is not there
//! because the operator did not grant it. So `:path` and `:method` of a request that waits are put away: without a path it
//! matches no route, and without a method no upstream is asked, whatever filters behind put into the place of the path.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use proxy_wasm::hostcalls;
use proxy_wasm::types::MapType;

use crate::http::Field;
use crate::jwt::{Budget, NumericDate};

/// What is put away, and where it stands meanwhile. What a client sends under these names is replaced, and removed with it.
const PUT_AWAY: [(&str, &str); 2] =
    [(":path", "x-jwtproxy-held-path"), (":method", "x-jwtproxy-held-method")];
const MAP: MapType = MapType::HttpRequestHeaders;

/// Puts away the path and the method of the request that the host speaks for. `None` if the host fails.
pub(super) fn hold() -> Option<()> {
    // The call for a single line may not be granted: nothing else needs it.
    let fields = hostcalls::get_map_bytes(MAP).ok()?;
    for (name, away) in PUT_AWAY {
        let (_, value) = fields.iter().find(|(own, _)| own == name)?;
        hostcalls::set_map_value_bytes(MAP, away, Some(value)).ok()?;
        hostcalls::remove_map_value(MAP, name).ok()?;
    }
    Some(())
}

/// Gives both back to a request that was held, and to its fields. `None` if the host fails, or if somebody else gave it another
/// path or method: then it went on, and whoever serves it must not lose them.
pub(super) fn release(fields: &mut Vec<Field>) -> Option<()> {
    if PUT_AWAY.iter().any(|(name, _)| fields.iter().any(|(own, _)| own == name)) {
        return None;
    }
    for (name, away) in PUT_AWAY {
        let at = fields.iter().position(|(own, _)| own == away)?;
        let (_, value) = fields.remove(at);
        hostcalls::set_map_value_bytes(MAP, name, Some(&value)).ok()?;
        hostcalls::remove_map_value(MAP, away).ok()?;
        fields.push((name.to_owned(), value));
    }
    Some(())
}

/// What becomes of a request, and what it waits for until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its head was not shown to the filter.
    Unseen,
    /// It waits for the rest of its form.
    Form,
    /// It waits for what that feed brings.
    Feed(usize),
    /// It is judged when it is its turn, and may then wait again or not.
    Ready {
        /// Whether it may.
        may_wait: bool,
    },
    /// Its form did not come in time.
    Late,
    /// The filter answered it.
    Answered,
    /// It goes on.
    Forwarded,
    /// It goes on, and is a stream that ends with its session.
    Opened,
}

/// The form that came with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// There is none, or it is not complete.
    Absent,
    /// It has no bytes.
    Empty,
    /// The host holds it.
    Buffered,
}

/// A request that waits, or waited. Its stream and the list share it.
#[derive(Debug)]
pub(super) struct Held {
    pub id: u32,
    pub stage: Cell<Stage>,
    pub form: Cell<Form>,
    /// What is left of its budget; none: nothing was judged yet.
    pub budget: Cell<Option<Budget>>,
    /// Until when it waits.
    pub until: Cell<NumericDate>,
    /// Whether some of its body came.
    pub has_begun: Cell<bool>,
    /// How much of its body the host holds.
    bytes: Cell<usize>,
}

impl Held {
    /// Whether it is not decided.
    pub(super) fn waits(&self) -> bool {
        match self.stage.get() {
            Stage::Form | Stage::Feed(_) | Stage::Ready { .. } | Stage::Late => true,
            Stage::Unseen | Stage::Answered | Stage::Forwarded | Stage::Opened => false,
        }
    }
}

/// The requests of this worker that wait.
#[derive(Default)]
pub(super) struct HeldRequests {
    all: RefCell<Vec<Rc<Held>>>,
    /// Those whose turn has come, in the order in which it came.
    ready: RefCell<VecDeque<Rc<Held>>>,
    /// How many wait.
    count: Cell<usize>,
    /// How much of their bodies the host holds.
    bytes: Cell<usize>,
}

impl HeldRequests {
    /// More would be a flood, and is not worth its memory.
    const MOST: usize = 4096;
    /// The most that the host holds of their bodies, in bytes. Envoy limits each one
    /// (`per_connection_buffer_limit_bytes`), not all together.
    const MOST_BYTES: usize = 16 * 1024 * 1024;
    /// So many forms that made room may wait for their answer: more come faster than they can be answered.
    const MOST_LATE: usize = 256;

    /// None: too many wait already. Of these, the form that has waited longest makes room: an honest one is complete within
    /// moments.
    pub(super) fn add(&self, id: u32, stage: Stage) -> Option<Rc<Held>> {
        let mut all = self.all.try_borrow_mut().ok()?;
        if self.count.get() >= Self::MOST {
            let mut ready = self.ready.try_borrow_mut().ok().filter(|ready| ready.len() < Self::MOST_LATE)?;
            let oldest = all.iter().find(|held| held.stage.get() == Stage::Form)?;
            oldest.stage.set(Stage::Late);
            ready.push_back(Rc::clone(oldest));
        }
        // Those that are gone leave when they are as many as those that wait: at that pace it costs each of them little.
        if all.len() >= self.count.get().saturating_mul(2).saturating_add(64) {
            all.retain(|held| held.waits());
        }
        let held = Rc::new(Held {
            id,
            stage: Cell::new(stage),
            form: Cell::new(Form::Absent),
            budget: Cell::new(None),
            until: Cell::new(NumericDate::from_seconds(f64::INFINITY)),
            has_begun: Cell::new(false),
            bytes: Cell::new(0),
        });
        all.push(Rc::clone(&held));
        self.count.set(self.count.get().saturating_add(1));
        Some(held)
    }

    /// Takes note of how much of a body the host holds. False: with it, it would be too much.
    pub(super) fn grows(&self, held: &Held, bytes: usize) -> bool {
        let others = self.bytes.get().saturating_sub(held.bytes.replace(bytes));
        self.bytes.set(others.saturating_add(bytes));
        self.bytes.get() <= Self::MOST_BYTES
    }

    /// What waited is decided, or its client is gone.
    pub(super) fn end(&self, held: &Held, stage: Stage) {
        if held.waits() {
            self.count.set(self.count.get().saturating_sub(1));
            self.grows(held, 0);
        }
        held.stage.set(stage);
    }

    /// The turn of those has come who wait for that feed.
    pub(super) fn wake(&self, feed: usize) {
        self.turn_where(|held| {
            (held.stage.get() == Stage::Feed(feed)).then_some(Stage::Ready { may_wait: true })
        });
    }

    /// So has that of those who waited for too long.
    pub(super) fn wake_overdue(&self, now: NumericDate) {
        self.turn_where(|held| match held.stage.get() {
            Stage::Form => (held.until.get() <= now).then_some(Stage::Late),
            Stage::Feed(_) => (held.until.get() <= now).then_some(Stage::Ready { may_wait: false }),
            Stage::Unseen
            | Stage::Ready { .. }
            | Stage::Late
            | Stage::Answered
            | Stage::Forwarded
            | Stage::Opened => None,
        });
    }

    fn turn_where(&self, turn: impl Fn(&Held) -> Option<Stage>) {
        let (Ok(all), Ok(mut ready)) = (self.all.try_borrow(), self.ready.try_borrow_mut()) else { return };
        for held in all.iter() {
            if let Some(stage) = turn(held) {
                held.stage.set(stage);
                ready.push_back(Rc::clone(held));
            }
        }
    }

    /// The next one whose turn has come.
    pub(super) fn next(&self) -> Option<Rc<Held>> {
        let mut ready = self.ready.try_borrow_mut().ok()?;
        std::iter::from_fn(|| ready.pop_front()).find(|held| held.waits())
    }

    /// Whether there is one.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.try_borrow().is_ok_and(|ready| !ready.is_empty())
    }

    /// Whether somebody waits for that feed.
    pub(super) fn need(&self, feed: usize) -> bool {
        self.any(|stage| stage == Stage::Feed(feed))
    }

    /// Whether somebody waits for any of them.
    pub(super) fn need_any(&self) -> bool {
        self.any(|stage| matches!(stage, Stage::Feed(_)))
    }

    fn any(&self, is: impl Fn(Stage) -> bool) -> bool {
        self.all.try_borrow().is_ok_and(|all| all.iter().any(|held| is(held.stage.get())))
    }
}
