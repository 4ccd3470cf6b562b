//! What the gate can answer. Logs, metrics and tests all name refusals through [`Refusal`].

use std::num::NonZeroUsize;

use siglatch_common::units::Wall;
use siglatch_common::wire::v1::{ActionId, UserId};

use super::{Entry, Grant, GrantKey, Job, KnockId, Nonce};
use crate::policy::Builtin;

/// The answer to one datagram. The client is never told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[must_use]
pub enum Verdict {
    /// Authentic, fresh, and allowed.
    Admit(Admission),
    /// Nothing happens; an authentic knock is known for what it is.
    Refuse(Refusal, Option<Knock>),
}

/// An authentic knock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Knock {
    /// Ties it to what comes of it.
    pub id: KnockId,
    /// Who knocked.
    pub user: UserId,
    /// What for.
    pub action: ActionId,
}

impl Verdict {
    /// Whether a user must be where the datagram says to come from: it is authentic, it was never seen before, and
    /// nothing speaks against the place. A replay or a stale copy can come from whoever took it off the wire, and so can
    /// a fresh knock from where its user does not knock from.
    #[must_use]
    pub const fn vouches_for_source(&self) -> bool {
        match self {
            Self::Admit(_) => true,
            Self::Refuse(refusal, _) => match refusal {
                Refusal::OutOfOrder
                | Refusal::DisabledSequence
                | Refusal::DisabledAction
                | Refusal::UnknownAction
                | Refusal::NotAllowed
                | Refusal::NotAdmin
                | Refusal::ActionEarly
                | Refusal::ActionExpired
                | Refusal::ActionHours
                | Refusal::ActionUsedUp
                | Refusal::BadPayload
                | Refusal::PayloadNotAscii
                | Refusal::PayloadStart
                | Refusal::NoDestination
                | Refusal::Busy => true,
                Refusal::Unauthentic
                | Refusal::Stale
                | Refusal::Replay
                | Refusal::Overloaded
                | Refusal::Unaudited
                | Refusal::UserEarly
                | Refusal::UserExpired
                | Refusal::UserUsedUp
                | Refusal::UserNetwork
                | Refusal::ActionNetwork
                | Refusal::SourceMissing
                | Refusal::SourceMismatch => false,
            },
        }
    }
}

/// A knock that was admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Admission {
    /// Who knocked, and what for.
    pub knock: Knock,
    /// What comes of it.
    pub outcome: Outcome,
    /// Whether what comes of it is only told.
    pub dry_run: bool,
}

/// What comes of an admitted knock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The action is carried out.
    Done,
    /// A step of a sequence was taken; more are to come.
    Step {
        /// Steps taken so far.
        taken: NonZeroUsize,
        /// Steps in all.
        of: usize,
    },
}

/// Makes the enum, its list and its labels from one place.
macro_rules! refusals {
    ($($(#[$doc:meta])+ $variant:ident $label:literal),+ $(,)?) => {
        /// Why a datagram was refused.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Refusal {
            $($(#[$doc])+ $variant),+
        }

        impl Refusal {
            /// Every refusal.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name in logs, metrics and tests.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$variant => $label),+
                }
            }
        }
    };
}

refusals! {
    /// Not sealed under our key, malformed, or not signed by an enabled user. Which of these is not known.
    Unauthentic "unauthentic",
    /// Stamped too long ago, or too far ahead.
    Stale "stale",
    /// Admitted before.
    Replay "replay",
    /// No room to remember it, so that admitting it might mean admitting it twice; or none for what it opens or owes.
    Overloaded "overloaded",
    /// It could not be written into the audit log, and the operator wants nothing to happen that is not there.
    Unaudited "unaudited",
    /// A step of a sequence, but not the one whose turn it is.
    OutOfOrder "out_of_order",
    /// A step of a sequence that an operator has switched off.
    DisabledSequence "disabled_sequence",
    /// No such action.
    UnknownAction "unknown_action",
    /// The user's time has not begun.
    UserEarly "user_early",
    /// The user's time is over.
    UserExpired "user_expired",
    /// The user may not knock from this network.
    UserNetwork "user_network",
    /// The user has knocked as often as allowed.
    UserUsedUp "user_used_up",
    /// The user may not ask for this action.
    NotAllowed "not_allowed",
    /// Only administrators may ask for this action.
    NotAdmin "not_admin",
    /// An operator has switched the action off.
    DisabledAction "disabled_action",
    /// This action may not be asked for from this network.
    ActionNetwork "action_network",
    /// The action's time has not begun.
    ActionEarly "action_early",
    /// The action's time is over.
    ActionExpired "action_expired",
    /// The action may not be asked for at this hour.
    ActionHours "action_hours",
    /// The action was asked for as often as allowed.
    ActionUsedUp "action_used_up",
    /// The payload is not made of words that the action knows.
    BadPayload "bad_payload",
    /// The payload holds something else than printable ASCII.
    PayloadNotAscii "payload_not_ascii",
    /// The payload does not begin as it must.
    PayloadStart "payload_start",
    /// The payload must name a source address, and does not.
    SourceMissing "source_missing",
    /// The source address named in the payload is not the datagram's.
    SourceMismatch "source_mismatch",
    /// None of the hosts that the action opens has an address of the source's IP version.
    NoDestination "no_destination",
    /// As many runs of the program wait as may.
    Busy "busy",
}

impl Refusal {
    /// Whether anybody can have a datagram refused so: by sending junk, or a copy of what somebody else has sent.
    #[must_use]
    pub const fn can_be_anybodys(self) -> bool {
        match self {
            Self::Unauthentic | Self::Stale | Self::Replay => true,
            Self::Overloaded
            | Self::Unaudited
            | Self::OutOfOrder
            | Self::DisabledSequence
            | Self::DisabledAction
            | Self::UnknownAction
            | Self::UserEarly
            | Self::UserExpired
            | Self::UserNetwork
            | Self::UserUsedUp
            | Self::NotAllowed
            | Self::NotAdmin
            | Self::ActionNetwork
            | Self::ActionEarly
            | Self::ActionExpired
            | Self::ActionHours
            | Self::ActionUsedUp
            | Self::BadPayload
            | Self::PayloadNotAscii
            | Self::PayloadStart
            | Self::SourceMissing
            | Self::SourceMismatch
            | Self::NoDestination
            | Self::Busy => false,
        }
    }
}

/// What the caller must now do, in this order. If one cannot be done, those after it must not be, and the gate must be
/// told ([`super::Gate::withdraw`]); a [`Effect::Lease`] or [`Effect::Forget`] that was not done is owed, and comes before
/// whatever the gate wants next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Make sure, before the next effect, that after a loss of power no stamp up to this one is taken for fresh.
    Lease(Wall),
    /// Remember the nonce across a kill and a restart.
    Remember(Nonce),
    /// Forget the older half of what was remembered; no stamp up to this one will be taken for fresh.
    Forget(Wall),
    /// Write it into the ledger, and through to the disk, before anything that follows.
    Note(Entry),
    /// Open or extend these.
    Open(GrantsOpened),
    /// End these.
    Close(GrantsEnded),
    /// Start a program, and tell the gate how it ended ([`super::Gate::finished`]).
    Run(Box<Job>),
    /// Do this.
    Builtin(KnockId, Builtin),
    /// Tell what would have been done for a knock, and do nothing.
    Pretend(KnockId, Pretended),
}

/// Grants that are opened or extended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantsOpened {
    /// The knock that does it; nothing if it is an operator, who extends what a knock has opened.
    pub knock: Option<KnockId>,
    /// What is opened; all of one user and action, for one source.
    pub grants: Vec<Grant>,
}

/// Grants that end before their time.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct GrantsEnded {
    /// Who or what ends them.
    pub by: Ender,
    /// What ends; their labels say whose they were. May be empty: then there was nothing to end.
    pub grants: Vec<Grant>,
}

/// Who or what ends a grant before its time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ender {
    /// A knock.
    Knock(KnockId),
    /// An operator.
    Operator,
    /// Rules that do not allow it any more.
    Rules,
}

/// What would have been done.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Pretended {
    /// [`Effect::Open`].
    Open(Vec<Grant>),
    /// [`Effect::Close`].
    Close(Vec<GrantKey>),
    /// [`Effect::Run`].
    Run(Box<Job>),
    /// [`Effect::Builtin`].
    Builtin(Builtin),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_takes_a_knock_off_the_wire_is_not_vouched_for_by_it() {
        let knock = Knock { id: KnockId::new(0, 1), user: UserId(1), action: ActionId(1) };
        let vouches = |refusal| Verdict::Refuse(refusal, Some(knock)).vouches_for_source();
        // The same datagram again, late, under another address than it names, or from where its user never is.
        for refusal in [Refusal::Replay, Refusal::Stale, Refusal::SourceMismatch, Refusal::UserNetwork] {
            assert!(!vouches(refusal), "{}", refusal.label());
        }
        assert!(!vouches(Refusal::Unauthentic) && !vouches(Refusal::UserExpired));
        assert!(vouches(Refusal::OutOfOrder) && vouches(Refusal::BadPayload));
        let admission = Admission { knock, outcome: Outcome::Done, dry_run: false };
        assert!(Verdict::Admit(admission).vouches_for_source());
    }
}
