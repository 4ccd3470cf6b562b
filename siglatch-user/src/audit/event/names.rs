//! The names of events in records, and which of them anybody can cause. Never renames one.

use super::Event;
use crate::gate::Refusal;

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
            Self::Ban(_) => "ban",
            Self::Unban(_) => "unban",
            Self::Reload(_) => "reload",
            Self::Admin(_) => "admin",
            Self::Debug(_) => "debug",
            Self::Starter { .. } => "starter",
            Self::Junk(_) => "junk",
            Self::Lost(_) => "lost",
            Self::Rotated(_) => "rotated",
            Self::Disk(_) => "disk",
        }
    }

    /// Every name, for those who search.
    pub const NAMES: [&str; 25] = [
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
        "ban",
        "unban",
        "reload",
        "admin",
        "debug",
        "starter",
        "junk",
        "lost",
        "rotated",
        "disk",
    ];

    /// The refusal of a datagram that anybody can send: junk, or a copy of what was sent before.
    #[must_use]
    pub fn by_stranger(&self) -> Option<Refusal> {
        match self {
            Self::Knock(knock) => knock.reason.filter(|reason| match reason {
                Refusal::Unauthentic | Refusal::Stale | Refusal::Replay => true,
                Refusal::Overloaded
                | Refusal::Unaudited
                | Refusal::OutOfOrder
                | Refusal::UnknownAction
                | Refusal::UserEarly
                | Refusal::UserExpired
                | Refusal::UserNetwork
                | Refusal::UserUsedUp
                | Refusal::NotAllowed
                | Refusal::NotAdmin
                | Refusal::ActionNetwork
                | Refusal::ActionEarly
                | Refusal::ActionExpired
                | Refusal::ActionHours
                | Refusal::ActionUsedUp
                | Refusal::BadPayload
                | Refusal::PayloadNotAscii
                | Refusal::PayloadStart
                | Refusal::SourceMissing
                | Refusal::SourceMismatch
                | Refusal::NoDestination
                | Refusal::Busy => false,
            }),
            Self::Start(_)
            | Self::Stop { .. }
            | Self::Grant(_)
            | Self::GrantFailed(_)
            | Self::Revoke(_)
            | Self::ExecStarted(_)
            | Self::ExecEnded(_)
            | Self::ExecDropped { .. }
            | Self::Builtin(_)
            | Self::UndoOwed(_)
            | Self::UndoSettled { .. }
            | Self::UndoLost(_)
            | Self::Pretended(_)
            | Self::Firewall(_)
            | Self::Ban(_)
            | Self::Unban(_)
            | Self::Reload(_)
            | Self::Admin(_)
            | Self::Debug(_)
            | Self::Starter { .. }
            | Self::Junk(_)
            | Self::Lost(_)
            | Self::Rotated(_)
            | Self::Disk(_) => None,
        }
    }
}
