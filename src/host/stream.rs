//! One request, from callback to callback. Nothing but a judgement of the policy lets it go on.

use std::rc::Rc;

use log::{Level, log, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::{Action, BufferType, MapType};

use super::held::{self, Form, Held, Stage};
use super::shared::Shared;
use super::{Filter, apply, send};
use crate::http::RequestHead;
use crate::jwt::{Budget, Clock};
use crate::policy::{Answer, Decision, Event, Policy};
use crate::reply::Rejection;
use crate::token_cache::KnownToken;

/// A form whose first piece does not come in so many seconds never comes: a host that has no
/// `allow_on_headers_stop_iteration: true` holds back the body of a paused request.
const TO_BEGIN: f64 = 5.0;
/// From its first piece on a form has so many seconds to be complete.
const TO_GO_ON: f64 = 30.0;
/// What is read of a form: enough to tell that it is too long.
const READ: usize = Policy::MAX_FORM_BYTES.saturating_add(1);
/// For so many seconds those who waited are judged in a row: the worker has others to serve.
const SLICE: f64 = 0.002;

/// One request.
pub(super) struct Stream {
    id: u32,
    /// None: there is no configuration.
    filter: Option<Rc<Filter>>,
    stage: Stage,
    /// Where it waits, or waited: that tells more than the stage here.
    held: Option<Rc<Held>>,
}

impl Stream {
    pub(super) const fn new(id: u32, filter: Option<Rc<Filter>>) -> Self {
        Self { id, filter, stage: Stage::Unseen, held: None }
    }

    fn stage(&self) -> Stage {
        self.held.as_ref().map_or(self.stage, |held| held.stage.get())
    }

    /// Nothing passes: no configuration, a host that denies what it must grant, or that never showed the head.
    fn fail(&mut self) -> Action {
        self.stage = Stage::Answered;
        fail();
        Action::Pause
    }
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let Some(filter) = self.filter.clone() else { return self.fail() };
        let mut turn = Turn {
            form: None,
            has_body: !end_of_stream,
            budget: Budget::FULL,
            may_wait: true,
            is_held: false,
        };
        let mut done = filter.handle(&turn);
        if end_of_stream && matches!(done, Some(Done::ReadForm)) {
            turn.form = Some(&[]);
            done = filter.handle(&turn);
        }
        if !filter.clock.ticks() {
            filter.metrics.flush();
        }
        let (waits, left) = match done {
            Some(Done::ReadForm) => (filter.wait(self.id, Stage::Form, Budget::FULL), None),
            Some(Done::Await(feed, budget)) => {
                (filter.wait(self.id, Stage::Feed(feed), budget), Some(budget))
            }
            Some(Done::Answered | Done::Forwarded | Done::Opened(_)) | None => {
                self.stage = filter.settle(self.id, done);
                return action(self.stage);
            }
        };
        match waits {
            Some(held) if held::hold().is_some() => {
                held.form.set(if turn.form.is_some() { Form::Empty } else { Form::Absent });
                self.held = Some(held);
            }
            Some(held) => {
                filter.held.end(&held, Stage::Answered);
                return self.fail();
            }
            None => self.stage = filter.decide_at_once(self.id, turn, left),
        }
        action(self.stage())
    }

    /// Of a body, only a form that may hold a token is of interest.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.goes_on(|filter, held| filter.body_of_held(held, size, end_of_stream))
    }

    /// Behind trailers nothing comes.
    fn on_http_request_trailers(&mut self, _: usize) -> Action {
        if self.filter.as_ref().is_none_or(|filter| filter.strip_trailers().is_none()) {
            return self.fail();
        }
        self.goes_on(|filter, held| {
            if held.stage.get() == Stage::Form {
                filter.form_is_whole(held);
            }
        })
    }
}

impl Stream {
    /// More of the request has come; `of_held` sees it while the request waits.
    fn goes_on(&mut self, of_held: impl Fn(&Filter, &Held)) -> Action {
        match (self.stage(), &self.held, &self.filter) {
            (Stage::Unseen, _, _) => self.fail(),
            (_, Some(held), Some(filter)) if held.waits() => {
                of_held(filter, held);
                action(held.stage.get())
            }
            (stage, _, _) => action(stage),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(filter) = &self.filter else { return };
        if self.stage() == Stage::Opened {
            filter.streams.remove(self.id);
        }
        if let Some(held) = &self.held {
            filter.held.end(held, Stage::Answered);
        }
    }
}

/// What the host is told.
const fn action(stage: Stage) -> Action {
    match stage {
        Stage::Forwarded | Stage::Opened => Action::Continue,
        Stage::Unseen
        | Stage::Form
        | Stage::Feed(_)
        | Stage::Ready { .. }
        | Stage::Late
        | Stage::Answered => Action::Pause,
    }
}

fn fail() {
    let _ = hostcalls::send_http_response(500, Vec::new(), None);
}

/// With what a request is judged.
#[derive(Clone, Copy)]
struct Turn<'t> {
    form: Option<&'t [u8]>,
    /// Whether something may follow the head.
    has_body: bool,
    budget: Budget,
    may_wait: bool,
    /// Whether it is held.
    is_held: bool,
}

/// What was done with a request.
enum Done {
    Answered,
    Forwarded,
    /// Forwarded; it opens a stream that ends with the session of this token.
    Opened(Rc<KnownToken>),
    ReadForm,
    /// Nothing; it waits for that feed, with what is left of its budget.
    Await(usize, Budget),
}

impl Filter {
    /// `None` if the host fails.
    fn handle(&self, turn: &Turn<'_>) -> Option<Done> {
        let mut fields = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok()?;
        if turn.is_held {
            held::release(&mut fields)?;
        }
        let head = RequestHead::new(&fields).with_body(turn.has_body).with_budget(turn.budget);
        let head = turn.form.map_or(head, |form| head.with_form(form));
        let head = if turn.may_wait { head } else { head.without_waiting() };
        let decision = self.policy.decide(&head, &self.clock, &self.signatures);
        if let Some(warning) = self.policy.warning_of_tokens() {
            self.warn_once(&warning);
        }
        match decision {
            Decision::Forward(forward) => {
                for edit in forward.edits() {
                    apply(&edit)?;
                }
                if let Some(left) = forward.expires_in() {
                    let left = left.to_string();
                    hostcalls::set_property(vec!["jwt_expires_in"], Some(left.as_bytes())).ok()?;
                }
                self.metrics.count(if forward.is_verified() { "forwarded" } else { "public" });
                Some(forward.stream().map_or(Done::Forwarded, Done::Opened))
            }
            Decision::Answer(answer) => {
                self.answer(&head, &answer)?;
                Some(Done::Answered)
            }
            Decision::Await { feed, budget } => Some(Done::Await(feed, budget)),
            Decision::ReadForm => Some(Done::ReadForm),
        }
    }

    /// What a request is that was judged for good. One that was not, or in vain, is answered.
    fn settle(&self, id: u32, done: Option<Done>) -> Stage {
        match done {
            Some(Done::Answered) => Stage::Answered,
            Some(Done::Forwarded) => Stage::Forwarded,
            Some(Done::Opened(token)) => {
                self.streams.add(id, token);
                Stage::Opened
            }
            Some(Done::ReadForm | Done::Await(..)) | None => {
                fail();
                Stage::Answered
            }
        }
    }

    /// Decides on a request that would wait where too many do: for a form, or with what is left of its budget.
    fn decide_at_once(&self, id: u32, turn: Turn<'_>, left: Option<Budget>) -> Stage {
        let Some(budget) = left else {
            self.refuse_form(Rejection::Overloaded, false);
            return Stage::Answered;
        };
        let done = self.handle(&Turn { budget, may_wait: false, ..turn });
        self.settle(id, done)
    }

    /// Lets a request wait. None: too many do already.
    fn wait(&self, id: u32, stage: Stage, budget: Budget) -> Option<Rc<Held>> {
        let held = self.held.add(id, stage)?;
        if self.held.is_ready() {
            self.hurry();
        }
        held.until.set(self.clock.now().plus(TO_BEGIN));
        if let Stage::Feed(feed) = stage {
            self.wait_for(&held, feed, budget);
        }
        Some(held)
    }

    /// Lets a request wait for a feed, and hurries.
    fn wait_for(&self, held: &Held, feed: usize, budget: Budget) {
        /// For what is asked for a little later, and for a worker that is gone with the answer.
        const SLACK: f64 = 1.0;
        if held.budget.replace(Some(budget)).is_none() {
            let patience = self.policy.feeds().get(feed).map_or(0.0, |feed| feed.patience() + SLACK);
            held.until.set(self.clock.now().plus(patience));
            self.metrics.count("waited");
        }
        held.stage.set(Stage::Feed(feed));
        self.hurry();
    }

    /// A piece of the body of a request that waits has come.
    fn body_of_held(&self, held: &Held, size: usize, end_of_stream: bool) {
        let fits = self.held.grows(held, size);
        match (held.stage.get() == Stage::Form, fits) {
            (true, _) if end_of_stream || size >= READ => self.form_is_whole(held),
            (true, true) if held.has_begun.replace(true) => {}
            (true, true) => held.until.set(self.clock.now().plus(TO_GO_ON)),
            (true, false) => {
                self.refuse_form(Rejection::Overloaded, true);
                self.held.end(held, Stage::Answered);
            }
            (false, true) => {}
            (false, false) => self.judge(held, false),
        }
    }

    /// Judges a form, or so much of it as tells that it is too long.
    fn form_is_whole(&self, held: &Held) {
        held.form.set(Form::Buffered);
        self.judge(held, true);
    }

    /// Judges a request that waited, for which the host speaks. It may wait on.
    fn judge(&self, held: &Held, may_wait: bool) {
        let form = match held.form.get() {
            Form::Absent => None,
            Form::Empty => Some(Vec::new()),
            Form::Buffered => {
                let form = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, READ);
                Some(form.ok().flatten().unwrap_or_default())
            }
        };
        let turn = Turn {
            form: form.as_deref(),
            // Nothing that waits is a preflight.
            has_body: true,
            budget: held.budget.get().unwrap_or(Budget::FULL),
            may_wait,
            is_held: true,
        };
        match self.handle(&turn) {
            Some(Done::Await(feed, budget)) if may_wait && held::hold().is_some() => {
                self.wait_for(held, feed, budget);
            }
            done => {
                let stage = self.settle(held.id, done);
                self.held.end(held, stage);
            }
        }
    }

    /// Judges those whose turn has come, a few at a time; what is left comes with the next tick. Of the root, which speaks for
    /// each of them.
    pub(super) fn judge_ready(&self) {
        let end = self.clock.now().plus(SLICE);
        while let Some(held) = self.held.next() {
            if hostcalls::set_effective_context(held.id).is_err() {
                self.held.end(&held, Stage::Answered);
                continue;
            }
            if held.stage.get() == Stage::Late {
                self.refuse_form(Rejection::FormUnreadable, true);
                self.held.end(&held, Stage::Answered);
            } else {
                self.judge(&held, held.stage.get() == Stage::Ready { may_wait: true });
            }
            // The last call of all: a stream that goes on may be gone.
            if action(held.stage.get()) == Action::Continue {
                let _ = hostcalls::resume_http_request();
            }
            if self.clock.now() >= end {
                break;
            }
        }
        if self.held.is_ready() {
            self.hurry();
        }
    }

    /// Answers a request whose form is not read.
    fn refuse_form(&self, why: Rejection, is_held: bool) {
        let refused = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok().and_then(|mut fields| {
            if is_held {
                held::release(&mut fields)?;
            }
            let head = RequestHead::new(&fields);
            let answer = self.policy.refuse_form(why, &head);
            if let Event::Refused(rejection) = &answer.event {
                warn!("jwtproxy: {}: {rejection}", rejection.reason());
            }
            self.answer(&head, &answer)
        });
        if refused.is_none() {
            fail();
        }
    }

    /// Warns of what every worker will see, in one of them.
    fn warn_once(&self, warning: &str) {
        const WARNED: &str = "warned";
        let shared = Shared::of(self.policy.fingerprint());
        if shared.read(WARNED).0.is_none() {
            shared.write(WARNED, b"1");
            warn!("jwtproxy: {warning}");
        }
    }

    /// Takes out of the trailers what the upstream could take for headers of ours. `None` if the host fails.
    fn strip_trailers(&self) -> Option<()> {
        const MAP: MapType = MapType::HttpRequestTrailers;
        let trailers = hostcalls::get_map_bytes(MAP).ok()?;
        for (name, _) in &trailers {
            if self.policy.forbids_trailer(name) {
                hostcalls::remove_map_value(MAP, name).ok()?;
            }
        }
        Some(())
    }

    fn answer(&self, head: &RequestHead<'_>, answer: &Answer) -> Option<()> {
        for edit in self.policy.edits_before_answer(head) {
            apply(&edit)?;
        }
        match &answer.event {
            Event::Preflight => self.metrics.count("preflight"),
            Event::SignedIn => self.metrics.count("signed_in"),
            Event::SignedOut(sessions) => {
                self.metrics.count("signed_out");
                if let Some(fleet) = &self.fleet {
                    self.end_sessions(fleet, sessions);
                }
            }
            Event::Told => self.metrics.count("told"),
            Event::Refused(rejection) => {
                let reason = rejection.reason();
                let level = if rejection.is_news() { Level::Warn } else { Level::Debug };
                log!(level, "jwtproxy: {reason}: {rejection}");
                self.metrics.count_refused(reason);
                hostcalls::set_property(vec!["jwt_reason"], Some(reason.as_bytes())).ok()?;
            }
        }
        send(&answer.response)
    }
}
