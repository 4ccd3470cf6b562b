//! What has changed from one sound configuration to the next, in words that an operator uses, and which of it a running
//! daemon cannot follow. Never tells a secret, and never changes a daemon.

mod held;
mod host;
mod rules;

use std::collections::BTreeMap;
use std::fmt;

use super::settings::Settings;

pub use held::holding_back;

/// What has changed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Changes {
    /// What counts at once.
    pub live: Vec<Changed>,
    /// The keys that count from the daemon's next start, as an operator writes them.
    pub at_next_start: Vec<&'static str>,
}

/// One thing that has changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Changed {
    /// What kind of thing it is: `user`, `port`, or the table of a single key, such as `[limits]`.
    pub what: &'static str,
    /// Which of its kind; empty if there is only one.
    pub name: String,
    /// What became of it.
    pub how: How,
}

/// What became of something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum How {
    /// It was not there before.
    Added,
    /// It is not there any more.
    Removed,
    /// These keys of it say something else; none, if there is nothing to tell of it.
    Changed(Vec<&'static str>),
    /// It has another value.
    Set {
        /// The one before.
        from: String,
        /// The one that counts.
        to: String,
    },
}

impl Changes {
    /// What is new in `new`. What a daemon cannot follow is named, and told of no further.
    #[must_use]
    pub fn between(old: &Settings, new: &Settings) -> Self {
        let mut comparison = Comparison::default();
        host::compare(old, new, &mut comparison);
        rules::compare(old, new, &mut comparison);
        Self { live: comparison.live, at_next_start: held::differing(old, new) }
    }

    /// Whether both say the same.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.live.is_empty() && self.at_next_start.is_empty()
    }

    /// Each change in words; of more than `most`, how many more there are.
    #[must_use]
    pub fn words(&self, most: usize) -> Vec<String> {
        let held = self.at_next_start.iter().map(|key| format!("{key} changed: it counts from the next start"));
        // First what an operator must act on.
        let mut words: Vec<String> = held.chain(self.live.iter().map(Changed::to_string)).collect();
        let more = words.len().saturating_sub(most);
        if more > 0 {
            words.truncate(most);
            words.push(format!("and {more} more"));
        }
        words
    }
}

impl Changed {
    /// The one word for what became of it, in lists for programs.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self.how {
            How::Added => "added",
            How::Removed => "removed",
            How::Changed(_) | How::Set { .. } => "changed",
        }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match &self.how {
            How::Added | How::Removed => write!(f, " {}", self.label()),
            How::Changed(keys) if keys.is_empty() => write!(f, " {}", self.label()),
            How::Changed(keys) => write!(f, " {}: {}", self.label(), keys.join(", ")),
            How::Set { from, to } => write!(f, ": {from} → {to}"),
        }
    }
}

/// What was found so far.
#[derive(Debug, Default)]
struct Comparison {
    live: Vec<Changed>,
}

impl Comparison {
    /// A key with one value.
    fn key<T: PartialEq>(&mut self, table: &'static str, key: &str, [old, new]: [&T; 2], show: impl Fn(&T) -> String) {
        if old != new {
            let how = How::Set { from: show(old), to: show(new) };
            self.live.push(Changed { what: table, name: key.to_owned(), how });
        }
    }

    /// Something of which there is one.
    fn only(&mut self, what: &'static str, is_same: bool) {
        if !is_same {
            self.live.push(Changed { what, name: String::new(), how: How::Changed(Vec::new()) });
        }
    }

    /// Things of one kind, by what tells them apart; `become_` says what became of one that was there before, if anything.
    fn each<K: Ord + fmt::Display, V>(
        &mut self,
        what: &'static str,
        [old, new]: [BTreeMap<K, V>; 2],
        become_: impl Fn(&V, &V) -> Option<How>,
    ) {
        let found = |name: &K, how| Changed { what, name: name.to_string(), how };
        for (name, before) in &old {
            match new.get(name) {
                None => self.live.push(found(name, How::Removed)),
                Some(after) => self.live.extend(become_(before, after).map(|how| found(name, how))),
            }
        }
        self.live.extend(new.keys().filter(|name| !old.contains_key(name)).map(|name| found(name, How::Added)));
    }

    /// The entries of a list whose order means nothing.
    fn list<'a, T: Ord + fmt::Display + 'a>(&mut self, what: &'static str, lists: [impl IntoIterator<Item = T>; 2]) {
        self.each(what, lists.map(|list| list.into_iter().map(|entry| (entry, ())).collect()), |(), ()| None);
    }
}

/// The keys that differ, if any do.
fn changed(keys: impl IntoIterator<Item = (&'static str, bool)>) -> Option<How> {
    let keys: Vec<_> = keys.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key).collect();
    (!keys.is_empty()).then_some(How::Changed(keys))
}
