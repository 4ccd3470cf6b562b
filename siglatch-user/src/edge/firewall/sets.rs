//! Decides whether a set can hold grants, and which commands make one that can. Never creates a set.

use netlink_bindings::nftables::IterableSetAttrs;

use super::FirewallError;
use super::target::{Kind, Side, Target, Version};

/// What the kernel says of a set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Shape {
    /// nft's own number for the type of the key.
    pub(super) key_type: u32,
    /// In bytes.
    pub(super) key_len: u32,
    /// `enum nft_set_flags`, `linux/netfilter/nf_tables.h`.
    pub(super) flags: u32,
    /// Whether elements without a timeout of their own get one.
    pub(super) timeout: bool,
    /// Whether the number of elements is limited.
    pub(super) size: bool,
}

impl Shape {
    pub(super) fn read(set: &IterableSetAttrs<'_>) -> Self {
        Self {
            key_type: set.get_key_type().unwrap_or(0),
            key_len: set.get_key_len().unwrap_or(0),
            flags: set.get_flags().unwrap_or(0),
            timeout: set.get_timeout().is_ok_and(|millis| millis != 0),
            size: set.get_desc().is_ok_and(|desc| desc.get_size().is_ok_and(|size| size != 0)),
        }
    }

    /// Whether it is exactly the set that our own table has.
    pub(super) fn is_ours(&self, kind: Kind) -> bool {
        self.is_of(kind) && self.flags == TIMEOUT && !self.timeout && !self.size
    }

    /// Whether it is a map.
    pub(super) fn is_map(&self) -> bool {
        self.flags & MAP != 0
    }

    /// Whether it belongs to one rule, and goes with it.
    pub(super) fn is_anonymous(&self) -> bool {
        self.flags & ANONYMOUS != 0
    }

    fn is_of(&self, kind: Kind) -> bool {
        self.key_type == key_type(kind) && self.key_len as usize == super::elements::key_len(kind)
    }

    fn flaw(&self, kind: Kind) -> Option<String> {
        if !self.is_of(kind) {
            return Some(format!("its type is not `{}`", type_text(kind)));
        }
        if self.flags & TIMEOUT == 0 {
            return Some("it has no `flags timeout`, so grants would never end".to_owned());
        }
        if self.flags & (CONSTANT | MAP | OBJECT) != 0 {
            return Some("it is a map or constant".to_owned());
        }
        None
    }
}

/// Checks a set that the operator made; `shape` is nothing if it is missing.
///
/// # Errors
/// [`FirewallError::SetMissing`] and [`FirewallError::SetUnfit`], with the commands that make a fitting set.
pub(super) fn check(
    target: &Target,
    set: &str,
    kind: Kind,
    shape: Option<Shape>,
    table_exists: bool,
) -> Result<(), FirewallError> {
    let table = target.table_name();
    let set = set.to_owned();
    let add = format!("nft add set {table} {set} '{{ type {}; flags timeout; }}'", type_text(kind));
    let Some(shape) = shape else {
        let cure = if table_exists { add } else { format!("nft add table {table} && {add}") };
        return Err(FirewallError::SetMissing { table, set, cure });
    };
    match shape.flaw(kind) {
        Some(flaw) => {
            let cure = format!("nft delete set {table} {set} && {add}");
            Err(FirewallError::SetUnfit { table, set, flaw, cure })
        }
        None => Ok(()),
    }
}

/// As `nft` takes it.
fn type_text(kind: Kind) -> String {
    fields(kind).map(|(name, _)| name).collect::<Vec<_>>().join(" . ")
}

/// Six bits for each field: `TYPE_BITS`, nftables `datatype.h`.
fn key_type(kind: Kind) -> u32 {
    fields(kind).fold(0, |number, (_, field)| number << 6 | field)
}

/// Name and number of each field: `enum datatypes`, nftables `datatype.h`.
fn fields(kind: Kind) -> impl Iterator<Item = (&'static str, u32)> {
    let address = match kind.version {
        Version::V4 => ("ipv4_addr", 7),
        Version::V6 => ("ipv6_addr", 8),
    };
    let destination = match kind.side {
        Side::Input => None,
        Side::Forward => Some(address),
    };
    std::iter::once(address).chain(destination).chain([("inet_proto", 12), ("inet_service", 13)])
}

const ANONYMOUS: u32 = 0x1;
const CONSTANT: u32 = 0x2;
const MAP: u32 = 0x8;
const TIMEOUT: u32 = 0x10;
const OBJECT: u32 = 0x40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OperatorSets;

    #[test]
    fn a_fitting_set_is_taken() {
        assert!(check_v4(Some(fitting()), true).is_ok());
        // With a limit, a default timeout, intervals or counters a set still holds grants.
        assert!(
            check_v4(Some(Shape { size: true, timeout: true, flags: TIMEOUT | 0x4 | 0x20, ..fitting() }), true).is_ok()
        );
        assert!(fitting().is_ours(V4));
        assert!(!Shape { size: true, ..fitting() }.is_ours(V4));
    }

    #[test]
    fn each_flaw_names_its_cure() {
        let add = "nft add set inet filter knockers '{ type ipv4_addr . inet_proto . inet_service; flags timeout; }'";
        let missing = check_v4(None, true).unwrap_err().to_string();
        assert!(missing.ends_with(add), "{missing}");
        let no_table = check_v4(None, false).unwrap_err().to_string();
        assert!(no_table.ends_with(&format!("nft add table inet filter && {add}")), "{no_table}");
        for unfit in [
            Shape { flags: 0, ..fitting() },
            Shape { flags: TIMEOUT | MAP, ..fitting() },
            Shape { key_type: key_type(Kind { version: Version::V6, ..V4 }), key_len: 24, ..fitting() },
            Shape { key_type: 7, key_len: 4, ..fitting() },
        ] {
            let message = check_v4(Some(unfit), true).unwrap_err().to_string();
            assert!(message.ends_with(&format!("nft delete set inet filter knockers && {add}")), "{message}");
        }
    }

    #[test]
    fn sets_for_hosts_behind_this_one_have_a_destination() {
        let forward = Kind { side: Side::Forward, ..V4 };
        assert_eq!(type_text(forward), "ipv4_addr . ipv4_addr . inet_proto . inet_service");
        // As `nft --debug=netlink add set …` shows it.
        assert_eq!(key_type(forward), (7 << 18) | (7 << 12) | (12 << 6) | 13);
        let shape = Shape { key_type: key_type(forward), key_len: 16, ..fitting() };
        assert!(shape.is_ours(forward) && !shape.is_ours(V4) && !fitting().is_ours(forward));
        assert!(shape.flaw(Kind { version: Version::V6, ..forward }).is_some());
    }

    fn check_v4(shape: Option<Shape>, table_exists: bool) -> Result<(), FirewallError> {
        let target = Target::operator(&OperatorSets {
            family: "inet".to_owned(),
            table: "filter".to_owned(),
            v4: Some("knockers".to_owned()),
            ..OperatorSets::default()
        });
        check(&target.unwrap(), "knockers", V4, shape, table_exists)
    }

    fn fitting() -> Shape {
        Shape { key_type: key_type(V4), key_len: 12, flags: TIMEOUT, timeout: false, size: false }
    }

    const V4: Kind = Kind { version: Version::V4, side: Side::Input };
}
