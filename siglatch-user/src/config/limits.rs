//! The parts of the configuration that are about strangers: limits, lanes, who is known or allowed, bans, blacklists.
//! Never about who may do what.

use std::path::{Path, PathBuf};
use std::time::Duration;

use siglatch_common::address::Network;
use siglatch_common::lane::{Lane, PerLane};

use super::finding::{Code, Findings};
use super::key_files::KeyFiles;
use super::section::{Located, Section};
use super::settings::{BanRule, KnownRule, LaneRule, Limits, Scope};
use super::{modes, schema, terms, value};

/// How much of what strangers send gets through.
pub(super) fn limits(root: &Section<'_>, findings: &mut Findings) -> Limits {
    let section = root.table("limits", &schema::LIMITS, findings);
    let rate = section.number::<u32>("rate", 0..=MOST_A_SECOND, findings);
    if let Some(rate) = rate.filter(|rate| rate.value == 0) {
        findings.report(
            Code::NoRate,
            rate.span,
            "without a rate, what one source sends can use up the private key's time, and no flood earns a ban",
            format!("write rate = {}, or list networks that need more under [allow]", Limits::DEFAULT.rate),
        );
    }
    let burst = section.number("burst", 1..=MOST_A_SECOND, findings);
    let copies = places("copies", 0, &section, findings);
    if copies == Some(0) {
        let message = "copies of a datagram that somebody recorded each cost a use of the private key";
        let help = format!("write copies = {}, which costs 8 bytes each", Limits::DEFAULT.copies);
        findings.report(Code::NoCopies, section.value_place("copies"), message, help);
    }
    Limits {
        rate: rate.map_or(Limits::DEFAULT.rate, |rate| rate.value),
        burst: burst.map_or(Limits::DEFAULT.burst, |burst| burst.value),
        sources: places("sources", 1, &section, findings).unwrap_or(Limits::DEFAULT.sources),
        copies: copies.unwrap_or(Limits::DEFAULT.copies),
    }
}

/// What each lane takes.
pub(super) fn lanes(root: &Section<'_>, key_threads: usize, findings: &mut Findings) -> PerLane<LaneRule> {
    let section = root.table("lane", &schema::LANES, findings);
    let mut rules = LaneRule::defaults(key_threads);
    let mut shares = Vec::new();
    for lane in Lane::ALL {
        let section = section.table(lane.label(), schema::lane(lane), findings);
        let rule = rules.of_mut(lane);
        if let Some(budget) = section.number("budget", 0..=MOST_A_SECOND, findings) {
            if lane == Lane::Unknown && budget.value == 0 {
                let message = "without a budget, a flood from forged addresses can keep the private key busy";
                let help = format!("write budget = {}, or take it out", rule.budget);
                findings.report(Code::NoBudget, budget.span, message, help);
            }
            rule.budget = budget.value;
        }
        if let Some(share) = section.number("share", 0..=100, findings) {
            rule.share = share.value;
            shares.push(share);
        }
        if let Some(ring) = ring(&section, findings) {
            rule.ring_kib = ring;
        }
    }
    let sum: u32 = Lane::ALL.iter().map(|lane| u32::from(rules.of(*lane).share)).sum();
    let largest = shares.into_iter().max_by_key(|share| share.value);
    if let Some(largest) = largest.filter(|_| sum > 100) {
        let each = Lane::ALL.map(|lane| format!("{} {}", lane.label(), rules.of(lane).share)).join(", ");
        let message = format!("the lanes are to be sure of {sum} key operations out of 100: {each}");
        let help = "lower a `share`, so that they are 100 at most together; what is not used goes to the others anyway";
        findings.report(Code::SharesOverAll, largest.span, message, help);
    }
    rules
}

/// The size of a lane's ring, in KiB: the kernel makes them of whole pages, the largest of which are 64 KiB.
fn ring(section: &Section<'_>, findings: &mut Findings) -> Option<u32> {
    let ring = section.number::<u32>("ring", 64..=65_536, findings)?;
    if ring.value.is_power_of_two() {
        return Some(ring.value);
    }
    let help = format!("write ring = {}", ring.value.next_power_of_two());
    findings.report(Code::NotPowerOfTwo, ring.span, "`ring` must be a power of two, 64 to 65536 (KiB)", help);
    None
}

/// Who counts as known.
pub(super) fn known(root: &Section<'_>, findings: &mut Findings) -> KnownRule {
    let section = root.table("known", &schema::KNOWN, findings);
    let span = section.duration("for", MINUTE..=YEAR, findings);
    let capacity = section.number("capacity", 16..=MOST_ENTRIES, findings);
    KnownRule {
        span: span.map_or(KnownRule::DEFAULT.span, |span| span.value),
        capacity: capacity.map_or(KnownRule::DEFAULT.capacity, |capacity| capacity.value),
    }
}

/// Networks that are neither banned nor limited.
pub(super) fn allow(root: &Section<'_>, findings: &mut Findings) -> Vec<Network> {
    let section = root.table("allow", &schema::ALLOW, findings);
    let networks = section.parsed_list("networks", value::listed_network, findings).unwrap_or_default();
    for network in networks.iter().filter(|network| is_all_of_v4(network.value)) {
        let message = format!("{} is everybody: bans and limits are for nobody then", network.value);
        findings.report(Code::EverybodyAllowed, network.span, message, "name your own networks only, or take it out");
    }
    terms::shadowed(&networks, findings);
    if let Some(extra) = networks.get(ALLOWED_MAX) {
        let message = format!("{} networks are too many", networks.len());
        findings.report(Code::OutOfRange, extra.span, message, format!("keep at most {ALLOWED_MAX}"));
    }
    networks.into_iter().map(|network| network.value).collect()
}

/// Whom the daemon bans, and for how long.
pub(super) fn ban(root: &Section<'_>, limits: &Limits, allow: &[Network], findings: &mut Findings) -> BanRule {
    let section = root.table("ban", &schema::BAN, findings);
    let default = BanRule::default();
    let strikes = section.number::<u32>("strikes", 0..=1000, findings);
    if let Some(strikes) = strikes.filter(|strikes| strikes.value == 1) {
        findings.report(
            Code::OutOfRange,
            strikes.span,
            "nobody is banned for a single mistake",
            "write strikes = 2 or more; or 0, and the daemon bans nobody for them",
        );
    }
    let flood = section.number::<u32>("flood", 0..=1_000_000_000, findings);
    if let Some(flood) = flood.filter(|flood| (1..FLOOD_MIN).contains(&flood.value)) {
        let message = format!("a flood is {FLOOD_MIN} datagrams over the rate, or more");
        let help = "write flood = 1000; or 0, and the daemon bans nobody for floods";
        findings.report(Code::OutOfRange, flood.span, message, help);
    }
    if let Some(flood) = flood.filter(|flood| flood.value > 0 && limits.rate == 0) {
        let message = "there is no rate to be over: no flood earns a ban";
        let help = "write rate = 10 in [limits], or flood = 0 here";
        findings.report(Code::FloodWithoutRate, flood.span, message, help);
    }
    if let (Some(strikes), Some(0)) = (strikes.filter(|strikes| strikes.value == 0), flood.map(|flood| flood.value)) {
        let message = "the daemon bans nobody, whatever they send";
        let help = "write strikes = 5 or flood = 1000";
        findings.report(Code::NoBans, strikes.span, message, help);
    }
    let scope = section.choice("scope", &SCOPE, findings).unwrap_or_default();
    if let (Scope::Host, [], Some(span)) = (scope, allow, section.place("scope")) {
        findings.report(
            Code::HostScope,
            span,
            "a ban shuts a source out of everything, and nobody is exempt",
            "list your own networks: networks = [\"192.0.2.0/24\"] in [allow]; or write scope = \"knock\"",
        );
    }
    BanRule {
        strikes: strikes.map_or(default.strikes, |strikes| strikes.value),
        within: section.duration("within", SECOND..=YEAR, findings).map_or(default.within, |within| within.value),
        steps: steps(&section, findings).unwrap_or(default.steps),
        forget: section.duration("forget", SECOND..=YEAR, findings).map_or(default.forget, |forget| forget.value),
        flood: flood.map_or(default.flood, |flood| flood.value),
        scope,
        capacity: section
            .number("capacity", 16..=MOST_ENTRIES, findings)
            .map_or(default.capacity, |capacity| capacity.value),
    }
}

/// Files of banned networks.
pub(super) fn blacklist(
    root: &Section<'_>,
    folder: &Path,
    files: &dyn KeyFiles,
    findings: &mut Findings,
) -> Vec<PathBuf> {
    let section = root.table("blacklist", &schema::BLACKLIST, findings);
    let lists = section.parsed_list("files", value::path, findings).unwrap_or_default();
    let lists: Vec<_> = lists.into_iter().map(|list| list.with(folder.join(list.value))).collect();
    for list in &lists {
        modes::blacklist(&list.value, list.span, files, findings);
    }
    lists.into_iter().map(|list| list.value).collect()
}

/// How long the bans of one source last, one after the other; nothing if it does not say.
fn steps(section: &Section<'_>, findings: &mut Findings) -> Option<Vec<Duration>> {
    let steps = section.texts("steps", findings)?;
    let span = section.value_place("steps");
    if steps.is_empty() || steps.len() > STEPS_MAX {
        let message = format!("`steps` are 1 to {STEPS_MAX} times");
        findings.report(Code::OutOfRange, span, message, section.example("steps"));
        return None;
    }
    let parsed: Vec<Located<Duration>> =
        steps.into_iter().filter_map(|step| step.parsed(value::duration, findings)).collect();
    for step in parsed.iter().filter(|step| step.value > YEAR) {
        let message = format!("a ban lasts {} at most", value::duration_text(YEAR));
        findings.report(Code::OutOfRange, step.span, message, "for good is what `siglatchctl ban` is for");
    }
    for pair in parsed.windows(2) {
        if let [shorter, longer] = pair
            && longer.value <= shorter.value
        {
            let message = format!("the ban after one of {} is no longer than it", value::duration_text(shorter.value));
            let help = "let each step be longer than the one before: the last one is for all that follow";
            findings.report_with(Code::StepsNotRising, longer.span, message, help, (shorter.span, "this one"));
        }
    }
    Some(parsed.into_iter().map(|step| step.value).collect()).filter(|steps: &Vec<_>| !steps.is_empty())
}

/// A number of places: a power of two, or none if `least` says that there may be none.
fn places(key: &str, least: u32, section: &Section<'_>, findings: &mut Findings) -> Option<u32> {
    let places = section.number::<u32>(key, i64::from(least)..=i64::from(PLACES_MAX), findings)?;
    if places.value == 0 || places.value >= PLACES_MIN && places.value.is_power_of_two() {
        return Some(places.value);
    }
    let above = places.value.next_power_of_two().max(2 * PLACES_MIN);
    let nearest = if places.value <= above / 4 * 3 { above / 2 } else { above };
    let message = format!("`{key}` must be a power of two, {PLACES_MIN} to {PLACES_MAX}");
    let help = format!("write {key} = {nearest}, which is the nearest");
    findings.report(Code::NotPowerOfTwo, places.span, message, help);
    None
}

fn is_all_of_v4(network: Network) -> bool {
    network.is_v4() && network.bits() == V4_PREFIX
}

const SCOPE: [(&str, Scope); 2] = [("knock", Scope::Knock), ("host", Scope::Host)];

/// More than a machine can take: as good as no limit.
const MOST_A_SECOND: i64 = 10_000_000;

/// Entries of 100 bytes or so in kernel memory.
const MOST_ENTRIES: i64 = 4_194_304;

/// What the filter's list has room for.
const ALLOWED_MAX: usize = 1024;

/// Places of 8 bytes: 8 kB at least, 128 MB at most.
const PLACES_MIN: u32 = 1024;
const PLACES_MAX: u32 = 16_777_216;

/// Floods are seen by samples of 64 datagrams.
const FLOOD_MIN: u32 = 100;

const STEPS_MAX: usize = 16;

/// The bits before those of an IPv4 address, as networks count them.
const V4_PREFIX: u8 = 96;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
