//! Which kind an action is of, and which keys belong to it. Never reads what they say.

use crate::config::finding::{Code, Findings};
use crate::config::section::Section;

/// What an action can be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Step,
    Grant,
    Revoke,
    Exec,
    Builtin,
}

/// The action's kind: as `kind` says, or by the key that says what it does; nothing if a finding says why.
pub(super) fn read(section: &Section<'_>, findings: &mut Findings) -> Option<Kind> {
    if section.place("kind").is_some() {
        let kind = section.choice("kind", &Kind::ALL.map(|kind| (kind.label(), kind)), findings)?;
        if let Some(key) = kind.key() {
            section.demand(key, &format!("kind = \"{}\" needs {}", kind.label(), kind.needs()), findings);
        }
        return Some(kind);
    }
    let by_key = Kind::ALL.into_iter().find(|kind| kind.key().is_some_and(|key| section.place(key).is_some()));
    if by_key.is_none() {
        findings.report(
            Code::MissingKey,
            section.header(),
            format!("{} does nothing", section.title()),
            "write what it opens, for example grant = [\"tcp/22\"], or exec = [\"/path/to/program\"]; or kind = \"step\" \
             for the step of a sequence",
        );
    }
    by_key
}

impl Kind {
    const ALL: [Self; 5] = [Self::Grant, Self::Revoke, Self::Exec, Self::Builtin, Self::Step];

    const fn label(self) -> &'static str {
        match self {
            Self::Step => "step",
            Self::Grant => "grant",
            Self::Revoke => "revoke",
            Self::Exec => "exec",
            Self::Builtin => "builtin",
        }
    }

    /// The key that says what it does.
    const fn key(self) -> Option<&'static str> {
        match self {
            Self::Step => None,
            Self::Grant | Self::Revoke | Self::Exec | Self::Builtin => Some(self.label()),
        }
    }

    const fn needs(self) -> &'static str {
        match self {
            Self::Step => "nothing",
            Self::Grant => "the services to open",
            Self::Revoke => "the actions to take back",
            Self::Exec => "the program to start",
            Self::Builtin => "what to ask the daemon for",
        }
    }

    /// Why keys of other kinds mean nothing in it.
    const fn because(self) -> &'static str {
        match self {
            Self::Step => "a step has no effect of its own",
            Self::Grant => "it opens services",
            Self::Revoke => "it takes back what other actions did",
            Self::Exec => "it starts a program",
            Self::Builtin => "it asks the daemon itself for something",
        }
    }

    /// The keys that belong to this kind, and not to every other.
    const fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Step => &[],
            Self::Grant => &["grant", "to", "ttl", "max_ttl", "source", "undo", "uses", "dry_run"],
            Self::Revoke => &["revoke", "source", "uses", "dry_run"],
            Self::Exec => &[
                "exec",
                "run_as",
                "run_groups",
                "folder",
                "time",
                "cpu",
                "memory",
                "processes",
                "output",
                "at_once",
                "queue",
                "on_failure",
                "require_ascii",
                "starts_with",
                "undo",
                "ttl",
                "uses",
                "dry_run",
            ],
            Self::Builtin => &["builtin", "uses", "dry_run"],
        }
    }

    /// Reports keys that belong to other kinds alone.
    pub(super) fn refuse_others_keys(self, section: &Section<'_>, findings: &mut Findings) {
        let mut others: Vec<&str> = Vec::new();
        for key in Self::ALL.iter().flat_map(|kind| kind.keys()) {
            if !self.keys().contains(key) && !others.contains(key) {
                others.push(key);
            }
        }
        section.refuse(&others, self.because(), findings);
    }
}
