//! When something that has failed is tried again: each failure doubles the pause. Never tries it.

#![forbid(unsafe_code)]

use std::time::Duration;

use siglatch_common::units::Boot;

/// The next attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retry {
    not_before: Boot,
    pause: Duration,
}

impl Retry {
    /// After a failure now; `earlier` is what the failure before has come to, if there was one.
    #[must_use]
    pub(crate) fn after(earlier: Option<Self>, now: Boot, first: Duration, longest: Duration) -> Self {
        let pause = earlier.map_or(first, |earlier| (earlier.pause * 2).min(longest));
        Self { not_before: now.after(pause), pause }
    }

    /// Whether it is time.
    #[must_use]
    pub(crate) fn is_due(self, now: Boot) -> bool {
        self.not_before <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_doubles_the_pause_up_to_the_longest() {
        let [first, longest] = [2, 7].map(Duration::from_secs);
        let mut earlier = None;
        for (failed_at, pause) in [(10, 2), (20, 4), (30, 7), (40, 7)] {
            let retry = Retry::after(earlier, at(failed_at), first, longest);
            assert!(!retry.is_due(at(failed_at + pause - 1)) && retry.is_due(at(failed_at + pause)), "{failed_at}");
            earlier = Some(retry);
        }
    }

    const fn at(secs: u64) -> Boot {
        Boot::from_nanos(secs * 1_000_000_000)
    }
}
