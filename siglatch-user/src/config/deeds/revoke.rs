//! What an action of kind `revoke` says: whose effects end. Never looks whether there are such actions.

use std::collections::{BTreeSet, HashMap};

use siglatch_common::wire::v1::ActionId;

use super::grant::SOURCES;
use crate::config::finding::{Code, Findings};
use crate::config::section::{Located, Section, distinct};
use crate::policy::{RevokeRule, SourceRule};

/// A revocation as far as the text goes; what is missing was reported.
pub(in crate::config) struct Revoke<'t> {
    /// Names of actions.
    pub(in crate::config) actions: Vec<Located<&'t str>>,
    source: SourceRule,
}

pub(super) fn read<'t>(section: &Section<'t>, findings: &mut Findings) -> Revoke<'t> {
    let actions = distinct(section.texts("revoke", findings).unwrap_or_default(), findings);
    if section.place("revoke").is_some() && section.is_empty_list("revoke") {
        let help = "name at least one action, for example: revoke = [\"ssh\"]";
        findings.report(Code::OutOfRange, section.value_place("revoke"), "`revoke` takes nothing back", help);
    }
    Revoke { actions, source: section.choice("source", &SOURCES, findings).unwrap_or(SourceRule::Packet) }
}

impl Revoke<'_> {
    /// The rule, if there are all of the actions.
    pub(in crate::config) fn rule(&self, ids: &HashMap<&str, ActionId>) -> Option<RevokeRule> {
        let actions: Option<BTreeSet<ActionId>> =
            self.actions.iter().map(|name| ids.get(name.value).copied()).collect();
        Some(RevokeRule { actions: actions?, source: self.source })
    }
}
