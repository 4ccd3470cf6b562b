//! Opens protected ports for granted addresses with nftables, and keeps it so. Never decides who gets a grant, and
//! never touches a table that is not its own, except for the elements of sets that the operator made for it.
//!
//! What an operator sees is drawn in `skeleton.rs`; `nft list set inet siglatch grants_v4` shows who is in,
//! for how long, and by whose knock. The kernel ends grants, with or without the daemon.
//!
//! Tables, chains and rules are written by `nft`, in one transaction each; elements by netlink, in some 10 µs each. A change of
//! what is closed is one of elements, as long as the rules stay.
//! All calls block: they belong on a thread of their own. They work in the network namespace of the thread that
//! called [`Firewall::open`]; call all others from the same one.

mod elements;
mod error;
mod fixed;
mod hand;
mod held;
mod inventory;
mod kernel;
pub(super) mod netlink;
mod nft;
mod phrases;
mod rewrite;
mod sets;
mod skeleton;
mod target;
mod watch;

use siglatch_common::units::Boot;

use crate::config::Firewall as Settings;
use crate::gate::{Grant, GrantKey};

use kernel::Kernel;

pub use error::FirewallError;
pub use hand::{begin_hand, lend_hand_if_asked};
pub use rewrite::{Rewrite, Rewritten};
pub use watch::{Change, Watcher};

/// The grants in the kernel; or nothing at all, with [`Settings::Untouched`]: then every call succeeds and does nothing.
pub struct Firewall(Option<Kernel>);

/// What [`Firewall::restore`] had to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Restored {
    /// How table, chains, rules and fixed sets were found; they are whole now.
    pub skeleton: Found,
    /// Grants that were missing, or would have ended too early, and are written now.
    pub grants: usize,
}

/// What [`Firewall::begin`] has come to.
#[derive(Debug)]
pub enum Begun {
    /// All is done.
    Done(Adopted),
    /// This is still to be done.
    Aside(Box<Rewrite>),
}

/// What going over to other settings has done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Adopted {
    /// Grants that the new settings have no set for: they stand nowhere any more.
    pub placeless: Vec<GrantKey>,
    /// Grants that have ended while the table was written, and may stand there again.
    pub risen: Vec<GrantKey>,
}

/// How the table was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Found {
    /// As it was written.
    #[default]
    Whole,
    /// Not there.
    Missing,
    /// Not as it was written.
    Changed,
}

impl Firewall {
    /// Makes the table, or takes over what a predecessor left, without a moment in which a protected port is open
    /// or a granted one closed. Gives back the grants that are still alive there.
    ///
    /// `knock_ports` are those to drop datagrams to, in case the XDP filter is detached; empty if datagrams come in
    /// through sockets. In the operator's table nothing is made: its sets are checked.
    ///
    /// # Errors
    /// [`FirewallError::SetMissing`] and [`FirewallError::SetUnfit`] for the operator's table; else what `nft` or the
    /// kernel answered.
    pub fn open(settings: &Settings, knock_ports: &[u16], now: Boot) -> Result<(Self, Vec<Grant>), FirewallError> {
        let mut kernel = Kernel::of(settings, knock_ports)?;
        let grants = kernel.as_mut().map_or(Ok(Vec::new()), |kernel| kernel.take_over(now))?;
        Ok((Self(kernel), grants))
    }

    /// Asks `nft` and the kernel whether [`Firewall::open`] would succeed; changes nothing.
    ///
    /// # Errors
    /// As [`Firewall::open`].
    pub fn check(settings: &Settings, knock_ports: &[u16]) -> Result<(), FirewallError> {
        Kernel::of(settings, knock_ports)?.map_or(Ok(()), |mut kernel| kernel.check())
    }

    /// Takes our own table away, with what it closes and who is let in; says whether it was there. Of the operator's table
    /// nothing is touched: grants in its sets end by themselves.
    ///
    /// # Errors
    /// What `nft` or the kernel answered.
    pub fn take_away(settings: &Settings) -> Result<bool, FirewallError> {
        Kernel::of(settings, &[])?.map_or(Ok(false), |mut kernel| kernel.take_away())
    }

    /// Begins to go over to other settings, of the same mode and table, with the grants that hold under them. If rules change,
    /// our own table is written by `nft`, which takes some milliseconds: on whatever thread, while grants are written and revoked here as
    /// before; then [`Firewall::finish`] follows, and nothing is put back until then. It is one transaction, and no moment
    /// in which a protected port is open or a granted one closed. Of the operator's sets, the new ones are filled before
    /// the old ones are emptied. Nothing is run if all is as before.
    ///
    /// # Errors
    /// As [`Firewall::open`], and [`FirewallError::NotLive`] for another mode or table. Nothing has changed then, and
    /// the firewall goes on with the settings that it had.
    pub fn begin(
        &mut self,
        settings: &Settings,
        knock_ports: &[u16],
        live: &[Grant],
        now: Boot,
    ) -> Result<Begun, FirewallError> {
        match &mut self.0 {
            Some(kernel) => kernel.begin(settings, knock_ports, live, now),
            None if matches!(settings, Settings::Untouched) => Ok(Begun::Done(Adopted::default())),
            None => Err(FirewallError::NotLive),
        }
    }

    /// Goes by the settings of a table that was written, with the grants that hold by now.
    ///
    /// # Errors
    /// Why it could not be written. Nothing has changed then, and the firewall goes on with the settings that it had.
    pub fn finish(&mut self, rewritten: Rewritten, live: &[Grant]) -> Result<Adopted, FirewallError> {
        self.0.as_mut().map_or(Ok(Adopted::default()), |kernel| kernel.finish(rewritten, live))
    }

    /// Lets each grant end no earlier than `ttl` from now. One that the kernel holds for longer stays as it is; a
    /// `ttl` below a millisecond opens nothing.
    ///
    /// # Errors
    /// [`FirewallError::NotWritten`] names the grants that did not get in; all others did. Whatever the cause, a
    /// later [`Firewall::restore`] with all live grants is the way back.
    pub fn write(&mut self, grants: &[Grant], now: Boot) -> Result<(), FirewallError> {
        self.0.as_mut().map_or(Ok(()), |kernel| kernel.write(grants, now))
    }

    /// Ends grants at once. What is not there is no error.
    ///
    /// # Errors
    /// The kernel's answer; the grants that come after the refused message still stand then.
    pub fn revoke(&mut self, keys: &[GrantKey]) -> Result<(), FirewallError> {
        self.0.as_mut().map_or(Ok(()), |kernel| kernel.revoke(keys))
    }

    /// Compares the kernel with what should be there, and puts back what is missing: in our own table everything,
    /// in one transaction with the grants if the table is gone; in the operator's the grants.
    ///
    /// # Errors
    /// As [`Firewall::open`] and [`Firewall::write`].
    pub fn restore(&mut self, live: &[Grant], now: Boot) -> Result<Restored, FirewallError> {
        self.0.as_mut().map_or(Ok(Restored::default()), |kernel| kernel.restore(live, now))
    }

    /// A watcher that hears of changes by everyone but this firewall. What `nft` changes on its behalf is heard of
    /// too: the restore that follows finds everything whole. Nothing if there is nothing to watch.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn watch(&self) -> Result<Option<Watcher>, FirewallError> {
        self.0.as_ref().map(Kernel::watch).transpose()
    }
}
