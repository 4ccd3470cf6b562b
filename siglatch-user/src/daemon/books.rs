//! What must be on the disk before anything comes of a knock: nonces, use counts, debts. Never decides what that is.

use siglatch_common::units::Wall;
use thiserror::Error;

use super::owed::{Due, Owed};
use crate::edge::ledger::{Ledger, LedgerError};
use crate::edge::nonce_store::{NonceStore, NonceStoreError};
use crate::gate::{Entry, Nonce};

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

impl Books {
    pub(super) fn new(store: NonceStore, ledger: Ledger) -> Self {
        Self { store, ledger, owed: Owed::default() }
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
