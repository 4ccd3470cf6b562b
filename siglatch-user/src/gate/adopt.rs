//! Other rules for a living gate: what is under way goes on, found by name where numbers have changed. Never carries out an
//! effect, and never forgets a nonce.
//!
//! A number is a packet's, a name is somebody's. What was admitted is remembered by the numbers in the packet, and stays so
//! whoever has them now: a copy of the packet has the same ones. Everything that somebody has, owes or has begun is
//! found by name, so that nobody inherits it along with a number.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use siglatch_common::units::Now;

use super::grant::is_allowed;
use super::jobs::Task;
use super::{
    Effect, Ender, Gate, Grant, GrantKey, GrantsEnded, GrantsOpened, HandedOut, Job, Revocation, Why, kind_of,
};
use crate::policy::{Policy, ProgramId};

/// What came of other rules.
#[derive(Debug)]
pub struct Adopted {
    /// The rules of before. There may be many of them: dropping them takes a while.
    pub before: Arc<Policy>,
    /// Grants that end, because they are not allowed any more. [`Effect::Close`] tells the firewall.
    pub withdrawn: Vec<Grant>,
    /// Runs that had waited for a program that is gone, and never will be; each with the name of that program.
    pub dropped: Vec<(Job, String)>,
}

impl Gate {
    /// Goes on by other rules. To be called when the effects of all knocks before were taken: none of them can be withdrawn
    /// any more.
    ///
    /// Nonces, grants, sequences under way, use counts, debts and runs stay, as far as the new rules know whose and what for
    /// they are. What they do not allow any more ends: such grants at once, and what is owed for them is due;
    /// sequences that have changed start again; runs that wait for a program that is gone are dropped, and debts
    /// that it was to undo are lost ([`Gate::take_lost_debts`]), as at a restart.
    pub fn adopt(&mut self, policy: Arc<Policy>, programs_at_once: usize, nonce_capacity: usize, now: Now) -> Adopted {
        self.clock = now.boot;
        self.handed_out = HandedOut::default();
        let before = std::mem::replace(&mut self.policy, policy);
        self.seen.adopt(self.policy.max_skew(), nonce_capacity);
        self.steps.adopt(&before, &self.policy);
        self.uses.take_changes();

        let place = |program: &crate::policy::Program| self.policy.program_named(&program.name);
        let places: Vec<_> = before.programs().iter().map(place).collect();
        for debt in self.debts.adopt(&self.policy) {
            self.lose(debt);
        }
        let mut gone = self.take_back_unstarted(&places);
        gone.extend(self.jobs.adopt(&self.policy, programs_at_once, &places));
        let dropped = gone.into_iter().filter_map(|task| self.drop_run(task, &before)).collect();

        let rules = Arc::clone(&self.policy);
        let withdrawn = self.grants.retain(|key, label| is_allowed(key, label, &rules), now.boot);
        self.withdraw_grants(withdrawn.clone(), now);
        if self.jobs.can_start() || !self.outbox.is_empty() {
            self.retry.get_or_insert(now.boot);
        }
        Adopted { before, withdrawn, dropped }
    }

    /// Ends grants that have no place in the firewall any more, and makes what is owed for them due.
    /// To be called when the effects of all knocks before were taken.
    pub fn end_placeless(&mut self, placeless: &[GrantKey], now: Now) {
        let placeless: BTreeSet<_> = placeless.iter().collect();
        let withdrawn = self.grants.retain(|key, _| !placeless.contains(key), now.boot);
        self.withdraw_grants(withdrawn, now);
    }

    /// Lets grants hold for at least so long from now, because an operator says so, and what is owed for them be due no
    /// earlier. Gives all that are meant, as they stand now, and how many of them hold longer than before. An
    /// [`Effect::Open`] without a knock tells the firewall.
    /// To be called when the effects of all knocks before were taken.
    pub fn extend(&mut self, revocation: &Revocation, ttl: Duration, now: Now) -> (Vec<Grant>, usize) {
        self.clock = now.boot;
        let (meant, extended) = self.grants.extend(revocation, ttl, now.boot);
        let kinds: BTreeSet<_> = extended.iter().filter_map(kind_of).collect();
        let debts = kinds.iter().filter_map(|kind| self.debts.extend(kind, ttl, now)).collect();
        self.note_lasting(debts);
        for alike in extended.chunk_by(|a, b| a.label == b.label && a.key.source == b.key.source) {
            self.outbox.push_lasting(Effect::Open(GrantsOpened { knock: None, grants: alike.to_vec() }));
        }
        (meant, extended.len())
    }

    /// What the rules have ended: the firewall hears of it, and what is owed for it is due.
    fn withdraw_grants(&mut self, grants: Vec<Grant>, now: Now) {
        if !grants.is_empty() {
            self.end_debts_of(&grants, now);
            self.outbox.push_lasting(Effect::Close(GrantsEnded { by: Ender::Rules, grants }));
        }
    }

    /// Runs whose start was decided and could not be carried out yet: they are by the new numbers, or given back if their
    /// program is gone.
    fn take_back_unstarted(&mut self, places: &[Option<ProgramId>]) -> Vec<Task> {
        let mut gone = BTreeSet::new();
        self.outbox.retain(|effect| {
            let Effect::Run(job) = effect else { return true };
            match places.get(usize::from(job.program.0)).copied().flatten() {
                Some(program) => job.program = program,
                None => _ = gone.insert(job.id),
            }
            !gone.contains(&job.id)
        });
        gone.into_iter().filter_map(|job| self.jobs.end(job)).collect()
    }

    /// A run never begins, because its program is gone; nothing if there is nobody to be told.
    fn drop_run(&mut self, task: Task, before: &Policy) -> Option<(Job, String)> {
        let Task { job, debt } = task;
        if let Some(debt) = debt {
            self.run_ended(debt, false);
        }
        if let Why::Undo(debt) = job.why {
            // If it had a place already; else it is lost by now.
            if let Some(debt) = self.debts.lose(debt) {
                self.lose(debt);
            }
            self.jobs.release(debt);
            return None;
        }
        let program = before.program(job.program).map_or("", |program| &program.name).to_owned();
        Some((*job, program))
    }
}
