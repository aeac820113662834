//! Patterns of paths and hosts.

/// What a path or a host must look like, part by part: segments, or labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// What each part must be.
    pub parts: Vec<Part>,
    /// Whether more parts may follow, or none.
    pub below: bool,
}

/// What one part must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Just so.
    Literal(String),
    /// Anything but nothing.
    Any,
    /// Anything but nothing, which has this name from then on.
    Captured(String),
}

/// Names, and what was captured under them.
pub type Captures<'p> = Vec<(&'p str, String)>;

impl Pattern {
    /// What it captures, if it matches. Where slashes are merged, those of the pattern are, too.
    #[must_use]
    pub fn captures(&self, found: &[&str], merged: bool) -> Option<Captures<'_>> {
        let is_empty = |part: &&Part| matches!(part, Part::Literal(text) if text.is_empty());
        let mut found = found.iter();
        let mut captures = Captures::new();
        for part in self.parts.iter().filter(|part| !(merged && is_empty(part))) {
            let text = found.next()?;
            let fits = match part {
                Part::Literal(own) => own == text,
                Part::Any => !text.is_empty(),
                Part::Captured(name) => {
                    captures.push((name, (*text).to_owned()));
                    !text.is_empty()
                }
            };
            if !fits {
                return None;
            }
        }
        (self.below || found.next().is_none()).then_some(captures)
    }

    /// The names under which it captures.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Captured(name) => Some(name.as_str()),
            Part::Literal(_) | Part::Any => None,
        })
    }
}

/// The segments of a path.
#[must_use]
pub fn segments(path: &str) -> Vec<&str> {
    path.split('/').skip(1).collect()
}
