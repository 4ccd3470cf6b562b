//! Decides which lane the private key serves next: the first that has something waiting, unless another has waited for
//! longer than its share allows. Never looks at a datagram, and never waits.

use siglatch_common::lane::{Lane, PerLane};

/// Who comes next, in strict order, with a guaranteed share for each.
///
/// A lane that waits earns its share of each key operation, whoever has it, and pays for those it has itself. Whoever has
/// earned a whole one comes first; otherwise the order of [`Lane::ALL`] holds. Out of any `n` operations in a row during
/// all of which a lane waits, it has at least `n × share / 100 − 3`, if the shares are no more than 100 together.
#[derive(Clone, Debug)]
pub struct Precedence {
    shares: PerLane<u8>,
    /// What each lane has earned, in hundredths of a key operation.
    earned: PerLane<u32>,
}

impl Precedence {
    /// A precedence with these shares, in percent. A lane without a share is served when nobody else waits.
    #[must_use]
    pub fn new(shares: PerLane<u8>) -> Self {
        Self { shares, earned: PerLane::default() }
    }

    /// Goes by other shares from now on. What lanes have earned stays theirs.
    pub const fn set_shares(&mut self, shares: PerLane<u8>) {
        self.shares = shares;
    }

    /// The lane to serve, of those that have something waiting; nothing if none has.
    pub fn next(&mut self, waiting: PerLane<bool>) -> Option<Lane> {
        let waits = |lane: &Lane| *waiting.of(*lane);
        for lane in Lane::ALL {
            let (share, earned) = (u32::from(*self.shares.of(lane)), self.earned.of_mut(lane));
            // Who does not wait keeps nothing: a share is a part of now, and no claim on later.
            *earned = if waits(&lane) { earned.saturating_add(share) } else { 0 };
        }
        let lane = self.owed().or_else(|| {
            let waiting = Lane::ALL.into_iter().filter(waits);
            waiting.min_by_key(|lane| *self.shares.of(*lane) == 0)
        })?;
        let earned = self.earned.of_mut(lane);
        *earned = earned.saturating_sub(OPERATION);
        Some(lane)
    }

    /// The lane that has earned a whole operation, and the most of these; the first of several.
    fn owed(&self) -> Option<Lane> {
        let owed = Lane::ALL.into_iter().filter(|lane| *self.earned.of(*lane) >= OPERATION);
        owed.rev().max_by_key(|lane| *self.earned.of(*lane))
    }
}

/// What a key operation costs.
const OPERATION: u32 = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULTS: PerLane<u8> = PerLane { stamped: 20, known: 20, unknown: 5 };
    const ALL_WAIT: PerLane<bool> = PerLane { stamped: true, known: true, unknown: true };
    const NONE_WAITS: PerLane<bool> = PerLane { stamped: false, known: false, unknown: false };

    #[test]
    fn nobody_is_served_when_nobody_waits() {
        assert_eq!(Precedence::new(DEFAULTS).next(NONE_WAITS), None);
    }

    #[test]
    fn the_order_holds_but_for_the_shares() {
        let mut precedence = Precedence::new(DEFAULTS);
        let served: Vec<_> = (0..100).filter_map(|_| precedence.next(ALL_WAIT)).collect();
        let of = |lane| served.iter().filter(|served| **served == lane).count();
        assert_eq!(served[..5], [Lane::Stamped, Lane::Stamped, Lane::Stamped, Lane::Stamped, Lane::Known]);
        assert_eq!((of(Lane::Stamped), of(Lane::Known), of(Lane::Unknown)), (76, 20, 4), "{served:?}");
    }

    #[test]
    fn a_lane_without_a_share_is_served_when_nobody_else_waits() {
        let mut precedence = Precedence::new(PerLane { stamped: 0, known: 0, unknown: 5 });
        for _ in 0..1000 {
            assert_eq!(precedence.next(ALL_WAIT), Some(Lane::Unknown));
        }
        let others = PerLane { unknown: false, ..ALL_WAIT };
        assert_eq!(precedence.next(others), Some(Lane::Stamped), "and those without a share keep the order");
    }

    #[test]
    fn what_was_not_used_is_not_saved() {
        let mut precedence = Precedence::new(PerLane { stamped: 20, known: 20, unknown: 60 });
        // Long alone, long away: neither gives a lane a claim, nor costs it one.
        for waiting in [PerLane { unknown: true, ..NONE_WAITS }, PerLane { stamped: true, ..NONE_WAITS }] {
            (0..1000).for_each(|_| assert!(precedence.next(waiting).is_some()));
        }
        let served: Vec<_> = (0..10).filter_map(|_| precedence.next(ALL_WAIT)).collect();
        let unknown = served.iter().filter(|lane| **lane == Lane::Unknown).count();
        assert!((5..=6).contains(&unknown), "{served:?}");
    }

    proptest! {
        #[test]
        fn whoever_waits_all_the_time_has_his_share_whatever_the_others_do(
            shares in shares(),
            pattern in prop::collection::vec(waiting(), 1..600),
            who in 0..3_usize,
        ) {
            let lane = Lane::ALL[who];
            let mut precedence = Precedence::new(shares);
            let mut served = 0;
            for (done, mut waiting) in (1..).zip(pattern) {
                *waiting.of_mut(lane) = true;
                served += u32::from(precedence.next(waiting) == Some(lane));
                prop_assert!((served + 3) * 100 >= done * u32::from(*shares.of(lane)), "{served} of {done}");
            }
        }

        #[test]
        fn a_share_is_had_again_after_any_past(
            shares in shares(),
            past in prop::collection::vec(waiting(), 0..300),
            who in 0..3_usize,
        ) {
            let lane = Lane::ALL[who];
            let mut precedence = Precedence::new(shares);
            past.into_iter().for_each(|waiting| { precedence.next(waiting); });
            let served = (0..400).filter(|_| precedence.next(ALL_WAIT) == Some(lane)).count();
            prop_assert!(served + 3 >= 4 * usize::from(*shares.of(lane)), "{served} of 400");
        }

        #[test]
        fn only_who_waits_is_served_and_somebody_is(
            shares in shares(),
            pattern in prop::collection::vec(waiting(), 0..300),
        ) {
            let mut precedence = Precedence::new(shares);
            for waiting in pattern {
                match precedence.next(waiting) {
                    Some(lane) => prop_assert!(*waiting.of(lane)),
                    None => prop_assert_eq!(waiting, NONE_WAITS),
                }
            }
        }

        #[test]
        fn the_first_is_passed_over_only_for_what_the_others_have_earned(
            shares in shares(),
            pattern in prop::collection::vec(waiting(), 1..600),
        ) {
            let shares = PerLane { stamped: shares.stamped.max(1), ..shares };
            let mut precedence = Precedence::new(shares);
            let (mut earned, mut had) = (0, 0);
            for mut waiting in pattern {
                waiting.stamped = true;
                let others = [Lane::Known, Lane::Unknown].into_iter().filter(|lane| *waiting.of(*lane));
                earned += others.map(|lane| u32::from(*shares.of(lane))).sum::<u32>();
                had += u32::from(precedence.next(waiting) != Some(Lane::Stamped));
                prop_assert!(had * 100 <= earned, "{had} for {earned}");
            }
        }

        #[test]
        fn without_a_share_nobody_comes_before_one_who_has(
            shares in shares(),
            pattern in prop::collection::vec(waiting(), 0..300),
        ) {
            let mut precedence = Precedence::new(shares);
            for waiting in pattern {
                if let Some(lane) = precedence.next(waiting) {
                    let has_share = |lane: Lane| *shares.of(lane) > 0;
                    let somebody = Lane::ALL.into_iter().any(|lane| *waiting.of(lane) && has_share(lane));
                    prop_assert!(has_share(lane) || !somebody);
                }
            }
        }
    }

    /// No more than a hundred together, with many a zero.
    fn shares() -> impl Strategy<Value = PerLane<u8>> {
        let share = || prop_oneof![Just(0_u8), 0..=33_u8];
        let few = (share(), share(), share()).prop_map(|(stamped, known, unknown)| PerLane { stamped, known, unknown });
        prop_oneof![
            4 => few,
            1 => Just(PerLane { stamped: 100, known: 0, unknown: 0 }),
            1 => Just(PerLane { stamped: 0, known: 0, unknown: 100 }),
            1 => Just(PerLane { stamped: 1, known: 50, unknown: 49 }),
        ]
    }

    fn waiting() -> impl Strategy<Value = PerLane<bool>> {
        any::<[bool; 3]>().prop_map(|[stamped, known, unknown]| PerLane { stamped, known, unknown })
    }
}
