//! Requests that wait for their body.

use std::cell::RefCell;

use crate::jwt::NumericDate;

/// A host that holds back the body of a paused request never delivers it. Unless Envoy's plugin has
/// `allow_on_headers_stop_iteration: true`, it is one. In seconds.
const TO_BEGIN: f64 = 5.0;
/// A client that is so slow, or ends its body by trailers, in which nobody is interested. In seconds.
const TO_GO_ON: f64 = 30.0;

/// Requests whose form is not complete.
#[derive(Default)]
pub(super) struct WaitingForms(RefCell<Vec<Waiting>>);

struct Waiting {
    id: u32,
    /// Without anything new until then there is no more hope.
    until: NumericDate,
}

impl WaitingForms {
    /// The head of a request has come.
    pub(super) fn add(&self, id: u32, now: NumericDate) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.push(Waiting { id, until: now.plus(TO_BEGIN) });
        }
    }

    /// A part of its body has come.
    pub(super) fn goes_on(&self, id: u32, now: NumericDate) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            for form in forms.iter_mut().filter(|form| form.id == id) {
                form.until = now.plus(TO_GO_ON);
            }
        }
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.retain(|form| form.id != id);
        }
    }

    /// Takes out those that have waited for too long.
    pub(super) fn overdue(&self, now: NumericDate) -> Vec<u32> {
        let Ok(mut forms) = self.0.try_borrow_mut() else { return Vec::new() };
        forms.extract_if(.., |form| form.until <= now).map(|form| form.id).collect()
    }
}
