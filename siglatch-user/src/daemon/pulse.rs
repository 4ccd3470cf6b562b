//! Whether threads still go round their loops, and signs of life for the service manager as long as they do. Never says
//! what is to be done about one that does not.
//!
//! A thread that hangs is noticed at the latest one and a half intervals of the watchdog after its last round.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siglatch_common::units::Boot;
use tracing::error;

use crate::edge::clock;
use crate::edge::notify::Notifier;

/// The pulse of one thread.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// The last round's beginning, in nanoseconds since boot; 0 before the first.
    last: AtomicU64,
    /// How long the thread may rest at most; nothing if nobody feels its pulse.
    rest: Option<Duration>,
}

impl Pulse {
    /// One that is felt so often that a watchdog with this interval can be fed.
    pub(super) fn for_watchdog(interval: Option<Duration>) -> Arc<Self> {
        Arc::new(Self { last: AtomicU64::new(0), rest: interval.map(|interval| interval / ROUNDS) })
    }

    /// The thread begins a round.
    pub(super) fn beat(&self, now: Boot) {
        self.last.store(now.as_nanos(), Ordering::Relaxed);
    }

    /// How long it may rest, if nothing is due for so long.
    pub(super) fn rest(&self, due: Option<Duration>) -> Option<Duration> {
        match (due, self.rest) {
            (Some(due), Some(rest)) => Some(due.min(rest)),
            (due, rest) => due.or(rest),
        }
    }

    /// Whether it has begun a round lately. Before its first one it is about to.
    fn is_alive(&self, within: Duration, now: Boot) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        last == 0 || now.since(Boot::from_nanos(last)) <= within
    }
}

/// Feeds the watchdog as long as each of these threads goes round; for ever, or never if nobody wants it.
pub(super) async fn feed_watchdog(
    notifier: Arc<Notifier>,
    pulses: Vec<(&'static str, Arc<Pulse>)>,
) -> anyhow::Result<()> {
    let Some(interval) = notifier.watchdog() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval((interval / ROUNDS).max(Duration::from_millis(1)));
    let mut silent = None;
    loop {
        ticks.tick().await;
        let stuck = first_stuck(&pulses, interval, clock::boot());
        match stuck {
            None => notifier.alive(),
            // Once: the service manager is about to end this.
            Some(thread) if silent != stuck => {
                error!(thread, "a thread hangs, and the watchdog is fed no more");
            }
            Some(_) => {}
        }
        silent = stuck;
    }
}

fn first_stuck(pulses: &[(&'static str, Arc<Pulse>)], interval: Duration, now: Boot) -> Option<&'static str> {
    let stuck = pulses.iter().find(|(_, pulse)| !pulse.is_alive(interval / 2, now));
    stuck.map(|(thread, _)| *thread)
}

/// Rounds, and signs of life, within one interval: sd_watchdog_enabled(3) wants two at least.
const ROUNDS: u32 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Boot {
        Boot::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn a_thread_is_alive_for_half_an_interval_after_it_began_a_round() {
        let interval = Duration::from_secs(4);
        let (judge, warden) = (Pulse::for_watchdog(Some(interval)), Pulse::for_watchdog(Some(interval)));
        let pulses = [("judge", Arc::clone(&judge)), ("warden", Arc::clone(&warden))];
        assert_eq!(first_stuck(&pulses, interval, at(1_000_000)), None);
        judge.beat(at(1000));
        warden.beat(at(2000));
        assert_eq!(first_stuck(&pulses, interval, at(3000)), None);
        assert_eq!(first_stuck(&pulses, interval, at(3001)), Some("judge"));
        judge.beat(at(3500));
        assert_eq!(first_stuck(&pulses, interval, at(4001)), Some("warden"));
        warden.beat(at(4002));
        assert_eq!(first_stuck(&pulses, interval, at(4003)), None);
    }

    #[test]
    fn a_thread_rests_no_longer_than_its_pulse_allows_and_without_a_watchdog_as_long_as_it_likes() {
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        let felt = Pulse::for_watchdog(Some(4 * second));
        assert_eq!(felt.rest(None), Some(second));
        assert_eq!(felt.rest(Some(minute)), Some(second));
        assert_eq!(felt.rest(Some(Duration::ZERO)), Some(Duration::ZERO));
        let free = Pulse::for_watchdog(None);
        assert_eq!((free.rest(None), free.rest(Some(minute))), (None, Some(minute)));
    }
}
