//! The configuration's `[user.NAME]` tables. Never looks at what users may do.

use std::num::NonZeroU32;

use siglatch_common::address::Network;
use siglatch_common::seal::HmacKey;
use siglatch_common::wire::v1::UserId;

use super::finding::Findings;
use super::key_files::{self, Cabinet};
use super::section::{Located, Section};
use super::{schema, terms, value};
use crate::policy::{Period, User};

/// A user as far as the text goes; what is missing was reported.
pub(super) struct Person<'t> {
    pub(super) name: Located<&'t str>,
    pub(super) id: Option<Located<UserId>>,
    pub(super) key: Option<Located<HmacKey>>,
    pub(super) enabled: bool,
    pub(super) admin: bool,
    pub(super) groups: Vec<&'t str>,
    /// Whether the user's knocks are told in full for a time.
    pub(super) debug: bool,
    pub(super) networks: Vec<Network>,
    pub(super) period: Period,
    uses: Option<NonZeroU32>,
}

pub(super) fn read<'t>(root: &Section<'t>, cabinet: &Cabinet<'_>, findings: &mut Findings) -> Vec<Person<'t>> {
    let sections = root.named("user", &schema::USER, findings);
    sections.into_iter().map(|(name, section)| person(name, &section, cabinet, findings)).collect()
}

fn person<'t>(
    name: Located<&'t str>,
    section: &Section<'t>,
    cabinet: &Cabinet<'_>,
    findings: &mut Findings,
) -> Person<'t> {
    let path = section.parsed("key", value::path, findings);
    let groups = section.parsed_list("groups", value::name, findings).unwrap_or_default();
    Person {
        name,
        id: section.number::<u16>("id", 0..=65_535, findings).map(|id| id.with(UserId(id.value))),
        key: path.and_then(|path| Some(path.with(key_files::user_key(path, cabinet, findings)?))),
        enabled: section.flag("enabled", findings).unwrap_or(true),
        admin: section.flag("admin", findings).unwrap_or(false),
        groups: groups.into_iter().map(|group| group.value).collect(),
        debug: section.flag("debug", findings).unwrap_or(false),
        networks: terms::networks(section, findings),
        period: terms::period(section, findings),
        uses: terms::uses(section, findings),
    }
}

impl Person<'_> {
    /// The user and the key, if nothing is missing.
    pub(super) fn finish(self) -> Option<(User, HmacKey)> {
        let user = User {
            id: self.id?.value,
            name: self.name.value.to_owned(),
            enabled: self.enabled,
            admin: self.admin,
            networks: self.networks,
            period: self.period,
            uses: self.uses,
        };
        Some((user, self.key?.value))
    }
}
