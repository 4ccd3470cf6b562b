//! Goes over to other settings while grants stand: the new table in one transaction, or from set to set of the operator's.
//! Never decides which grants still hold.

use std::collections::HashSet;

use siglatch_common::units::Boot;

use super::super::elements::{A_MESSAGE, Element};
use super::super::fixed;
use super::super::rewrite::{Rewrite, Rewritten, Written};
use super::super::skeleton::Skeleton;
use super::super::target::{Kind, Target};
use super::super::{Adopted, Begun, FirewallError};
use super::{House, Kernel, open_netlink, take_out};
use crate::config::{Firewall as Settings, OperatorSets, OwnTable};
use crate::gate::{Grant, GrantKey};

impl Kernel {
    /// Does what [`super::super::Firewall::begin`] says.
    pub(in super::super) fn begin(
        &mut self,
        settings: &Settings,
        knock_ports: &[u16],
        live: &[Grant],
        now: Boot,
    ) -> Result<Begun, FirewallError> {
        match (settings, &self.house) {
            (Settings::Table(own), House::Own { .. }) => self.prepare(own, knock_ports, live),
            (Settings::Sets(sets), House::Operator) => {
                let has_moved = self.move_grants(sets, live, now)?;
                Ok(Begun::Done(if has_moved { self.settle(live) } else { Adopted::default() }))
            }
            (Settings::Table(_) | Settings::Sets(_) | Settings::Untouched, _) => Err(FirewallError::NotLive),
        }
    }

    /// Does what [`super::super::Firewall::finish`] says.
    pub(in super::super) fn finish(&mut self, rewritten: Rewritten, live: &[Grant]) -> Result<Adopted, FirewallError> {
        let Rewritten { rewrite: Rewrite { nft: _, netlink, target, skeleton, live: before }, outcome } = rewritten;
        self.spare = Some(netlink);
        let Written { inventory, kept } = outcome?;
        let House::Own { skeleton: ours, written, nft: _ } = &mut self.house else {
            return Err(FirewallError::NotLive);
        };
        (self.target, *ours, *written) = (target, skeleton, inventory);
        let live_keys: HashSet<_> = live.iter().map(|grant| grant.key).collect();
        let given = before.into_iter().map(|grant| grant.key).filter(|key| !kept.contains(&Kind::of(key)));
        let risen = given.filter(|key| !live_keys.contains(key)).collect();
        Ok(Adopted { risen, ..self.settle(live) })
    }

    /// Goes by the target that it has now.
    fn settle(&mut self, live: &[Grant]) -> Adopted {
        let has_no_set = |key: &GrantKey| self.target.set(Kind::of(key)).is_none();
        let placeless: Vec<_> = live.iter().map(|grant| grant.key).filter(has_no_set).collect();
        placeless.iter().for_each(|key| self.held.forget(key));
        self.watched.set(&self.target);
        Adopted { placeless, risen: Vec::new() }
    }

    /// Changes what is closed, or makes everything ready to write our table anew, unless it stays as it was.
    fn prepare(&mut self, own: &OwnTable, knock_ports: &[u16], live: &[Grant]) -> Result<Begun, FirewallError> {
        let (target, wanted) = (Target::own(own), Box::new(Skeleton::new(own, knock_ports)));
        if !target.is_in_table_of(&self.target) {
            return Err(FirewallError::NotLive);
        }
        let House::Own { nft, skeleton, written: _ } = &mut self.house else {
            return Err(FirewallError::NotLive);
        };
        if *skeleton == wanted {
            return Ok(Begun::Done(Adopted::default()));
        }
        // If it is refused, the table is not what it should be: then it is written anew.
        if wanted.has_sets_of(skeleton) && fixed::change(&mut self.netlink, &target, skeleton, &wanted).is_ok() {
            *skeleton = wanted;
            return Ok(Begun::Done(Adopted::default()));
        }
        let nft = nft.clone();
        let netlink = self.spare.take().map_or_else(open_netlink, Ok)?;
        Ok(Begun::Aside(Box::new(Rewrite { nft, netlink, target, skeleton: wanted, live: live.to_vec() })))
    }

    /// Writes the grants into the sets that are named now, then takes them out of those that are not any more.
    fn move_grants(&mut self, sets: &OperatorSets, live: &[Grant], now: Boot) -> Result<bool, FirewallError> {
        let target = Target::operator(sets)?;
        if !target.is_in_table_of(&self.target) {
            return Err(FirewallError::NotLive);
        }
        let others: Vec<_> = Kind::ALL.into_iter().filter(|kind| target.set(*kind) != self.target.set(*kind)).collect();
        if others.is_empty() {
            return Ok(false);
        }
        let before = std::mem::replace(&mut self.target, target);
        let (held, mut there) = (self.held.clone(), HashSet::new());
        let moved = self.fill(&others, live, &mut there, now).and_then(|()| self.empty(&before, &others));
        let Err(error) = moved else {
            return Ok(true);
        };
        self.leave(&others, live, &there);
        (self.target, self.held) = (before, held);
        Err(error)
    }

    /// Writes the grants of these kinds into their sets; `there` gets what stands in them before.
    fn fill(
        &mut self,
        kinds: &[Kind],
        live: &[Grant],
        there: &mut HashSet<GrantKey>,
        now: Boot,
    ) -> Result<(), FirewallError> {
        self.check_operators_sets()?;
        there.extend(self.standing()?.into_iter().map(|(key, _)| key));
        let has_place = |grant: &&Grant| {
            let kind = Kind::of(&grant.key);
            kinds.contains(&kind) && self.target.set(kind).is_some()
        };
        let grants: Vec<_> = live.iter().filter(has_place).cloned().collect();
        grants.iter().for_each(|grant| self.held.forget(&grant.key));
        self.write(&grants, now)
    }

    /// Makes the new sets as they were, as far as that can be done: what stays ends at its time.
    fn leave(&mut self, kinds: &[Kind], live: &[Grant], there: &HashSet<GrantKey>) {
        let live: HashSet<_> = live.iter().map(|grant| grant.key).collect();
        let standing = self.standing().unwrap_or_default().into_iter().map(|(key, _)| key);
        let written =
            standing.filter(|key| kinds.contains(&Kind::of(key)) && live.contains(key) && !there.contains(key));
        for chunk in written.collect::<Vec<_>>().chunks(A_MESSAGE) {
            let _ = take_out(&mut self.netlink, &self.target, chunk);
        }
    }

    /// Takes what is ours out of the sets of these kinds that were named before. A set that is gone is empty.
    fn empty(&mut self, before: &Target, kinds: &[Kind]) -> Result<(), FirewallError> {
        for (_, set) in before.sets().filter(|(kind, _)| kinds.contains(kind)) {
            let standing = match self.standing_in(before, set) {
                Err(FirewallError::Gone { .. }) => continue,
                standing => standing?,
            };
            let ours = |(key, element): &(GrantKey, Element)| Some((*key, before.label(element.comment.as_deref())?).0);
            let keys: Vec<_> = standing.iter().filter_map(ours).collect();
            for chunk in keys.chunks(A_MESSAGE) {
                take_out(&mut self.netlink, before, chunk)
                    .map_err(|error| FirewallError::kernel(format!("take grants out of set {set}"), error))?;
            }
        }
        Ok(())
    }
}
