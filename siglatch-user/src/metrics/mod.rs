//! What is counted for those who watch over many machines: names, help, types, and their text. Never gathers a number.
//!
//! Names follow the conventions of Prometheus: base units, `_total` on counters, and no label that a stranger can choose
//! the value of: no addresses, no users.

mod histogram;
mod plain;
mod snapshot;
mod text;

pub use histogram::{BOUNDS, Distribution, Histogram};
pub use snapshot::{Audit, Ban, Interface, LaneFigures, Process, Programs, Reloads, Snapshot};

/// How the numbers are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
    /// What Prometheus read before, and other programs still do: version 0.0.4.
    Plain,
}

impl Format {
    /// The one that an HTTP header `Accept` asks for; OpenMetrics unless it wants plain text alone.
    #[must_use]
    pub fn wanted(accept: Option<&str>) -> Self {
        let names = |name: &str| accept.is_some_and(|accept| accept.to_ascii_lowercase().contains(name));
        if names("text/plain") && !names("application/openmetrics-text") { Self::Plain } else { Self::OpenMetrics }
    }

    /// Its media type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The text of all numbers.
    #[must_use]
    pub fn render(self, snapshot: &Snapshot) -> String {
        let text = text::render(snapshot);
        match self {
            Self::OpenMetrics => text,
            Self::Plain => plain::from_open_metrics(&text),
        }
    }
}

#[cfg(test)]
mod tests;
