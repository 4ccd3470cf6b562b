//! What an action of kind `grant` says: services, times, whose address. Never looks at another table.

use std::time::Duration;

use crate::config::finding::{Code, Findings};
use crate::config::section::{Located, Section};
use crate::config::value;
use crate::policy::{GrantRule, Service, SourceRule};

pub(super) fn rule(section: &Section<'_>, services: &[Located<Service>], findings: &mut Findings) -> GrantRule {
    let ttl = section.duration("ttl", SECOND..=YEAR, findings);
    let max_ttl = section.duration("max_ttl", SECOND..=YEAR, findings);
    let usual = ttl.map_or(DEFAULT_TTL, |ttl| ttl.value);
    let longest = max_ttl.map_or(usual, |max_ttl| max_ttl.value);
    if usual > longest
        && let Some(max_ttl) = max_ttl
    {
        let (usual_text, longest_text) = (value::duration_text(usual), value::duration_text(longest));
        let message = format!("a grant of {usual_text} is longer than the longest, {longest_text}");
        let help = format!("write ttl = \"{longest_text}\", or max_ttl = \"{usual_text}\"");
        match ttl {
            Some(ttl) => {
                let note = (max_ttl.span, "the longest");
                findings.report_with(Code::TtlOverMax, ttl.span, message, help, note);
            }
            None => findings.report(Code::TtlOverMax, max_ttl.span, message, help),
        }
    }
    GrantRule {
        services: services.iter().map(|service| service.value).collect(),
        ttl: usual,
        max_ttl: longest,
        destinations: Vec::new(),
        source: section.choice("source", &SOURCES, findings).unwrap_or(SourceRule::Packet),
        undo: None,
    }
}

/// The words for [`SourceRule`].
const SOURCES: [(&str, SourceRule); 3] =
    [("packet", SourceRule::Packet), ("match", SourceRule::Match), ("claimed", SourceRule::Claimed)];

const DEFAULT_TTL: Duration = Duration::from_secs(600);

const SECOND: Duration = Duration::from_secs(1);

const YEAR: Duration = Duration::from_secs(365 * 86_400);
