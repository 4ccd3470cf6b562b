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
    current: Generation,
    previous: Generation,
    /// When the older generation is dropped.
    turn: Boot,
    /// How long a generation is filled.
    span: Duration,
    max_skew: Duration,
    /// Generations that may still hold nonces admitted with a larger skew.
    wide: u8,
    capacity: usize,
    /// No stamp up to this one is fresh, whatever the clock says: its nonce may be forgotten.
    floor: Wall,
    /// The caller has made sure that every stamp up to this one is refused after a loss of power.
    lease: Wall,
}

/// Nonces that are dropped together, and the latest stamp among them.
#[derive(Debug)]
struct Generation {
    nonces: HashSet<Nonce>,
    latest: Wall,
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
            previous: Generation::default(),
            turn: now.boot.after(2 * max_skew),
            span: 2 * max_skew,
            max_skew,
            wide: 0,
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
            let dropped = std::mem::replace(&mut self.previous, std::mem::take(&mut self.current));
            self.wide = self.wide.saturating_sub(1);
            if self.wide == 0 {
                self.span = 2 * self.max_skew;
            }
            self.turn = self.turn.after(self.span);
            if dropped.is_empty() && self.previous.is_empty() {
                self.turn = now.after(self.span);
                return;
            }
            self.floor = self.floor.max(dropped.latest);
            effects.push(Effect::Forget(self.floor));
        }
    }

    /// Goes on with another skew and capacity. Nonces stay what they are, by the number in the packet, whoever has that number
    /// now: it is the packet that must not be admitted twice. What was forgotten is below the floor, and is not made fresh
    /// by a larger skew; what was admitted with a larger one is known for as long as that asked for.
    pub(super) fn adopt(&mut self, max_skew: Duration, capacity: usize) {
        if max_skew < self.max_skew {
            self.wide = 2;
        }
        self.max_skew = max_skew;
        self.span = self.span.max(2 * max_skew);
        self.capacity = capacity;
    }
}

impl Generation {
    fn insert(&mut self, nonce: Nonce) {
        self.nonces.insert(nonce);
        self.latest = self.latest.max(nonce.stamp());
    }

    fn contains(&self, nonce: &Nonce) -> bool {
        self.nonces.contains(nonce)
    }

    fn len(&self) -> usize {
        self.nonces.len()
    }

    fn is_empty(&self) -> bool {
        self.nonces.is_empty()
    }
}

impl Default for Generation {
    fn default() -> Self {
        Self { nonces: HashSet::new(), latest: Wall::from_secs(0) }
    }
}

impl FromIterator<Nonce> for Generation {
    fn from_iter<T: IntoIterator<Item = Nonce>>(nonces: T) -> Self {
        let mut generation = Self::default();
        nonces.into_iter().for_each(|nonce| generation.insert(nonce));
        generation
    }
}

/// How far ahead of a stamp the lease is taken: one synchronous disk write in this time, and after a loss of power at
/// most this long, plus the skew, without service (`docs/decisions/0003-nonces.md`).
const LEASE: Duration = Duration::from_secs(30);
