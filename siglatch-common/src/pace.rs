//! How many datagrams a second: a token bucket in one word, the same for a source and for a lane.
//! Never reads a clock and never keeps the word.
//!
//! The generic cell rate algorithm (ITU-T I.371): the word is the time at which the bucket is full again. Half-made
//! updates of two CPUs can let one datagram more through, and never do worse.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// So many in so long.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct Pace {
    /// Offset 0, 8 bytes, native byte order: nanoseconds for each datagram; 0 for as many as come.
    pub interval_ns: u64,
    /// Offset 8, 8 bytes, native byte order: nanoseconds that may be used up at once.
    pub burst_ns: u64,
}

impl Pace {
    /// As many as come.
    pub const UNLIMITED: Self = Self { interval_ns: 0, burst_ns: 0 };

    /// So many a second on average, and so many at once; as many as come if either is zero.
    #[must_use]
    pub const fn per_second(rate: u32, burst: u32) -> Self {
        if rate == 0 || burst == 0 {
            return Self::UNLIMITED;
        }
        let interval_ns = 1_000_000_000 / rate as u64;
        Self { interval_ns, burst_ns: interval_ns * burst as u64 }
    }

    /// Whether it lets everything through.
    #[inline(always)]
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.interval_ns == 0
    }

    /// The word after one more datagram at `now`; nothing if that is one too many. An empty word is 0.
    #[inline(always)]
    #[must_use]
    pub const fn take(&self, word: u64, now: u64) -> Option<u64> {
        let latest = now + self.burst_ns;
        // A word from another clock or another pace is none: it must not shut a source out for longer than its burst.
        let is_due = now < word && word <= latest + self.interval_ns;
        let full_again = if is_due { word } else { now } + self.interval_ns;
        if full_again > latest { None } else { Some(full_again) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn admitted(pace: Pace, word: &mut u64, at: u64, times: u32) -> u32 {
        (0..times).filter(|_| pace.take(*word, at).map(|next| *word = next).is_some()).count() as u32
    }

    #[test]
    fn a_burst_then_the_rate() {
        let pace = Pace::per_second(10, 5);
        let mut word = 0;
        assert_eq!(admitted(pace, &mut word, SECOND, 100), 5);
        assert_eq!(admitted(pace, &mut word, SECOND + SECOND / 10, 100), 1);
        assert_eq!(admitted(pace, &mut word, 2 * SECOND, 100), 5);
    }

    #[test]
    fn a_flood_does_not_lengthen_the_wait() {
        let pace = Pace::per_second(10, 1);
        let mut word = 0;
        for at in 0..1000 {
            admitted(pace, &mut word, SECOND + at, 1);
        }
        assert_eq!(admitted(pace, &mut word, SECOND + SECOND / 10 + 1000, 1), 1);
    }

    #[test]
    fn a_word_from_the_far_future_shuts_nobody_out() {
        let pace = Pace::per_second(10, 5);
        let mut word = u64::MAX / 2;
        assert_eq!(admitted(pace, &mut word, SECOND, 1), 1);
        assert!(word < 2 * SECOND);
    }
}
