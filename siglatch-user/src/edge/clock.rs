//! Reads the clocks, and lets threads rest: the only place where time enters. Never says what is due.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use siglatch_common::units::{Boot, Now, Wall};

use crate::audit::Stamp;

/// Both clocks, as they stand.
#[must_use]
pub fn now() -> Now {
    Now { boot: boot(), wall: wall() }
}

/// `CLOCK_BOOTTIME`, as it stands.
#[must_use]
pub fn boot() -> Boot {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
    let nanos = u64::try_from(tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(tv_nsec).unwrap_or(0);
    Boot::from_nanos(nanos)
}

/// Waits so long, and does nothing.
pub fn rest(span: Duration) {
    std::thread::sleep(span);
}

/// `CLOCK_REALTIME`, as it stands; the epoch, for clocks set before it.
fn wall() -> Wall {
    Wall::from_secs(u64::try_from(clock_gettime(ClockId::Realtime).tv_sec).unwrap_or(0))
}

/// Both clocks, as records of the audit log have them.
#[must_use]
pub fn stamp() -> Stamp {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
    Stamp { micros: tv_sec.saturating_mul(1_000_000).saturating_add(tv_nsec / 1000), boot: boot() }
}
