//! The configuration's `[firewall]`: our own table, or the operator's sets. Never talks to nftables.

use super::finding::{Code, Findings};
use super::section::{Located, Section};
use super::settings::{Firewall, OperatorSets, OwnTable};
use super::{schema, value};
use crate::policy::Service;

/// Where grants go, and the places of the protected services; nothing of the first if a finding says why.
pub(super) fn read(root: &Section<'_>, findings: &mut Findings) -> (Option<Firewall>, Protected) {
    let section = root.table("firewall", &schema::FIREWALL, findings);
    match section.choice("mode", &[("table", Mode::Table), ("sets", Mode::Sets)], findings) {
        Some(Mode::Sets) => (sets(&section, findings), Protected::Unknown),
        Some(Mode::Table) => own_table(&section, findings),
        None if section.place("mode").is_none() => own_table(&section, findings),
        None => (None, Protected::Unknown),
    }
}

/// What is closed unless granted.
pub(super) enum Protected {
    /// These.
    Services(Vec<Located<Service>>),
    /// The operator's rules say.
    Unknown,
}

fn own_table(section: &Section<'_>, findings: &mut Findings) -> (Option<Firewall>, Protected) {
    section.refuse(&["family", "set_v4", "set_v6"], "it belongs to mode = \"sets\"", findings);
    let name = section.parsed("table", value::nft_name, findings).map_or(OwnTable::DEFAULT_NAME, |name| name.value);
    let priority =
        section.number("priority", PRIORITIES, findings).map_or(OwnTable::DEFAULT_PRIORITY, |number| number.value);
    let given = section.place("protect").is_some();
    let Some(protect) = section.parsed_list("protect", value::service, findings).or((!given).then(Vec::new)) else {
        return (None, Protected::Unknown);
    };
    let table = OwnTable {
        name: name.to_owned(),
        priority,
        protect: protect.iter().map(|service| service.value).collect(),
        protect_forward: Vec::new(),
    };
    (Some(Firewall::Table(table)), Protected::Services(protect))
}

fn sets(section: &Section<'_>, findings: &mut Findings) -> Option<Firewall> {
    section.refuse(&["priority", "protect"], "your own rules decide in mode = \"sets\"", findings);
    section.demand("table", "mode = \"sets\" needs the name of your table", findings);
    let family = section.choice("family", &[("inet", "inet"), ("ip", "ip"), ("ip6", "ip6")], findings);
    let family = family.unwrap_or("inet");
    let table = section.parsed("table", value::nft_name, findings);
    let v4 = section.parsed("set_v4", value::nft_name, findings);
    let v6 = section.parsed("set_v6", value::nft_name, findings);
    if family == "ip" {
        section.refuse(&["set_v6"], "a table of family ip holds no IPv6 addresses", findings);
    }
    if family == "ip6" {
        section.refuse(&["set_v4"], "a table of family ip6 holds no IPv4 addresses", findings);
    }
    if section.place("set_v4").is_none() && section.place("set_v6").is_none() {
        let key = if family == "ip6" { "set_v6" } else { "set_v4" };
        section.demand(key, "without a set there is nowhere to put grants", findings);
    }
    if let (Some(v4), Some(v6)) = (v4, v6)
        && v4.value == v6.value
    {
        let message = format!("one set, {}, cannot hold both IPv4 and IPv6 addresses", v6.value);
        findings.report(Code::BadName, v6.span, message, "name another set here");
    }
    Some(Firewall::Sets(OperatorSets {
        family: family.to_owned(),
        table: table?.value.to_owned(),
        v4: v4.map(|set| set.value.to_owned()),
        v6: v6.map(|set| set.value.to_owned()),
        forward_v4: None,
        forward_v6: None,
    }))
}

#[derive(Clone, Copy)]
enum Mode {
    Table,
    Sets,
}

/// Behind connection tracking, which works at -200 (`NF_IP_PRI_CONNTRACK`): the chain must know what is established.
const PRIORITIES: std::ops::RangeInclusive<i64> = -199..=1_000;
