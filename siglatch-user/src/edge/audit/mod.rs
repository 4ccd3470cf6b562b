//! The audit log on the disk: takes what happened, and writes it by threads of its own. Never makes a caller wait, and
//! never decides what is told.
//!
//! ```text
//! Recorder ──► Queue (bounded) ──► Writer (thread): file, head, rotation
//!     └──────► bounded ──────────► Teller (thread): plain log or journal
//! ```

mod error;
mod head;
mod log_file;
mod queue;
mod shelf;
mod teller;
#[cfg(test)]
mod tests;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

pub use error::AuditError;
pub use shelf::{Lines, LogPart, Shelf, Tail, head_path, read_head, seq_at_start};

use crate::audit::Event;
use crate::audit::chain::unchained;
use crate::audit::event::Start;
use crate::audit::line::Told;
use crate::config::AuditRule;
use queue::{Queue, Stamped};
use teller::Teller;
use writer::Writer;

/// Whose log it is.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The daemon's version.
    pub version: String,
    /// The number of its run.
    pub run: u32,
    /// Whether everything is only told.
    pub dry_run: bool,
    /// Where the head file is kept.
    pub state_dir: PathBuf,
}

/// A log that is open, and takes what happens; what it takes is written once its threads are begun.
pub struct Opened {
    queue: Arc<Queue>,
    writer: Option<Writer>,
}

/// The audit log of a daemon: one writer, and as many recorders as there are threads.
#[derive(Debug)]
pub struct AuditLog {
    queue: Arc<Queue>,
    /// Says nothing, and ends when the writer has.
    over: Receiver<()>,
}

/// Takes what happened. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder {
    queue: Arc<Queue>,
}

impl AuditLog {
    /// Opens the log, and writes from then on: see [`AuditLog::open`].
    ///
    /// # Errors
    /// [`AuditError`] if the operator must do something: a folder that cannot be made, a path that is no file.
    pub fn begin(rule: &AuditRule, origin: Origin) -> Result<(Recorder, Self), AuditError> {
        let (recorder, opened) = Self::open(rule, origin)?;
        Ok((recorder, opened.begin()?))
    }

    /// Opens the log, cuts away what a kill has left half written, and records the start; begins no thread.
    ///
    /// A log that is switched off still tells the plain log and the journal. A disk that is full, or read-only, keeps no
    /// daemon from starting: it is tried again.
    ///
    /// # Errors
    /// [`AuditError`] if the operator must do something: a folder that cannot be made, a path that is no file.
    pub fn open(rule: &AuditRule, origin: Origin) -> Result<(Recorder, Opened), AuditError> {
        let queue = Arc::new(Queue::new(rule.enabled));
        let Origin { version, run, dry_run, state_dir } = origin;
        let mut start = Start { version, pid: std::process::id(), dry_run, ..Start::default() };
        let mut writer = None;
        if rule.enabled {
            let (opened, found) = Writer::open(rule, &state_dir, run, Arc::clone(&queue))?;
            (writer, start.found) = (Some(opened), found);
        }
        let recorder = Recorder { queue: Arc::clone(&queue) };
        recorder.record(Event::Start(start));
        Ok((recorder, Opened { queue, writer }))
    }

    /// Records that the daemon stops, and writes what is still to be written, unless the disk takes longer than some
    /// seconds. Nothing is recorded after this.
    pub fn close(self, why: &str) {
        self.queue.put(Event::Stop { why: why.to_owned() }, Told::ALL);
        self.queue.finish();
        match self.over.recv_timeout(PATIENCE) {
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {}
            Err(RecvTimeoutError::Timeout) => {
                tracing::error!("the audit log could not be written to its end: the disk is too slow");
            }
        }
        self.queue.wait_for_lines(PATIENCE);
    }
}

impl Opened {
    /// Begins the threads that write and tell.
    ///
    /// # Errors
    /// [`AuditError::Thread`] if there can be none.
    pub fn begin(self) -> Result<AuditLog, AuditError> {
        let Self { queue, writer } = self;
        Teller::begin(&queue).map_err(AuditError::Thread)?;
        let (ends, over) = channel();
        if let Some(writer) = writer {
            let write = move || {
                writer.run();
                drop(ends);
            };
            thread::Builder::new().name("audit".into()).spawn(write).map_err(AuditError::Thread)?;
        }
        Ok(AuditLog { queue, over })
    }
}

impl Recorder {
    /// Records that can wait to be written.
    pub const ROOM: usize = Queue::CAPACITY;

    /// Records something. Never waits, and never fails: what finds no room is counted, and told as soon as there is some.
    pub fn record(&self, event: Event) {
        self.tell(event, Told::ALL);
    }

    /// Records something, or only tells the plain log: strangers' refusals are bounded ([`crate::audit::line::Strangers`]).
    pub fn tell(&self, event: Event, told: Told) {
        self.queue.put(event, told);
    }

    /// Takes what happens, and does nothing with it: for tests of others.
    #[must_use]
    pub fn nowhere() -> Self {
        let queue = Arc::new(Queue::new(false));
        queue.finish();
        Self { queue }
    }

    /// Sees what is recorded from now on, whether or not there is a file.
    #[must_use]
    pub fn watch(&self) -> Watch {
        Watch { events: self.queue.watch() }
    }

    /// Whether the log is not being written: the disk does not take it, or takes too long.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.queue.is_failing()
    }

    /// Begins a new file: where somebody has moved the old one away, in its place; otherwise the old one is set aside.
    pub fn rotate(&self) {
        self.queue.want_rotation();
    }

    /// From now on, files are set aside by this rule: by another size and age, and so many are kept. Where the log is stays
    /// as it is, and whether there is one.
    pub fn set_rule(&self, rule: AuditRule) {
        self.queue.set_rule(rule);
    }

    /// Records that wait to be written.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Records that were lost since the start.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.queue.lost()
    }
}

/// Somebody's sight of what is recorded: bounded, so that who is too slow misses some of it, and learns how much.
#[derive(Debug)]
pub struct Watch {
    events: broadcast::Receiver<Arc<Stamped>>,
}

/// What a [`Watch`] has seen.
#[derive(Debug, Eq, PartialEq)]
pub enum Seen {
    /// An event, as a line with its end.
    Event(String),
    /// So many events that are not to be seen any more.
    Missed(u64),
}

impl Watch {
    /// The next event, when there is one; nothing if there will be none.
    pub async fn next(&mut self) -> Option<Seen> {
        match self.events.recv().await {
            Ok(stamped) => Some(Seen::Event(unchained(&stamped.event, stamped.at))),
            Err(RecvError::Lagged(events)) => Some(Seen::Missed(events)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// How long a disk may take for the last records.
const PATIENCE: Duration = Duration::from_secs(5);
