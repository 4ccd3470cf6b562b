//! What is wrong with a configuration, where, and what to write instead. Never decides what is wrong.

/// Something that the operator should change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// What kind of mistake it is.
    pub code: Code,
    /// The offending text; nothing if it is the lack of some.
    pub span: Option<Span>,
    /// One line: what is wrong.
    pub message: String,
    /// What to write instead.
    pub help: String,
    /// Another place that has to do with it.
    pub note: Option<Note>,
}

/// A second place in the same text, and what it has to do with the finding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Note {
    /// The place.
    pub span: Span,
    /// A few words.
    pub label: String,
}

/// A piece of the text, in bytes from its start.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte behind the last.
    pub end: usize,
}

/// Whether the daemon starts all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// It does not.
    Error,
    /// It does: the text is legal, but hardly what was meant.
    Warning,
}

impl Finding {
    /// Whether the daemon starts all the same.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code.severity()
    }
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// Writes the enum and its two tables from one list, so that none of them can lack a code.
macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident, $label:literal, $severity:ident;)*) => {
        /// The kinds of findings. Labels are stable: scripts and manuals name them.
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The name in reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self {
                    $(Self::$name => $label,)*
                }
            }

            /// Whether the daemon starts all the same.
            #[must_use]
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$name => Severity::$severity,)*
                }
            }
        }
    };
}

codes! {
    /// The text is no TOML.
    Syntax, "syntax", Error;
    /// A key or table that siglatch does not know.
    UnknownKey, "unknown-key", Error;
    /// A value of another type.
    WrongType, "wrong-type", Error;
    /// A key that must be there is not.
    MissingKey, "missing-key", Error;
    /// A key that means nothing beside the mode or kind chosen.
    MisplacedKey, "misplaced-key", Error;
    /// None of the words that may stand here.
    UnknownChoice, "unknown-choice", Error;
    /// A number, a time or a list outside its bounds.
    OutOfRange, "out-of-range", Error;
    /// A name with characters that logs, nftables or the system would not take.
    BadName, "bad-name", Error;
    /// No length of time.
    BadDuration, "bad-duration", Error;
    /// No moment in time.
    BadTime, "bad-time", Error;
    /// No network.
    BadNetwork, "bad-network", Error;
    /// No service.
    BadService, "bad-service", Error;
    /// No address of one host.
    BadAddress, "bad-address", Error;
    /// No number of bytes.
    BadSize, "bad-size", Error;
    /// Nothing to listen at.
    BadListener, "bad-listener", Error;
    /// No hours of the week.
    BadHours, "bad-hours", Error;
    /// A time zone that this machine does not know.
    UnknownZone, "unknown-zone", Error;
    /// A path that would have to be searched for.
    NotAbsolute, "not-absolute", Error;
    /// Rules that can never hold together.
    NeverHolds, "never-holds", Error;
    /// The same twice in one list.
    DuplicateEntry, "duplicate-entry", Warning;
    /// A network that lies in another one of its list.
    ShadowedNetwork, "shadowed-network", Warning;
    /// A user or an action whose time is over.
    Expired, "expired", Warning;

    /// No knock port.
    NoPort, "no-port", Error;
    /// Two knock ports with one number.
    DuplicatePort, "duplicate-port", Error;
    /// More knock ports than the kernel's table holds.
    TooManyPorts, "too-many-ports", Error;
    /// A knock port on a public address, where everyone on the path can read along.
    ClearWire, "clear-wire", Warning;
    /// A stamped port, and no key to tell a stamp by.
    NoGateKey, "no-gate-key", Error;
    /// Two gate keys with one number.
    DuplicateGateKey, "duplicate-gate-key", Error;
    /// The same key under two numbers.
    SharedGateKey, "shared-gate-key", Error;
    /// A gate key, and no stamped port.
    UnusedGateKey, "unused-gate-key", Warning;
    /// Nothing says which interface to watch.
    NoInterface, "no-interface", Warning;

    /// The name of a user or a group that this machine does not have.
    UnknownAccount, "unknown-account", Warning;
    /// A user for the daemon that this machine does not have.
    NoDaemonUser, "no-daemon-user", Error;
    /// A daemon that keeps all of root's rights.
    DaemonAsRoot, "daemon-as-root", Warning;
    /// Figures for everybody.
    PublicMetrics, "public-metrics", Error;
    /// Two sockets with one path.
    SharedSocket, "shared-socket", Error;

    /// No limit on what one source may send.
    NoRate, "no-rate", Warning;
    /// No limit on what all strangers together may send to the private key.
    NoBudget, "no-budget", Warning;
    /// Copies of datagrams that are not told from their originals.
    NoCopies, "no-copies", Warning;
    /// Nobody is banned, whatever they send.
    NoBans, "no-bans", Warning;
    /// A number of places that is no power of two.
    NotPowerOfTwo, "not-power-of-two", Error;
    /// Lanes that are to be sure of more than all key operations.
    SharesOverAll, "shares-over-all", Error;
    /// Everybody is on the allow list.
    EverybodyAllowed, "everybody-allowed", Warning;
    /// A second ban that is no longer than the first.
    StepsNotRising, "steps-not-rising", Warning;
    /// Bans for floods, without a rate to be over.
    FloodWithoutRate, "flood-without-rate", Warning;
    /// Bans for everything that a source sends, and nobody is exempt from them.
    HostScope, "host-scope", Warning;

    /// Nobody writes down who did what.
    NoAudit, "no-audit", Warning;

    /// A file or a folder that others may write, and so decide who is let in.
    WeakMode, "weak-mode", Warning;
    /// A key file that is not there.
    KeyFileMissing, "key-file-missing", Error;
    /// A key file that could not be read.
    KeyFileUnreadable, "key-file-unreadable", Error;
    /// A key file that others may read or write.
    KeyFileExposed, "key-file-exposed", Error;
    /// A key file that belongs to someone else.
    KeyFileOwner, "key-file-owner", Error;
    /// A file that holds no such key.
    KeyFileMalformed, "key-file-malformed", Error;
    /// Key files that the daemon's own user could not read again.
    KeyFileClosed, "key-file-closed", Warning;
    /// A server key that is too short to keep anything secret.
    ShortServerKey, "short-server-key", Error;
    /// Two users with one key.
    SharedKey, "shared-key", Error;

    /// Nobody may knock yet.
    NoUsers, "no-users", Error;
    /// Two users with one id.
    DuplicateUserId, "duplicate-user-id", Error;
    /// A user who may do nothing.
    IdleUser, "idle-user", Warning;

    /// Two actions with one id.
    DuplicateActionId, "duplicate-action-id", Error;
    /// A user's name that no user has.
    UnknownUser, "unknown-user", Error;
    /// The name of a group that no user is in.
    UnknownGroup, "unknown-group", Error;
    /// An action that nobody may use.
    UnusableAction, "unusable-action", Error;
    /// A usual time that is longer than the longest.
    TtlOverMax, "ttl-over-max", Error;
    /// A grant that stays open for longer than anybody remembers it.
    LongGrant, "long-grant", Warning;
    /// A user and an action that are never in one network.
    NoCommonNetwork, "no-common-network", Warning;
    /// A service that is closed, and that no action opens.
    NeverOpened, "never-opened", Warning;
    /// A grant of something that is open anyway.
    UnprotectedService, "unprotected-service", Warning;
    /// A grant that the operator's sets have no place for.
    NoSet, "no-set", Error;
    /// A protected service that is a knock port.
    ProtectedKnockPort, "protected-knock-port", Error;
    /// A port that leads to another host, and is protected as this host's own, or leads to two hosts.
    PortClash, "port-clash", Error;
    /// The name of an action whose kind does not fit.
    WrongKind, "wrong-kind", Error;
    /// A program that would run when itself fails.
    FailureCircle, "failure-circle", Error;
    /// A program that nothing starts.
    UnusedProgram, "unused-program", Warning;
    /// A program that this machine would not start as it is.
    UnfitProgram, "unfit-program", Warning;
    /// A program that runs as root.
    RunsAsRoot, "runs-as-root", Warning;
    /// A program that may run more often at once than all of them together.
    AtOnceOverAll, "at-once-over-all", Warning;
    /// Something for admins that no admin may ask for.
    NoAdmin, "no-admin", Warning;
    /// A step that no sequence has.
    OrphanStep, "orphan-step", Warning;

    /// A sequence of less than two steps.
    ShortSequence, "short-sequence", Error;
    /// A name that no action has.
    UnknownAction, "unknown-action", Error;
    /// An action that stands in one sequence twice.
    RepeatedStep, "repeated-step", Error;
    /// An action that stands in two sequences.
    SharedStep, "shared-step", Error;
    /// An action with an effect before the last step, where it never comes to it.
    EffectBeforeEnd, "effect-before-end", Error;
    /// A sequence that ends in an action without effect.
    NoEffect, "no-effect", Error;
    /// A sequence that nobody may go through to its end.
    UnusableSequence, "unusable-sequence", Error;
}

/// Findings as they come up.
#[derive(Debug, Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Adds a finding.
    pub(super) fn report(
        &mut self,
        code: Code,
        span: impl Into<Option<Span>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Finding { code, span: span.into(), message: message.into(), help: help.into(), note: None });
    }

    /// Adds a finding that has to do with two places.
    pub(super) fn report_with(
        &mut self,
        code: Code,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
        (other, label): (Span, &str),
    ) {
        self.report(code, span, message, help);
        if let Some(finding) = self.0.last_mut() {
            finding.note = Some(Note { span: other, label: label.to_owned() });
        }
    }

    /// All of them, in the order of the text.
    pub(super) fn into_sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| (finding.span, finding.code));
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_codes_have_one_label() {
        let labels: BTreeSet<_> = Code::ALL.iter().map(|code| code.label()).collect();
        assert_eq!(labels.len(), Code::ALL.len());
    }
}
