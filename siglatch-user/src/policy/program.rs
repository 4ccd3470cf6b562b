//! A program that knocks may start, and what it may use. Never starts one.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// The place of a program in the policy.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ProgramId(pub u16);

impl ProgramId {
    /// No program's: there are never so many.
    pub const NONE: Self = Self(u16::MAX);
}

/// A program that knocks may start: the `exec` of one action.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Program {
    /// The name of its action, whose `undo` and `on_failure` others may name.
    pub name: String,
    /// An absolute path, and the arguments that come first.
    pub command: Vec<String>,
    /// A user of this machine, by name or number.
    pub run_as: String,
    /// Groups of this machine besides that user's own, by name or number.
    pub run_groups: Vec<String>,
    /// Where it starts.
    pub folder: PathBuf,
    /// What it may use.
    pub bounds: Bounds,
    /// How many of it run at once.
    pub at_once: NonZeroUsize,
    /// How many more wait for their turn.
    pub queue: usize,
    /// Runs when it fails.
    pub on_failure: Option<ProgramId>,
}

/// What one run of a program may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bounds {
    /// From start to end.
    pub time: Duration,
    /// Of a processor; whole seconds, rounded up. Of each of its processes.
    pub cpu: Duration,
    /// Bytes of address space of each of its processes.
    pub memory: u64,
    /// Processes at once.
    pub processes: u32,
    /// Bytes that it may write to its standard output and error, together.
    pub output: u64,
}

impl Bounds {
    /// What holds unless the operator says otherwise.
    pub const DEFAULT: Self = Self {
        time: Duration::from_secs(30),
        cpu: Duration::from_secs(10),
        memory: 256 * 1024 * 1024,
        processes: 32,
        output: 64 * 1024,
    };
}
