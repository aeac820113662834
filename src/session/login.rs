//! The login page.

use crate::address::form_encode;

/// The login page and what it is told.
#[derive(Clone, Debug)]
pub struct Login {
    /// The address up to its query.
    pub address: String,
    /// The parameters of its own query and ours; the value of ours may hold `{url}`.
    pub params: Vec<(String, LoginParam)>,
    /// What follows `#` in it.
    pub fragment: Option<String>,
}

/// The value of a parameter of the login page.
#[derive(Clone, Debug)]
pub enum LoginParam {
    /// As it stands.
    Fixed(String),
    /// With `{url}` replaced by the return address.
    Template(String),
}

impl Login {
    /// The `Location` that leads there and, from there, back to `url`.
    #[must_use]
    pub fn location(&self, url: &[u8]) -> String {
        let mut location = self.address.clone();
        let mut separator = '?';
        for (name, value) in &self.params {
            location.push(separator);
            location.push_str(&form_encode(name.as_bytes()));
            location.push('=');
            match value {
                LoginParam::Fixed(text) => location.push_str(&form_encode(text.as_bytes())),
                LoginParam::Template(text) => {
                    let parts: Vec<String> =
                        text.split("{url}").map(|part| form_encode(part.as_bytes())).collect();
                    location.push_str(&parts.join(&form_encode(url)));
                }
            }
            separator = '&';
        }
        if let Some(fragment) = &self.fragment {
            location.push('#');
            location.push_str(fragment);
        }
        location
    }
}
