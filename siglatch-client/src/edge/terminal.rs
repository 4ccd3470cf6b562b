//! What the user sees: results on standard output, remarks and failures on standard error.
//! Never decides what is said.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde::Serialize;

use crate::failure::Failure;
use crate::profile::Finding;

/// How the user wants to be told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terminal {
    /// One JSON object a line instead of text.
    pub(crate) json: bool,
    /// Failures alone.
    pub(crate) quiet: bool,
}

#[derive(Serialize)]
struct FailureLine<'a> {
    event: &'static str,
    code: &'static str,
    error: String,
    fix: String,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    findings: &'a [Finding],
}

impl Terminal {
    /// Tells a result.
    pub(crate) fn say(self, text: impl Display, record: &impl Serialize) -> Result<(), Failure> {
        match (self.quiet, self.json) {
            (true, _) => Ok(()),
            (false, true) => print(&json(record)),
            (false, false) => print(&text.to_string()),
        }
    }

    /// Tells something by the way.
    pub(crate) fn remark(self, text: impl Display) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "siglatch: {text}");
        }
    }

    /// Tells what went wrong, and what to do about it.
    pub(crate) fn complain(self, failure: &Failure) {
        let (error, fix) = (failure.to_string(), failure.fix());
        let _ = writeln!(io::stderr().lock(), "siglatch: {error}\n  → {fix}");
        if self.json {
            let line = FailureLine { event: "error", code: failure.code(), error, fix, findings: failure.findings() };
            let _ = print(&json(&line));
        }
    }
}

/// Puts raw bytes on standard output.
pub(crate) fn put(bytes: &[u8]) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output.write_all(bytes).and_then(|()| output.flush()) {
        // Nobody reads on: `siglatch list | head -1`.
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::File { verb: "write", name: "standard output".to_owned(), source })
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn print(line: &str) -> Result<(), Failure> {
    put(format!("{line}\n").as_bytes())
}

fn json(record: &impl Serialize) -> String {
    serde_json::to_string(record).expect("records have string keys")
}
