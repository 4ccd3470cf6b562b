//! The clock and waiting. Never decides when.
#![expect(clippy::disallowed_methods, reason = "this is where time enters the client")]

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use siglatch_common::units::Wall;

use crate::failure::Failure;

/// The time on this machine.
///
/// # Errors
/// [`Failure::Clock`] if it is before 1970.
pub(crate) fn now() -> Result<Wall, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Failure::Clock)?;
    Ok(Wall::from_secs(since.as_secs()))
}

/// Waits.
pub(crate) fn wait(span: Duration) {
    thread::sleep(span);
}
