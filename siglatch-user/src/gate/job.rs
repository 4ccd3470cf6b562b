//! A run of a program: what for, with which arguments, and how it ended. Never starts one.

use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::KnockId;
use crate::policy::ProgramId;

/// One run of a program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Job {
    /// Its number; no two of one daemon's are alike.
    pub id: JobId,
    /// What is run.
    pub program: ProgramId,
    /// Why.
    pub why: Why,
    /// What it is told.
    pub call: Call,
}

/// The number of a run.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct JobId(pub u64);

/// The number of something that is to be undone.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct DebtId(pub u64);

/// Why a program runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Why {
    /// Somebody knocked for it.
    Knock,
    /// What a knock has done is over.
    Undo(DebtId),
    /// Another program has failed: its run, and how that ended.
    Failure(JobId, How),
}

/// What a program is told: of the knock that it runs for, or whose work it undoes, or whose program failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Call {
    /// The knock.
    pub knock: KnockId,
    /// Where it came from; for an undo, which address it is undone for.
    pub source: Address,
    /// Who knocked.
    pub user: UserId,
    /// The user's name.
    pub user_name: String,
    /// What for.
    pub action: ActionId,
    /// The action's name.
    pub action_name: String,
    /// Whether it came encrypted.
    pub sealed: bool,
    /// What came with it.
    pub payload: Payload,
}

/// How a run ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Ending {
    /// Its exit.
    pub how: How,
    /// From start to end.
    pub took: Duration,
    /// The first bytes of what it wrote, at most [`Ending::OUTPUT_MAX`].
    pub output: Vec<u8>,
    /// Bytes that it wrote in all.
    pub written: u64,
}

/// The exit of a run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum How {
    /// By itself, with that code.
    Exited(u8),
    /// By a signal of that number, which was not ours.
    Killed(i32),
    /// By us, because it went beyond a bound.
    Bounded(Bound),
    /// It did not begin.
    NotStarted(NotStarted),
    /// Nobody knows: who watched over it is gone.
    Lost,
}

/// What a run went beyond.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bound {
    /// [`crate::policy::Bounds::time`].
    Time,
    /// [`crate::policy::Bounds::cpu`].
    Cpu,
    /// [`crate::policy::Bounds::output`].
    Output,
    /// [`crate::policy::Bounds::processes`].
    Processes,
    /// The daemon stopped.
    Stop,
}

/// Why a program did not begin.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NotStarted {
    /// There is no such file.
    Missing,
    /// It is no file that may be executed.
    NotExecutable,
    /// Others than root could change it, or a folder on the way to it.
    WritableByOthers,
    /// There is no such user or group.
    NoSuchUser,
    /// Whoever starts programs cannot become that user.
    OtherUser,
    /// There is no such folder, or it is not the user's to enter.
    NoFolder,
    /// The system did not allow it: its error number.
    System(i32),
    /// The process that starts programs is not there.
    NoStarter,
    /// While it waited, other rules came that do not know the program.
    Gone,
}

impl Ending {
    /// How much of the output is kept, in bytes.
    pub const OUTPUT_MAX: usize = 1024;

    /// A run that did not begin.
    #[must_use]
    pub const fn not_started(why: NotStarted) -> Self {
        Self { how: How::NotStarted(why), took: Duration::ZERO, output: Vec::new(), written: 0 }
    }
}

impl How {
    /// Whether it did what it was for.
    #[must_use]
    pub const fn is_success(self) -> bool {
        matches!(self, Self::Exited(0))
    }
}

impl NotStarted {
    /// The name in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotExecutable => "not_executable",
            Self::WritableByOthers => "writable_by_others",
            Self::NoSuchUser => "no_such_user",
            Self::OtherUser => "other_user",
            Self::NoFolder => "no_folder",
            Self::System(_) => "system",
            Self::NoStarter => "no_starter",
            Self::Gone => "gone",
        }
    }
}

impl Bound {
    /// The name in logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Cpu => "cpu",
            Self::Output => "output",
            Self::Processes => "processes",
            Self::Stop => "stop",
        }
    }
}
