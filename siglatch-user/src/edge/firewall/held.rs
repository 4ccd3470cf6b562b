//! Remembers until when the kernel holds each grant, and decides what a write must do. Never talks to the kernel.

use std::collections::HashMap;
use std::time::Duration;

use siglatch_common::units::Boot;

use crate::gate::GrantKey;

/// What was written, as far as it has not ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    until: HashMap<GrantKey, Boot>,
    /// The number of entries at which ended ones are looked for.
    sweep_at: usize,
}

/// What a write must do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Step {
    /// The kernel should not hold it yet.
    Open,
    /// The kernel holds it for a shorter time.
    Extend,
    /// The kernel holds it for at least as long.
    Keep,
}

impl Held {
    /// Compares a grant with what is held.
    pub(super) fn step(&self, key: &GrantKey, ttl: Duration, now: Boot) -> Step {
        match self.until.get(key) {
            Some(until) if *until <= now => Step::Open,
            Some(until) if *until < now.after(ttl) => Step::Extend,
            Some(_) => Step::Keep,
            None => Step::Open,
        }
    }

    /// The kernel holds it until then.
    pub(super) fn record(&mut self, key: GrantKey, until: Boot) {
        self.until.insert(key, until);
    }

    /// The kernel holds it no longer.
    pub(super) fn forget(&mut self, key: &GrantKey) {
        self.until.remove(key);
    }

    /// The kernel holds these and no others.
    pub(super) fn replace(&mut self, held: impl Iterator<Item = (GrantKey, Boot)>) {
        self.until.clear();
        self.until.extend(held);
        self.sweep_at = 0;
    }

    /// Forgets what has ended, each time the table has doubled: it holds at most twice the live grants and
    /// [`Held::SLACK`], and a write pays for it in constant time on average.
    pub(super) fn sweep(&mut self, now: Boot) {
        if self.until.len() < self.sweep_at {
            return;
        }
        self.until.retain(|_, until| *until > now);
        self.sweep_at = 2 * self.until.len() + Self::SLACK;
    }

    const SLACK: usize = 1024;
}

#[cfg(test)]
mod tests {
    use super::*;
    use siglatch_common::address::Address;

    #[test]
    fn only_a_later_end_is_written() {
        let mut held = Held::default();
        assert_eq!(held.step(&key(1), secs(60), at(0)), Step::Open);
        held.record(key(1), at(60));
        assert_eq!(held.step(&key(1), secs(60), at(0)), Step::Keep);
        assert_eq!(held.step(&key(1), secs(30), at(0)), Step::Keep);
        assert_eq!(held.step(&key(1), secs(60), at(1)), Step::Extend);
        assert_eq!(held.step(&key(1), secs(60), at(60)), Step::Open);
        assert_eq!(held.step(&key(2), secs(60), at(0)), Step::Open);
    }

    #[test]
    fn ended_grants_do_not_pile_up() {
        let mut held = Held::default();
        for n in 0..100_000_u32 {
            let now = at(u64::from(n));
            held.sweep(now);
            held.record(key(n), now.after(secs(10)));
        }
        assert!(held.until.len() <= 20 + Held::SLACK, "{}", held.until.len());
    }

    fn key(n: u32) -> GrantKey {
        GrantKey { source: Address::v4(n.to_be_bytes()), destination: None, service: "tcp/22".parse().unwrap() }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn at(secs: u64) -> Boot {
        Boot::from_nanos(secs * 1_000_000_000)
    }
}
