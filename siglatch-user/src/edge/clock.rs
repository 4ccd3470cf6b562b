//! Reads the clocks, and lets threads rest: the only place where time enters. Never says what is due.
//!
//! The clock on the wall is read as the C library has it, so that a test can set it for one process.

use std::time::{Duration, SystemTime};

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
    Wall::from_secs(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}

/// Both clocks, as records of the audit log have them.
#[must_use]
pub fn stamp() -> Stamp {
    let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Stamp { micros: since.map_or_else(|before| -micros(before.duration()), micros), boot: boot() }
}
