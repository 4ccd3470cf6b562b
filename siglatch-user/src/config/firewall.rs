//! The configuration's `[firewall]`: our own table, or the operator's sets. Never talks to nftables.

use super::finding::{Code, Findings};
use super::section::{Located, Section};
use super::settings::{Firewall, OperatorSets, OwnTable};
use super::{schema, value};
use crate::policy::{Door, PortForward, Service};

/// Where grants go, and the places of what is closed unless granted; nothing of the first if a finding says why.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> (Option<Firewall>, Protected) {
    let section = root.table("firewall", &schema::FIREWALL, findings);
    match section.choice("mode", &[("table", Mode::Table), ("sets", Mode::Sets)], findings) {
        Some(Mode::Sets) => sets(&section, findings),
        Some(Mode::Table) => own_table(&section, findings),
        None if section.place("mode").is_none() => own_table(&section, findings),
        None => (None, Protected::Unknown),
    }
}

/// What is closed unless granted.
pub(super) enum Protected {
    /// These services of this host, and of hosts behind it; and ports of this host that lead to hosts behind it.
    Services { here: Vec<Located<Service>>, behind: Vec<Located<Door>>, forwarded: Vec<Located<PortForward>> },
    /// The operator's rules say; there are sets for these.
    Sets(Places),
    /// A finding says why that cannot be told.
    Unknown,
}

/// Which grants the operator's sets have a place for.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub(super) here: bool,
    pub(super) behind_v4: bool,
    pub(super) behind_v6: bool,
}

fn own_table(section: &Section<'_>, findings: &mut Findings) -> (Option<Firewall>, Protected) {
    section.refuse(&["family"], "it belongs to mode = \"sets\"", findings);
    section.refuse(&SETS, "it belongs to mode = \"sets\"", findings);
    let name = section.parsed("table", value::nft_name, findings).map_or(OwnTable::DEFAULT_NAME, |name| name.value);
    let priority = section.number("priority", PRIORITIES, findings);
    let lacks = |key: &str| section.place(key).is_none();
    let here = section.parsed_list("protect", value::service, findings).or(lacks("protect").then(Vec::new));
    let behind = section.parsed_list("protect_forward", value::door, findings);
    let forwarded = section.parsed_list("dnat", value::port_forward, findings).or(lacks("dnat").then(Vec::new));
    let behind = behind.or(lacks("protect_forward").then(Vec::new));
    let (Some(here), Some(behind), Some(forwarded)) = (here, behind, forwarded) else {
        return (None, Protected::Unknown);
    };
    clashes(&here, &forwarded, findings);
    let table = OwnTable {
        name: name.to_owned(),
        priority: priority.map_or(OwnTable::DEFAULT_PRIORITY, |number| number.value),
        protect: here.iter().map(|service| service.value).collect(),
        protect_forward: behind.iter().map(|door| door.value).collect(),
        dnat: forwarded.iter().map(|forward| forward.value).collect(),
    };
    (Some(Firewall::Table(table)), Protected::Services { here, behind, forwarded })
}

/// A port leads to one host of each IP version, or to a service of this host.
fn clashes(here: &[Located<Service>], forwarded: &[Located<PortForward>], findings: &mut Findings) {
    for (place, forward) in forwarded.iter().enumerate() {
        let PortForward { service, host, .. } = forward.value;
        if let Some(own) = here.iter().find(|own| own.value == service) {
            let message = format!("{service} leads to {host}: a service of this host there would not be reached");
            let help = format!("take {service} out of `protect`: it is closed all the same; or use another port here");
            findings.report_with(Code::PortClash, forward.span, message, help, (own.span, "as this host's own"));
        }
        let same = |first: &&Located<PortForward>| {
            first.value.service == service && first.value.host.is_v4() == host.is_v4() && first.value != forward.value
        };
        if let Some(first) = forwarded.iter().take(place).find(same) {
            let message = format!("{service} leads to two hosts of one IP version");
            let help = "use another port of this host for one of them";
            findings.report_with(Code::PortClash, forward.span, message, help, (first.span, "the other"));
        }
    }
}

fn sets(section: &Section<'_>, findings: &mut Findings) -> (Option<Firewall>, Protected) {
    section.refuse(
        &["priority", "protect", "protect_forward", "dnat"],
        "your own rules decide in mode = \"sets\"",
        findings,
    );
    section.demand("table", "mode = \"sets\" needs the name of your table", findings);
    let family = section.choice("family", &[("inet", "inet"), ("ip", "ip"), ("ip6", "ip6")], findings);
    let family = family.unwrap_or("inet");
    if family == "ip" {
        section.refuse(&["set_v6", "set_forward_v6"], "a table of family ip holds no IPv6 addresses", findings);
    }
    if family == "ip6" {
        section.refuse(&["set_v4", "set_forward_v4"], "a table of family ip6 holds no IPv4 addresses", findings);
    }
    if SETS.iter().all(|key| section.place(key).is_none()) {
        let key = if family == "ip6" { "set_v6" } else { "set_v4" };
        section.demand(key, "without a set there is nowhere to put grants", findings);
    }
    let table = section.parsed("table", value::nft_name, findings);
    let named = SETS.map(|key| section.parsed(key, value::nft_name, findings));
    for (place, set) in named.iter().enumerate() {
        let Some(set) = set else { continue };
        if let Some(first) = named.iter().take(place).flatten().find(|first| first.value == set.value) {
            let message = format!("one set, {}, cannot hold addresses of two kinds", set.value);
            let help = "name another set here";
            findings.report_with(Code::BadName, set.span, message, help, (first.span, "its other use"));
        }
    }
    let [has_v4, has_v6, behind_v4, behind_v6] = SETS.map(|key| section.place(key).is_some());
    let places = Places { here: has_v4 || has_v6, behind_v4, behind_v6 };
    let [v4, v6, forward_v4, forward_v6] = named.map(|set| set.map(|set| set.value.to_owned()));
    let firewall = table.map(|table| {
        let (family, table) = (family.to_owned(), table.value.to_owned());
        Firewall::Sets(OperatorSets { family, table, v4, v6, forward_v4, forward_v6 })
    });
    let no_set = SETS.iter().all(|key| section.place(key).is_none());
    (firewall, if no_set { Protected::Unknown } else { Protected::Sets(places) })
}

#[derive(Clone, Copy)]
enum Mode {
    Table,
    Sets,
}

/// The keys that name sets.
const SETS: [&str; 4] = ["set_v4", "set_v6", "set_forward_v4", "set_forward_v6"];

/// Behind connection tracking, which works at -200 (`NF_IP_PRI_CONNTRACK`): the chain must know what is established.
const PRIORITIES: std::ops::RangeInclusive<i64> = -199..=1_000;
