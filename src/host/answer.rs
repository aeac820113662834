//! The answer of a source of what is fetched.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use crate::feed::{Feed, shown};
use crate::take::FeedFault;

/// What is looked at of an answer with status 200.
pub(super) struct Answer {
    pub cache_control: Vec<u8>,
    pub age: Vec<u8>,
    content_type: Vec<u8>,
    content_encoding: Vec<u8>,
    pub body: Vec<u8>,
}

impl Answer {
    /// That which the host holds, if it is one: it reports failures as answers as well.
    pub(super) fn read(feed: &Feed, size: usize) -> Result<Self, String> {
        let fields = hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default();
        let field = |name: &str| {
            fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let status = field(":status");
        if status.is_empty() {
            return Err("the answer broke off".to_owned());
        }
        if status != b"200" {
            return Err(format!("status {}", String::from_utf8_lossy(&status)));
        }
        if size > feed.most_bytes() {
            return Err(format!("{size} bytes, more than {}", feed.most_bytes()));
        }
        let body = hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size);
        Ok(Self {
            cache_control: field("cache-control"),
            age: field("age"),
            content_type: field("content-type"),
            content_encoding: field("content-encoding"),
            body: body.ok().flatten().unwrap_or_default(),
        })
    }

    /// What is wrong with it, and what it calls itself.
    pub(super) fn fault(&self, fault: &FeedFault) -> String {
        if !fault.is_of_the_form() {
            return fault.to_string();
        }
        let named = |bytes: &[u8]| if bytes.is_empty() { "none".to_owned() } else { shown(bytes) };
        let (kind, encoding) = (named(&self.content_type), named(&self.content_encoding));
        format!("{fault}; content-type: {kind}, content-encoding: {encoding}")
    }
}
