//! The adapter to Envoy: reads the head, asks the policy, obeys. It holds no rule.

mod answer;
mod clock;
mod fetch;
mod fleet;
mod held;
mod metrics;
mod open_streams;
mod shared;
mod signatures;
mod stream;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use log::{error, info, warn};
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{ContextType, GrpcStatusCode, LogLevel, MapType};

use crate::http::{GrpcStatus, HeadEdit, Response};
use crate::jwt::Clock;
use crate::policy::Policy;
use clock::HostClock;
use fleet::Fleet;
use held::HeldRequests;
use metrics::Metrics;
use open_streams::OpenStreams;
use signatures::HostOrCrates;
use stream::Stream;

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
    held: HeldRequests,
    tick: Cell<Duration>,
    /// None where this worker has nothing to tell others or to hear from them.
    fleet: Option<Fleet>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, _: usize, size: usize, _: usize) {
        if let Some(filter) = &self.filter
            && let Some(fleet) = &filter.fleet
            && let Some(feed) = fleet.fetcher.answered(&filter.desk(fleet), token, size)
        {
            filter.held.wake(feed);
            filter.judge_ready();
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
            held: HeldRequests::default(),
            tick: Cell::new(tick),
            fleet,
        };
        if let Some(fleet) = &filter.fleet {
            fleet.neighbours.announce(filter.clock.now());
            // What others fetched before is there at once.
            fleet.fetcher.follow(&filter.desk(fleet), |_| {});
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
            fleet.neighbours.announce(filter.clock.now());
            let desk = filter.desk(fleet);
            fleet.fetcher.follow(&desk, |feed| filter.held.wake(feed));
            // The root asks, before it speaks for any request: an answer for that one would be lost with it.
            fleet.fetcher.attend(&desk, &filter.held);
            filter.follow_sign_outs(fleet);
            filter.end_streams(fleet);
        }
        filter.held.wake_overdue(filter.clock.now());
        filter.judge_ready();
        filter.metrics.flush();
        filter.set_tick();
    }

    /// Another worker has something to tell.
    fn on_queue_ready(&mut self, _: u32) {
        let Some(filter) = &self.filter else { return };
        let Some(fleet) = &filter.fleet else { return };
        fleet.neighbours.hear();
        fleet.fetcher.follow(&filter.desk(fleet), |feed| filter.held.wake(feed));
        filter.follow_sign_outs(fleet);
        filter.end_streams(fleet);
        filter.judge_ready();
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.filter.clone())))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
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
