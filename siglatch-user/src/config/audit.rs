//! The parts of the configuration that are about records: `[audit]` and `[debug]`. Never writes one.

use std::path::Path;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::wire::v1::UserId;

use super::finding::{Code, Findings};
use super::section::Section;
use super::settings::{AuditRule, DebugRule, WhenFailing};
use super::{schema, value};

/// Who did what, for later.
pub(super) fn audit(root: &Section<'_>, folder: &Path, findings: &mut Findings) -> AuditRule {
    let section = root.table("audit", &schema::AUDIT, findings);
    let default = AuditRule::default();
    let enabled = section.flag("enabled", findings).unwrap_or(default.enabled);
    if !enabled {
        let message = "nobody writes down who was let in, and what was done for them";
        let help = "take `enabled` out; `size` and `keep` bound what the log takes of the disk";
        findings.report(Code::NoAudit, section.value_place("enabled"), message, help);
    }
    AuditRule {
        enabled,
        file: section.parsed("file", value::path, findings).map_or(default.file, |file| folder.join(file.value)),
        size: section.size("size", LEAST_SIZE..=MOST_SIZE, findings).map_or(default.size, |size| size.value),
        age: section.duration("age", MINUTE..=TEN_YEARS, findings).map_or(default.age, |age| age.value),
        keep: section.number("keep", 1..=10_000, findings).map_or(default.keep, |keep| keep.value),
        when_failing: section.choice("when_failing", &WHEN_FAILING, findings).unwrap_or_default(),
    }
}

/// Whose knocks are told in full; the users' own tables say which of them.
pub(super) fn debug(root: &Section<'_>, users: Vec<UserId>, findings: &mut Findings) -> DebugRule {
    let section = root.table("debug", &schema::DEBUG, findings);
    let sources = section.parsed_list("sources", value::address, findings).unwrap_or_default();
    let span = section.duration("for", SECOND..=YEAR, findings);
    DebugRule {
        users,
        sources: sources.into_iter().map(|source| source.value).collect::<Vec<Address>>(),
        span: span.map_or(DebugRule::DEFAULT_SPAN, |span| span.value),
    }
}

const WHEN_FAILING: [(&str, WhenFailing); 2] = [("admit", WhenFailing::Admit), ("refuse", WhenFailing::Refuse)];

/// A few dozen records.
const LEAST_SIZE: u64 = 16 * 1024;
const MOST_SIZE: u64 = 1024 * 1024 * 1024 * 1024;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 60 * 60);
