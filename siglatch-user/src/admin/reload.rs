//! What comes of reading the configuration again, as an operator sees it. Never reads it.

use serde::{Deserialize, Serialize};

/// What has become of a reload, or would become of one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Reloaded {
    /// The file.
    pub file: String,
    /// Whether the daemon can go by it. If not, `findings` say why, and nothing has changed.
    pub sound: bool,
    /// Whether the daemon goes by it now.
    pub applied: bool,
    /// How many changes there are.
    pub changes: usize,
    /// The changes; the first [`Reloaded::MAX`] of them.
    pub changed: Vec<Changed>,
    /// Keys whose changes hold from the next start.
    pub at_next_start: Vec<String>,
    /// What is wrong with the file, or dubious; the first [`Reloaded::FINDINGS`].
    pub findings: Vec<Found>,
    /// Grants that have ended, because they are not allowed any more.
    pub grants: usize,
    /// Runs of programs that had waited and are dropped, and undos that will never be, because their program is gone.
    pub dropped: usize,
    /// What is not as the file says though the daemon goes by it, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<String>,
    /// Milliseconds that it took.
    pub millis: u64,
}

/// One change of the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Changed {
    /// What has changed: `user`, `action`, `port` and the like.
    pub what: String,
    /// Which of them; nothing if there is but one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// In which way.
    pub how: How,
    /// What of it, in a few words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// In which way something has changed.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
    /// In a way that this program does not know.
    #[serde(other)]
    Unknown,
}

/// Something that is wrong with the configuration, or dubious.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Found {
    /// `error` or `warning`.
    pub severity: String,
    /// Its code: `siglatchctl explain CODE` says more.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// In which line, from 1; nothing if it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// At which character of the line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl Found {
    /// `FILE:LINE:COLUMN: error[CODE]: MESSAGE; HELP`.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        let Self { severity, code, message, line, column, help } = self;
        let place = match (line, column) {
            (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
            (Some(line), None) => format!("{file}:{line}"),
            (None, _) => file.to_owned(),
        };
        let help = help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
        format!("{place}: {severity}[{code}]: {message}{help}")
    }

    /// Whether it keeps the daemon from going by the file.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl Reloaded {
    /// The most changes of one reply.
    pub const MAX: usize = 1000;
    /// The most findings of one reply.
    pub const FINDINGS: usize = 200;
    /// The longest message or help of a finding in a reply, in bytes.
    pub const TEXT: usize = 1000;

    /// The same, cut to what a reply takes.
    #[must_use]
    pub fn within_bounds(mut self) -> Self {
        self.changes = self.changes.max(self.changed.len());
        self.changed.truncate(Self::MAX);
        self.findings.truncate(Self::FINDINGS);
        for found in &mut self.findings {
            shorten(&mut found.message);
            found.help.iter_mut().for_each(shorten);
        }
        self
    }

    /// How many findings keep the daemon from going by the file.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|found| found.is_error()).count()
    }
}

fn shorten(text: &mut String) {
    if text.len() > Reloaded::TEXT {
        text.truncate(text.floor_char_boundary(Reloaded::TEXT));
        text.push('…');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_holds_only_so_much_and_says_how_much_there_was() {
        let changed = |n: usize| Changed {
            what: "user".to_owned(),
            name: format!("u{n}"),
            how: How::Added,
            detail: String::new(),
        };
        let found = Found { message: "é".repeat(2000), help: Some("x".repeat(2000)), ..Found::default() };
        let reloaded =
            Reloaded { changed: (0..5000).map(changed).collect(), findings: vec![found; 500], ..Reloaded::default() };
        let reloaded = reloaded.within_bounds();
        assert_eq!((reloaded.changes, reloaded.changed.len(), reloaded.findings.len()), (5000, 1000, 200));
        assert!(reloaded.findings[0].message.len() <= Reloaded::TEXT + 3);
        assert_eq!(reloaded.findings[0].help.as_ref().map(String::len), Some(Reloaded::TEXT + 3));
    }
}
