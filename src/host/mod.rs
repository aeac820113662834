//! The adapter to Envoy: reads the head, asks the policy, obeys. It holds no rule.

mod clock;
mod metrics;
mod signatures;

use std::rc::Rc;
use std::time::Duration;

use log::{debug, error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, GrpcStatusCode, LogLevel, MapType};

use crate::http::{GrpcStatus, HeadEdit, RequestHead, Response};
use crate::policy::{Decision, Event, Policy};
use clock::HostClock;
use metrics::Metrics;
use signatures::HostOrCrate;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Debug);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// The age that the time may have where a token is found in the cache.
const TICK: Duration = Duration::from_secs(1);

/// One configuration in one worker.
#[derive(Default)]
struct Root {
    filter: Option<Rc<Filter>>,
}

struct Filter {
    policy: Policy,
    clock: HostClock,
    signatures: HostOrCrate,
    metrics: Metrics,
}

impl Context for Root {}

impl RootContext for Root {
    /// A wrong configuration is refused: Envoy then keeps the one before, or does not start.
    fn on_configure(&mut self, _: usize) -> bool {
        follow_log_level();
        let text = self.get_plugin_configuration().unwrap_or_default();
        let policy = match Policy::from_json(&text, &|name: &str| std::env::var(name).ok()) {
            Ok(policy) => policy,
            Err(fault) => {
                error!("jwtproxy: the configuration is refused: {fault}");
                return false;
            }
        };
        for warning in policy.warnings() {
            warn!("jwtproxy: {warning}");
        }
        let signatures = HostOrCrate::choose();
        let names: Vec<_> =
            policy.verifier().providers().iter().map(|provider| provider.name.as_str()).collect();
        info!("jwtproxy: loaded; providers: {}; signatures are verified by {signatures}", names.join(", "));
        let metrics = Metrics::new();
        metrics.set_gauge("jwtproxy_signatures_by_host", signatures.is_host());
        // A gauge is that of its last writer: two filters of one Envoy must not share this one.
        metrics.set_gauge(&format!("jwtproxy_open_{}", plugin_name()), policy.is_open());
        self.set_tick_period(TICK);
        self.filter = Some(Rc::new(Filter { policy, clock: HostClock::default(), signatures, metrics }));
        true
    }

    /// What need not be done for each request.
    fn on_tick(&mut self) {
        follow_log_level();
        if let Some(filter) = &self.filter {
            filter.clock.tick();
            filter.metrics.flush();
        }
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { filter: self.filter.clone() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// One request.
struct Stream {
    filter: Option<Rc<Filter>>,
}

impl Context for Stream {}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let action = self.filter.as_ref().and_then(|filter| {
            let action = filter.handle();
            if !filter.clock.ticks() {
                filter.metrics.flush();
            }
            action
        });
        action.unwrap_or_else(|| {
            // No configuration, or a host that denies what it must grant: nothing passes.
            let _ = hostcalls::send_http_response(500, Vec::new(), None);
            Action::Pause
        })
    }
}

impl Filter {
    /// `None` if the host fails.
    fn handle(&self) -> Option<Action> {
        let fields = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).ok()?;
        match self.policy.decide(&RequestHead::new(&fields), &self.clock, &self.signatures) {
            Decision::Forward(forward) => {
                for edit in forward.edits() {
                    apply(&edit)?;
                }
                self.metrics.count(if forward.is_verified() { "forwarded" } else { "public" });
                Some(Action::Continue)
            }
            Decision::Answer(answer) => {
                match &answer.event {
                    Event::Preflight => self.metrics.count("preflight"),
                    Event::SignedIn => self.metrics.count("signed_in"),
                    Event::SignedOut => self.metrics.count("signed_out"),
                    Event::Refused(rejection) => {
                        let reason = rejection.reason();
                        debug!("jwtproxy: {reason}: {rejection}");
                        self.metrics.count_refused(reason);
                        hostcalls::set_property(vec!["jwt_reason"], Some(reason.as_bytes())).ok()?;
                    }
                }
                send(&answer.response)?;
                Some(Action::Pause)
            }
        }
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
        };
        let headers = response.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        return hostcalls::send_grpc_response(status, str::from_utf8(&response.body).ok(), headers).ok();
    }
    let headers = response.headers.iter().map(|(name, value)| (*name, &**value)).collect();
    let body = Some(response.body.as_slice()).filter(|body| !body.is_empty());
    hostcalls::send_http_response(response.status.into(), headers, body).ok()
}
