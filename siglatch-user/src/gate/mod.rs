//! Decides what a datagram is worth: bytes, source and time in; a verdict and effects out. No IO, no clock.

mod adopt;
mod cut;
mod debts;
mod deed;
mod doing;
mod entry;
mod fresh;
mod grant;
mod grants;
mod job;
mod jobs;
mod knock_id;
mod nonce;
mod open;
mod outbox;
mod past;
mod permit;
mod revocation;
mod step;
#[cfg(test)]
mod tests;
mod uses;
mod verdict;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::units::{Boot, Now};
use siglatch_common::wire::v1::{ActionId, UserId};

pub use adopt::Adopted;
pub use cut::{Closed, Cut, Lack, Whose};
pub use entry::{Debt, Entry, Noted};
pub use fresh::Remembered;
pub use grant::{Grant, GrantKey, still_allowed};
pub use job::{Bound, Call, DebtId, Ending, How, Job, JobId, NotStarted, Why};
pub use jobs::Programs;
pub use knock_id::KnockId;
pub use nonce::Nonce;
pub use open::{Decoy, Opened, open};
pub use revocation::{Revocation, Revoked};
pub use verdict::{Admission, Effect, Ender, GrantsEnded, GrantsOpened, Knock, Outcome, Pretended, Refusal, Verdict};

use crate::policy::{Action, Policy, ProgramId, User};
use doing::Told;

/// The gate. The caller owns the ring, the clock, the disk and the firewall:
///
/// 1. hand every datagram to [`open()`], on any thread, and what comes of it to [`Gate::judge`];
/// 2. carry out every effect, in order ([`Gate::take_effects`]), or tell the gate that you cannot ([`Gate::withdraw`]);
/// 3. tell it how each program ended ([`Gate::finished`]);
/// 4. call [`Gate::handle_timeout`] when [`Gate::next_timeout`] is due;
/// 5. give it other rules, if there are others ([`Gate::adopt`]).
///
/// There may be effects after each of these calls, and as soon as there is a gate.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<Policy>,
    seen: fresh::Seen,
    steps: step::Steps,
    grants: grants::Grants,
    uses: uses::Uses,
    debts: debts::Debts,
    jobs: jobs::Jobs,
    outbox: outbox::Outbox,
    /// Runs that come of knocks whose effects were not taken yet.
    jobs_of_knocks: BTreeMap<JobId, ProgramId>,
    handed_out: HandedOut,
    lost_debts: Vec<Debt>,
    /// The number of the knock before.
    knock: KnockId,
    unaudited: bool,
    begun: Boot,
    /// The latest moment that was told.
    clock: Boot,
    /// When effects that could not be carried out are to be tried again.
    retry: Option<Boot>,
}

/// What a gate begins with.
#[derive(Debug)]
pub struct Beginning<'a> {
    /// The operator's rules.
    pub policy: Arc<Policy>,
    /// Nonces known at once.
    pub nonce_capacity: usize,
    /// Programs that run at once.
    pub programs_at_once: usize,
    /// The number of this run of the daemon: no two alike.
    pub run: u32,
    /// The nonces that an earlier run kept.
    pub remembered: Remembered,
    /// What its ledger says.
    pub noted: Noted,
    /// The grants that the firewall holds.
    pub grants: &'a [Grant],
}

/// What the effects that were taken last have changed in the gate.
#[derive(Debug, Default)]
struct HandedOut {
    grants: Vec<grants::Change>,
    steps: Vec<(UserId, Address)>,
    uses: Vec<uses::Use>,
    debts: Vec<debts::Change>,
    jobs: BTreeMap<JobId, ProgramId>,
    /// What did not come of a knock.
    lasting: Vec<Effect>,
}

impl Gate {
    /// A gate that starts with what an earlier run left.
    #[must_use]
    pub fn new(beginning: Beginning<'_>, now: Now) -> Self {
        let Beginning { policy, nonce_capacity, programs_at_once, run, remembered, noted, grants } = beginning;
        let mut gate = Self {
            seen: fresh::Seen::new(remembered, policy.max_skew(), nonce_capacity, now),
            steps: step::Steps::default(),
            grants: grants::Grants::default(),
            uses: uses::Uses::new(&noted),
            debts: debts::Debts::new(run),
            jobs: jobs::Jobs::new(&policy, programs_at_once),
            policy,
            outbox: outbox::Outbox::default(),
            jobs_of_knocks: BTreeMap::new(),
            handed_out: HandedOut::default(),
            lost_debts: Vec::new(),
            knock: KnockId::new(run, 0),
            unaudited: false,
            begun: now.boot,
            clock: now.boot,
            retry: None,
        };
        gate.grants.take_over(grants, now.boot);
        // What only tells leaves the ledger to a run that does.
        if !gate.policy.is_dry() {
            gate.restore_debts(noted.debts, noted.rebooted, now);
        }
        gate
    }

    /// Judges what [`open()`] made of one datagram. Never sends, sleeps or reads a clock.
    pub fn judge(&mut self, opened: Result<Opened, Refusal>, from: Address, now: Now) -> Verdict {
        self.clock = now.boot;
        let opened = match opened {
            Ok(opened) => opened,
            Err(refusal) => return Verdict::Refuse(refusal, None),
        };
        self.knock = self.knock.next();
        let knock = Knock { id: self.knock, user: opened.user(), action: opened.action };
        match self.climb(opened, knock, from, now) {
            Ok(admission) => Verdict::Admit(admission),
            Err(refusal) => Verdict::Refuse(refusal, Some(knock)),
        }
    }

    /// The ladder: each rung takes what the rung below proved, so none can be skipped.
    fn climb(&mut self, opened: Opened, knock: Knock, from: Address, now: Now) -> Result<Admission, Refusal> {
        let policy = Arc::clone(&self.policy);
        let fresh = self.seen.admit(opened, now, self.outbox.effects())?;
        // Not before: its nonce is known, so that no copy of it is admitted later in its place.
        if self.unaudited {
            return Err(Refusal::Unaudited);
        }
        let stepped = self.steps.take(fresh, from, &policy, now.boot)?;
        let done = permit::permit(&stepped, from, &policy, now.wall).and_then(|permitted| {
            let dry_run = permitted.action.dry_run;
            self.carry_out(&permitted, Told { knock: knock.id, from, stepped: &stepped }, now)?;
            Ok(Admission { knock, outcome: stepped.outcome, dry_run })
        });
        done.inspect_err(|_| self.steps.reset(stepped.user, from))
    }

    /// What is to be done, in order; empty until something else is asked of the gate.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.outbox.refresh(|key| self.grants.left(key, self.clock));
        let (effects, lasting) = self.outbox.take();
        self.handed_out = HandedOut {
            grants: self.grants.take_changes(),
            steps: self.steps.take_changes(),
            uses: self.uses.take_changes(),
            debts: self.debts.take_changes(),
            jobs: std::mem::take(&mut self.jobs_of_knocks),
            lasting,
        };
        effects
    }

    /// Takes back what came of the knocks behind the effects that were taken last, because these could not be kept: grants,
    /// uses and debts are as they were before, their programs do not run, and their sequences start again. To be called before
    /// anything else is asked of the gate.
    ///
    /// Their nonces stay known, so that no copy is admitted in their place. Whoever starts without them may admit each
    /// of those knocks once: nothing came of it yet.
    ///
    /// What did not come of a knock stays wanted, and is among the effects again: an undo that is due, a run that has
    /// waited, the note of what was undone, what an operator has revoked. [`Gate::next_timeout`] says when to try.
    pub fn withdraw(&mut self) {
        let HandedOut { grants, steps, uses, debts, jobs, mut lasting } = std::mem::take(&mut self.handed_out);
        self.grants.undo(grants);
        self.uses.undo(uses);
        for (user, source) in steps {
            self.steps.reset(user, source);
        }
        self.withdraw_jobs(jobs);
        let (never, void) = self.debts.undo(debts);
        lasting.retain(|effect| !matches!(effect, Effect::Note(Entry::Owed(debt)) if never.contains(&debt.id)));
        self.outbox.put_back(lasting);
        for debt in void {
            self.outbox.push_lasting(Effect::Note(Entry::Settled(debt)));
        }
        if !self.outbox.is_empty() || self.jobs.can_start() {
            self.retry = Some(self.clock.after(RETRY_EFFECTS));
        }
    }

    /// Ends grants, and makes what is owed for them due at once, because an operator says so. An [`Effect::Close`]
    /// tells the firewall.
    pub fn revoke(&mut self, revocation: &Revocation, now: Now) -> Revoked {
        let grants = self.grants.revoke(revocation, now.boot);
        let kinds: BTreeSet<_> = grants.iter().filter_map(kind_of).collect();
        let debts = self.debts.end_all(|kind| revocation.means_all(kind) || kinds.contains(kind), now);
        let count = debts.len();
        self.note_lasting(debts);
        if !grants.is_empty() {
            self.outbox.push_lasting(Effect::Close(GrantsEnded { by: Ender::Operator, grants: grants.clone() }));
        }
        Revoked { grants, debts: count }
    }

    /// Makes what is owed for these grants due at once: they are no longer allowed, and are not in the firewall any more.
    /// Whose they were is known: connections may stand.
    pub fn end_debts_of(&mut self, grants: &[Grant], now: Now) {
        self.grants.note_ended(grants, now.boot);
        let ended = grants.iter().filter_map(|grant| self.debts.end_of_kind(&kind_of(grant)?, now)).collect();
        self.note_lasting(ended);
    }

    /// What will never be undone, because its program is gone: told once.
    #[must_use]
    pub fn take_lost_debts(&mut self) -> Vec<Debt> {
        std::mem::take(&mut self.lost_debts)
    }

    /// Starts no program any more: the daemon stops. Gives the runs that have waited, and will not be; what is to be undone
    /// stays in the ledger.
    #[must_use]
    pub fn stop_programs(&mut self) -> Vec<Job> {
        self.jobs.close()
    }

    /// Whether knocks are refused because they cannot be written into the audit log.
    pub const fn set_unaudited(&mut self, unaudited: bool) {
        self.unaudited = unaudited;
    }

    /// When [`Gate::handle_timeout`] has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Boot> {
        let forgotten = [self.seen.next_expiry(), self.steps.next_expiry(), self.grants.next_expiry()];
        forgotten.into_iter().chain([self.debts.next_due(), self.retry]).flatten().min()
    }

    /// Forgets what is over, and calls the undo of what is due. To be called when there are no effects to be taken.
    pub fn handle_timeout(&mut self, now: Now) {
        self.clock = now.boot;
        self.retry.take_if(|retry| *retry <= now.boot);
        self.seen.expire(now.boot, self.outbox.effects());
        self.steps.expire(now.boot);
        self.grants.expire(now.boot);
        self.call_undos(now);
        self.start_programs();
    }

    /// Every grant that holds now, in the order of the keys, with the time left.
    #[must_use]
    pub fn live_grants(&self, now: Boot) -> Vec<Grant> {
        self.grants.live(now)
    }

    /// The same without copies, and in no order: key, time left and label.
    pub fn each_grant(&self, now: Boot) -> impl Iterator<Item = (&GrantKey, Duration, &str)> {
        self.grants.each(now)
    }

    /// How many grants there are; those that are over count until [`Gate::handle_timeout`].
    #[must_use]
    pub fn grants(&self) -> usize {
        self.grants.len()
    }

    /// Whether somebody holds a grant.
    #[must_use]
    pub fn holds_grant(&self, source: Address, now: Boot) -> bool {
        self.grants.is_held_by(source, now)
    }

    /// The operator's rules.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The number of the user with that name.
    #[must_use]
    pub fn user_named(&self, name: &str) -> Option<UserId> {
        self.policy.user_named(name).map(|user| user.id)
    }

    /// The user's name, for logs.
    #[must_use]
    pub fn user_name(&self, user: UserId) -> &str {
        self.policy.user(user).map_or("?", |user| &user.name)
    }

    /// How many knocks of the user's may still have an effect; nothing: any number, or nobody knows.
    #[must_use]
    pub fn uses_left_of_user(&self, user: &User) -> Option<u32> {
        self.uses.left_of_user(user)
    }

    /// How often the action may still have an effect; nothing: any number of times, or nobody knows.
    #[must_use]
    pub fn uses_left_of_action(&self, action: &Action) -> Option<u32> {
        self.uses.left_of_action(action)
    }

    /// How many have begun each sequence and may still finish it, by its place in the policy.
    #[must_use]
    pub fn sequences_under_way(&self, now: Boot) -> BTreeMap<usize, usize> {
        self.steps.under_way(now)
    }

    /// How much is still to be undone.
    #[must_use]
    pub fn debts_owed(&self) -> usize {
        self.debts.len()
    }

    /// What is still to be undone.
    pub fn debts(&self) -> impl Iterator<Item = &Debt> {
        self.debts.all()
    }

    /// How many programs run, and how many wait.
    #[must_use]
    pub fn programs(&self) -> Programs {
        self.jobs.programs()
    }

    /// The action's name, for logs.
    #[must_use]
    pub fn action_name(&self, action: ActionId) -> &str {
        self.policy.action(action).map_or("?", |action| &action.name)
    }
}

/// The kind of the knock that a grant's label tells of.
fn kind_of(grant: &Grant) -> Option<debts::Kind> {
    let (user, action) = grant.label.split_once(' ')?;
    Some(debts::Kind { source: grant.key.source, user: user.to_owned(), action: action.to_owned() })
}

/// A disk that has failed is not asked again at once.
const RETRY_EFFECTS: Duration = Duration::from_secs(1);
