//! One newtype for each unit that could be mistaken for another. Never reads a clock.

use core::time::Duration;

/// Nanoseconds since boot, suspend included (`CLOCK_BOOTTIME`): the clock of every deadline, in user space
/// and in the kernel maps.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Boot(u64);

/// Seconds since the Unix epoch (`CLOCK_REALTIME`): only ever compared with a client's stamp.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Wall(u64);

/// Both clocks, read once for each event, at the edge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Now {
    /// Drives deadlines.
    pub boot: Boot,
    /// Judges freshness.
    pub wall: Wall,
}

impl Boot {
    /// A point in time, in nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The deadline `ttl` later. Saturates: a deadline past the end of time is never reached, not wrapped.
    #[must_use]
    pub fn after(self, ttl: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// Time that passed since `earlier`; zero if `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Wall {
    /// A point in time, in seconds since the Unix epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// Seconds since the Unix epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The distance to `other`, whichever is earlier.
    #[must_use]
    pub const fn skew(self, other: Self) -> Duration {
        Duration::from_secs(self.0.abs_diff(other.0))
    }

    /// The moment `span` later, rounded up to a second. Saturates.
    #[must_use]
    pub const fn after(self, span: Duration) -> Self {
        let round_up = if span.subsec_nanos() == 0 { 0 } else { 1 };
        Self(self.0.saturating_add(span.as_secs()).saturating_add(round_up))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_saturate() {
        assert_eq!(Boot::from_nanos(u64::MAX - 1).after(Duration::from_secs(1)), Boot::from_nanos(u64::MAX));
        assert_eq!(Wall::from_secs(u64::MAX).after(Duration::from_secs(1)), Wall::from_secs(u64::MAX));
    }

    #[test]
    fn skew_is_symmetric() {
        let (a, b) = (Wall::from_secs(10), Wall::from_secs(70));
        assert_eq!(a.skew(b), Duration::from_secs(60));
        assert_eq!(b.skew(a), Duration::from_secs(60));
    }
}
