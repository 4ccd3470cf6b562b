//! The firewall in the judge's hand: what it did not take is owed to it, and tried again. Never decides who is let in.

use std::collections::BTreeSet;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use tracing::{error, info};

use crate::causes::with_causes;
use crate::config::Firewall as Settings;
use crate::edge::clock;
use crate::edge::firewall::{Adopted, Begun, Firewall, FirewallError, Found, Restored, Rewritten, Watcher};
use crate::gate::{Grant, GrantKey, still_allowed};
use crate::policy::{Policy, Service};

/// The firewall, and what it still owes.
pub(super) struct Wall {
    firewall: Firewall,
    settings: Settings,
    /// Those that it goes over to.
    coming: Option<Settings>,
    /// When it is to be brought in line with the gate, if it is not.
    repair: Option<Boot>,
    /// Grants that ended, and still stand there.
    closing: BTreeSet<GrantKey>,
    /// How long after a failure it is tried again; nothing while all is well.
    pause: Option<Duration>,
    /// Whether the table is being written on another thread: until it is, nothing is put back.
    is_rewritten: bool,
}

/// What came of a repair.
#[derive(Debug)]
pub(super) enum Repair {
    /// Nothing was amiss.
    Whole,
    /// It works again, after it had failed.
    Works,
    /// Something was put back that somebody had taken away.
    PutBack(Restored),
    /// It failed, and is tried again; whether it worked before.
    Failed { error: String, is_new: bool },
}

/// What an earlier run has left in the firewall.
pub(super) struct Standing {
    /// Grants that hold.
    pub(super) grants: Vec<Grant>,
    /// Grants that were ended now, because the configuration does not allow them any more.
    pub(super) withdrawn: Vec<Grant>,
    /// Hears of changes by others; nothing if there is nothing to be heard.
    pub(super) watcher: Option<Watcher>,
}

impl Wall {
    /// Makes the firewall, or takes over what an earlier run has left.
    ///
    /// # Errors
    /// What `nft` or the kernel answered.
    pub(super) fn open(
        settings: &Settings,
        knock_ports: &[u16],
        policy: &Policy,
    ) -> Result<(Self, Standing), FirewallError> {
        let (mut firewall, mut grants) = Firewall::open(settings, knock_ports, clock::boot())?;
        let watcher = firewall.watch()?;
        let withdrawn: Vec<_> = grants.extract_if(.., |grant| !still_allowed(grant, policy)).collect();
        for Grant { key, label, .. } in &withdrawn {
            info!(source = %key.source, service = %key.place(), by = label, "grant ended: no longer allowed");
        }
        firewall.revoke(&withdrawn.iter().map(|grant| grant.key).collect::<Vec<_>>())?;
        if !grants.is_empty() {
            info!(grants = grants.len(), "grants of an earlier run taken over");
        }
        let wall = Self {
            firewall,
            settings: settings.clone(),
            coming: None,
            repair: None,
            closing: BTreeSet::new(),
            pause: None,
            is_rewritten: false,
        };
        Ok((wall, Standing { grants, withdrawn, watcher }))
    }

    /// Begins to go over to other settings, with the grants that hold under them.
    ///
    /// # Errors
    /// What was refused, in words. The firewall goes on with the settings that it had.
    pub(super) fn begin(
        &mut self,
        settings: &Settings,
        knock_ports: &[u16],
        live: &[Grant],
        now: Boot,
    ) -> Result<Begun, String> {
        let begun = self.firewall.begin(settings, knock_ports, live, now).map_err(|error| self.refused(&error))?;
        match begun {
            Begun::Aside(_) => (self.is_rewritten, self.coming) = (true, Some(settings.clone())),
            Begun::Done(_) => (self.is_rewritten, self.settings) = (false, settings.clone()),
        }
        Ok(begun)
    }

    /// Goes by the settings of a table that was written. Grants that have no place any more are named: they stand nowhere.
    ///
    /// # Errors
    /// What was refused, in words. The firewall goes on with the settings that it had.
    pub(super) fn finish(&mut self, rewritten: Rewritten, live: &[Grant]) -> Result<Adopted, String> {
        self.is_rewritten = false;
        let coming = self.coming.take();
        let adopted = self.firewall.finish(rewritten, live).map_err(|error| self.refused(&error))?;
        if let Some(settings) = coming {
            self.settings = settings;
        }
        self.closing.extend(&adopted.risen);
        // What was opened meanwhile is looked for there, and what has ended is taken out.
        self.repair = Some(clock::boot());
        Ok(adopted)
    }

    /// Whether anything was lost on the way is seen by looking.
    fn refused(&mut self, error: &FirewallError) -> String {
        self.look_soon();
        with_causes(error)
    }

    /// Opens or extends grants. What the firewall does not take is tried again; it is named here, with the reason.
    pub(super) fn let_in(&mut self, grants: &[Grant], now: Boot) -> Option<(Vec<GrantKey>, String)> {
        for grant in grants {
            self.closing.remove(&grant.key);
        }
        let error = self.firewall.write(grants, now).err()?;
        let text = self.retry_later(&error);
        let failed = match error.not_written() {
            Some(failed) => failed.to_vec(),
            None => grants.iter().map(|grant| grant.key).collect(),
        };
        Some((failed, text))
    }

    /// Ends grants. What the firewall does not take is tried again.
    pub(super) fn shut_out(&mut self, grants: &[Grant]) -> Option<String> {
        let keys: Vec<_> = grants.iter().map(|grant| grant.key).collect();
        let error = self.firewall.revoke(&keys).err()?;
        self.closing.extend(keys);
        Some(self.retry_later(&error))
    }

    /// What is closed unless granted.
    pub(super) fn closed(&self) -> impl Iterator<Item = (Option<Address>, Service)> {
        self.settings.closed()
    }

    /// Whether one of these grants has ended, and still stands there.
    pub(super) fn is_closing(&self, keys: &[GrantKey]) -> bool {
        keys.iter().any(|key| self.closing.contains(key))
    }

    /// Somebody else has changed it: looks after it soon, since a change rarely comes alone.
    pub(super) fn look_soon(&mut self) {
        self.repair.get_or_insert_with(|| clock::boot().after(SETTLE));
    }

    /// Whether it did not take what it should, the last time.
    pub(super) const fn is_failing(&self) -> bool {
        self.pause.is_some()
    }

    /// When [`Wall::repair`] has something to do.
    pub(super) const fn next_repair(&self) -> Option<Boot> {
        if self.is_rewritten { None } else { self.repair }
    }

    /// Brings the firewall in line with the grants that hold.
    pub(super) fn repair(&mut self, live: &[Grant], now: Boot) -> Repair {
        self.repair = None;
        let was_failing = self.pause.is_some();
        match self.bring_in_line(live, now) {
            Ok(restored) => {
                self.pause = None;
                match restored {
                    Restored { skeleton: Found::Whole, grants: 0 } if was_failing => Repair::Works,
                    Restored { skeleton: Found::Whole, grants: 0 } => Repair::Whole,
                    restored => Repair::PutBack(restored),
                }
            }
            Err(error) => Repair::Failed { error: self.retry_later(&error), is_new: !was_failing },
        }
    }

    fn bring_in_line(&mut self, live: &[Grant], now: Boot) -> Result<Restored, FirewallError> {
        let restored = self.firewall.restore(live, now)?;
        if !self.closing.is_empty() {
            self.firewall.revoke(&self.closing.iter().copied().collect::<Vec<_>>())?;
            self.closing.clear();
        }
        Ok(restored)
    }

    fn retry_later(&mut self, error: &FirewallError) -> String {
        let text = with_causes(error);
        error!(error = text, "the firewall is not as it should be: trying again");
        let pause = self.pause.map_or(RETRY, |pause| (2 * pause).min(LONGEST));
        self.pause = Some(pause);
        self.repair = Some(clock::boot().after(pause));
        text
    }
}

/// A change of the firewall by others rarely comes alone.
const SETTLE: Duration = Duration::from_millis(20);
const RETRY: Duration = Duration::from_millis(250);
/// Each failure doubles the pause, up to this.
const LONGEST: Duration = Duration::from_secs(8);
