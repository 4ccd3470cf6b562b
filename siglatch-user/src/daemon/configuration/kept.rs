//! What is switched off, kept on the disk: at once, or as soon as the disk takes it. Never decides what is.

use std::time::Duration;

use tracing::{info, warn};

use crate::causes::with_causes;
use crate::edge::clock;
use crate::edge::switch_store::SwitchStore;
use crate::retry::Retry;
use crate::switches::Switches;

/// The file, and when it is tried again.
pub(super) struct Kept {
    store: SwitchStore,
    /// Nothing if the file says what is off.
    later: Option<Retry>,
}

impl Kept {
    pub(super) const fn new(store: SwitchStore) -> Self {
        Self { store, later: None }
    }

    /// Keeps what is off; says why that cannot be. It is tried again then.
    pub(super) fn keep(&mut self, switches: &Switches) -> Option<String> {
        let Err(error) = self.store.keep(switches) else {
            if self.later.take().is_some() {
                info!("what is switched off is kept on the disk again");
            }
            return None;
        };
        let error = with_causes(&error);
        if self.later.is_none() {
            warn!(
                error,
                "what is switched off or on holds, but is forgotten if the daemon ends now; kept as soon as that can be"
            );
        }
        self.later = Some(Retry::after(self.later, clock::boot(), FIRST_PAUSE, LONGEST_PAUSE));
        Some(error)
    }

    /// Tries again what could not be kept, when it is time.
    pub(super) fn keep_again(&mut self, switches: &Switches) {
        if self.later.is_some_and(|later| later.is_due(clock::boot())) {
            self.keep(switches);
        }
    }
}

/// Between a failure and the next attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(64);
