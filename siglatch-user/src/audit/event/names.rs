//! The names of events in records. Never renames one.

use super::Event;

impl Event {
    /// The name of the event in records.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start(_) => "start",
            Self::Stop { .. } => "stop",
            Self::Knock(_) => "knock",
            Self::Grant(_) => "grant",
            Self::GrantFailed(_) => "grant_failed",
            Self::Revoke(_) => "revoke",
            Self::ExecStarted(_) => "exec_started",
            Self::ExecEnded(_) => "exec_ended",
            Self::ExecDropped { .. } => "exec_dropped",
            Self::Builtin(_) => "builtin",
            Self::UndoOwed(_) => "undo_owed",
            Self::UndoSettled { .. } => "undo_settled",
            Self::UndoLost(_) => "undo_lost",
            Self::Pretended(_) => "pretended",
            Self::Firewall(_) => "firewall",
            Self::Xdp(_) => "xdp",
            Self::Ban(_) => "ban",
            Self::Unban(_) => "unban",
            Self::Reload(_) => "reload",
            Self::Admin(_) => "admin",
            Self::Debug(_) => "debug",
            Self::SwitchedOn { .. } => "switched_on",
            Self::Starter { .. } => "starter",
            Self::Junk(_) => "junk",
            Self::Lost(_) => "lost",
            Self::Rotated(_) => "rotated",
            Self::Disk(_) => "disk",
        }
    }

    /// Every name, for those who search.
    pub const NAMES: [&str; 27] = [
        "start",
        "stop",
        "knock",
        "grant",
        "grant_failed",
        "revoke",
        "exec_started",
        "exec_ended",
        "exec_dropped",
        "builtin",
        "undo_owed",
        "undo_settled",
        "undo_lost",
        "pretended",
        "firewall",
        "xdp",
        "ban",
        "unban",
        "reload",
        "admin",
        "debug",
        "switched_on",
        "starter",
        "junk",
        "lost",
        "rotated",
        "disk",
    ];
}
