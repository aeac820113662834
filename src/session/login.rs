//! The login page.

use crate::address::form_encode;

/// The login page and what it is told.
#[derive(Clone, Debug)]
pub struct Login {
    /// The address up to its query.
    pub address: String,
    /// The whole of it, with gaps for the return address.
    pieces: Vec<String>,
}

impl Login {
    /// A page and its parameters in their order: name, and value, with a gap for the return address between two pieces.
    #[must_use]
    pub fn new(address: &str, params: &[(String, Vec<String>)], fragment: Option<&str>) -> Self {
        let (mut pieces, mut piece) = (Vec::new(), address.to_owned());
        for (index, (name, value)) in params.iter().enumerate() {
            piece.push(if index == 0 { '?' } else { '&' });
            piece.push_str(&form_encode(name.as_bytes()));
            piece.push('=');
            for (index, text) in value.iter().enumerate() {
                if index > 0 {
                    pieces.push(std::mem::take(&mut piece));
                }
                piece.push_str(&form_encode(text.as_bytes()));
            }
        }
        if let Some(fragment) = fragment {
            piece.push('#');
            piece.push_str(fragment);
        }
        pieces.push(piece);
        Self { address: address.to_owned(), pieces }
    }

    /// The `Location` that leads there and, from there, back to `url`.
    #[must_use]
    pub fn location(&self, url: &[u8]) -> String {
        self.pieces.join(&form_encode(url))
    }
}
