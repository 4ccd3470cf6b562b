//! Attaches the program to one interface: anew, or in place of an earlier one without a gap. Never loads it.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::XdpError;
use super::link::Link;
use super::pins::Pins;
use crate::config::Attach;
use crate::edge::network::{Found, Network, Occupant};

/// How the program runs on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// In the driver, before the network stack has allocated anything.
    Native,
    /// In the network stack: any driver, but several times as dear.
    Generic,
}

impl Mode {
    /// The name in the log and in the status.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// Checks, before anything is changed, that no program but ours is on an interface. One that is not there is free.
pub(super) async fn is_free(interface: &str, pins: &Pins, network: &Network) -> Result<(), XdpError> {
    match network.interface(interface).await? {
        Some(found) if found.occupant.is_some() && earlier(interface, &found, pins).is_none() => {
            Err(occupied(interface, found.occupant))
        }
        Some(_) | None => Ok(()),
    }
}

/// Attaches in place of what an earlier daemon has left there, or anew; returns the link and the mode. The link is not pinned
/// unless it was.
pub(super) async fn take(
    program: BorrowedFd<'_>,
    interface: &str,
    found: Found,
    wanted: Attach,
    pins: &Pins,
    network: &Network,
) -> Result<(Link, Mode), XdpError> {
    let mut occupant = found.occupant;
    if let Some(link) = earlier(interface, &found, pins) {
        let mode = occupant.map_or(Mode::Native, |occupant| occupant.mode);
        if fits(mode, wanted) {
            link.update(program).map_err(failed(interface, mode))?;
            return Ok((link, mode));
        }
        // The mode of a link cannot be changed: it is taken down, and put up again below.
        drop(link);
        pins.forget_link(interface)?;
        occupant = vacated(interface, occupant, network).await;
    } else {
        // Of an interface that is gone, or detached by somebody.
        pins.forget_link(interface)?;
    }
    attach_anew(program, interface, found.index, wanted, occupant)
}

/// Attaches where nothing of ours is.
pub(super) fn attach_anew(
    program: BorrowedFd<'_>,
    interface: &str,
    index: u32,
    wanted: Attach,
    occupant: Option<Occupant>,
) -> Result<(Link, Mode), XdpError> {
    let modes: &[Mode] = match wanted {
        Attach::Auto => &[Mode::Native, Mode::Generic],
        Attach::Native => &[Mode::Native],
        Attach::Generic => &[Mode::Generic],
    };
    let mut last = None;
    for &mode in modes {
        match Link::new(program, index, mode) {
            Ok(link) => return Ok((link, mode)),
            Err(error) if is_occupied(&error) => return Err(occupied(interface, occupant)),
            Err(error) => last = Some(failed(interface, mode)(error)),
        }
    }
    Err(last.unwrap_or(XdpError::Object("mode")))
}

/// The pinned link of an earlier daemon, if it still holds the interface.
fn earlier(interface: &str, found: &Found, pins: &Pins) -> Option<Link> {
    let link = Link::from_pin(&pins.link(interface)).ok()?;
    let holds = link.interface().is_ok_and(|index| index == Some(found.index));
    holds.then_some(link)
}

/// Waits until the program whose link was removed has left: the kernel does that in its own time. Returns who is there
/// then.
async fn vacated(interface: &str, leaving: Option<Occupant>, network: &Network) -> Option<Occupant> {
    for _ in 0..VACATING_ROUNDS {
        let occupant = network.interface(interface).await.ok().flatten().and_then(|found| found.occupant);
        if occupant.map(|occupant| occupant.program) != leaving.map(|leaving| leaving.program) {
            return occupant;
        }
        tokio::time::sleep(VACATING_ROUND).await;
    }
    leaving
}

fn occupied(interface: &str, occupant: Option<Occupant>) -> XdpError {
    let program = occupant.map_or_else(String::new, |occupant| format!(" (id {})", occupant.program));
    XdpError::Occupied { interface: interface.to_owned(), program }
}

fn failed(interface: &str, mode: Mode) -> impl FnOnce(io::Error) -> XdpError {
    move |source| XdpError::Mode { interface: interface.to_owned(), mode: mode.label(), source }
}

fn is_occupied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

const fn fits(mode: Mode, wanted: Attach) -> bool {
    match wanted {
        Attach::Auto => true,
        Attach::Native => matches!(mode, Mode::Native),
        Attach::Generic => matches!(mode, Mode::Generic),
    }
}

/// The kernel waits for readers of the pin folder, which takes some ten milliseconds.
const VACATING_ROUNDS: u32 = 500;
const VACATING_ROUND: Duration = Duration::from_millis(2);
