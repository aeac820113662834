//! A module on an HTTP server, where agents download it.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rig::repository;
use sha2::{Digest, Sha256};

/// It, and how often it was downloaded.
#[derive(Debug)]
pub(crate) struct Module {
    port: u16,
    name: String,
    sha256: String,
    downloads: Arc<AtomicUsize>,
}

impl Module {
    /// Serves `dist/jwtproxy.wasm`, the module that was built.
    pub(crate) fn serve() -> Self {
        let built = repository("dist/jwtproxy.wasm");
        assert!(built.is_file(), "dist/jwtproxy.wasm: ./justw build makes it");
        Self::serve_file(&built)
    }

    /// Serves that file for as long as this process lives.
    pub(crate) fn serve_file(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let sha256 =
            Sha256::digest(&bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("a bound port").port();
        let downloads = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&downloads);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                // An error here is a client that went away.
                let _ = answer(stream, &bytes);
            }
        });
        let name = path.file_name().expect("a file").to_string_lossy().into_owned();
        Self { port, name, sha256, downloads }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/{}", self.port, self.name)
    }

    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn downloads(&self) -> usize {
        self.downloads.load(Ordering::Relaxed)
    }
}

fn answer(stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line)? > 2 {
        line.clear();
    }
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/wasm\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        bytes.len()
    );
    stream.get_mut().write_all(head.as_bytes())?;
    stream.get_mut().write_all(bytes)
}
