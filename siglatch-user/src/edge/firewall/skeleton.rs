//! Decides what our own table looks like, and the one transaction that makes it so. Never runs `nft`.
//!
//! ```text
//! table inet siglatch {
//!     set grants_v4   { type ipv4_addr . inet_proto . inet_service; flags timeout; }
//!     set grants_v6   { type ipv6_addr . inet_proto . inet_service; flags timeout; }
//!     set protected   { type inet_proto . inet_service; elements = { tcp . 22 } }
//!     set knock_ports { type inet_service; elements = { 62201 } }      # with XDP ingress only
//!     chain protected {
//!         ct state established,related accept
//!         iif "lo" accept
//!         ip saddr . meta l4proto . th dport @grants_v4 accept
//!         ip6 saddr . meta l4proto . th dport @grants_v6 accept
//!         counter drop
//!     }
//!     chain input {
//!         type filter hook input priority filter; policy accept;
//!         udp dport @knock_ports drop                                  # with XDP ingress only
//!         meta l4proto . th dport @protected jump protected
//!     }
//! }
//! ```
//!
//! If services of hosts behind this one are protected, and only then, it goes on like this; what else is forwarded
//! passes untouched:
//!
//! ```text
//!     set forward_v4           { type ipv4_addr . ipv4_addr . inet_proto . inet_service; flags timeout; }
//!     set forward_v6           { type ipv6_addr . ipv6_addr . inet_proto . inet_service; flags timeout; }
//!     set protected_forward_v4 { type ipv4_addr . inet_proto . inet_service; elements = { 10.0.0.5 . tcp . 22 } }
//!     set protected_forward_v6 { type ipv6_addr . inet_proto . inet_service; }
//!     chain protected_forward {
//!         ct state established,related ct direction original accept
//!         meta l4proto udp ct state established,related accept
//!         ip saddr . ip daddr . meta l4proto . th dport @forward_v4 accept
//!         ip6 saddr . ip6 daddr . meta l4proto . th dport @forward_v6 accept
//!         counter drop
//!     }
//!     chain forward {
//!         type filter hook forward priority filter; policy accept;
//!         ip daddr . meta l4proto . th dport @protected_forward_v4 jump protected_forward
//!         ip6 daddr . meta l4proto . th dport @protected_forward_v6 jump protected_forward
//!     }
//! ```
//!
//! If ports of this host lead to hosts behind it, there is this for each, and such ports are `protected`: whoever is granted
//! one is led on, whoever is not gets here and is dropped. If there are protected doors too, what was led there is let
//! through to them.
//!
//! ```text
//!     chain prerouting {
//!         type nat hook prerouting priority dstnat; policy accept;
//!         tcp dport 2222 ip saddr . meta l4proto . tcp dport @grants_v4 fib daddr type local dnat ip to 10.0.0.5:22
//!     }
//!     chain protected_forward {
//!         …
//!         meta l4proto tcp ct status dnat ip saddr . meta l4proto . ct original proto-dst @grants_v4 accept
//!         counter drop
//!     }
//! ```
//!
//! A connection that was cut (`edge/conntrack.rs`) is forgotten, and one that the service goes on with counts as begun
//! by it: hence the direction. UDP services speak to their clients by themselves, and have to hear the answers.
//!
//! Connection tracking puts fragments together before either hook, so that every packet there has its ports. It has
//! also done what DNAT asks for: the destination is the host itself, not the address that the outside knows it by.

use std::borrow::Cow;
use std::collections::HashSet;

use nftables::batch::Batch;
use nftables::expr::{CT, CTDir, Expression, Fib, FibFlag, FibResult, MetaKey, NamedExpression};
use nftables::schema::{
    Chain, Element, FlushObject, Map, NfCmd, NfListObject, Nftables, Rule, Set, SetFlag, SetType, SetTypeValue, Table,
};
use nftables::stmt::{Match, NAT, NATFamily, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::config::OwnTable;
use crate::gate::Grant;
use crate::policy::{Door, PortForward, Protocol, Service};

use super::elements::{door_bytes, service_bytes};
use super::inventory::Base;
use super::phrases::{
    accept, address, address_type, begun_outside, concat, counted, drop_it, equal, established, granted, jump, meta,
    of_protocol, payload, service_fields, set_named, tracked,
};
use super::target::{Kind, Side, Version};

/// Our own table, as it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Skeleton {
    table: String,
    priority: i32,
    protect: Vec<Service>,
    /// Empty: what is forwarded is none of its business.
    doors: Vec<Door>,
    /// Empty: no port of this host leads elsewhere.
    forwarded: Vec<PortForward>,
    /// Empty: nothing is dropped on their behalf.
    knock_ports: Vec<u16>,
}

/// What of the table is there.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Ground {
    /// Nothing.
    #[default]
    Bare,
    /// A table whose grants stay where they are.
    ///
    /// A chain that is as it should be stays and gets other rules, all at once: between one that goes and one that comes
    /// in its place a packet could find both empty.
    Standing {
        /// Those that go, of all that follow.
        chains: Vec<String>,
        sets: Vec<String>,
        maps: Vec<String>,
        /// Whose set of grants stays.
        kept: Vec<Kind>,
    },
    /// A table that has to go as a whole.
    Unsound,
}

/// Where packets are met.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Hook {
    /// Before it is known where they go.
    Prerouting,
    /// On their way to this host.
    Input,
    /// On their way to a host behind it.
    Forward,
}

impl Skeleton {
    pub(super) fn new(own: &OwnTable, knock_ports: &[u16]) -> Self {
        Self {
            table: own.name.clone(),
            priority: own.priority,
            // What leads elsewhere is closed like this host's own services: whoever is granted it does not get here.
            protect: sorted(&[own.protect.as_slice(), &services_of(&own.dnat)].concat()),
            doors: sorted(&own.protect_forward),
            forwarded: sorted(&own.dnat),
            knock_ports: sorted(knock_ports),
        }
    }

    /// Whether it has such a chain.
    pub(super) fn has_chain(&self, name: &str, base: Option<&Base>) -> bool {
        let wanted = self.chains().into_iter().find_map(|(of, hook)| (of == name).then_some(hook));
        wanted.is_some_and(|hook| hook.map(|hook| self.base(hook)).as_ref() == base)
    }

    /// Whether what is in the fixed sets is all that sets it apart from another.
    pub(super) fn has_sets_of(&self, other: &Self) -> bool {
        let Self { table, priority, protect: _, doors, forwarded, knock_ports } = self;
        (table, *priority, forwarded) == (&other.table, other.priority, &other.forwarded)
            && doors.is_empty() == other.doors.is_empty()
            && knock_ports.is_empty() == other.knock_ports.is_empty()
    }

    /// The sets besides the grants, with the keys that must be in them, sorted.
    pub(super) fn fixed_sets(&self) -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let mut services: Vec<_> = self.protect.iter().map(|service| service_bytes(*service).to_vec()).collect();
        services.sort_unstable();
        let mut sets = vec![(PROTECTED, services)];
        if !self.knock_ports.is_empty() {
            sets.push((KNOCK_PORTS, self.knock_ports.iter().map(|port| port.to_be_bytes().to_vec()).collect()));
        }
        for (version, name) in self.door_sets() {
            let mut doors: Vec<_> = self.doors_of(version).map(door_bytes).collect();
            doors.sort_unstable();
            sets.push((name, doors));
        }
        sets
    }

    /// The commands that turn `ground` into this table, with `live` in each set of grants that is made anew.
    pub(super) fn batch<'a>(&'a self, ground: &'a Ground, live: &'a [Grant]) -> Nftables<'a> {
        let mut batch = Batch::new();
        batch.add(NfListObject::Table(self.table()));
        self.clear(ground, &mut batch);
        let kept: &[Kind] = match ground {
            Ground::Standing { kept, .. } => kept,
            Ground::Bare | Ground::Unsound => &[],
        };
        for kind in Kind::all_with(&self.doors).filter(|kind| !kept.contains(kind)) {
            self.add_grants(kind, live, &mut batch);
        }
        self.add_fixed_sets(&mut batch);
        self.add_chains(&mut batch);
        self.add_rules(&mut batch);
        batch.to_nftables()
    }

    /// The commands that leave nothing of it.
    pub(super) fn removal(&self) -> Nftables<'_> {
        let mut batch = Batch::new();
        batch.delete(NfListObject::Table(self.table()));
        batch.to_nftables()
    }

    /// Rules first, then maps, which may name chains, then what nothing refers to any more.
    fn clear<'a>(&'a self, ground: &'a Ground, batch: &mut Batch<'a>) {
        match ground {
            Ground::Bare => {}
            Ground::Unsound => {
                batch.delete(NfListObject::Table(self.table()));
                batch.add(NfListObject::Table(self.table()));
            }
            Ground::Standing { chains, sets, maps, kept: _ } => {
                batch.add_cmd(NfCmd::Flush(FlushObject::Table(self.table())));
                for name in maps {
                    batch.delete(NfListObject::Map(Box::new(Map {
                        family: NfFamily::INet,
                        table: self.name(),
                        name: name.into(),
                        ..Map::default()
                    })));
                }
                for name in sets {
                    batch.delete(NfListObject::Set(Box::new(self.set(name))));
                }
                for name in chains {
                    batch.delete(NfListObject::Chain(Chain {
                        family: NfFamily::INet,
                        table: self.name(),
                        name: name.into(),
                        ..Chain::default()
                    }));
                }
            }
        }
    }

    fn add_grants<'a>(&'a self, kind: Kind, live: &'a [Grant], batch: &mut Batch<'a>) {
        let name = kind.name();
        let addresses = match kind.side {
            Side::Input => 1,
            Side::Forward => 2,
        };
        let mut fields = vec![address_type(kind.version); addresses];
        fields.extend([SetType::InetProto, SetType::InetService]);
        batch.add(NfListObject::Set(Box::new(Set {
            set_type: SetTypeValue::Concatenated(fields.into()),
            flags: Some(HashSet::from([SetFlag::Timeout])),
            ..self.set(name)
        })));
        let elem: Vec<_> =
            live.iter().filter(|grant| !grant.ttl.is_zero() && Kind::of(&grant.key) == kind).map(granted).collect();
        if !elem.is_empty() {
            batch.add(NfListObject::Element(Element {
                family: NfFamily::INet,
                table: self.name(),
                name: name.into(),
                elem: elem.into(),
            }));
        }
    }

    fn add_fixed_sets<'a>(&'a self, batch: &mut Batch<'a>) {
        let mut add = |name, fields: Vec<SetType>, elements: Vec<Expression<'a>>| {
            let set_type = match fields.as_slice() {
                [single] => SetTypeValue::Single(*single),
                _ => SetTypeValue::Concatenated(fields.into()),
            };
            let elem = (!elements.is_empty()).then(|| elements.into());
            batch.add(NfListObject::Set(Box::new(Set { set_type, elem, ..self.set(name) })));
        };
        let service = [SetType::InetProto, SetType::InetService];
        let services = self.protect.iter().map(|service| concat(service_fields(*service)));
        add(PROTECTED, service.to_vec(), services.collect());
        if !self.knock_ports.is_empty() {
            let ports = self.knock_ports.iter().map(|port| Expression::Number(u32::from(*port)));
            add(KNOCK_PORTS, vec![SetType::InetService], ports.collect());
        }
        for (version, name) in self.door_sets() {
            let fields = [&[address_type(version)][..], &service].concat();
            let door = |door: Door| {
                let [protocol, port] = service_fields(door.service);
                concat([address(door.destination), protocol, port])
            };
            add(name, fields, self.doors_of(version).map(door).collect());
        }
    }

    /// What is closed of hosts behind this one: none of these sets if nothing is.
    fn door_sets(&self) -> impl Iterator<Item = (Version, &'static str)> {
        let has_doors = !self.doors.is_empty();
        [(Version::V4, DOORS_V4), (Version::V6, DOORS_V6)].into_iter().filter(move |_| has_doors)
    }

    fn doors_of(&self, version: Version) -> impl Iterator<Item = Door> {
        self.doors.iter().copied().filter(move |door| Version::of(door.destination) == version)
    }

    /// Every chain, and where those are that meet packets.
    fn chains(&self) -> Vec<(&'static str, Option<Hook>)> {
        let mut chains = vec![(PROTECTED, None), (INPUT, Some(Hook::Input))];
        if !self.doors.is_empty() {
            chains.extend([(PROTECTED_FORWARD, None), (FORWARD, Some(Hook::Forward))]);
        }
        if !self.forwarded.is_empty() {
            chains.push((PREROUTING, Some(Hook::Prerouting)));
        }
        chains
    }

    /// As the kernel tells it.
    fn base(&self, hook: Hook) -> Base {
        let kind = if hook.chain_type() == NfChainType::NAT { "nat" } else { "filter" };
        Base { kind: kind.to_owned(), hook: hook.number(), priority: self.priority_at(hook), policy: ACCEPT }
    }

    const fn priority_at(&self, hook: Hook) -> i32 {
        match hook {
            Hook::Input | Hook::Forward => self.priority,
            Hook::Prerouting => DNAT_PRIORITY,
        }
    }

    fn add_chains<'a>(&'a self, batch: &mut Batch<'a>) {
        for (name, hook) in self.chains() {
            batch.add(NfListObject::Chain(Chain {
                family: NfFamily::INet,
                table: self.name(),
                name: name.into(),
                _type: hook.map(Hook::chain_type),
                hook: hook.map(NfHook::from),
                prio: hook.map(|hook| self.priority_at(hook)),
                policy: hook.map(|_| NfChainPolicy::Accept),
                ..Chain::default()
            }));
        }
    }

    fn add_rules<'a>(&'a self, batch: &mut Batch<'a>) {
        let mut add = |chain: &'static str, expr: Vec<Statement<'static>>| {
            batch.add(NfListObject::Rule(Rule {
                family: NfFamily::INet,
                table: self.name(),
                chain: chain.into(),
                expr: expr.into(),
                ..Rule::default()
            }));
        };
        let (ip, ip6) = ("ip", "ip6");
        let service = || [meta(MetaKey::L4proto), payload("th", "dport")];

        let granted = |family, set| {
            let [protocol, port] = service();
            equal(concat([payload(family, "saddr"), protocol, port]), set_named(set))
        };
        let local = equal(meta(MetaKey::Iif), Expression::String("lo".into()));
        add(PROTECTED, vec![established(), accept()]);
        add(PROTECTED, vec![local, accept()]);
        add(PROTECTED, vec![granted(ip, GRANTS_V4), accept()]);
        add(PROTECTED, vec![granted(ip6, GRANTS_V6), accept()]);
        add(PROTECTED, vec![counted(), drop_it()]);
        if !self.knock_ports.is_empty() {
            add(INPUT, vec![equal(payload("udp", "dport"), set_named(KNOCK_PORTS)), drop_it()]);
        }
        add(INPUT, vec![equal(concat(service()), set_named(PROTECTED)), jump(PROTECTED)]);

        for PortForward { service, host, port } in &self.forwarded {
            let (family, set, to_family) = match Version::of(*host) {
                Version::V4 => (ip, GRANTS_V4, NATFamily::IP),
                Version::V6 => (ip6, GRANTS_V6, NATFamily::IP6),
            };
            let dport = payload(service.protocol.label(), "dport");
            let to = NAT {
                addr: Some(address(*host)),
                family: Some(to_family),
                port: Some(Expression::Number(u32::from(*port))),
                flags: None,
            };
            let here = Fib { result: FibResult::Type, flags: HashSet::from([FibFlag::Daddr]) };
            let here = equal(Expression::Named(NamedExpression::Fib(here)), Expression::String("local".into()));
            let asked = equal(dport, Expression::Number(u32::from(service.port)));
            add(PREROUTING, vec![asked, granted(family, set), here, Statement::DNAT(Some(to))]);
        }

        if self.doors.is_empty() {
            return;
        }
        let translated = |protocol: Protocol, version| {
            let (family, set) = match version {
                Version::V4 => (ip, GRANTS_V4),
                Version::V6 => (ip6, GRANTS_V6),
            };
            let port = NamedExpression::CT(CT { key: "proto-dst".into(), family: None, dir: Some(CTDir::Original) });
            let fields = [payload(family, "saddr"), meta(MetaKey::L4proto), Expression::Named(port)];
            let dnat = Expression::String("dnat".into());
            let is_dnat = Statement::Match(Match { left: tracked("status"), right: dnat, op: Operator::IN });
            // `nft` has to know the protocol to know what a port is.
            vec![of_protocol(protocol), is_dnat, equal(concat(fields), set_named(set)), accept()]
        };
        let granted = |family, set| {
            let [protocol, port] = service();
            let (source, destination) = (payload(family, "saddr"), payload(family, "daddr"));
            equal(concat([source, destination, protocol, port]), set_named(set))
        };
        let door = |family, set| {
            let [protocol, port] = service();
            equal(concat([payload(family, "daddr"), protocol, port]), set_named(set))
        };
        add(PROTECTED_FORWARD, vec![established(), begun_outside(), accept()]);
        add(PROTECTED_FORWARD, vec![of_protocol(Protocol::Udp), established(), accept()]);
        add(PROTECTED_FORWARD, vec![granted(ip, FORWARD_V4), accept()]);
        add(PROTECTED_FORWARD, vec![granted(ip6, FORWARD_V6), accept()]);
        let led = |forward: &PortForward| (forward.service.protocol, Version::of(forward.host));
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            for version in [Version::V4, Version::V6] {
                if self.forwarded.iter().map(led).any(|led| led == (protocol, version)) {
                    add(PROTECTED_FORWARD, translated(protocol, version));
                }
            }
        }
        add(PROTECTED_FORWARD, vec![counted(), drop_it()]);
        add(FORWARD, vec![door(ip, DOORS_V4), jump(PROTECTED_FORWARD)]);
        add(FORWARD, vec![door(ip6, DOORS_V6), jump(PROTECTED_FORWARD)]);
    }

    fn name(&self) -> Cow<'_, str> {
        self.table.as_str().into()
    }

    fn table(&self) -> Table<'_> {
        Table { family: NfFamily::INet, name: self.name(), handle: None }
    }

    fn set<'a>(&'a self, name: &'a str) -> Set<'a> {
        Set { family: NfFamily::INet, table: self.name(), name: name.into(), ..Set::default() }
    }
}

impl Hook {
    /// `enum nf_inet_hooks`, `linux/netfilter.h`.
    const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
        }
    }

    const fn chain_type(self) -> NfChainType {
        match self {
            Self::Prerouting => NfChainType::NAT,
            Self::Input | Self::Forward => NfChainType::Filter,
        }
    }
}

impl From<Hook> for NfHook {
    fn from(hook: Hook) -> Self {
        match hook {
            Hook::Prerouting => Self::Prerouting,
            Hook::Input => Self::Input,
            Hook::Forward => Self::Forward,
        }
    }
}

fn services_of(forwarded: &[PortForward]) -> Vec<Service> {
    forwarded.iter().map(|forward| forward.service).collect()
}

fn sorted<T: Clone + Ord>(unsorted: &[T]) -> Vec<T> {
    let mut sorted = unsorted.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    sorted
}

const PROTECTED: &str = "protected";
const KNOCK_PORTS: &str = "knock_ports";
const INPUT: &str = "input";
const PROTECTED_FORWARD: &str = "protected_forward";
const DOORS_V4: &str = "protected_forward_v4";
const DOORS_V6: &str = "protected_forward_v6";
const FORWARD: &str = "forward";

const GRANTS_V4: &str = Kind { version: Version::V4, side: Side::Input }.name();
const GRANTS_V6: &str = Kind { version: Version::V6, side: Side::Input }.name();
const FORWARD_V4: &str = Kind { version: Version::V4, side: Side::Forward }.name();
const FORWARD_V6: &str = Kind { version: Version::V6, side: Side::Forward }.name();

const PREROUTING: &str = "prerouting";

/// NF_IP_PRI_NAT_DST, `linux/netfilter_ipv4.h`: behind connection tracking, before it is decided where packets go.
const DNAT_PRIORITY: i32 = -100;

/// NF_ACCEPT, `linux/netfilter.h`.
const ACCEPT: u32 = 1;

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use std::time::Duration;

    use super::*;

    #[test]
    fn the_protected_chain_drops_last_and_the_input_chain_accepts() {
        let text = text(&skeleton(&[62201]), &Ground::Bare, &[]);
        let rules: Vec<_> = text.lines().filter(|line| line.contains("\"rule\"")).collect();
        assert_eq!(rules.len(), 7, "{text}");
        assert!(rules[4].contains("\"protected\"") && rules[4].ends_with("{\"drop\":{}}]}}}"), "{}", rules[4]);
        assert!(rules[5].contains("@knock_ports") && rules[5].contains("\"drop\""), "{}", rules[5]);
        assert!(text.contains("\"hook\":\"input\",\"prio\":-10,\"policy\":\"accept\""), "{text}");
    }

    #[test]
    fn without_knock_ports_nothing_is_dropped_for_them() {
        assert!(!text(&skeleton(&[]), &Ground::Bare, &[]).contains("knock_ports"));
    }

    #[test]
    fn a_host_that_protects_none_behind_it_has_nothing_to_do_with_what_it_forwards() {
        assert!(!text(&skeleton(&[]), &Ground::Bare, &[]).contains("forward"));
        let own = OwnTable { protect_forward: vec!["udp/53@2001:db8::5".parse().unwrap()], ..OwnTable::default() };
        let skeleton = Skeleton::new(&own, &[]);
        let text = text(&skeleton, &Ground::Bare, &[]);
        assert!(text.contains("\"hook\":\"forward\",\"prio\":-10,\"policy\":\"accept\""), "{text}");
        let sets: Vec<_> = skeleton.fixed_sets().into_iter().map(|(name, keys)| (name, keys.len())).collect();
        assert_eq!(sets, [("protected", 0), ("protected_forward_v4", 0), ("protected_forward_v6", 1)]);
    }

    #[test]
    fn kept_grants_are_neither_deleted_nor_written_again() {
        let ground = Ground::Standing {
            chains: vec!["input".to_owned()],
            sets: vec!["grants_v6".to_owned(), "protected".to_owned()],
            maps: Vec::new(),
            kept: vec![Kind { version: Version::V4, side: Side::Input }],
        };
        let live = [grant("192.0.2.7"), grant("2001:db8::7")];
        let text = text(&skeleton(&[]), &ground, &live);
        assert!(!text.contains("192.0.2.7") && text.contains("2001:db8::7"), "{text}");
        assert!(!text.lines().any(|line| line.contains("delete") && line.contains("grants_v4")), "{text}");
        assert!(text.lines().any(|line| line.contains("delete") && line.contains("grants_v6")), "{text}");
        let flush = text.lines().position(|line| line.contains("flush")).unwrap();
        let delete = text.lines().position(|line| line.contains("delete")).unwrap();
        assert!(flush < delete, "{text}");
    }

    /// One command a line.
    fn text(skeleton: &Skeleton, ground: &Ground, live: &[Grant]) -> String {
        let batch = skeleton.batch(ground, live);
        let line = |object| serde_json::to_string(object).unwrap();
        batch.objects.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    fn skeleton(knock_ports: &[u16]) -> Skeleton {
        let own = OwnTable { protect: vec!["tcp/22".parse().unwrap()], ..OwnTable::default() };
        Skeleton::new(&own, knock_ports)
    }

    fn grant(source: &str) -> Grant {
        Grant {
            key: crate::gate::GrantKey {
                destination: None,
                source: source.parse::<IpAddr>().unwrap().into(),
                service: "tcp/22".parse().unwrap(),
            },
            ttl: Duration::from_secs(60),
            label: "alice ssh".to_owned(),
        }
    }
}
