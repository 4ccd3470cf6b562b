//! Whether somebody has set the clock on the wall. Never says what comes of it.

use siglatch_common::units::Now;

/// How the clock on the wall stood to the time since boot when it was looked at last.
#[derive(Clone, Copy, Debug)]
pub(super) struct WallClock {
    offset: i64,
}

impl WallClock {
    pub(super) fn new(now: Now) -> Self {
        Self { offset: offset(now) }
    }

    /// By how many seconds it was set since the last look; nothing if it has only run, and been slewed.
    pub(super) fn set_by(&mut self, now: Now) -> Option<i64> {
        let before = std::mem::replace(&mut self.offset, offset(now));
        let by = self.offset.saturating_sub(before);
        (by.unsigned_abs() >= LEAST).then_some(by)
    }
}

/// In seconds.
fn offset(now: Now) -> i64 {
    let [wall, boot] = [now.wall.as_secs(), now.boot.as_nanos() / 1_000_000_000].map(i64::try_from);
    wall.unwrap_or(i64::MAX).saturating_sub(boot.unwrap_or(i64::MAX))
}

/// Both clocks are read in whole seconds, and not at the same moment. Nobody's knock fails for less.
const LEAST: u64 = 3;

#[cfg(test)]
mod tests {
    use siglatch_common::units::{Boot, Wall};

    use super::*;

    fn at(boot_millis: u64, wall: u64) -> Now {
        Now { boot: Boot::from_nanos(boot_millis * 1_000_000), wall: Wall::from_secs(wall) }
    }

    #[test]
    fn a_clock_that_runs_or_is_slewed_was_not_set() {
        let mut clock = WallClock::new(at(1_900, 1_000));
        for (boot, wall) in [(2_100, 1_000), (3_000, 1_002), (3_999, 1_002), (7_203_000, 8_203), (7_204_000, 8_206)] {
            assert_eq!(clock.set_by(at(boot, wall)), None, "{boot} {wall}");
        }
    }

    #[test]
    fn each_step_is_told_once_and_with_its_direction() {
        let mut clock = WallClock::new(at(1_000, 1_000_000));
        assert_eq!(clock.set_by(at(2_000, 1_010_801)), Some(10_800));
        assert_eq!(clock.set_by(at(3_000, 1_010_802)), None);
        assert_eq!(clock.set_by(at(4_000, 1_000_003)), Some(-10_800));
        assert_eq!(clock.set_by(at(5_000, 0)), Some(-1_000_004));
    }
}
