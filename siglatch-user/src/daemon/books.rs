//! What must be on the disk before anything comes of a knock: nonces, use counts, debts. Never decides what that is.

use std::path::Path;
use std::time::Duration;

use siglatch_common::units::Wall;
use thiserror::Error;
use tracing::{debug, warn};

use super::owed::{Due, Owed};
use crate::edge::clock;
use crate::edge::ledger::{Ledger, LedgerError};
use crate::edge::nonce_store::{NonceStore, NonceStoreError, Recovery};
use crate::gate::{Entry, Nonce, Noted, Remembered};

/// Nonce store and ledger.
pub(super) struct Books {
    store: NonceStore,
    ledger: Ledger,
    /// What the store must have before the next nonce.
    owed: Owed,
}

/// What could not be written.
#[derive(Debug, Error)]
pub(super) enum BooksError {
    /// Knocks cannot be remembered.
    #[error(transparent)]
    Nonces(#[from] NonceStoreError),
    /// Use counts and debts cannot.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What earlier runs have left in them.
pub(super) struct Left {
    pub(super) remembered: Remembered,
    pub(super) noted: Noted,
}

impl Books {
    /// Opens both, and tells in the log if something is amiss with them.
    ///
    /// # Errors
    /// [`BooksError`] if the disk does not let them be read and written.
    pub(super) fn open(state_dir: &Path, max_skew: Duration) -> Result<(Self, Left), BooksError> {
        let (store, remembered, recovery) = NonceStore::open(state_dir, max_skew, clock::now())?;
        tell_recovery(recovery);
        let (ledger, noted) = Ledger::open(state_dir)?;
        if let Some(damage) = ledger.damage() {
            warn!("{damage}");
        }
        Ok((Self { store, ledger, owed: Owed::default() }, Left { remembered, noted }))
    }

    /// See [`Owed::lease`].
    pub(super) fn lease(&mut self, until: Wall) {
        self.owed.lease(until);
    }

    /// See [`Owed::forget`].
    pub(super) fn forget(&mut self, floor: Wall) {
        self.owed.forget(floor);
    }

    /// Writes what is owed, then the nonces, then the entries. Nonces of a generation that has just ended come into the file
    /// of the next: they are kept for longer than they must be.
    ///
    /// # Errors
    /// [`BooksError`]: then nothing may come of those knocks. Their nonces may be kept all the same.
    pub(super) fn keep(&mut self, nonces: &[Nonce], entries: &[Entry]) -> Result<(), BooksError> {
        while let Some(due) = self.owed.next() {
            match due {
                Due::Lease(until) => self.store.lease(until)?,
                Due::Forget(floor, lease) => self.store.forget(floor, lease)?,
            }
            self.owed.written(due);
        }
        if !nonces.is_empty() {
            self.store.remember(nonces)?;
        }
        Ok(self.ledger.note(entries)?)
    }

    /// Writes everything through to the disk.
    ///
    /// # Errors
    /// [`BooksError`]; the next start then takes it for a loss of power if the machine restarts before.
    pub(super) fn close(self) -> Result<(), BooksError> {
        Ok(self.store.close()?)
    }
}

impl BooksError {
    /// What cannot be written, in the audit log.
    pub(super) const fn what(&self) -> &'static str {
        match self {
            Self::Nonces(_) => "nonces",
            Self::Ledger(_) => "ledger",
        }
    }
}

fn tell_recovery(recovery: Recovery) {
    match recovery {
        Recovery::Complete => debug!("every nonce of earlier runs is known"),
        Recovery::PowerLoss(until) => {
            warn!(
                until = until.as_secs(),
                "the machine stopped without warning: knocks stamped up to then (Unix time) are refused"
            );
        }
        Recovery::Missing(until) => {
            warn!(
                until = until.as_secs(),
                "no nonce store yet: knocks stamped up to then (Unix time) are refused, once"
            );
        }
        Recovery::Damaged(until) => {
            warn!(
                until = until.as_secs(),
                "the nonce store is damaged: knocks stamped up to then (Unix time) are refused"
            );
        }
    }
}
