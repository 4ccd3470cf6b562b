//! Decides what a datagram is worth: bytes, source and time in; a verdict and effects out. No IO, no clock.

mod entry;
mod fresh;
mod grant;
mod grants;
mod job;
mod knock_id;
mod nonce;
mod open;
mod permit;
mod revocation;
mod step;
#[cfg(test)]
mod tests;
mod verdict;
mod words;

use std::sync::Arc;

use siglatch_common::address::Address;
use siglatch_common::units::{Boot, Now};
use siglatch_common::wire::v1::{ActionId, UserId};

pub use entry::{Debt, Entry, Noted};
pub use fresh::Remembered;
pub use grant::{Grant, GrantKey, still_allowed};
pub use job::{Bound, Call, DebtId, Ending, How, Job, JobId, NotStarted, Why};
pub use knock_id::KnockId;
pub use nonce::Nonce;
pub use open::{Decoy, Opened, open};
pub use revocation::{Revocation, Revoked};
pub use verdict::{Admission, Effect, GrantsEnded, GrantsOpened, Knock, Outcome, Pretended, Refusal, Verdict};

use crate::policy::Policy;

/// The gate. The caller owns the ring, the clock, the disk and the firewall:
///
/// 1. hand every datagram to [`open()`], on any thread, and what comes of it to [`Gate::judge`];
/// 2. carry out every effect, in order ([`Gate::take_effects`]), or tell the gate that you cannot ([`Gate::withdraw`]);
/// 3. tell it how each program ended ([`Gate::finished`]);
/// 4. call [`Gate::handle_timeout`] when [`Gate::next_timeout`] is due.
///
/// There may be effects after each of these calls, and as soon as there is a gate.
#[derive(Debug)]
pub struct Gate {
    policy: Arc<Policy>,
    seen: fresh::Seen,
    steps: step::Steps,
    grants: grants::Grants,
    effects: Vec<Effect>,
    handed_out: HandedOut,
    /// The number of the knock before.
    knock: KnockId,
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

/// How many programs there are, in which state.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Programs {
    /// Started, and not ended yet.
    pub running: usize,
    /// Waiting for their turn.
    pub waiting: usize,
    /// Never started: they would have told of failures, but too many waited already.
    pub dropped: u64,
}

/// What the effects that were taken last have changed in the gate.
#[derive(Debug, Default)]
struct HandedOut {
    grants: Vec<grants::Change>,
    steps: Vec<(UserId, Address)>,
}

impl Gate {
    /// A gate that starts with what an earlier run left.
    #[must_use]
    pub fn new(beginning: Beginning<'_>, now: Now) -> Self {
        let Beginning { policy, nonce_capacity, programs_at_once: _, run, remembered, noted: _, grants } = beginning;
        let seen = fresh::Seen::new(remembered, policy.max_skew(), nonce_capacity, now);
        let mut gate = Self {
            policy,
            seen,
            steps: step::Steps::default(),
            grants: grants::Grants::default(),
            effects: Vec::new(),
            handed_out: HandedOut::default(),
            knock: KnockId::new(run, 0),
        };
        gate.grants.take_over(grants, now.boot);
        gate
    }

    /// Judges what [`open()`] made of one datagram. Never sends, sleeps or reads a clock.
    pub fn judge(&mut self, opened: Result<Opened, Refusal>, from: Address, now: Now) -> Verdict {
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
        let fresh = self.seen.admit(opened, now, &mut self.effects)?;
        let stepped = self.steps.take(fresh, from, &policy, now.boot)?;
        let permitted = permit::permit(&stepped, knock, from, &policy, now.wall)
            .inspect_err(|_| self.steps.reset(stepped.user, from))?;
        if let Some(opening) = &permitted.opening {
            let grants = self.grants.open(opening, now.boot)?;
            self.effects.push(Effect::Open(GrantsOpened { knock: knock.id, grants }));
        }
        Ok(permitted.admission)
    }

    /// What is to be done, in order; empty until the next knock is judged.
    #[must_use]
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.handed_out = HandedOut { grants: self.grants.take_changes(), steps: self.steps.take_changes() };
        std::mem::take(&mut self.effects)
    }

    /// Takes back what came of the knocks behind the effects that were taken last, because these could not be kept: their
    /// grants are as they were before, and their sequences start again. To be called before the next knock is judged.
    ///
    /// Their nonces stay known, so that no copy is admitted in their place. Whoever starts without them may admit each
    /// of those knocks once: nothing came of it yet.
    pub fn withdraw(&mut self) {
        let HandedOut { grants, steps } = std::mem::take(&mut self.handed_out);
        self.grants.undo(grants);
        for (user, source) in steps {
            self.steps.reset(user, source);
        }
    }

    /// A program that [`Effect::Run`] has asked for has ended, or did not begin. What waited may start.
    pub fn finished(&mut self, job: JobId, ending: &Ending, now: Now) {
        let _ = (job, ending, now);
    }

    /// Ends grants, and makes what is owed for them due at once, because an operator says so. An [`Effect::Close`] without
    /// a knock tells the firewall.
    pub fn revoke(&mut self, revocation: &Revocation, now: Now) -> Revoked {
        let _ = (revocation, now);
        Revoked { grants: Vec::new(), debts: 0 }
    }

    /// Makes what is owed for these grants due at once: the firewall has lost them, or they are no longer allowed.
    pub fn end_debts_of(&mut self, grants: &[Grant], now: Now) {
        let _ = (grants, now);
    }

    /// What will never be undone, because its program is gone: told once.
    #[must_use]
    pub fn take_lost_debts(&mut self) -> Vec<Debt> {
        Vec::new()
    }

    /// Whether knocks are refused because they cannot be written into the audit log.
    pub fn set_unaudited(&mut self, unaudited: bool) {
        let _ = unaudited;
    }

    /// What is still to be undone.
    pub fn debts(&self) -> impl Iterator<Item = &Debt> {
        std::iter::empty()
    }

    /// How many programs run, wait for their turn, and were dropped because too many waited to tell of failures.
    #[must_use]
    pub fn programs(&self) -> Programs {
        Programs::default()
    }

    /// When [`Gate::handle_timeout`] has something to do.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Boot> {
        [self.seen.next_expiry(), self.steps.next_expiry(), self.grants.next_expiry()].into_iter().flatten().min()
    }

    /// Forgets what is over.
    pub fn handle_timeout(&mut self, now: Now) {
        self.seen.expire(now.boot, &mut self.effects);
        self.steps.expire(now.boot);
        self.grants.expire(now.boot);
    }

    /// Every grant that holds now, with the time left.
    #[must_use]
    pub fn live_grants(&self, now: Boot) -> Vec<Grant> {
        self.grants.live(now)
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
        self.policy.users().find(|user| user.name == name).map(|user| user.id)
    }

    /// The user's name, for logs.
    #[must_use]
    pub fn user_name(&self, user: UserId) -> &str {
        self.policy.user(user).map_or("?", |user| &user.name)
    }

    /// The action's name, for logs.
    #[must_use]
    pub fn action_name(&self, action: ActionId) -> &str {
        self.policy.action(action).map_or("?", |action| &action.name)
    }
}
