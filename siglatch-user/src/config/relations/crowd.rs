//! Who is meant by the `users` and `groups` of an action. Never reports anything.

use std::collections::HashSet;

use crate::config::deeds::{Askers, Users};
use crate::config::people::Person;

/// The users who are meant, whether or not there are any.
pub(in crate::config) struct Crowd<'a> {
    /// Nothing: everybody.
    names: Option<HashSet<&'a str>>,
    groups: HashSet<&'a str>,
}

impl<'a> Crowd<'a> {
    pub(in crate::config) fn of(askers: &Askers<'a>) -> Self {
        let names = match &askers.users {
            Users::All => None,
            Users::Only(names) => Some(names.iter().map(|name| name.value).collect()),
        };
        Self { names, groups: askers.groups.iter().map(|group| group.value).collect() }
    }

    /// Whether it is everybody, whoever they are.
    pub(in crate::config) const fn is_everybody(&self) -> bool {
        self.names.is_none()
    }

    pub(in crate::config) fn has(&self, person: &Person<'_>) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(person.name.value))
            || person.groups.iter().any(|group| self.groups.contains(group))
    }
}
