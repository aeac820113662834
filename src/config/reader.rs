//! Reading JSON field by field, with the path of each for whoever has to mend it.

use serde_json::{Map, Value};

use super::error::{ConfigError, Result};

/// A value of the configuration and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'v> {
    path: String,
    value: &'v Value,
}

impl<'v> Node<'v> {
    pub(super) const fn root(value: &'v Value) -> Self {
        Self { path: String::new(), value }
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) const fn value(&self) -> &'v Value {
        self.value
    }

    /// An error at this place.
    pub(super) fn fault(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::new(&self.path, message)
    }

    /// Refuses the configuration for this place.
    pub(super) fn refuse<T>(&self, message: impl Into<String>) -> Result<T> {
        Err(self.fault(message))
    }

    pub(super) fn text(&self) -> Result<&'v str> {
        self.value.as_str().ok_or_else(|| self.fault("write a string"))
    }

    pub(super) fn non_empty_text(&self) -> Result<&'v str> {
        match self.text()? {
            "" => self.refuse("must not be empty"),
            text => Ok(text),
        }
    }

    pub(super) fn flag(&self) -> Result<bool> {
        self.value.as_bool().ok_or_else(|| self.fault("write true or false"))
    }

    /// Whole seconds. Istio sends every number as a double, so `3600.0` is one, too.
    pub(super) fn seconds(&self) -> Result<f64> {
        const MOST: f64 = 4_294_967_295.0;
        let whole = |seconds: &f64| seconds.fract().abs() <= 0.0 && (0.0..=MOST).contains(seconds);
        let seconds = self.value.as_f64().filter(whole);
        seconds.ok_or_else(|| self.fault("write a whole number of seconds, zero or more"))
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)]) -> Result<T> {
        let found = self.text()?;
        let known = words.iter().find(|(word, _)| *word == found);
        let names = || words.iter().map(|(word, _)| *word);
        known.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let list: Vec<_> = names().map(|name| format!("`{name}`")).collect();
            self.fault(format!("unknown value `{found}`; write {}", list.join(" or ")))
        })
    }

    pub(super) fn list(&self) -> Result<Vec<Self>> {
        let Value::Array(items) = self.value else { return self.refuse("write a list") };
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, value)| Self { path: format!("{}[{index}]", self.path), value })
            .collect())
    }

    /// A list in which something must be.
    pub(super) fn non_empty_list(&self, why: &str) -> Result<Vec<Self>> {
        let items = self.list()?;
        if items.is_empty() { self.refuse(format!("the list is empty; {why}")) } else { Ok(items) }
    }

    /// The members of an object whose names are the operator's own.
    pub(super) fn members(&self) -> Result<Vec<(String, Self)>> {
        Ok(self
            .object()?
            .iter()
            .map(|(name, value)| (name.clone(), Self { path: join(&self.path, name), value }))
            .collect())
    }

    pub(super) fn object(&self) -> Result<&'v Map<String, Value>> {
        self.value.as_object().ok_or_else(|| self.fault("write an object"))
    }

    /// The fields of an object that has these and no others.
    pub(super) fn fields(&self, names: &'static [&'static str]) -> Result<Fields<'_>> {
        let members = self.object()?;
        if let Some(unknown) = members.keys().find(|name| !names.contains(&name.as_str())) {
            let path = join(&self.path, unknown);
            let nearest = names.iter().map(|name| (strsim::osa_distance(unknown, name), name)).min();
            let message = match nearest {
                Some((distance, name)) if distance <= name.len().max(unknown.len()) / 2 => {
                    format!("unknown field; did you mean `{name}`?")
                }
                Some(_) | None => format!("unknown field; known are {}", names.join(", ")),
            };
            return Err(ConfigError::new(path, message));
        }
        Ok(Fields { path: &self.path, members })
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// The fields of an object. One that is `null` is as good as absent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    path: &'a str,
    members: &'a Map<String, Value>,
}

impl<'v> Fields<'v> {
    pub(super) fn get(&self, name: &str) -> Option<Node<'v>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(Node { path: join(self.path, name), value })
    }

    /// What `read` makes of the field, if it is there.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&Node<'v>) -> Result<T>) -> Result<Option<T>> {
        self.get(name).map(|node| read(&node)).transpose()
    }

    /// Whether no field is written.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// An error at a field, whether it is there or not.
    pub(super) fn fault(&self, name: &str, message: impl Into<String>) -> ConfigError {
        ConfigError::new(join(self.path, name), message)
    }

    /// Refuses the configuration for a field, whether it is there or not.
    pub(super) fn refuse<T>(&self, name: &str, message: impl Into<String>) -> Result<T> {
        Err(self.fault(name, message))
    }

    /// Refuses `null` where an unset value of a template would switch a check off.
    pub(super) fn refuse_null(&self, names: &[&str]) -> Result<()> {
        match names.iter().find(|name| self.members.get(**name).is_some_and(Value::is_null)) {
            Some(name) => {
                self.refuse(name, "null would switch this check off; leave the field out if that is meant")
            }
            None => Ok(()),
        }
    }

    pub(super) fn text(&self, name: &str) -> Result<Option<String>> {
        self.read(name, |node| node.non_empty_text().map(str::to_owned))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.read(name, Node::flag)
    }

    /// The one field of several that is written, and its name.
    pub(super) fn only(&self, names: &[&'static str], node: &Node<'_>) -> Result<(&'static str, Node<'v>)> {
        let mut written = names.iter().filter_map(|name| Some((*name, self.get(name)?)));
        if let (Some(one), None) = (written.next(), written.next()) {
            return Ok(one);
        }
        let list: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        node.refuse(format!("write exactly one of {}", list.join(", ")))
    }
}
