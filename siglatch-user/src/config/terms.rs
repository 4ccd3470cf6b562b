//! What the tables of users and actions have in common: networks, a period, a number of uses. Never knows which it reads.

use std::num::NonZeroU32;

use siglatch_common::address::Network;
use siglatch_common::units::Wall;

use super::finding::{Code, Findings};
use super::section::{Located, Section};
use super::value;
use crate::policy::Period;

/// The networks that somebody or something is bound to; none: anywhere.
pub(super) fn networks(section: &Section<'_>, findings: &mut Findings) -> Vec<Network> {
    let networks = section.parsed_list("networks", value::network, findings).unwrap_or_default();
    shadowed(&networks, findings);
    networks.into_iter().map(|network| network.value).collect()
}

/// Reports networks that add nothing to a list, because they lie in another one of it.
pub(super) fn shadowed(networks: &[Located<Network>], findings: &mut Findings) {
    let mut sorted: Vec<_> = networks.iter().collect();
    // Networks lie in each other or apart: right before those in it comes the one that they are in.
    sorted.sort_by_key(|network| (network.value.address(), network.value.bits()));
    let mut widest: Option<&Located<Network>> = None;
    for network in sorted {
        match widest {
            Some(wide) if holds(wide.value, network.value) => {
                let message = format!("{} lies in {}: it adds nothing", network.value, wide.value);
                let help = "take it out; or, if it alone is meant, take out the wider one";
                let note = (wide.span, "the wider one");
                findings.report_with(Code::ShadowedNetwork, network.span, message, help, note);
            }
            Some(_) | None => widest = Some(network),
        }
    }
}

/// Whether every address of `inner` is one of `outer`.
pub(super) fn holds(outer: Network, inner: Network) -> bool {
    outer.bits() <= inner.bits() && outer.contains(inner.address())
}

/// From when until when it holds.
pub(super) fn period(section: &Section<'_>, findings: &mut Findings) -> Period {
    let (begin, end) = (moment("not_before", section, findings), moment("not_after", section, findings));
    if let (Some(begin), Some(end)) = (begin, end)
        && end.value <= begin.value
    {
        let message = format!("{} is over before it begins", section.title());
        let help = "let `not_after` be later than `not_before`, or take one of them out";
        findings.report_with(Code::NeverHolds, end.span, message, help, (begin.span, "begins here"));
    }
    Period { not_before: begin.map(|begin| begin.value), not_after: end.map(|end| end.value) }
}

/// How often it counts; nothing: as often as anybody likes.
pub(super) fn uses(section: &Section<'_>, findings: &mut Findings) -> Option<NonZeroU32> {
    NonZeroU32::new(section.number::<u32>("uses", 1..=MOST_USES, findings)?.value)
}

fn moment(key: &str, section: &Section<'_>, findings: &mut Findings) -> Option<Located<Wall>> {
    let moment = section.moment(key, findings)?;
    match value::moment(moment.value) {
        Ok(wall) => Some(moment.with(wall)),
        Err(flaw) => {
            findings.report(flaw.code, moment.span, flaw.message, flaw.help);
            None
        }
    }
}

/// More is as good as no limit.
const MOST_USES: i64 = 1_000_000_000;
