//! Attaches the program to one interface: anew, or in place of an earlier one without a gap. Never loads it.

use std::io;
use std::time::Duration;

use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, Xdp};

use super::XdpError;
use super::ground::known_interfaces;
use super::pins::Pins;
use crate::config::Attach;
use crate::edge::network::{Network, Occupant};

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

    const fn flag(self) -> XdpMode {
        match self {
            Self::Native => XdpMode::Driver,
            Self::Generic => XdpMode::Skb,
        }
    }
}

/// Checks, before anything is changed, that the interface is there, and that no program but ours is on it.
pub(super) async fn is_free(interface: &str, pins: &Pins, network: &Network) -> Result<(), XdpError> {
    let Some(occupant) = occupant(interface, network).await? else {
        return Ok(());
    };
    let ours = PinnedLink::from_pin(pins.link(interface)).ok().and_then(|pinned| FdLink::from(pinned).info().ok());
    match ours {
        Some(link) if link.program_id() == occupant.program => Ok(()),
        Some(_) | None => Err(occupied(interface, Some(occupant))),
    }
}

/// Attaches and pins; returns the mode.
pub(super) async fn attach(
    program: &mut Xdp,
    interface: &str,
    wanted: Attach,
    pins: &Pins,
    network: &Network,
) -> Result<Mode, XdpError> {
    let mut occupant = occupant(interface, network).await?;
    if let Some(link) = live_link(interface, occupant, pins)? {
        let mode = occupant.map_or(Mode::Native, |occupant| occupant.mode);
        if fits(mode, wanted) {
            program.attach_to_link(link).map_err(|source| XdpError::Mode {
                interface: interface.to_owned(),
                mode: mode.label(),
                source,
            })?;
            return Ok(mode);
        }
        // The mode of a link cannot be changed: it is taken down, and put up again below.
        drop(link);
        std::fs::remove_file(pins.link(interface)).map_err(XdpError::pin(&pins.link(interface)))?;
        occupant = vacated(interface, occupant, network).await;
    }
    let (link, mode) = attach_anew(program, interface, wanted, occupant)?;
    let path = pins.link(interface);
    link.pin(&path).map_err(|error| XdpError::Pin { path, source: io::Error::other(error) })?;
    Ok(mode)
}

/// The pinned link of an earlier daemon, if it still holds the interface.
fn live_link(interface: &str, occupant: Option<Occupant>, pins: &Pins) -> Result<Option<XdpLink>, XdpError> {
    let path = pins.link(interface);
    let Ok(pinned) = PinnedLink::from_pin(&path) else {
        return Ok(None);
    };
    let link = FdLink::from(pinned);
    let held = link.info().ok().map(|info| info.program_id());
    if held.is_some() && held == occupant.map(|occupant| occupant.program) {
        return Ok(XdpLink::try_from(link).ok());
    }
    // Of an interface that is gone, or detached by somebody.
    std::fs::remove_file(&path).map_err(XdpError::pin(&path))?;
    Ok(None)
}

/// Waits until the program whose link was removed has left: the kernel does that in its own time. Returns who is there
/// then.
async fn vacated(interface: &str, leaving: Option<Occupant>, network: &Network) -> Option<Occupant> {
    for _ in 0..VACATING_ROUNDS {
        let occupant = network.xdp_occupant(interface).await.ok().flatten();
        if occupant.map(|occupant| occupant.program) != leaving.map(|leaving| leaving.program) {
            return occupant;
        }
        tokio::time::sleep(VACATING_ROUND).await;
    }
    leaving
}

fn attach_anew(
    program: &mut Xdp,
    interface: &str,
    wanted: Attach,
    occupant: Option<Occupant>,
) -> Result<(FdLink, Mode), XdpError> {
    let modes: &[Mode] = match wanted {
        Attach::Auto => &[Mode::Native, Mode::Generic],
        Attach::Native => &[Mode::Native],
        Attach::Generic => &[Mode::Generic],
    };
    let mut last = None;
    for &mode in modes {
        match attach_in(program, interface, mode) {
            Ok(link) => return Ok((link, mode)),
            Err(error) if is_occupied(&error) => return Err(occupied(interface, occupant)),
            Err(source) => last = Some(XdpError::Mode { interface: interface.to_owned(), mode: mode.label(), source }),
        }
    }
    Err(last.unwrap_or(XdpError::Object("mode")))
}

fn attach_in(program: &mut Xdp, interface: &str, mode: Mode) -> Result<FdLink, ProgramError> {
    let id = program.attach(interface, mode.flag())?;
    // Only a link can be pinned; a kernel that makes none falls back to netlink, and is older than ours may be.
    FdLink::try_from(program.take_link(id)?).map_err(|_| ProgramError::NotAttached)
}

async fn occupant(interface: &str, network: &Network) -> Result<Option<Occupant>, XdpError> {
    let unknown = |_| XdpError::UnknownInterface { name: interface.to_owned(), known: known_interfaces() };
    network.xdp_occupant(interface).await.map_err(unknown)
}

fn occupied(interface: &str, occupant: Option<Occupant>) -> XdpError {
    let program = occupant.map_or_else(String::new, |occupant| format!(" (id {})", occupant.program));
    XdpError::Occupied { interface: interface.to_owned(), program }
}

fn is_occupied(error: &ProgramError) -> bool {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return matches!(io.raw_os_error(), Some(libc::EBUSY | libc::EEXIST));
        }
        source = cause.source();
    }
    false
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
