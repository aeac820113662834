//! An issuer that serves its keys, well or badly, and counts how often it is asked.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::wire::Head;

/// How a path is answered.
#[derive(Clone, Debug)]
pub enum Serve {
    /// With status 200, these headers and this body.
    Body(String, Vec<(&'static str, &'static str)>),
    /// The same, with a body that is no text.
    Bytes(Vec<u8>, Vec<(&'static str, &'static str)>),
    /// With that status and no body.
    Status(u16),
    /// With a redirect to that path.
    Redirect(&'static str),
    /// As another, to who brings these credentials; to others with 401.
    WithAuthorization(String, Box<Serve>),
    /// The same as another, so much later.
    Late(Duration, Box<Serve>),
    /// A byte every so often, for ever.
    Drip(Duration),
    /// Not at all: the connection stays open, and silent.
    Silence,
    /// The connection is closed at once.
    Close,
}

impl Serve {
    /// A JSON document.
    pub fn json(document: &Value) -> Self {
        Self::Body(document.to_string(), vec![("content-type", "application/json")])
    }
}

/// An issuer on 127.0.0.1. It ends with this value.
#[derive(Debug)]
pub struct Issuer {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    paths: BTreeMap<String, Serve>,
    requests: Vec<String>,
    stopped: bool,
}

impl Issuer {
    /// One that knows no path yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let shared = Arc::new(Mutex::new(Shared::default()));
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if lock(&of_thread).stopped {
                    break;
                }
                let shared = Arc::clone(&of_thread);
                // An error here is a client that went away.
                thread::spawn(move || converse(stream, &shared));
            }
        });
        Self { port, shared }
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on a path is answered so.
    pub fn serve(&self, path: &str, how: Serve) {
        lock(&self.shared).paths.insert(path.to_owned(), how);
    }

    /// From now on a path serves these keys.
    pub fn serve_keys(&self, path: &str, keys: &[Value]) {
        self.serve(path, Serve::json(&json!({"keys": keys})));
    }

    /// How often a path was asked for.
    pub fn requests(&self, path: &str) -> usize {
        lock(&self.shared).requests.iter().filter(|own| *own == path).count()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        lock(&self.shared).stopped = true;
        // Wakes the thread that waits for a connection.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("nobody panics with the lock")
}

fn converse(stream: TcpStream, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let mut to = stream.try_clone()?;
    let mut from = BufReader::new(stream);
    while let Some(head) = Head::read(&mut from)? {
        head.body(&mut from)?;
        let path = head.start.split(' ').nth(1).unwrap_or_default().to_owned();
        let how = {
            let mut shared = lock(shared);
            shared.requests.push(path.clone());
            match shared.paths.get(&path).cloned().unwrap_or(Serve::Status(404)) {
                Serve::WithAuthorization(wanted, how) if head.has("authorization", &wanted) => *how,
                Serve::WithAuthorization(..) => Serve::Status(401),
                how => how,
            }
        };
        if !answer(&mut to, how)? {
            break;
        }
    }
    Ok(())
}

/// Whether the connection goes on.
fn answer(to: &mut TcpStream, how: Serve) -> std::io::Result<bool> {
    match how {
        Serve::Body(body, headers) => return answer(to, Serve::Bytes(body.into_bytes(), headers)),
        Serve::Bytes(body, headers) => {
            write!(to, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n", body.len())?;
            for (name, value) in headers {
                write!(to, "{name}: {value}\r\n")?;
            }
            to.write_all(b"\r\n")?;
            to.write_all(&body)?;
        }
        Serve::Status(status) => {
            to.write_all(format!("HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n").as_bytes())?;
        }
        Serve::Redirect(path) => {
            let head = format!("HTTP/1.1 302 Found\r\nlocation: {path}\r\ncontent-length: 0\r\n\r\n");
            to.write_all(head.as_bytes())?;
        }
        Serve::Late(pause, how) => {
            thread::sleep(pause);
            return answer(to, *how);
        }
        Serve::Drip(pause) => {
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")?;
            loop {
                to.write_all(b" ")?;
                to.flush()?;
                thread::sleep(pause);
            }
        }
        Serve::WithAuthorization(_, how) => return answer(to, *how),
        Serve::Silence => {
            thread::sleep(Duration::from_mins(1));
            return Ok(false);
        }
        Serve::Close => return Ok(false),
    }
    Ok(true)
}
