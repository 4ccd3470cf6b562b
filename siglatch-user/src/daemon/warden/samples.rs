//! What the samples of refused sources come to between two readings. Never reads them, and never bans.

use siglatch_common::address::Address;
use siglatch_common::layout::Offender;
use siglatch_common::outcome::Outcome;

/// A reading, to compare the next with.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Offender>);

/// So many frames of a source came to an outcome, as far as samples tell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Share {
    pub(super) source: Address,
    pub(super) outcome: Outcome,
    pub(super) frames: u64,
}

impl Samples {
    pub(super) const fn new(reading: Vec<Offender>) -> Self {
        Self(reading)
    }

    /// What came since the last reading; places that others have taken over count from nothing.
    pub(super) fn since(&mut self, reading: Vec<Offender>) -> Vec<Share> {
        let before = std::mem::replace(&mut self.0, reading);
        let shares = self.0.iter().enumerate().filter_map(|(place, offender)| {
            let same = |before: &&Offender| (before.address, before.outcome) == (offender.address, offender.outcome);
            let counted = before.get(place).filter(same).map_or(0, |before| before.samples);
            let samples = offender.samples.saturating_sub(counted);
            (samples > 0).then_some(Share {
                source: Address::v6(offender.address),
                outcome: Outcome::from_number(offender.outcome)?,
                frames: u64::from(samples) * Offender::FRAMES_A_SAMPLE,
            })
        });
        shares.collect()
    }
}

/// The few that have most of an outcome, most first: `192.0.2.7 (6400), 192.0.2.8 (64)`; empty if there is none.
pub(super) fn worst(shares: &[Share], outcome: Outcome) -> String {
    let mut of: Vec<_> = shares.iter().filter(|share| share.outcome == outcome).collect();
    of.sort_by_key(|share| (std::cmp::Reverse(share.frames), share.source));
    let of = of.iter().take(WORST).map(|share| format!("{} ({})", share.source, share.frames));
    of.collect::<Vec<_>>().join(", ")
}

/// So many sources are named.
const WORST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn offender(last: u8, outcome: Outcome, samples: u32) -> Offender {
        Offender { address: Address::v4([192, 0, 2, last]).octets, outcome: outcome as u32, samples }
    }

    fn share(last: u8, outcome: Outcome, frames: u64) -> Share {
        Share { source: Address::v4([192, 0, 2, last]), outcome, frames }
    }

    #[test]
    fn what_came_since_is_what_counts() {
        use Outcome::{Banned, OverRate};
        let mut samples = Samples::new(vec![offender(1, OverRate, 10), offender(2, OverRate, 5), Offender::default()]);
        let now = vec![offender(1, OverRate, 12), offender(2, OverRate, 3), offender(3, Banned, 1)];
        assert_eq!(samples.since(now), [share(1, OverRate, 128), share(3, Banned, 64)]);
        let now = vec![offender(9, OverRate, 7), offender(2, Banned, 3), offender(3, Banned, 1)];
        assert_eq!(samples.since(now), [share(9, OverRate, 448), share(2, Banned, 192)]);
        assert_eq!(Samples::default().since(vec![offender(1, OverRate, 2)]), [share(1, OverRate, 128)]);
    }

    #[test]
    fn the_worst_three_of_an_outcome_are_named() {
        use Outcome::{Banned, OverRate};
        let shares: Vec<_> = (1..9).map(|last| share(last, OverRate, u64::from(last) * 64)).collect();
        assert_eq!(worst(&shares, OverRate), "192.0.2.8 (512), 192.0.2.7 (448), 192.0.2.6 (384)");
        assert_eq!(worst(&shares, Banned), "");
    }

    #[test]
    fn outcomes_of_another_program_are_left_out() {
        let odd = Offender { outcome: u32::MAX, ..offender(1, Outcome::Banned, 1) };
        assert_eq!(Samples::default().since(vec![odd]), []);
    }
}
