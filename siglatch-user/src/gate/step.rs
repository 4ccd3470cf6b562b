//! Rung 3: the turn of a step in its sequence. What a stranger sends changes nothing here: only authentic, fresh
//! knocks arrive.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use siglatch_common::address::Address;
use siglatch_common::units::Boot;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::fresh::Fresh;
use super::{Outcome, Refusal};
use crate::policy::Policy;

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
    under_way: BTreeMap<UserId, Vec<Progress>>,
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
        self.under_way.values().flatten().map(|progress| progress.deadline).min()
    }

    /// Drops sequences that can no longer be finished.
    pub(super) fn expire(&mut self, now: Boot) {
        self.under_way.retain(|_, sources| {
            sources.retain(|progress| now < progress.deadline);
            !sources.is_empty()
        });
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
        Some(sources.remove(place))
    }

    fn remember(&mut self, user: UserId, progress: Progress) {
        let sources = self.under_way.entry(user).or_default();
        if sources.len() >= Self::PER_USER {
            sources.remove(0);
        }
        self.taken.push((user, progress.source));
        sources.push(progress);
    }
}
