//! The adapter to Envoy: reads the head, asks the policy, obeys. It holds no rule.

mod clock;
mod fetch;
mod fleet;
mod metrics;
mod open_streams;
mod shared;
mod signatures;
mod waiting;
mod waiting_forms;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use log::{debug, error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, BufferType, ContextType, GrpcStatusCode, LogLevel, MapType};

use crate::http::{GrpcStatus, HeadEdit, RequestHead, Response};
use crate::jwt::Clock;
use crate::policy::{Answer, Decision, Event, Policy};
use crate::token_cache::KnownToken;
use clock::HostClock;
use fleet::Fleet;
use metrics::Metrics;
use open_streams::OpenStreams;
use signatures::HostOrCrates;
use waiting_forms::WaitingForms;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Debug);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The age that the time may have where a token is found in the cache.
const TICK: Duration = Duration::from_secs(1);
/// Between ticks while something was never fetched.
const SHORT_TICK: Duration = Duration::from_millis(100);
/// To the next tick where a request waits for it.
const AT_ONCE: Duration = Duration::from_millis(1);

/// One configuration in one worker.
#[derive(Default)]
struct Root {
    filter: Option<Rc<Filter>>,
}

struct Filter {
    policy: Policy,
    clock: HostClock,
    signatures: HostOrCrates,
    metrics: Metrics,
    streams: OpenStreams,
    forms: WaitingForms,
    tick: Cell<Duration>,
    /// None where this worker has nothing to tell others or to hear from them.
    fleet: Option<Fleet>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        if let Some(filter) = &self.filter
            && let Some(fleet) = &filter.fleet
            && fleet.fetcher.answered(&filter.desk(fleet), token, size)
        {
            filter.judge_again(fleet);
        }
    }
}

impl RootContext for Root {
    /// A wrong configuration is refused: Envoy then keeps the one before, or does not start.
    fn on_configure(&mut self, _: usize) -> bool {
        follow_log_level();
        let text = self.get_plugin_configuration().unwrap_or_default();
        let policy = match Policy::from_json(&text, &|name: &str| std::env::var(name).ok()) {
            Ok(policy) => policy,
            Err(fault) => {
                error!("jwtproxy: the configuration is refused: {fault}");
                metrics::count_refused_configuration();
                return false;
            }
        };
        for warning in policy.warnings() {
            warn!("jwtproxy: {warning}");
        }
        let signatures = HostOrCrates::choose(policy.verifier().algorithms());
        let names: Vec<_> =
            policy.verifier().providers().iter().map(|provider| provider.name.as_str()).collect();
        info!("jwtproxy: loaded; providers: {}; signatures are verified by {signatures}", names.join(", "));
        let metrics = Metrics::new();
        metrics.set_gauge("jwtproxy_signatures_by_host", signatures.is_host());
        // A gauge is that of its last writer: two filters of one Envoy must not share this one.
        metrics.set_gauge(&format!("jwtproxy_open_{}", plugin_name()), policy.is_open());
        let fleet = Fleet::of(&policy);
        // Nothing can be fetched before the first tick.
        let tick = if policy.feeds().iter().next().is_some() { AT_ONCE } else { TICK };
        self.set_tick_period(tick);
        let filter = Filter {
            policy,
            clock: HostClock::default(),
            signatures,
            metrics,
            streams: OpenStreams::default(),
            forms: WaitingForms::default(),
            tick: Cell::new(tick),
            fleet,
        };
        if let Some(fleet) = &filter.fleet {
            fleet.neighbours.announce(&fleet.shared, filter.clock.now());
            // What others fetched before is there at once.
            fleet.fetcher.follow(&filter.desk(fleet));
            filter.follow_sign_outs(fleet);
        }
        self.filter = Some(Rc::new(filter));
        true
    }

    /// What need not be done for each request.
    fn on_tick(&mut self) {
        follow_log_level();
        let Some(filter) = &self.filter else { return };
        filter.clock.tick();
        if let Some(fleet) = &filter.fleet {
            fleet.neighbours.announce(&fleet.shared, filter.clock.now());
            let desk = filter.desk(fleet);
            let is_new = fleet.fetcher.follow(&desk);
            // The root asks, before it speaks for any request: an answer for that one would be lost with it.
            let has_failed = fleet.fetcher.attend(&desk, |feed| fleet.waiting.need(feed));
            filter.follow_sign_outs(fleet);
            filter.end_streams(fleet);
            if is_new || has_failed {
                filter.judge_again(fleet);
            }
            filter.judge_overdue(fleet);
        }
        for form in filter.forms.overdue(filter.clock.now()) {
            filter.refuse_overdue_form(form);
        }
        filter.metrics.flush();
        filter.set_tick();
    }

    /// Another worker has something to tell.
    fn on_queue_ready(&mut self, _: u32) {
        let Some(filter) = &self.filter else { return };
        let Some(fleet) = &filter.fleet else { return };
        fleet.neighbours.hear();
        if fleet.fetcher.follow(&filter.desk(fleet)) {
            filter.judge_again(fleet);
        }
        filter.follow_sign_outs(fleet);
        filter.end_streams(fleet);
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { id, filter: self.filter.clone(), listed: Listed::Nowhere }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    id: u32,
    filter: Option<Rc<Filter>>,
    listed: Listed,
}

/// Which list a request stands in, or stood, that it must be taken off in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    Nowhere,
    Form,
    Stream,
    /// It waits, or waited; then it may have opened a stream.
    Waiting,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, end_of_stream: bool) -> Action {
        let form = end_of_stream.then_some([].as_slice());
        let action = self.filter.clone().and_then(|filter| {
            let mut done = filter.handle(None, true)?;
            let form = form.filter(|_| matches!(done, Done::ReadForm));
            if form.is_some() {
                done = filter.handle(form, true)?;
            }
            if !filter.clock.ticks() {
                filter.metrics.flush();
            }
            self.obey(&filter, done, form)
        });
        action.unwrap_or_else(fail)
    }

    /// Entered for every body; only a form that may hold a token is of interest.
    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        let Some(filter) = self.filter.clone() else { return Action::Continue };
        match self.listed {
            Listed::Form => {}
            Listed::Waiting if filter.waits(self.id) => return Action::Pause,
            Listed::Nowhere | Listed::Stream | Listed::Waiting => return Action::Continue,
        }
        let too_much = Policy::MAX_FORM_BYTES.saturating_add(1);
        if !end_of_stream && size < too_much {
            filter.forms.goes_on(self.id, filter.clock.now());
            return Action::Pause;
        }
        filter.forms.remove(self.id);
        self.listed = Listed::Nowhere;
        let form = hostcalls::get_buffer(BufferType::HttpRequestBody, 0, too_much).ok();
        let action = form.and_then(|form| {
            let form = form.unwrap_or_default();
            let done = filter.handle(Some(&form), true)?;
            self.obey(&filter, done, Some(&form))
        });
        match action {
            Some(Action::Pause) => Action::Pause,
            // The sign-in endpoint forwards nothing.
            Some(_) | None => fail(),
        }
    }
}

impl Stream {
    /// `None` if the host fails.
    fn obey(&mut self, filter: &Filter, done: Done, form: Option<&[u8]>) -> Option<Action> {
        Some(match done {
            Done::Answered => Action::Pause,
            Done::Forwarded => Action::Continue,
            Done::Opened(token) => {
                filter.streams.add(self.id, token);
                self.listed = Listed::Stream;
                Action::Continue
            }
            Done::ReadForm => {
                filter.forms.add(self.id, filter.clock.now());
                self.listed = Listed::Form;
                Action::Pause
            }
            Done::Await(feed) => {
                if filter.wait(self.id, feed, form) {
                    self.listed = Listed::Waiting;
                    Action::Pause
                } else {
                    let done = filter.handle(form, false)?;
                    return self.obey(filter, done, form);
                }
            }
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(filter) = &self.filter else { return };
        match self.listed {
            Listed::Nowhere => {}
            Listed::Form => filter.forms.remove(self.id),
            Listed::Stream => filter.streams.remove(self.id),
            Listed::Waiting => {
                filter.streams.remove(self.id);
                if let Some(fleet) = &filter.fleet {
                    fleet.waiting.remove(self.id);
                }
            }
        }
    }
}

/// No configuration, or a host that denies what it must grant: nothing passes.
fn fail() -> Action {
    let _ = hostcalls::send_http_response(500, Vec::new(), None);
    Action::Pause
}

/// What was done with a request.
enum Done {
    Answered,
    Forwarded,
    /// Forwarded; it opens a stream that ends with the session of this token.
    Opened(Rc<KnownToken>),
    ReadForm,
    /// Nothing; it waits for that feed.
    Await(usize),
}

impl Filter {
    /// `None` if the host fails.
    fn handle(&self, form: Option<&[u8]>, may_wait: bool) -> Option<Done> {
        let fields = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok()?;
        let head = RequestHead::new(&fields);
        let head = form.map_or(head, |form| head.with_form(form));
        let head = if may_wait { head } else { head.without_waiting() };
        match self.policy.decide(&head, &self.clock, &self.signatures) {
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
                self.answer(&answer)?;
                Some(Done::Answered)
            }
            Decision::Await { feed } => Some(Done::Await(feed)),
            Decision::ReadForm => Some(Done::ReadForm),
        }
    }

    fn answer(&self, answer: &Answer) -> Option<()> {
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
                debug!("jwtproxy: {reason}: {rejection}");
                self.metrics.count_refused(reason);
                hostcalls::set_property(vec!["jwt_reason"], Some(reason.as_bytes())).ok()?;
            }
        }
        send(&answer.response)
    }

    /// Answers a request whose form did not come; of the root, which speaks for it.
    fn refuse_overdue_form(&self, id: u32) {
        if hostcalls::set_effective_context(id).is_err() {
            return;
        }
        let Ok(fields) = hostcalls::get_map_bytes(MapType::HttpRequestHeaders) else { return };
        let answer = self.policy.refuse_form(&RequestHead::new(&fields));
        if let Event::Refused(rejection) = &answer.event {
            warn!("jwtproxy: {}: {rejection}", rejection.reason());
        }
        let _ = self.answer(&answer);
    }
}

/// The name of the plugin in Envoy's configuration, as far as the name of a metric can hold it.
fn plugin_name() -> String {
    let name = hostcalls::get_property(vec!["plugin_name"]).ok().flatten().unwrap_or_default();
    let fits = |byte: u8| if byte.is_ascii_alphanumeric() { char::from(byte) } else { '_' };
    name.into_iter().map(fits).collect()
}

/// Envoy throws away what is below its level; not to write it is cheaper still.
fn follow_log_level() {
    if let Ok(level) = hostcalls::get_log_level() {
        proxy_wasm::set_log_level(level);
    }
}

fn apply(edit: &HeadEdit<'_>) -> Option<()> {
    let map = MapType::HttpRequestHeaders;
    match edit {
        HeadEdit::Add(name, value) => hostcalls::add_map_value_bytes(map, name, value),
        HeadEdit::Remove(name) => hostcalls::remove_map_value(map, name),
        HeadEdit::Set(name, value) => hostcalls::set_map_value_bytes(map, name, Some(value)),
    }
    .ok()
}

fn send(response: &Response) -> Option<()> {
    if let Some(status) = response.grpc {
        let status = match status {
            GrpcStatus::InvalidArgument => GrpcStatusCode::InvalidArgument,
            GrpcStatus::PermissionDenied => GrpcStatusCode::PermissionDenied,
            GrpcStatus::Unauthenticated => GrpcStatusCode::Unauthenticated,
            GrpcStatus::Unavailable => GrpcStatusCode::Unavailable,
        };
        let headers = response.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        return hostcalls::send_grpc_response(status, str::from_utf8(&response.body).ok(), headers).ok();
    }
    let headers = response.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let body = Some(response.body.as_slice()).filter(|body| !body.is_empty());
    hostcalls::send_http_response(response.status.into(), headers, body).ok()
}
