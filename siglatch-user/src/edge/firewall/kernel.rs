//! The grants in the kernel: writes, extends, ends and puts them back, and the table that they are in. Never decides who
//! gets one.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use siglatch_common::units::Boot;

use crate::config::Firewall as Settings;
use crate::gate::{Grant, GrantKey};
use crate::policy::Door;

use super::elements::{self, A_MESSAGE, Element, Entry, Presence, key_bytes};
use super::error::{FirewallError, grant_text};
use super::held::{Held, Step};
use super::inventory::Inventory;
use super::netlink::Netlink;
use super::nft::Nft;
use super::rewrite::{self, Written, ground};
use super::sets;
use super::skeleton::{Ground, Skeleton};
use super::target::{Kind, Target};
use super::watch::{Names, Subject, Watcher};
use super::{Found, Restored};

mod adopt;

/// The grants in the kernel.
pub(super) struct Kernel {
    target: Target,
    house: House,
    netlink: Netlink,
    /// For what reads the table on another thread; nothing while it does.
    spare: Option<Netlink>,
    held: Held,
    /// The sets of grants, as watchers know them.
    watched: Names,
}

/// Whose table it is.
enum House {
    /// Ours: what is missing is put back.
    Own {
        nft: Nft,
        skeleton: Box<Skeleton>,
        /// The table as it was when we had written it.
        written: Inventory,
    },
    /// The operator's: only elements are ours.
    Operator,
}

impl Kernel {
    /// What the settings name; nothing if that is nothing. Only looks for what it needs.
    pub(super) fn of(settings: &Settings, knock_ports: &[u16]) -> Result<Option<Self>, FirewallError> {
        let (target, house) = match settings {
            Settings::Table(own) => {
                let skeleton = Box::new(Skeleton::new(own, knock_ports));
                (Target::own(own), House::Own { nft: Nft::find()?, skeleton, written: Inventory::default() })
            }
            Settings::Sets(sets) => (Target::operator(sets)?, House::Operator),
            Settings::Untouched => return Ok(None),
        };
        let netlink = open_netlink()?;
        let spare = matches!(house, House::Own { .. }).then(open_netlink).transpose()?;
        let watched = Names::new(&target);
        Ok(Some(Self { target, house, netlink, spare, held: Held::default(), watched }))
    }

    /// Makes the table, or takes over what is there: the grants that are still alive.
    pub(super) fn take_over(&mut self, now: Boot) -> Result<Vec<Grant>, FirewallError> {
        self.check_operators_sets()?;
        let standing = self.standing()?;
        let ours = |(key, element): &(GrantKey, Element)| {
            let label = self.target.label(element.comment.as_deref())?;
            Some(Grant { key: *key, ttl: element.left?, label })
        };
        let grants: Vec<_> = standing.iter().filter_map(ours).collect();
        self.install(&grants)?;
        self.remember(&standing, now);
        Ok(grants)
    }

    /// Asks whether [`Kernel::take_over`] would succeed.
    pub(super) fn check(&mut self) -> Result<(), FirewallError> {
        match &self.house {
            House::Own { nft, skeleton, written: _ } => {
                let ground = ground(&mut self.netlink, &self.target, skeleton)?;
                nft.check(&skeleton.batch(&ground, &[]), &self.target)
            }
            House::Operator => self.check_operators_sets(),
        }
    }

    /// Does what [`super::Firewall::take_away`] says.
    pub(super) fn take_away(&mut self) -> Result<bool, FirewallError> {
        let House::Own { nft, skeleton, written: _ } = &self.house else { return Ok(false) };
        if ground(&mut self.netlink, &self.target, skeleton)? == Ground::Bare {
            return Ok(false);
        }
        nft.apply(&skeleton.removal(), &self.target).map(|()| true)
    }

    /// Does what [`super::Firewall::write`] says.
    pub(super) fn write(&mut self, grants: &[Grant], now: Boot) -> Result<(), FirewallError> {
        self.held.sweep(now);
        let mut longest: HashMap<GrantKey, &Grant> = HashMap::with_capacity(grants.len());
        for grant in grants {
            let known = longest.entry(grant.key).or_insert(grant);
            if known.ttl < grant.ttl {
                *known = grant;
            }
        }
        let steps: Vec<_> = longest
            .into_values()
            .map(|grant| (self.held.step(&grant.key, grant.ttl, now), grant))
            .filter(|(step, grant)| *step != Step::Keep && grant.ttl.as_millis() != 0)
            .map(|(step, grant)| (step, self.entry(grant)))
            .collect();

        let (mut failed, mut cause) = (Vec::new(), None);
        for chunk in steps.chunks(A_MESSAGE) {
            if self.commit(chunk).is_ok() {
                for (_, entry) in chunk {
                    self.held.record(entry.key, now.after(entry.ttl));
                }
                continue;
            }
            for (_, entry) in chunk {
                if let Err(error) = self.write_alone(entry, now) {
                    failed.push(entry.key);
                    cause = cause.or(Some(error));
                }
            }
        }
        match cause {
            Some(cause) => Err(FirewallError::NotWritten { failed, source: Box::new(cause) }),
            None => Ok(()),
        }
    }

    /// Does what [`super::Firewall::revoke`] says.
    pub(super) fn revoke(&mut self, keys: &[GrantKey]) -> Result<(), FirewallError> {
        for chunk in keys.chunks(A_MESSAGE) {
            take_out(&mut self.netlink, &self.target, chunk)
                .map_err(|error| FirewallError::kernel("revoke grants", error))?;
            chunk.iter().for_each(|key| self.held.forget(key));
        }
        Ok(())
    }

    /// Does what [`super::Firewall::restore`] says.
    pub(super) fn restore(&mut self, live: &[Grant], now: Boot) -> Result<Restored, FirewallError> {
        self.check_operators_sets()?;
        let skeleton = self.found()?;
        let written = match skeleton {
            Found::Whole => 0,
            Found::Missing | Found::Changed => self.install(live)?,
        };
        let standing = self.standing()?;
        self.remember(&standing, now);
        let left: HashMap<_, _> = standing.iter().map(|(key, element)| (*key, element.left)).collect();
        let lasts = |grant: &Grant| match left.get(&grant.key) {
            Some(None) => true,
            Some(Some(left)) => *left + TOLERANCE >= grant.ttl,
            None => grant.ttl <= TOLERANCE,
        };
        let missing: Vec<_> = live.iter().filter(|grant| !lasts(grant)).cloned().collect();
        self.write(&missing, now)?;
        Ok(Restored { skeleton, grants: written + missing.len() })
    }

    /// A watcher of what is here.
    pub(super) fn watch(&self) -> Result<Watcher, FirewallError> {
        Watcher::open(Subject {
            target: self.target.clone(),
            sets: self.watched.clone(),
            own_port: self.netlink.port(),
            whole_table: matches!(self.house, House::Own { .. }),
        })
    }

    fn entry(&self, grant: &Grant) -> Entry {
        Entry { key: grant.key, ttl: grant.ttl, comment: self.target.comment(&grant.label) }
    }

    /// Writes a chunk in one transaction: all of it or nothing.
    ///
    /// Extending is adding, deleting and adding again. The first makes the second succeed even if the element has
    /// just ended; the last sets the new timeout, which kernels before 6.12 do not do for an element that is there.
    /// Packets see the element all the while.
    fn commit(&mut self, chunk: &[(Step, Entry)]) -> io::Result<()> {
        let target = &self.target;
        if chunk.iter().any(|(_, entry)| target.set(Kind::of(&entry.key)).is_none()) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        self.netlink.transact(|chain| {
            for (kind, set) in target.sets() {
                let of = |wanted: Step| -> Vec<&Entry> {
                    let fits = |(step, entry): &&(Step, Entry)| *step == wanted && Kind::of(&entry.key) == kind;
                    chunk.iter().filter(fits).map(|(_, entry)| entry).collect()
                };
                let (open, extend) = (of(Step::Open), of(Step::Extend));
                if !open.is_empty() {
                    elements::add(chain, target, set, &open, Presence::New);
                }
                if !extend.is_empty() {
                    elements::add(chain, target, set, &extend, Presence::Any);
                    elements::delete(chain, target, set, extend.iter().map(|entry| key_bytes(&entry.key)));
                    elements::add(chain, target, set, &extend, Presence::New);
                }
            }
        })
    }

    /// Writes one grant that could not be written with others: asks the kernel what it holds.
    fn write_alone(&mut self, entry: &Entry, now: Boot) -> Result<(), FirewallError> {
        let doing = || format!("write the grant of {}", grant_text(&entry.key));
        let Some(set) = self.target.set(Kind::of(&entry.key)).map(str::to_owned) else {
            return Err(self.no_set(&entry.key));
        };
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let held = self.netlink.element(&self.target, &set, &entry.key);
            let step = match held.map_err(|error| FirewallError::kernel(doing(), error))? {
                None => Step::Open,
                Some(Element { left: Some(left), .. }) if left < entry.ttl => Step::Extend,
                Some(Element { left, .. }) => {
                    if let Some(left) = left {
                        self.held.record(entry.key, now.after(left));
                    }
                    return Ok(());
                }
            };
            match self.commit(&[(step, entry.clone())]) {
                Ok(()) => {
                    self.held.record(entry.key, now.after(entry.ttl));
                    return Ok(());
                }
                // It came or ended between the question and the write.
                Err(error) if matches!(error.raw_os_error(), Some(libc::EEXIST | libc::ENOENT)) => last = Some(error),
                Err(error) => return Err(FirewallError::kernel(doing(), error)),
            }
        }
        let last = last.unwrap_or_else(|| io::ErrorKind::ResourceBusy.into());
        // The operator wants to know which set to make.
        self.check_operators_sets()?;
        Err(FirewallError::kernel(doing(), last))
    }

    /// Says why there is none for such a grant.
    fn no_set(&self, key: &GrantKey) -> FirewallError {
        match (&self.house, key.destination) {
            (House::Own { .. }, Some(destination)) => {
                FirewallError::NotProtected { door: Door { destination, service: key.service } }
            }
            (House::Own { .. } | House::Operator, _) => {
                FirewallError::NoSet { source_address: key.source.to_string(), key: Kind::of(key).setting() }
            }
        }
    }

    /// Every element in the sets of grants; nothing from a set that is missing or holds something else.
    fn standing(&mut self) -> Result<Vec<(GrantKey, Element)>, FirewallError> {
        let target = self.target.clone();
        let mut standing = Vec::new();
        for (_, set) in target.sets() {
            match self.standing_in(&target, set) {
                Ok(found) => standing.extend(found),
                Err(FirewallError::Gone { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing)
    }

    /// Every element of one set.
    fn standing_in(&mut self, target: &Target, set: &str) -> Result<Vec<(GrantKey, Element)>, FirewallError> {
        let found = self.netlink.elements(target, set);
        let found = found.map_err(|error| FirewallError::kernel(format!("read set {set}"), error))?;
        Ok(found.into_iter().filter_map(|element| Some((elements::grant_key(&element.key)?, element))).collect())
    }

    fn remember(&mut self, standing: &[(GrantKey, Element)], now: Boot) {
        let until = |(key, element): &(GrantKey, Element)| Some((*key, now.after(element.left?)));
        self.held.replace(standing.iter().filter_map(until));
    }

    fn check_operators_sets(&mut self) -> Result<(), FirewallError> {
        if !matches!(self.house, House::Operator) {
            return Ok(());
        }
        let doing = || format!("read table {}", self.target.table_name());
        let table = self.netlink.table_flags(&self.target).map_err(|error| FirewallError::kernel(doing(), error))?;
        for (kind, set) in self.target.sets() {
            let shape = self.netlink.shape(&self.target, set);
            let shape = shape.map_err(|error| FirewallError::kernel(doing(), error))?;
            sets::check(&self.target, set, kind, shape, table.is_some())?;
        }
        Ok(())
    }

    /// Compares our table with what was written; the operator's is none of our business.
    fn found(&mut self) -> Result<Found, FirewallError> {
        let House::Own { skeleton, written, nft: _ } = &self.house else {
            return Ok(Found::Whole);
        };
        let doing = || format!("read table {}", self.target.table_name());
        match self.netlink.table_flags(&self.target).map_err(|error| FirewallError::kernel(doing(), error))? {
            None => return Ok(Found::Missing),
            Some(flags) if flags & DORMANT != 0 => return Ok(Found::Changed),
            Some(_) => {}
        }
        let inventory = Inventory::read(&mut self.netlink, &self.target);
        if inventory.map_err(|error| FirewallError::kernel(doing(), error))? != *written {
            return Ok(Found::Changed);
        }
        for (set, wanted) in skeleton.fixed_sets() {
            let found = self.netlink.elements(&self.target, set);
            let found = found.map_err(|error| FirewallError::kernel(doing(), error))?;
            let mut found: Vec<_> = found.into_iter().map(|element| element.key).collect();
            found.sort_unstable();
            if found != wanted {
                return Ok(Found::Changed);
            }
        }
        Ok(Found::Whole)
    }

    /// Writes our table, whatever is there, and returns how many of the live grants had to be written with it.
    fn install(&mut self, live: &[Grant]) -> Result<usize, FirewallError> {
        let House::Own { nft, skeleton, written } = &mut self.house else {
            return Ok(0);
        };
        let Written { inventory, kept } = rewrite::write(nft, &mut self.netlink, (&self.target, skeleton), live)?;
        *written = inventory;
        Ok(live.iter().filter(|grant| !kept.contains(&Kind::of(&grant.key))).count())
    }
}

fn open_netlink() -> Result<Netlink, FirewallError> {
    Netlink::open().map_err(|error| FirewallError::kernel("talk to nftables", error))
}

/// Takes elements out of their sets, at most [`A_MESSAGE`], in one transaction; those that have no set, or are not in
/// it, are out already.
fn take_out(netlink: &mut Netlink, target: &Target, keys: &[GrantKey]) -> io::Result<()> {
    // What has been added in the same transaction can be deleted for certain.
    let entry = |key: &GrantKey| Entry { key: *key, ttl: Duration::from_secs(1), comment: String::new() };
    let has_set = |key: &&GrantKey| target.set(Kind::of(key)).is_some();
    let entries: Vec<_> = keys.iter().filter(has_set).map(entry).collect();
    if entries.is_empty() {
        return Ok(());
    }
    netlink.transact(|chain| {
        for (kind, set) in target.sets() {
            let entries: Vec<_> = entries.iter().filter(|entry| Kind::of(&entry.key) == kind).collect();
            if !entries.is_empty() {
                elements::add(chain, target, set, &entries, Presence::Any);
                elements::delete(chain, target, set, entries.iter().map(|entry| key_bytes(&entry.key)));
            }
        }
    })
}

/// How often a write is tried that crosses the kernel's own clock.
const ATTEMPTS: usize = 3;

/// NFT_TABLE_F_DORMANT, `linux/netfilter/nf_tables.h`: the chains of such a table see no packets.
const DORMANT: u32 = 1;

/// The kernel counts in ticks and `nft` in seconds: what ends this much earlier than asked for is not put right.
const TOLERANCE: Duration = Duration::from_secs(1);
