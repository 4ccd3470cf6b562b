//! How long something took, how often. Never waits: many threads record, and nobody holds a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper ends of the buckets, in nanoseconds: from the check of an HMAC to a machine that thrashes. Above them is one more.
pub const BOUNDS: [u64; 18] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
];

/// Counts by duration.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanos: AtomicU64,
}

/// What a histogram held at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Distribution {
    /// How many took no longer than each of [`BOUNDS`], and longer than the one before; those above all of them last.
    pub buckets: [u64; BOUNDS.len() + 1],
    /// Nanoseconds of all together.
    pub nanos: u64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = BOUNDS.partition_point(|bound| *bound < nanos);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// What it holds. Those that are being counted meanwhile may be in it by half.
    #[must_use]
    pub fn read(&self) -> Distribution {
        Distribution {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            nanos: self.nanos.load(Ordering::Relaxed),
        }
    }
}

impl Distribution {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lands_in_the_first_bucket_that_is_not_too_small() {
        let histogram = Histogram::default();
        for nanos in [0, 10_000, 10_001, 5_000_000_000, 5_000_000_001] {
            histogram.record(Duration::from_nanos(nanos));
        }
        let read = histogram.read();
        assert_eq!((read.buckets[0], read.buckets[1], read.buckets[17], read.buckets[18]), (2, 1, 1, 1));
        assert_eq!((read.count(), read.nanos), (5, 10_000_020_002));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS.is_sorted_by(|before, after| before < after));
    }
}
