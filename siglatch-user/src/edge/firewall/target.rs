//! Decides which set of which table holds a grant, and what is written beside it. Never talks to the kernel.

use std::net::IpAddr;

use nftables::types::NfFamily;
use siglatch_common::address::Address;

use crate::config::{OperatorSets, OwnTable};
use crate::gate::{Grant, GrantKey};
use crate::policy::Door;

use super::FirewallError;

/// Where grants are kept.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) family: Family,
    pub(super) table: String,
    /// Each with its name.
    sets: Vec<(Kind, String)>,
    /// Begins every comment, so that our elements can be told from the operator's; empty in our own table.
    mark: &'static str,
}

/// A family of tables that has sets of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Family {
    Inet,
    Ip,
    Ip6,
}

/// The kinds of sets of grants.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kind {
    /// The addresses in it.
    pub(super) version: Version,
    /// Where the services are.
    pub(super) side: Side,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V4,
    V6,
}

/// Which of the kernel's hooks lets a packet through to a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Side {
    /// To this host itself.
    Input,
    /// To a host behind it.
    Forward,
}

impl Target {
    /// The sets of our own table.
    pub(super) fn own(own: &OwnTable) -> Self {
        let sets = Kind::all_with(&own.protect_forward).map(|kind| (kind, kind.name().to_owned())).collect();
        Self { family: Family::Inet, table: own.name.clone(), sets, mark: "" }
    }

    /// The sets that the operator named.
    pub(super) fn operator(sets: &OperatorSets) -> Result<Self, FirewallError> {
        let family = match sets.family.as_str() {
            "inet" => Family::Inet,
            "ip" => Family::Ip,
            "ip6" => Family::Ip6,
            _ => return Err(FirewallError::Family { family: sets.family.clone() }),
        };
        let named = |kind: Kind| {
            let name = match (kind.side, kind.version) {
                (Side::Input, Version::V4) => &sets.v4,
                (Side::Input, Version::V6) => &sets.v6,
                (Side::Forward, Version::V4) => &sets.forward_v4,
                (Side::Forward, Version::V6) => &sets.forward_v6,
            };
            Some((kind, name.clone()?))
        };
        let sets_named = Kind::ALL.into_iter().filter_map(named).collect();
        Ok(Self { family, table: sets.table.clone(), sets: sets_named, mark: OUR_MARK })
    }

    /// The name of the set that holds such grants, if there is one.
    pub(super) fn set(&self, kind: Kind) -> Option<&str> {
        self.sets().find_map(|(of, set)| (of == kind).then_some(set))
    }

    /// Whether both are sets of one table.
    pub(super) fn is_in_table_of(&self, other: &Self) -> bool {
        (self.family, &self.table) == (other.family, &other.table)
    }

    /// Every set.
    pub(super) fn sets(&self) -> impl Iterator<Item = (Kind, &str)> {
        self.sets.iter().map(|(kind, set)| (*kind, set.as_str()))
    }

    /// What `nft list set` shows beside the grant. Cut to what nftables keeps.
    pub(super) fn comment(&self, label: &str) -> String {
        let mut comment = format!("{}{label}", self.mark);
        comment.truncate(comment.floor_char_boundary(Grant::LABEL_MAX));
        comment
    }

    /// The label of an element that is ours; nothing if it is somebody else's.
    pub(super) fn label(&self, comment: Option<&str>) -> Option<String> {
        comment.unwrap_or_default().strip_prefix(self.mark).map(str::to_owned)
    }

    /// As `nft` takes it: `inet siglatch`.
    pub(super) fn table_name(&self) -> String {
        format!("{} {}", self.family.label(), self.table)
    }
}

impl Family {
    /// NFPROTO_*, `linux/netfilter.h`.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
        }
    }

    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Inet => "inet",
            Self::Ip => "ip",
            Self::Ip6 => "ip6",
        }
    }
}

impl From<Family> for NfFamily {
    fn from(family: Family) -> Self {
        match family {
            Family::Inet => Self::INet,
            Family::Ip => Self::IP,
            Family::Ip6 => Self::IP6,
        }
    }
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [
        Self { version: Version::V4, side: Side::Input },
        Self { version: Version::V6, side: Side::Input },
        Self { version: Version::V4, side: Side::Forward },
        Self { version: Version::V6, side: Side::Forward },
    ];

    /// Those in our own table. A host that has no doors to protect has nothing to do with what it forwards.
    pub(super) fn all_with(doors: &[Door]) -> impl Iterator<Item = Self> {
        let has_doors = !doors.is_empty();
        Self::ALL.into_iter().filter(move |kind| has_doors || kind.side == Side::Input)
    }

    /// Where such a grant belongs.
    pub(super) fn of(key: &GrantKey) -> Self {
        let side = match key.destination {
            None => Side::Input,
            Some(_) => Side::Forward,
        };
        Self { version: Version::of(key.source), side }
    }

    /// The set's name in our own table.
    pub(super) const fn name(self) -> &'static str {
        match (self.side, self.version) {
            (Side::Input, Version::V4) => "grants_v4",
            (Side::Input, Version::V6) => "grants_v6",
            (Side::Forward, Version::V4) => "forward_v4",
            (Side::Forward, Version::V6) => "forward_v6",
        }
    }

    /// The key of the configuration that names the operator's.
    pub(super) const fn setting(self) -> &'static str {
        match (self.side, self.version) {
            (Side::Input, Version::V4) => "set_v4",
            (Side::Input, Version::V6) => "set_v6",
            (Side::Forward, Version::V4) => "set_forward_v4",
            (Side::Forward, Version::V6) => "set_forward_v6",
        }
    }
}

impl Version {
    /// The version of an address.
    pub(super) fn of(address: Address) -> Self {
        match IpAddr::from(address) {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

const OUR_MARK: &str = "siglatch: ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_comments_read_back_and_others_are_not_ours() {
        let target = operator("inet").unwrap();
        assert_eq!(target.comment("alice ssh"), "siglatch: alice ssh");
        assert_eq!(target.label(Some("siglatch: alice ssh")).as_deref(), Some("alice ssh"));
        assert_eq!(target.label(Some("the boss")), None);
        assert_eq!(target.label(None), None);
    }

    #[test]
    fn in_our_own_table_every_element_is_ours() {
        let target = Target::own(&OwnTable::default());
        assert_eq!(target.comment("alice ssh"), "alice ssh");
        assert_eq!(target.label(Some("alice ssh")).as_deref(), Some("alice ssh"));
        assert_eq!(target.label(None).as_deref(), Some(""));
    }

    #[test]
    fn comments_never_exceed_what_nftables_keeps() {
        let target = operator("inet").unwrap();
        assert_eq!(target.comment(&"x".repeat(Grant::LABEL_MAX)).len(), Grant::LABEL_MAX);
    }

    #[test]
    fn each_kind_of_grant_has_the_set_of_its_name() {
        let sets = OperatorSets {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            v4: Some("a".to_owned()),
            v6: Some("b".to_owned()),
            forward_v4: Some("c".to_owned()),
            forward_v6: Some("d".to_owned()),
        };
        let target = Target::operator(&sets).unwrap();
        assert_eq!(Kind::ALL.map(|kind| target.set(kind)), ["a", "b", "c", "d"].map(Some));
        let own = |protect_forward| Target::own(&OwnTable { protect_forward, ..OwnTable::default() });
        assert_eq!(own(Vec::new()).sets().count(), 2);
        let doors = vec!["tcp/22@10.0.0.5".parse().unwrap()];
        assert!(own(doors).sets().eq(Kind::ALL.into_iter().map(|kind| (kind, kind.name()))));
    }

    #[test]
    fn families_without_addresses_are_refused() {
        assert!(operator("ip6").is_ok());
        assert!(matches!(operator("bridge"), Err(FirewallError::Family { .. })));
    }

    fn operator(family: &str) -> Result<Target, FirewallError> {
        Target::operator(&OperatorSets {
            family: family.to_owned(),
            table: "filter".to_owned(),
            v4: Some("knockers".to_owned()),
            ..OperatorSets::default()
        })
    }
}
