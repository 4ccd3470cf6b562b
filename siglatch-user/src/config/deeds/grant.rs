//! What an action of kind `grant` says: services, hosts, times, whose address. Never looks at another table.

use std::collections::HashMap;
use std::time::Duration;

use siglatch_common::address::{Address, Network};

use crate::config::finding::{Code, Findings};
use crate::config::section::{Located, Section};
use crate::config::value;
use crate::policy::{GrantRule, ProgramId, Service, SourceRule};

/// A grant as far as the text goes; what is missing was reported.
pub(in crate::config) struct Grant<'t> {
    pub(in crate::config) services: Vec<Located<Service>>,
    /// Hosts behind this one; none: this one's own services.
    pub(in crate::config) to: Vec<Located<Address>>,
    /// The name of the program that runs when it ends.
    pub(in crate::config) undo: Option<Located<&'t str>>,
    ttl: Duration,
    max_ttl: Duration,
    source: SourceRule,
}

pub(super) fn read<'t>(section: &Section<'t>, networks: &[Network], findings: &mut Findings) -> Grant<'t> {
    let services = section.parsed_list("grant", value::service, findings).unwrap_or_default();
    if section.place("grant").is_some() && section.is_empty_list("grant") {
        let help = "name at least one service, or write kind = \"step\" without grant";
        findings.report(Code::OutOfRange, section.value_place("grant"), "`grant` grants nothing", help);
    }
    let to = section.parsed_list("to", value::address, findings).unwrap_or_default();
    if section.place("to").is_some() && section.is_empty_list("to") {
        let help = "name at least one host behind this one, or take `to` out: then it opens this host's own services";
        findings.report(Code::OutOfRange, section.value_place("to"), "`to` leads nowhere", help);
    }
    let reachable = |host: &Located<Address>| networks.iter().any(|network| network.is_v4() == host.value.is_v4());
    if !to.is_empty() && !networks.is_empty() && !to.iter().any(reachable) {
        let message = "nobody from its `networks` can reach a host of the other IP version";
        let help = "name networks and hosts of the same IP version";
        let note = (section.value_place("networks"), "its networks");
        findings.report_with(Code::NeverHolds, section.value_place("to"), message, help, note);
    }
    let (ttl, max_ttl) = times(section, findings);
    let source = section.choice("source", &SOURCES, findings).unwrap_or(SourceRule::Packet);
    Grant { services, to, undo: section.text("undo", findings), ttl, max_ttl, source }
}

/// How long it lasts, and how long at most.
fn times(section: &Section<'_>, findings: &mut Findings) -> (Duration, Duration) {
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
    let long = [max_ttl, ttl].into_iter().flatten().find(|time| time.value > LONG);
    if let Some(long) = long.filter(|_| usual <= longest) {
        let message = format!("a port that stays open for {} is hardly closed", value::duration_text(long.value));
        let help = "write the time that one visit takes, such as \"8h\": open connections outlive it anyway";
        findings.report(Code::LongGrant, long.span, message, help);
    }
    (usual, longest)
}

impl Grant<'_> {
    /// The rule, if there is the program that it names.
    pub(in crate::config) fn rule(&self, programs: &HashMap<&str, ProgramId>) -> Option<GrantRule> {
        let undo = match self.undo {
            Some(name) => Some(programs.get(name.value).copied()?),
            None => None,
        };
        Some(GrantRule {
            services: self.services.iter().map(|service| service.value).collect(),
            destinations: self.to.iter().map(|host| host.value).collect(),
            ttl: self.ttl,
            max_ttl: self.max_ttl,
            source: self.source,
            undo,
        })
    }
}

/// The words for [`SourceRule`].
pub(super) const SOURCES: [(&str, SourceRule); 3] =
    [("packet", SourceRule::Packet), ("match", SourceRule::Match), ("claimed", SourceRule::Claimed)];

const DEFAULT_TTL: Duration = Duration::from_secs(600);

/// Who opened it has forgotten it by then.
const LONG: Duration = Duration::from_secs(7 * 86_400);

const SECOND: Duration = Duration::from_secs(1);

const YEAR: Duration = Duration::from_secs(365 * 86_400);
