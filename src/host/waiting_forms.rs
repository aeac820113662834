//! Requests that wait for their body.

use std::cell::RefCell;

/// A host that holds back the body of a paused request never delivers it. Unless Envoy's plugin has
/// `allow_on_headers_stop_iteration: true`, it is one.
const TICKS_TO_BEGIN: u8 = 5;
/// A client that is so slow, or ends its body by trailers, in which nobody is interested.
const TICKS_TO_GO_ON: u8 = 30;

/// Requests whose form is not complete.
#[derive(Default)]
pub(super) struct WaitingForms(RefCell<Vec<Waiting>>);

struct Waiting {
    id: u32,
    /// After so many ticks without anything new there is no more hope.
    ticks_left: u8,
}

impl WaitingForms {
    /// The head of a request has come.
    pub(super) fn add(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.push(Waiting { id, ticks_left: TICKS_TO_BEGIN });
        }
    }

    /// A part of its body has come.
    pub(super) fn goes_on(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            for form in forms.iter_mut().filter(|form| form.id == id) {
                form.ticks_left = TICKS_TO_GO_ON;
            }
        }
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.retain(|form| form.id != id);
        }
    }

    /// A tick later: takes out those that have waited for too long.
    pub(super) fn overdue(&self) -> Vec<u32> {
        let Ok(mut forms) = self.0.try_borrow_mut() else { return Vec::new() };
        let overdue = forms.iter().filter(|form| form.ticks_left == 0).map(|form| form.id).collect();
        forms.retain(|form| form.ticks_left > 0);
        for form in forms.iter_mut() {
            form.ticks_left = form.ticks_left.saturating_sub(1);
        }
        overdue
    }
}
