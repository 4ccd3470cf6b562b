//! What the filter goes by while it runs, wherever it runs: bans, allowed networks, known origins, stamp keys; and what
//! it has counted. In the kernel these are maps, for the socket ingress tables. Never decides what stands in a list.

mod dry;

use std::io;

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::layout::{Known, Offender, StampKey};
use siglatch_common::outcome::Counters;
use siglatch_common::stamp::SLOTS;
use thiserror::Error;

pub use dry::Dry;

/// The lists of one filter.
pub trait Lists: Send {
    /// Every ban that stands there, over or not.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    fn bans(&self) -> Result<Vec<(Network, Ban)>, ListError>;

    /// Sets a ban, in place of an earlier one of the same network.
    ///
    /// # Errors
    /// [`ListError`]; [`ListError::is_full`] if there is no room.
    fn set_ban(&mut self, network: Network, ban: Ban) -> Result<(), ListError>;

    /// Lifts a ban; nothing happens if there is none.
    ///
    /// # Errors
    /// If the kernel takes no update.
    fn lift_ban(&mut self, network: Network) -> Result<(), ListError>;

    /// Every known origin.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    fn known(&self) -> Result<Vec<(Address, Known)>, ListError>;

    /// Makes an origin known, or keeps it so for longer. Its bucket stays as it is.
    ///
    /// # Errors
    /// [`ListError`]; [`ListError::is_full`] if there is no room.
    fn set_known(&mut self, origin: Address, until: u64) -> Result<(), ListError>;

    /// Forgets an origin; nothing happens if it is not known.
    ///
    /// # Errors
    /// If the kernel takes no update.
    fn forget_known(&mut self, origin: Address) -> Result<(), ListError>;

    /// Makes the allow list hold exactly these.
    ///
    /// # Errors
    /// [`ListError`]; [`ListError::is_full`] if there is no room.
    fn set_allowed(&mut self, networks: &[Network]) -> Result<(), ListError>;

    /// Sets the keys that stamps are made with.
    ///
    /// # Errors
    /// If the kernel takes no update.
    fn set_stamp_keys(&mut self, keys: &[StampKey; SLOTS]) -> Result<(), ListError>;

    /// Who is refused most, by samples since the filter began; with a place for each, empty or not.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    fn offenders(&self) -> Result<Vec<Offender>, ListError>;

    /// Frames by outcome, since the lists were made.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    fn counters(&self) -> Result<Counters, ListError>;

    /// Which lists of bans they are: the same number, until the machine starts anew, as long as they are the same; 0 if
    /// they end with the process.
    ///
    /// # Errors
    /// If the kernel does not say.
    fn number(&self) -> Result<u64, ListError>;

    /// What each list has room for, and what it costs.
    ///
    /// # Errors
    /// If the kernel does not let it be read.
    fn sizes(&self) -> Result<Vec<Size>, ListError>;
}

/// What a list has room for, and what it costs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    /// Its name.
    pub list: &'static str,
    /// Entries there is room for; bytes, for a ring.
    pub room: u64,
    /// Memory, in bytes, as the kernel accounts for it.
    pub bytes: u64,
}

/// A list cannot be read or changed.
#[derive(Debug, Error)]
#[error("the filter's list {list}: {source}")]
pub struct ListError {
    /// Which one.
    pub list: &'static str,
    /// What went wrong.
    #[source]
    pub source: io::Error,
}

impl ListError {
    /// Whether there is no room for more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC | libc::ENOMEM))
    }
}
