//! A stretch of time on the wall clock. Never reads a clock.

use siglatch_common::units::Wall;

/// From when until when something holds; without ends, always.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Period {
    /// It begins with this moment.
    pub not_before: Option<Wall>,
    /// This moment is no part of it any more.
    pub not_after: Option<Wall>,
}

impl Period {
    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self, now: Wall) -> bool {
        self.not_before.is_none_or(|begin| now >= begin)
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Wall) -> bool {
        self.not_after.is_some_and(|end| now >= end)
    }
}
