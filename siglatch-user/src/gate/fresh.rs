//! Rung 2: a knock of this minute that was never admitted before.

use std::collections::HashSet;
use std::time::Duration;

use siglatch_common::units::{Boot, Now, Wall};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::open::Opened;
use super::{Effect, Nonce, Refusal};

/// An authentic packet, seen for the first time.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) user: UserId,
    pub(super) action: ActionId,
    pub(super) payload: Payload,
    pub(super) sealed: bool,
    _proof: (),
}

/// The nonces admitted lately.
///
/// Two generations, each filled for twice the skew; the older is dropped whole. A stamp may be `max_skew` early and
/// admitted, and `max_skew` late and fresh again: so that is how long a nonce must be known. Memory is bounded by the
/// capacity; when full, new nonces are refused, never old ones dropped.
#[derive(Debug)]
pub(super) struct Seen {
    current: HashSet<Nonce>,
    previous: HashSet<Nonce>,
    /// When the older generation is dropped.
    turn: Boot,
    max_skew: Duration,
    capacity: usize,
    /// No stamp up to this one is fresh, whatever the clock says: its nonce may be forgotten.
    floor: Wall,
    /// The caller has made sure that every stamp up to this one is refused after a loss of power.
    lease: Wall,
}

/// What was kept of an earlier run.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Remembered {
    /// Nonces admitted then.
    pub nonces: Vec<Nonce>,
    /// The latest stamp that may have been admitted without its nonce being among them.
    pub floor: Option<Wall>,
}

impl Seen {
    pub(super) fn new(remembered: Remembered, max_skew: Duration, capacity: usize, now: Now) -> Self {
        Self {
            current: remembered.nonces.into_iter().collect(),
            previous: HashSet::new(),
            turn: now.boot.after(2 * max_skew),
            max_skew,
            capacity,
            floor: remembered.floor.unwrap_or(Wall::from_secs(0)),
            lease: Wall::from_secs(0),
        }
    }

    /// Admits a nonce once, and says what must be kept of it.
    ///
    /// # Errors
    /// [`Refusal::Stale`] outside the skew or below the floor, [`Refusal::Replay`] if seen, [`Refusal::Overloaded`]
    /// if full.
    pub(super) fn admit(&mut self, opened: Opened, now: Now, effects: &mut Vec<Effect>) -> Result<Fresh, Refusal> {
        let nonce = opened.nonce;
        let stamp = nonce.stamp();
        if stamp.skew(now.wall) > self.max_skew || stamp <= self.floor {
            return Err(Refusal::Stale);
        }
        self.expire(now.boot, effects);
        if self.current.contains(&nonce) || self.previous.contains(&nonce) {
            return Err(Refusal::Replay);
        }
        if self.current.len() + self.previous.len() >= self.capacity {
            return Err(Refusal::Overloaded);
        }
        if stamp > self.lease {
            self.lease = stamp.after(LEASE);
            effects.push(Effect::Lease(self.lease));
        }
        self.current.insert(nonce);
        effects.push(Effect::Remember(nonce));
        let Opened { action, payload, sealed, .. } = opened;
        Ok(Fresh { user: nonce.user, action, payload, sealed, _proof: () })
    }

    /// When [`Seen::expire`] has something to do.
    pub(super) fn next_expiry(&self) -> Option<Boot> {
        (!self.current.is_empty() || !self.previous.is_empty()).then_some(self.turn)
    }

    /// Drops the older generation when its time is over, and raises the floor above all that was in it: if the clock
    /// is set back later, nothing of it becomes fresh again.
    pub(super) fn expire(&mut self, now: Boot, effects: &mut Vec<Effect>) {
        while now >= self.turn {
            self.turn = self.turn.after(2 * self.max_skew);
            let dropped = std::mem::replace(&mut self.previous, std::mem::take(&mut self.current));
            if dropped.is_empty() && self.previous.is_empty() {
                self.turn = now.after(2 * self.max_skew);
                return;
            }
            self.floor = dropped.iter().map(Nonce::stamp).fold(self.floor, Wall::max);
            effects.push(Effect::Forget(self.floor));
        }
    }
}

/// How far ahead of a stamp the lease is taken: one synchronous disk write in this time, and after a loss of power at
/// most this long, plus the skew, without service (`docs/decisions/0003-nonces.md`).
const LEASE: Duration = Duration::from_secs(30);
