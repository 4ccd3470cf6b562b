//! Decides which set of which table holds a grant, and what is written beside it. Never talks to the kernel.

use std::net::IpAddr;

use nftables::types::NfFamily;

use crate::config::{OperatorSets, OwnTable};
use crate::gate::{Grant, GrantKey};

use super::FirewallError;

/// Where grants are kept.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) family: Family,
    pub(super) table: String,
    v4: Option<String>,
    v6: Option<String>,
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

/// The two kinds of sets, by the addresses in them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Version {
    V4,
    V6,
}

impl Target {
    /// The sets of our own table.
    pub(super) fn own(own: &OwnTable) -> Self {
        Self {
            family: Family::Inet,
            table: own.name.clone(),
            v4: Some(GRANTS_V4.to_owned()),
            v6: Some(GRANTS_V6.to_owned()),
            mark: "",
        }
    }

    /// The sets that the operator named.
    pub(super) fn operator(sets: &OperatorSets) -> Result<Self, FirewallError> {
        let family = match sets.family.as_str() {
            "inet" => Family::Inet,
            "ip" => Family::Ip,
            "ip6" => Family::Ip6,
            _ => return Err(FirewallError::Family { family: sets.family.clone() }),
        };
        Ok(Self { family, table: sets.table.clone(), v4: sets.v4.clone(), v6: sets.v6.clone(), mark: OUR_MARK })
    }

    /// The name of the set that holds such addresses, if there is one.
    pub(super) fn set(&self, version: Version) -> Option<&str> {
        match version {
            Version::V4 => self.v4.as_deref(),
            Version::V6 => self.v6.as_deref(),
        }
    }

    /// Every set.
    pub(super) fn sets(&self) -> impl Iterator<Item = (Version, &str)> {
        Version::BOTH.into_iter().filter_map(|version| Some((version, self.set(version)?)))
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

impl Version {
    pub(super) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The version of the grant's address.
    pub(super) fn of(key: &GrantKey) -> Self {
        match IpAddr::from(key.source) {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// The sets of grants in our own table.
pub(super) const GRANTS_V4: &str = "grants_v4";
pub(super) const GRANTS_V6: &str = "grants_v6";

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
