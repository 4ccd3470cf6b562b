//! Rung 3: the turn of a step in its sequence. What a stranger sends changes nothing here: only authentic, fresh
//! knocks arrive.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroUsize;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::fresh::Fresh;
use super::{Outcome, Refusal};
use crate::policy::{Policy, Sequence};

/// A fresh knock whose turn it is.
#[derive(Debug)]
pub(super) struct Stepped {
    pub(super) user: UserId,
    pub(super) action: ActionId,
    pub(super) payload: Payload,
    pub(super) sealed: bool,
    pub(super) outcome: Outcome,
    _proof: (),
}

/// Sequences under way, by user and source address.
///
/// Bounded: a user has at most [`Steps::PER_USER`] addresses under way; one more, and the oldest starts again.
#[derive(Debug, Default)]
pub(super) struct Steps {
    under_way: HashMap<UserId, Vec<Progress>>,
    by_deadline: BTreeSet<(Boot, UserId, Address)>,
    /// Whose sequences have come further.
    taken: Vec<(UserId, Address)>,
}

#[derive(Debug)]
struct Progress {
    source: Address,
    sequence: usize,
    /// Steps taken; at least one, and never all of them.
    taken: usize,
    deadline: Boot,
}

impl Steps {
    const PER_USER: usize = 8;

    /// Takes the step that the knock asks for. Actions outside all sequences pass, and disturb none.
    ///
    /// # Errors
    /// [`Refusal::OutOfOrder`] for any step but the first and the one whose turn it is; the sequence starts again.
    /// [`Refusal::DisabledSequence`] while it is switched off; then it stands still.
    pub(super) fn take(
        &mut self,
        fresh: Fresh,
        source: Address,
        policy: &Policy,
        now: Boot,
    ) -> Result<Stepped, Refusal> {
        let Fresh { user, action, payload, sealed, .. } = fresh;
        let stepped = |outcome| Stepped { user, action, payload, sealed, outcome, _proof: () };
        let Some(step) = policy.step(action) else {
            return Ok(stepped(Outcome::Done));
        };
        if policy.sequence_off(step.sequence).is_some() {
            return Err(Refusal::DisabledSequence);
        }
        let before =
            self.forget(user, source).filter(|before| before.sequence == step.sequence && now < before.deadline);
        let (taken, deadline) = match before {
            _ if step.index == 0 => (0, now.after(step.of.within)),
            Some(before) if before.taken == step.index => (before.taken, before.deadline),
            Some(_) | None => return Err(Refusal::OutOfOrder),
        };
        let taken = NonZeroUsize::MIN.saturating_add(taken);
        if taken.get() >= step.of.steps.len() {
            return Ok(stepped(Outcome::Done));
        }
        self.remember(user, Progress { source, sequence: step.sequence, taken: taken.get(), deadline });
        Ok(stepped(Outcome::Step { taken, of: step.of.steps.len() }))
    }

    /// Whose sequences have come further since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<(UserId, Address)> {
        std::mem::take(&mut self.taken)
    }

    /// Starts the user's sequence from this address again.
    pub(super) fn reset(&mut self, user: UserId, source: Address) {
        self.forget(user, source);
    }

    /// When [`Steps::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Boot> {
        self.by_deadline.first().map(|(deadline, ..)| *deadline)
    }

    /// Drops sequences that can no longer be finished.
    pub(super) fn expire(&mut self, now: Boot) {
        while let Some(&(deadline, user, source)) = self.by_deadline.first() {
            if now < deadline {
                break;
            }
            self.forget(user, source);
        }
    }

    /// Goes on by other rules: whoever is still there under that name, and has taken steps of a sequence that has still the
    /// same name, steps and time, goes on with it. All others start again.
    pub(super) fn adopt(&mut self, before: &Policy, after: &Policy) {
        let places: Vec<_> = before.sequences().iter().map(|sequence| place_of((sequence, before), after)).collect();
        self.by_deadline.clear();
        self.taken.clear();
        for (user, sources) in std::mem::take(&mut self.under_way) {
            let user = before.user(user).and_then(|user| after.user_named(&user.name)).filter(|user| user.enabled);
            let Some(user) = user else { continue };
            for progress in sources {
                if let Some(sequence) = places.get(progress.sequence).copied().flatten() {
                    self.put(user.id, Progress { sequence, ..progress });
                }
            }
        }
    }

    /// How many are under way, by sequence.
    pub(super) fn under_way(&self, now: Boot) -> BTreeMap<usize, usize> {
        let mut counts = BTreeMap::new();
        for progress in self.under_way.values().flatten().filter(|progress| now < progress.deadline) {
            *counts.entry(progress.sequence).or_default() += 1;
        }
        counts
    }

    fn forget(&mut self, user: UserId, source: Address) -> Option<Progress> {
        let sources = self.under_way.get_mut(&user)?;
        let place = sources.iter().position(|progress| progress.source == source)?;
        let progress = sources.remove(place);
        if sources.is_empty() {
            self.under_way.remove(&user);
        }
        self.by_deadline.remove(&(progress.deadline, user, source));
        Some(progress)
    }

    fn remember(&mut self, user: UserId, progress: Progress) {
        let sources = self.under_way.get(&user);
        let oldest = sources.filter(|sources| sources.len() >= Self::PER_USER).and_then(|sources| sources.first());
        if let Some(oldest) = oldest.map(|oldest| oldest.source) {
            self.forget(user, oldest);
        }
        self.taken.push((user, progress.source));
        self.put(user, progress);
    }

    fn put(&mut self, user: UserId, progress: Progress) {
        self.by_deadline.insert((progress.deadline, user, progress.source));
        self.under_way.entry(user).or_default().push(progress);
    }
}

/// The place of a sequence in other rules, if it is the same there.
fn place_of((sequence, before): (&Sequence, &Policy), after: &Policy) -> Option<usize> {
    let is_same = |other: &Sequence| {
        let names = |sequence: &Sequence, policy: &Policy| {
            let name = |step: &ActionId| policy.action(*step).map(|action| action.name.clone());
            sequence.steps.iter().map(name).collect::<Option<Vec<_>>>()
        };
        let steps = names(sequence, before);
        let is_kept = other.name == sequence.name && other.within == sequence.within;
        is_kept && steps.is_some() && steps == names(other, after)
    };
    after.sequences().iter().position(is_same)
}
