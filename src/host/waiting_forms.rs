//! Requests that wait for their body.

use std::cell::RefCell;

/// A host that holds back the body of a paused request never delivers it. Unless Envoy's plugin has
/// `allow_on_headers_stop_iteration: true`, it is one.
const PATIENCE_TICKS: u8 = 5;

/// Requests of which nothing but the head has come, and for how many ticks.
#[derive(Default)]
pub(super) struct WaitingForms(RefCell<Vec<(u32, u8)>>);

impl WaitingForms {
    pub(super) fn add(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.push((id, 0));
        }
    }

    pub(super) fn remove(&self, id: u32) {
        if let Ok(mut forms) = self.0.try_borrow_mut() {
            forms.retain(|(own, _)| *own != id);
        }
    }

    /// A tick later: takes out those that have waited for too long.
    pub(super) fn overdue(&self) -> Vec<u32> {
        let Ok(mut forms) = self.0.try_borrow_mut() else { return Vec::new() };
        for (_, ticks) in forms.iter_mut() {
            *ticks = ticks.saturating_add(1);
        }
        let overdue = forms.iter().filter(|(_, ticks)| *ticks > PATIENCE_TICKS).map(|(id, _)| *id).collect();
        forms.retain(|(_, ticks)| *ticks <= PATIENCE_TICKS);
        overdue
    }
}
