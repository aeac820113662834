//! The client: hyper, on one thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinSet, yield_now};

use crate::requests::{Batch, Body, Protocol};

/// Requests that are under way at once.
pub(crate) const LANES: usize = 16;
/// Over how many connections those of HTTP/2 go.
pub(crate) const HTTP2_CONNECTIONS: usize = 4;

/// What is wrong with an answer.
pub(crate) type Fault = String;

/// Where requests can be sent one after the other.
enum Lane {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

/// Connections to one listener.
pub(crate) struct Client {
    runtime: Runtime,
    lanes: Vec<Lane>,
}

impl Client {
    /// Opens them.
    pub(crate) fn open(port: u16, protocol: Protocol, lanes: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_io().build().expect("a runtime");
        let lanes = runtime.block_on(async {
            let mut opened = Vec::new();
            while opened.len() < lanes {
                let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("a listener");
                stream.set_nodelay(true).expect("a socket");
                let stream = TokioIo::new(stream);
                match protocol {
                    Protocol::Http1 => {
                        let (sender, connection) = http1::handshake(stream).await.expect("HTTP/1.1");
                        tokio::spawn(connection);
                        opened.push(Lane::Http1(sender));
                    }
                    Protocol::Http2 => {
                        let (sender, connection) =
                            http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
                        tokio::spawn(connection);
                        let streams = lanes / HTTP2_CONNECTIONS;
                        opened.extend((0..streams).map(|_| Lane::Http2(sender.clone())));
                    }
                }
            }
            opened
        });
        Self { runtime, lanes }
    }

    /// Sends all of it as quickly as answers come back, and tells how long that took.
    ///
    /// # Errors
    ///
    /// An answer has another status.
    pub(crate) fn saturate(&mut self, batch: &Batch, expected: StatusCode) -> Result<Duration, Fault> {
        let start = Instant::now();
        self.send(batch, expected, move |_| start)?;
        Ok(start.elapsed())
    }

    /// Sends so many a second and tells how long each took, sorted, in seconds. Each is due at its time, whether or not
    /// those before it were answered, and its time runs from then.
    ///
    /// # Errors
    ///
    /// An answer has another status.
    pub(crate) fn pace(&mut self, batch: &Batch, expected: StatusCode, rate: u32) -> Result<Vec<f64>, Fault> {
        let start = Instant::now() + Duration::from_millis(1);
        let mut latencies =
            self.send(batch, expected, move |place| start + Duration::from_secs(1) * place / rate)?;
        latencies.sort_by(f64::total_cmp);
        Ok(latencies)
    }

    fn send(
        &mut self,
        batch: &Batch,
        expected: StatusCode,
        due: impl Fn(u32) -> Instant + Copy + Send + 'static,
    ) -> Result<Vec<f64>, Fault> {
        let next = Arc::new(AtomicU32::new(0));
        let lanes = std::mem::take(&mut self.lanes);
        let (lanes, latencies) = self.runtime.block_on(async {
            let mut tasks = JoinSet::new();
            for lane in lanes {
                tasks.spawn(lane.drive(batch.clone(), Arc::clone(&next), expected, due));
            }
            let (mut lanes, mut latencies) = (Vec::new(), Vec::new());
            while let Some(done) = tasks.join_next().await {
                let (lane, part) = done.expect("a task that ends")?;
                lanes.push(lane);
                latencies.extend(part);
            }
            Ok::<_, Fault>((lanes, latencies))
        })?;
        self.lanes = lanes;
        Ok(latencies)
    }
}

impl Lane {
    /// Takes the next request until there is none.
    async fn drive(
        mut self,
        batch: Batch,
        next: Arc<AtomicU32>,
        expected: StatusCode,
        due: impl Fn(u32) -> Instant,
    ) -> Result<(Self, Vec<f64>), Fault> {
        let mut latencies = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            if place >= batch.len() {
                return Ok((self, latencies));
            }
            let request = batch.request(place);
            let due = due(place);
            // A timer would be a millisecond late. Waiting so keeps a core busy, which is not Envoy's.
            while Instant::now() < due {
                yield_now().await;
            }
            let status = self.ask(request).await.map_err(|error| format!("no answer: {error}"))?;
            if status != expected {
                return Err(format!("{status} instead of {expected}"));
            }
            latencies.push(due.elapsed().as_secs_f64());
        }
    }

    async fn ask(&mut self, request: Request<Body>) -> hyper::Result<StatusCode> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let status = response.status();
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok(status)
    }
}
