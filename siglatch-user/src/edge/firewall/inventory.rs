//! Reads what a table is made of, so that a change by somebody else shows. Never changes anything.
//!
//! `nft list` would tell the same, but reads every element of every set for it: seconds, with many grants.

use std::collections::BTreeMap;
use std::io;

use netlink_bindings::nftables::{ChainAttrs, IterableChainAttrs, RuleAttrs, SetAttrs};

use super::elements::header;
use super::netlink::Netlink;
use super::sets::Shape;
use super::target::Target;

/// Chains, rules and sets of a table. Two inventories of an unchanged table are equal.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Inventory {
    chains: BTreeMap<String, Chain>,
    /// In order. The kernel never gives a handle twice, and a rule under a handle never changes.
    rules: Vec<(String, u64)>,
    sets: BTreeMap<String, (u64, Shape)>,
}

#[derive(Debug, Eq, PartialEq)]
struct Chain {
    handle: u64,
    base: Option<Base>,
}

/// Where a chain meets packets, and what becomes of those that it says nothing of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Base {
    /// `filter`, `nat` or `route`.
    pub(super) kind: String,
    /// `enum nf_inet_hooks`, `linux/netfilter.h`.
    pub(super) hook: u32,
    pub(super) priority: i32,
    /// NF_ACCEPT or NF_DROP, `linux/netfilter.h`.
    pub(super) policy: u32,
}

impl Inventory {
    /// Reads the table; empty if it does not exist.
    pub(super) fn read(netlink: &mut Netlink, target: &Target) -> io::Result<Self> {
        let table = target.table.as_bytes();
        let chains = netlink.dump(
            |chain| drop(chain.request().op_getchain_dump(&header(target))),
            |attributes, found| {
                let chain = ChainAttrs::new(attributes);
                if chain.get_table().is_ok_and(|of| of.to_bytes() == table)
                    && let (Ok(name), Ok(handle)) = (chain.get_name(), chain.get_handle())
                {
                    found.push((text(name), Chain { handle, base: base(&chain) }));
                }
            },
        )?;
        let rules = netlink.dump(
            |chain| {
                let mut message = chain.request().op_getrule_dump(&header(target));
                let _ = message.encode().push_table_bytes(table);
            },
            |attributes, found| {
                let rule = RuleAttrs::new(attributes);
                if rule.get_table().is_ok_and(|of| of.to_bytes() == table)
                    && let (Ok(chain), Ok(handle)) = (rule.get_chain(), rule.get_handle())
                {
                    found.push((text(chain), handle));
                }
            },
        )?;
        let sets = netlink.dump(
            |chain| drop(chain.request().op_getset_dump(&header(target))),
            |attributes, found| {
                let set = SetAttrs::new(attributes);
                if set.get_table().is_ok_and(|of| of.to_bytes() == table)
                    && let (Ok(name), Ok(handle)) = (set.get_name(), set.get_handle())
                {
                    found.push((text(name), (handle, Shape::read(&set))));
                }
            },
        )?;
        Ok(Self { chains: chains.into_iter().collect(), rules, sets: sets.into_iter().collect() })
    }

    /// The names of all chains, and where those are that meet packets.
    pub(super) fn chains(&self) -> impl Iterator<Item = (&str, Option<&Base>)> {
        self.chains.iter().map(|(name, chain)| (name.as_str(), chain.base.as_ref()))
    }

    /// The names and shapes of all sets and maps.
    pub(super) fn sets(&self) -> impl Iterator<Item = (&str, Shape)> {
        self.sets.iter().map(|(name, (_, shape))| (name.as_str(), *shape))
    }
}

fn base(chain: &IterableChainAttrs<'_>) -> Option<Base> {
    let hook = chain.get_hook().ok()?;
    Some(Base {
        kind: chain.get_type().map(text).unwrap_or_default(),
        hook: hook.get_num().ok()?,
        priority: hook.get_priority().ok()?,
        policy: chain.get_policy().unwrap_or(u32::MAX),
    })
}

fn text(name: &std::ffi::CStr) -> String {
    name.to_string_lossy().into_owned()
}
