//! How many descriptors this process may have: enough of them at its start, and what is said when none is left. Never closes
//! one.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use siglatch_common::units::Boot;
use thiserror::Error;
use tracing::{info, warn};

use super::clock;

/// Descriptors that a daemon must be able to have.
///
/// Measured: 69 at rest with one interface, of which 43 are maps, and 225 for a moment while it starts; 40 connections of
/// operators, observers and scrapers at most, and one more for each interface.
pub const NEEDED: u64 = 512;

/// The system does not let the daemon have so many.
#[derive(Clone, Copy, Debug, Error)]
#[error(
    "it may have no more than {limit} files open, and needs {NEEDED}: set `LimitNOFILE={NEEDED}` or more in its unit, or run \
     `ulimit -n {NEEDED}` before"
)]
pub struct TooFew {
    limit: u64,
}

/// Makes sure that there will be enough, and takes no more than it needs of what it may have. To be called before anything is
/// opened.
///
/// # Errors
/// [`TooFew`] with its cure.
pub fn secure() -> Result<(), TooFew> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(limit) = current.filter(|limit| *limit < NEEDED) else { return Ok(()) };
    let raised = Rlimit { current: Some(NEEDED), maximum };
    if maximum.is_some_and(|most| most < NEEDED) || setrlimit(Resource::Nofile, raised).is_err() {
        return Err(TooFew { limit });
    }
    Ok(())
}

/// Whether something failed because there are none.
pub(super) fn is_want_of_them(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// There was none for somebody, or for telling him so. That is told once a minute at most.
pub(super) fn are_gone() {
    SHORTAGES.fetch_add(1, Ordering::Relaxed);
    let (now, last) = (clock::boot(), Boot::from_nanos(TOLD.load(Ordering::Relaxed)));
    if last == Boot::from_nanos(0) || now.since(last) >= APART {
        TOLD.store(now.as_nanos(), Ordering::Relaxed);
        SHORT.store(true, Ordering::Relaxed);
        let limit = getrlimit(Resource::Nofile).current;
        warn!(
            ?limit,
            "no descriptors are left: knocks are judged all the same, and whoever asks or scrapes is not served; raise \
             LimitNOFILE= of the unit, and meanwhile run `prlimit --pid {} --nofile=16384`",
            std::process::id()
        );
    }
}

/// Somebody was served.
pub(super) fn are_there() {
    if SHORT.load(Ordering::Relaxed) && SHORT.swap(false, Ordering::Relaxed) {
        info!("there are descriptors again");
    }
}

/// How often there was none since the start.
pub(super) fn shortages() -> u64 {
    SHORTAGES.load(Ordering::Relaxed)
}

/// The limit is the process's, and so is what is known of it.
static SHORTAGES: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds since boot; 0 if it never was.
static TOLD: AtomicU64 = AtomicU64::new(0);
/// It was told, and not yet that it is over.
static SHORT: AtomicBool = AtomicBool::new(false);

const APART: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_says_what_to_do() {
        let told = TooFew { limit: 16 }.to_string();
        assert!(told.contains("no more than 16 files") && told.contains("LimitNOFILE=512"), "{told}");
    }

    #[test]
    fn only_want_of_descriptors_is_taken_for_it() {
        assert!(is_want_of_them(&io::Error::from_raw_os_error(libc::EMFILE)));
        assert!(is_want_of_them(&io::Error::from_raw_os_error(libc::ENFILE)));
        assert!(!is_want_of_them(&io::Error::from_raw_os_error(libc::ECONNABORTED)));
    }
}
