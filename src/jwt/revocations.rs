//! Tokens that are refused though nothing is wrong with them.

use std::cell::RefCell;
use std::fmt;

use serde_json::{Map, Value};

use super::{ClaimName, NumericDate, VerifiedJwt, VerifyError};

/// What makes a token a revoked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation {
    /// It was issued before the subject's other tokens were revoked, or does not say when.
    IssuedBefore,
    /// Its `jti`.
    Jti,
    /// The `kid` of the key that signed it.
    Kid,
    /// Its session was ended.
    SignOut,
    /// Its subject.
    Subject,
}

impl fmt::Display for Revocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::IssuedBefore => "all of its subject that were issued before a certain time are",
            Self::Jti => "by its jti",
            Self::Kid => "all of its key are",
            Self::SignOut => "its session was ended",
            Self::Subject => "all of its subject are",
        })
    }
}

/// Revoked tokens: by `jti`, by subject, by the `kid` of their key, or by the time before which those of a subject were issued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DenyList {
    jti: Names,
    kids: Names,
    subjects: Names,
    /// Subjects and times.
    issued_before: Names,
}

/// Names to look for; the map of JSON, as another kind would weigh as much again.
type Names = Map<String, Value>;

impl DenyList {
    /// The members that it has in JSON.
    pub const MEMBERS: [&str; 4] = ["jti", "subjects", "kids", "issued_before"];

    /// Reads `{"jti": […], "subjects": […], "kids": […], "issued_before": {SUBJECT: SECONDS}}`; each may be left out.
    ///
    /// # Errors
    /// Another member, or one of another type: who writes `subject` for `subjects` must not believe that it works.
    pub fn from_json(members: &Map<String, Value>) -> Result<Self, DenyFault> {
        let mut list = Self::default();
        for (name, value) in members {
            match name.as_str() {
                "jti" => list.jti = names("jti", value)?,
                "kids" => list.kids = names("kids", value)?,
                "subjects" => list.subjects = names("subjects", value)?,
                "issued_before" => {
                    let times = value.as_object().filter(|times| {
                        times.iter().all(|(subject, time)| !subject.is_empty() && time.is_number())
                    });
                    list.issued_before.clone_from(times.ok_or(DenyFault::Member("issued_before"))?);
                }
                _ => return Err(DenyFault::Unknown(name.clone())),
            }
        }
        Ok(list)
    }

    /// Whether and why it names a token.
    #[must_use]
    pub fn revokes(&self, jwt: &VerifiedJwt) -> Option<Revocation> {
        let has = |list: &Names, name: Option<&str>| name.is_some_and(|name| list.contains_key(name));
        let is_before = |subject: &str| {
            let time = NumericDate::from_seconds(self.issued_before.get(subject)?.as_f64()?);
            Some(jwt.issued().is_none_or(|iat| iat < time))
        };
        if has(&self.jti, jwt.jti()) {
            Some(Revocation::Jti)
        } else if has(&self.subjects, jwt.subject()) {
            Some(Revocation::Subject)
        } else if has(&self.kids, jwt.kid()) {
            Some(Revocation::Kid)
        } else {
            (jwt.subject().and_then(is_before) == Some(true)).then_some(Revocation::IssuedBefore)
        }
    }

    /// Judges a token: one that says not whom it is about could be of any of the subjects.
    fn check(&self, jwt: &VerifiedJwt, subject_claim: &ClaimName) -> Result<(), VerifyError> {
        if let Some(by) = self.revokes(jwt) {
            return Err(VerifyError::Revoked { by });
        }
        if jwt.subject().is_none() && !(self.subjects.is_empty() && self.issued_before.is_empty()) {
            return Err(VerifyError::MissingClaim { name: subject_claim.to_string().into() });
        }
        Ok(())
    }
}

fn names(member: &'static str, value: &Value) -> Result<Names, DenyFault> {
    let fault = DenyFault::Member(member);
    let Some(list) = value.as_array() else { return Err(fault) };
    let mut names = Names::new();
    for name in list {
        let Some(name) = name.as_str().filter(|name| !name.is_empty()) else { return Err(fault) };
        names.insert(name.to_owned(), Value::Null);
    }
    Ok(names)
}

/// What is wrong with a deny list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DenyFault {
    /// A member is not as it must be.
    Member(&'static str),
    /// A member that no deny list has.
    Unknown(String),
}

impl fmt::Display for DenyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Member("issued_before") => {
                f.write_str("`issued_before` is an object of subjects and seconds since 1970")
            }
            Self::Member(name) => write!(f, "`{name}` is a list of strings, none of them empty"),
            Self::Unknown(name) => {
                write!(f, "`{name}` is no member of a deny list; known are {}", DenyList::MEMBERS.join(", "))
            }
        }
    }
}

/// The revoked tokens of a provider.
#[derive(Clone, Debug, Default)]
pub struct Revocations {
    written: DenyList,
    fetched: Option<FetchedList>,
}

/// A deny list that is fetched.
#[derive(Clone, Debug)]
pub struct FetchedList {
    /// The number of its feed.
    pub feed: usize,
    /// Whether tokens are taken before it was ever fetched.
    pub optional: bool,
    list: RefCell<Option<DenyList>>,
}

impl FetchedList {
    /// That of a feed; there is none yet.
    #[must_use]
    pub const fn of(feed: usize, optional: bool) -> Self {
        Self { feed, optional, list: RefCell::new(None) }
    }
}

impl Revocations {
    /// What the configuration says, and what is fetched beside it.
    #[must_use]
    pub const fn new(written: DenyList, fetched: Option<FetchedList>) -> Self {
        Self { written, fetched }
    }

    /// Puts a list in place of the one that was fetched before.
    pub fn replace(&self, list: DenyList) {
        if let Some(mut own) = self.fetched.as_ref().and_then(|fetched| fetched.list.try_borrow_mut().ok()) {
            *own = Some(list);
        }
    }

    /// Judges a token that is valid otherwise.
    ///
    /// # Errors
    /// It is revoked, or says not whom it is about where subjects are, or the list that could say so was never fetched.
    pub fn check(&self, jwt: &VerifiedJwt, subject_claim: &ClaimName) -> Result<(), VerifyError> {
        self.written.check(jwt, subject_claim)?;
        let Some(fetched) = &self.fetched else { return Ok(()) };
        match fetched.list.try_borrow().ok().as_deref() {
            Some(Some(list)) => list.check(jwt, subject_claim),
            Some(None) if fetched.optional => Ok(()),
            Some(None) | None => Err(VerifyError::RevocationsUnavailable { feed: fetched.feed }),
        }
    }
}
