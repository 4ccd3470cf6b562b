//! Writes our own table by `nft`, whatever is there: on the thread of whoever has time for it. Never writes elements while they
//! are written elsewhere: sets of grants that are as they should be stay untouched.

use std::fmt;

use super::error::FirewallError;
use super::inventory::{Base, Inventory};
use super::netlink::Netlink;
use super::nft::Nft;
use super::skeleton::{Ground, Skeleton};
use super::target::{Kind, Target};
use crate::gate::Grant;

/// A table that is still to be written.
pub struct Rewrite {
    pub(super) nft: Nft,
    pub(super) netlink: Netlink,
    pub(super) target: Target,
    pub(super) skeleton: Box<Skeleton>,
    /// The grants that held when this was begun.
    pub(super) live: Vec<Grant>,
}

/// A table that was written, or could not be.
pub struct Rewritten {
    pub(super) rewrite: Rewrite,
    pub(super) outcome: Result<Written, FirewallError>,
}

/// What is there after a table was written.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) inventory: Inventory,
    /// The sets of grants that stayed as they were; all others hold what they were given.
    pub(super) kept: Vec<Kind>,
}

impl Rewrite {
    /// Writes it, or nothing. Blocks until `nft` has ended.
    #[must_use]
    pub fn write(mut self) -> Rewritten {
        let Self { nft, netlink, target, skeleton, live } = &mut self;
        let outcome = write(nft, netlink, (target, skeleton), live);
        Rewritten { rewrite: self, outcome }
    }
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewrite").field("target", &self.target).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rewritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rewritten").field("outcome", &self.outcome).finish_non_exhaustive()
    }
}

/// Writes our table, whatever is there, with these grants in each of its sets that is made anew.
pub(super) fn write(
    nft: &Nft,
    netlink: &mut Netlink,
    (target, skeleton): (&Target, &Skeleton),
    live: &[Grant],
) -> Result<Written, FirewallError> {
    let mut attempt = 0;
    let ground = loop {
        attempt += 1;
        // Somebody may change the table between the look and the write. If it is not that, start afresh.
        let ground = match attempt {
            ..ATTEMPTS => ground(netlink, target, skeleton)?,
            _ => Ground::Unsound,
        };
        match nft.apply(&skeleton.batch(&ground, live), target) {
            Err(FirewallError::NftRefused { .. }) if attempt < ATTEMPTS => {}
            done => break done.map(|()| ground)?,
        }
    };
    // What cannot be read is nothing that the next comparison finds: then it is written again.
    let inventory = Inventory::read(netlink, target).unwrap_or_default();
    let kept = match ground {
        Ground::Bare | Ground::Unsound => Vec::new(),
        Ground::Standing { kept, .. } => kept,
    };
    Ok(Written { inventory, kept })
}

/// Looks at what is there of our table.
pub(super) fn ground(netlink: &mut Netlink, target: &Target, skeleton: &Skeleton) -> Result<Ground, FirewallError> {
    let error = |error| FirewallError::kernel(format!("read table {}", target.table_name()), error);
    match netlink.table_flags(target).map_err(error)? {
        None => return Ok(Ground::Bare),
        Some(0) => {}
        Some(_) => return Ok(Ground::Unsound),
    }
    let inventory = Inventory::read(netlink, target).map_err(error)?;
    let (mut sets, mut maps, mut kept) = (Vec::new(), Vec::new(), Vec::new());
    for (name, shape) in inventory.sets().filter(|(_, shape)| !shape.is_anonymous()) {
        let kind = target.sets().find_map(|(kind, set)| (set == name).then_some(kind));
        match kind {
            Some(kind) if shape.is_ours(kind) => kept.push(kind),
            _ if shape.is_map() => maps.push(name.to_owned()),
            _ => sets.push(name.to_owned()),
        }
    }
    let goes = |(name, base): (&str, Option<&Base>)| (!skeleton.has_chain(name, base)).then(|| name.to_owned());
    Ok(Ground::Standing { chains: inventory.chains().filter_map(goes).collect(), sets, maps, kept })
}

/// How often a write is tried that others keep crossing.
const ATTEMPTS: usize = 3;
