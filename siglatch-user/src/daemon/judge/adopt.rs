//! Other rules for a judge at work, from a knock on. Never judges a knock by a mixture of them.
//!
//! The key pool says from which number on it opens with the new keys, and the rules hold from the same number on: whatever came
//! before is judged by the earlier rules, however late its key operation ends.

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use tracing::{info, warn};

use super::Judge;
use crate::audit::Event;
use crate::config::{self, DebugRule, WhenFailing};
use crate::edge::clock;
use crate::edge::firewall::{self, Begun, Rewrite, Rewritten};
use crate::gate::{self, Ending, NotStarted};
use crate::policy::Policy;
use crate::spotlight::Target;

/// What a judge goes by. Nothing of it can fail: what can was done before.
#[derive(Debug)]
pub(in crate::daemon) struct Adoption {
    /// The operator's rules.
    pub(in crate::daemon) policy: Arc<Policy>,
    /// Programs that run at once.
    pub(in crate::daemon) programs_at_once: usize,
    /// Nonces known at once.
    pub(in crate::daemon) nonce_capacity: usize,
    /// What becomes of knocks while the audit log cannot be written.
    pub(in crate::daemon) when_unaudited: WhenFailing,
    /// Whose knocks are told in full, if that has changed.
    pub(in crate::daemon) debug: Option<DebugRule>,
}

/// What came of other rules.
#[derive(Debug)]
pub(in crate::daemon) struct Adopted {
    /// Those of before: dropping many takes a while, and is left to whoever asked.
    pub(in crate::daemon) before: Arc<Policy>,
    /// Grants that have ended.
    pub(in crate::daemon) withdrawn: usize,
    /// Runs that had waited, and never will be.
    pub(in crate::daemon) dropped: usize,
    /// What will never be undone.
    pub(in crate::daemon) lost_debts: usize,
}

/// Rules that hold from a knock on.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) from: u64,
    pub(super) adoption: Box<Adoption>,
    pub(super) reply: SyncSender<Adopted>,
}

impl Judge {
    /// Has the firewall begin to go over to other settings, before the rules that belong to them hold: it can fail, and they
    /// cannot. Gives what another thread is to do, if there is something.
    ///
    /// # Errors
    /// What was refused, in words. Nothing has changed then.
    pub(super) fn rebuild(
        &mut self,
        firewall: &config::Firewall,
        knock_ports: &[u16],
    ) -> Result<Option<Box<Rewrite>>, String> {
        self.carry_out();
        let now = clock::now();
        let live = self.gate.live_grants(now.boot);
        match self.wall.begin(firewall, knock_ports, &live, now.boot)? {
            Begun::Aside(rewrite) => Ok(Some(rewrite)),
            Begun::Done(adopted) => {
                self.end_placeless(&adopted);
                Ok(None)
            }
        }
    }

    /// Goes by what that thread has done.
    ///
    /// # Errors
    /// What was refused, in words. Nothing has changed then.
    pub(super) fn finish_rebuild(&mut self, rewritten: Rewritten) -> Result<(), String> {
        self.carry_out();
        let live = self.gate.live_grants(clock::boot());
        let adopted = self.wall.finish(rewritten, &live)?;
        self.end_placeless(&adopted);
        Ok(())
    }

    fn end_placeless(&mut self, adopted: &firewall::Adopted) {
        self.gate.end_placeless(&adopted.placeless, clock::now());
        self.carry_out();
    }

    /// Goes on by other rules. What was decided by the earlier ones is done before.
    pub(super) fn adopt(&mut self, coming: Coming) {
        let Coming { from, adoption, reply } = coming;
        let Adoption { policy, programs_at_once, nonce_capacity, when_unaudited, debug } = *adoption;
        self.carry_out();
        let now = clock::now();
        let gate::Adopted { before, withdrawn, dropped } =
            self.gate.adopt(policy, programs_at_once, nonce_capacity, now);
        if self.starter.as_ref().is_some_and(|starter| starter.adopt(self.gate.policy().programs())) {
            self.tallies.programs_fail.send_replace(false);
        }
        let lost_debts = self.tell_lost_debts();
        for (job, program) in &dropped {
            warn!(knock = %job.call.knock, job = job.id.0, program, user = job.call.user_name, "dropped while it waited: its program is gone");
            self.recorder.record(Event::exec_ended(job, program, &Ending::not_started(NotStarted::Gone)));
        }
        self.turn_lights(&before);
        if let Some(rule) = debug {
            self.follow(&rule, now.boot);
        }
        self.when_unaudited = when_unaudited;
        self.gate.set_unaudited(false);
        self.heed_the_log();
        // Grants that end, undos that are due, runs that have a place.
        self.carry_out();
        let (withdrawn, dropped) = (withdrawn.len(), dropped.len());
        info!(from, withdrawn, dropped, lost_debts, "other rules hold");
        // Fails only if nobody waits any more.
        let _ = reply.try_send(Adopted { before, withdrawn, dropped, lost_debts });
    }

    /// Keeps the spotlight on those it falls on, under whatever number, and takes it off whoever is gone.
    fn turn_lights(&mut self, before: &Policy) {
        let moved: Vec<_> = self
            .spotlight
            .lit()
            .filter_map(|(target, until)| match target {
                Target::User(user) => Some((target, before.user(user)?.name.clone(), until)),
                Target::Source(_) => None,
            })
            .collect();
        for (target, ..) in &moved {
            self.spotlight.turn_off(Some(*target));
        }
        for (_, name, until) in moved {
            match self.gate.user_named(&name) {
                // As many as before.
                Some(user) => drop(self.spotlight.turn_on(Target::User(user), until)),
                None => info!(user = name, "debugging has ended: the user is gone"),
            }
        }
    }
}
