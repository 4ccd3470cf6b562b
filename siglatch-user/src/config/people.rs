//! The configuration's `[user.NAME]` tables. Never looks at what users may do.

use std::path::Path;

use siglatch_common::address::Network;
use siglatch_common::seal::HmacKey;
use siglatch_common::units::Wall;
use siglatch_common::wire::v1::UserId;

use super::finding::Findings;
use super::key_files::{self, KeyFiles};
use super::section::{Located, Section};
use super::{schema, value};
use crate::policy::{Period, User};

/// A user as far as the text goes; what is missing was reported.
pub(super) struct Person<'t> {
    pub(super) name: Located<&'t str>,
    pub(super) id: Option<Located<UserId>>,
    pub(super) key: Option<Located<HmacKey>>,
    pub(super) enabled: bool,
    networks: Vec<Network>,
    not_after: Option<Wall>,
}

pub(super) fn read<'t>(
    root: &Section<'t>,
    folder: &Path,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> Vec<Person<'t>> {
    let sections = root.named("user", &schema::USER, findings);
    sections.into_iter().map(|(name, section)| person(name, &section, folder, files, findings)).collect()
}

fn person<'t>(
    name: Located<&'t str>,
    section: &Section<'t>,
    folder: &Path,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> Person<'t> {
    let path = section.parsed("key", value::path, findings);
    let moment = section.moment("not_after", findings);
    let not_after = moment.and_then(|moment| match value::moment(moment.value) {
        Ok(wall) => Some(wall),
        Err(flaw) => {
            findings.report(flaw.code, moment.span, flaw.message, flaw.help);
            None
        }
    });
    Person {
        name,
        id: section.number::<u16>("id", 0..=65_535, findings).map(|id| id.with(UserId(id.value))),
        key: path.and_then(|path| Some(path.with(key_files::user_key(path, folder, files, findings)?))),
        enabled: section.flag("enabled", findings).unwrap_or(true),
        networks: networks(section, findings),
        not_after,
    }
}

/// The networks that a user or an action is bound to.
pub(super) fn networks(section: &Section<'_>, findings: &mut Findings) -> Vec<Network> {
    let networks = section.parsed_list("networks", value::network, findings).unwrap_or_default();
    networks.into_iter().map(|network| network.value).collect()
}

impl Person<'_> {
    /// The user and the key, if nothing is missing.
    pub(super) fn finish(self) -> Option<(User, HmacKey)> {
        let user = User {
            id: self.id?.value,
            name: self.name.value.to_owned(),
            enabled: self.enabled,
            admin: false,
            networks: self.networks,
            period: Period { not_before: None, not_after: self.not_after },
            uses: None,
        };
        Some((user, self.key?.value))
    }
}
