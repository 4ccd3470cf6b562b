//! What is wrong with a file, and where. Never quotes a value: it may be the user's key.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// 1 for the first.
    pub line: usize,
    /// In characters, 1 for the first.
    pub column: usize,
    /// What is wrong and what to write.
    pub message: String,
}

/// Everything that is wrong, in the order of the file; at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings(pub(super) Vec<Finding>);

impl Finding {
    pub(super) fn at(text: &str, place: Range<usize>, message: String) -> Self {
        let before = text.get(..place.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: 1 + before.matches('\n').count(),
            column: 1 + before.get(line_start..).unwrap_or("").chars().count(),
            message,
        }
    }
}

impl Findings {
    /// Each of them.
    #[must_use]
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl fmt::Display for Findings {
    /// One to a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{finding}")?;
        }
        Ok(())
    }
}
