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
//! Chain `protected` names no hook: a `forward` chain can jump to it as well.

use std::borrow::Cow;
use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use nftables::batch::Batch;
use nftables::expr::{CT, Elem, Expression, Meta, MetaKey, NamedExpression, Payload, PayloadField};
use nftables::schema::{
    Chain, Element, FlushObject, Map, NfCmd, NfListObject, Nftables, Rule, Set, SetFlag, SetType, SetTypeValue, Table,
};
use nftables::stmt::{Accept, AnonymousCounter, Counter, Drop, JumpTarget, Match, Operator, Statement};
use nftables::types::{NfChainPolicy, NfChainType, NfFamily, NfHook};

use crate::config::OwnTable;
use crate::gate::Grant;
use crate::policy::Service;

use super::elements::service_bytes;
use super::target::{GRANTS_V4, GRANTS_V6, Version};

/// Our own table, as it should be.
#[derive(Clone, Debug)]
pub(super) struct Skeleton {
    table: String,
    priority: i32,
    protect: Vec<Service>,
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
    Standing {
        chains: Vec<String>,
        /// Those that go.
        sets: Vec<String>,
        maps: Vec<String>,
        /// Whose set of grants stays.
        kept: Vec<Version>,
    },
    /// A table that has to go as a whole.
    Unsound,
}

impl Skeleton {
    pub(super) fn new(own: &OwnTable, knock_ports: &[u16]) -> Self {
        let mut protect = own.protect.clone();
        protect.sort_unstable();
        protect.dedup();
        let mut knock_ports = knock_ports.to_vec();
        knock_ports.sort_unstable();
        knock_ports.dedup();
        Self { table: own.name.clone(), priority: own.priority, protect, knock_ports }
    }

    /// The sets besides the grants, with the keys that must be in them, sorted.
    pub(super) fn fixed_sets(&self) -> Vec<(&'static str, Vec<Vec<u8>>)> {
        let mut services: Vec<_> = self.protect.iter().map(|service| service_bytes(*service).to_vec()).collect();
        services.sort_unstable();
        let mut sets = vec![(PROTECTED, services)];
        if !self.knock_ports.is_empty() {
            sets.push((KNOCK_PORTS, self.knock_ports.iter().map(|port| port.to_be_bytes().to_vec()).collect()));
        }
        sets
    }

    /// The commands that turn `ground` into this table, with `live` in each set of grants that is made anew.
    pub(super) fn batch<'a>(&'a self, ground: &'a Ground, live: &'a [Grant]) -> Nftables<'a> {
        let mut batch = Batch::new();
        batch.add(NfListObject::Table(self.table()));
        self.clear(ground, &mut batch);
        let kept: &[Version] = match ground {
            Ground::Standing { kept, .. } => kept,
            Ground::Bare | Ground::Unsound => &[],
        };
        for version in Version::BOTH.into_iter().filter(|version| !kept.contains(version)) {
            self.add_grants(version, live, &mut batch);
        }
        self.add_fixed_sets(&mut batch);
        batch.add(NfListObject::Chain(Chain {
            family: NfFamily::INet,
            table: self.name(),
            name: PROTECTED.into(),
            ..Chain::default()
        }));
        batch.add(NfListObject::Chain(Chain {
            family: NfFamily::INet,
            table: self.name(),
            name: INPUT.into(),
            _type: Some(NfChainType::Filter),
            hook: Some(NfHook::Input),
            prio: Some(self.priority),
            policy: Some(NfChainPolicy::Accept),
            ..Chain::default()
        }));
        self.add_rules(&mut batch);
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

    fn add_grants<'a>(&'a self, version: Version, live: &'a [Grant], batch: &mut Batch<'a>) {
        let (name, address) = match version {
            Version::V4 => (GRANTS_V4, SetType::Ipv4Addr),
            Version::V6 => (GRANTS_V6, SetType::Ipv6Addr),
        };
        batch.add(NfListObject::Set(Box::new(Set {
            set_type: SetTypeValue::Concatenated(vec![address, SetType::InetProto, SetType::InetService].into()),
            flags: Some(HashSet::from([SetFlag::Timeout])),
            ..self.set(name)
        })));
        let elem: Vec<_> = live
            .iter()
            .filter(|grant| !grant.ttl.is_zero() && Version::of(&grant.key) == version)
            .map(granted)
            .collect();
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
        let services: Vec<_> = self.protect.iter().map(|service| concat(service_fields(*service))).collect();
        batch.add(NfListObject::Set(Box::new(Set {
            set_type: SetTypeValue::Concatenated(vec![SetType::InetProto, SetType::InetService].into()),
            elem: (!services.is_empty()).then(|| services.into()),
            ..self.set(PROTECTED)
        })));
        if self.knock_ports.is_empty() {
            return;
        }
        let ports: Vec<_> = self.knock_ports.iter().map(|port| Expression::Number(u32::from(*port))).collect();
        batch.add(NfListObject::Set(Box::new(Set {
            set_type: SetTypeValue::Single(SetType::InetService),
            elem: Some(ports.into()),
            ..self.set(KNOCK_PORTS)
        })));
    }

    fn add_rules<'a>(&'a self, batch: &mut Batch<'a>) {
        let states = ["established", "related"].map(|state| Expression::String(state.into()));
        // `in` asks for one of the flags, `==` for all of them at once.
        let established = Statement::Match(Match {
            left: Expression::Named(NamedExpression::CT(CT { key: "state".into(), family: None, dir: None })),
            right: Expression::List(states.into()),
            op: Operator::IN,
        });
        let local = equal(meta(MetaKey::Iif), Expression::String("lo".into()));
        let accept = || Statement::Accept(Some(Accept {}));
        let from = |family: &'static str, set: &'static str| {
            equal(concat([payload(family, "saddr"), meta(MetaKey::L4proto), payload("th", "dport")]), set_named(set))
        };
        let mut add = |chain: &'static str, expr: Vec<Statement<'static>>| {
            batch.add(NfListObject::Rule(Rule {
                family: NfFamily::INet,
                table: self.name(),
                chain: chain.into(),
                expr: expr.into(),
                ..Rule::default()
            }));
        };

        add(PROTECTED, vec![established, accept()]);
        add(PROTECTED, vec![local, accept()]);
        add(PROTECTED, vec![from("ip", GRANTS_V4), accept()]);
        add(PROTECTED, vec![from("ip6", GRANTS_V6), accept()]);
        let counted = Counter::Anonymous(Some(AnonymousCounter { packets: None, bytes: None }));
        add(PROTECTED, vec![Statement::Counter(counted), Statement::Drop(Some(Drop {}))]);
        if !self.knock_ports.is_empty() {
            let knocks = equal(payload("udp", "dport"), set_named(KNOCK_PORTS));
            add(INPUT, vec![knocks, Statement::Drop(Some(Drop {}))]);
        }
        let services = equal(concat([meta(MetaKey::L4proto), payload("th", "dport")]), set_named(PROTECTED));
        add(INPUT, vec![services, Statement::Jump(JumpTarget { target: PROTECTED.into() })]);
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

/// Whole seconds are all that `nft -j` takes: rounded up.
fn granted(grant: &Grant) -> Expression<'_> {
    let [protocol, port] = service_fields(grant.key.service);
    let address = Expression::String(IpAddr::from(grant.key.source).to_string().into());
    Expression::Named(NamedExpression::Elem(Elem {
        val: Box::new(concat([address, protocol, port])),
        timeout: Some(whole_seconds(grant.ttl)),
        comment: (!grant.label.is_empty()).then(|| grant.label.as_str().into()),
        ..Elem::default()
    }))
}

fn whole_seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_millis().div_ceil(1000)).unwrap_or(u32::MAX).clamp(1, LONGEST_SECONDS)
}

fn service_fields(service: Service) -> [Expression<'static>; 2] {
    [Expression::String(service.protocol.label().into()), Expression::Number(u32::from(service.port))]
}

fn concat<'a, const N: usize>(fields: [Expression<'a>; N]) -> Expression<'a> {
    Expression::Named(NamedExpression::Concat(fields.into()))
}

fn meta(key: MetaKey) -> Expression<'static> {
    Expression::Named(NamedExpression::Meta(Meta { key }))
}

fn payload(protocol: &'static str, field: &'static str) -> Expression<'static> {
    let field = PayloadField { protocol: protocol.into(), field: field.into() };
    Expression::Named(NamedExpression::Payload(Payload::PayloadField(field)))
}

fn set_named(name: &str) -> Expression<'static> {
    Expression::String(format!("@{name}").into())
}

fn equal<'a>(left: Expression<'a>, right: Expression<'a>) -> Statement<'a> {
    Statement::Match(Match { left, right, op: Operator::EQ })
}

const PROTECTED: &str = "protected";
const KNOCK_PORTS: &str = "knock_ports";
const INPUT: &str = "input";

/// Ten years, as for elements; `nft` reads a signed 32-bit number.
const LONGEST_SECONDS: u32 = 10 * 366 * 24 * 3600;

#[cfg(test)]
mod tests {
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
    fn kept_grants_are_neither_deleted_nor_written_again() {
        let ground = Ground::Standing {
            chains: vec!["input".to_owned()],
            sets: vec!["grants_v6".to_owned(), "protected".to_owned()],
            maps: Vec::new(),
            kept: vec![Version::V4],
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

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!(whole_seconds(Duration::from_millis(1)), 1);
        assert_eq!(whole_seconds(Duration::from_millis(1001)), 2);
        assert_eq!(whole_seconds(Duration::MAX), LONGEST_SECONDS);
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
