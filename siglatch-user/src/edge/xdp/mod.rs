//! The shield: loads the XDP program, shares its maps, attaches it, and hands over candidates. Never judges one.

mod addresses;
mod attach;
mod error;
mod ground;
mod pins;
mod ring;

use aya::maps::{MapData, PerCpuArray};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use siglatch_common::address::Address;
use siglatch_common::layout::{PortList, PortRule};
use siglatch_common::outcome::Counters;
use tracing::{info, warn};

use crate::config;
use crate::edge::network::Network;

pub use attach::Mode;
pub use error::XdpError;
pub use ring::Candidates;

use addresses::OwnAddresses;
use pins::Pins;

/// The XDP program, as an ELF object.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/siglatch-xdp.o"));

/// The program's name in the object.
const PROGRAM: &str = "siglatch";
/// The program's global that holds the knock ports.
const PORTS: &str = "PORTS";

/// The maps of the running filter. Dropping it leaves everything as it is: the filter outlives the daemon.
pub struct Shield {
    own: OwnAddresses,
    counters: PerCpuArray<MapData, Counters>,
}

/// A program that the kernel has accepted, with its maps, about to be attached.
pub struct Loaded {
    ebpf: Ebpf,
    pins: Pins,
}

impl Loaded {
    /// Checks the ground, takes over the pinned maps of an earlier daemon where their layout is ours, and has the
    /// kernel verify the program. Changes nothing that a running daemon could notice.
    ///
    /// # Errors
    /// [`XdpError`] names what is missing and its cure.
    pub async fn new(settings: &config::Xdp, ports: &[PortRule], network: &Network) -> Result<Self, XdpError> {
        ground::check(&settings.pin_dir)?;
        if settings.interfaces.is_empty() {
            return Err(XdpError::NoInterface { known: ground::known_interfaces() });
        }
        let pins = Pins::open(&settings.pin_dir)?;
        for interface in &settings.interfaces {
            attach::is_free(interface, &pins, network).await?;
        }
        let mut fresh = EbpfLoader::new().load(OBJECT).map_err(XdpError::load)?;
        for stale in pins.discard_stale(&mut fresh)? {
            warn!(map = stale, "the pinned map has another layout: replaced, what it held is gone");
        }
        drop(fresh);

        let ports = PortList::new(ports);
        let mut loader = EbpfLoader::new();
        loader.override_global(PORTS, &ports, true);
        for name in pins::MAPS {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(XdpError::load)?;
        pins.mark_layout(&mut ebpf)?;
        program(&mut ebpf)?.load().map_err(XdpError::verify)?;
        Ok(Self { ebpf, pins })
    }

    /// Fills the maps, then attaches the program to every interface, in place of an earlier one of ours without a gap.
    ///
    /// # Errors
    /// [`XdpError`] names the interface and the cure. Interfaces before it stay attached.
    pub async fn attach(
        mut self,
        settings: &config::Xdp,
        own: &[Address],
        network: &Network,
    ) -> Result<(Shield, Candidates), XdpError> {
        let mut shield = Shield {
            own: OwnAddresses::new(take(&mut self.ebpf, "own_addresses")?)?,
            counters: PerCpuArray::try_from(take(&mut self.ebpf, "counters")?).map_err(XdpError::map("counters"))?,
        };
        shield.set_own_addresses(own)?;
        let candidates = Candidates::new(take(&mut self.ebpf, "candidates")?)?;

        let program = program(&mut self.ebpf)?;
        for interface in &settings.interfaces {
            let mode = attach::attach(program, interface, settings.attach, &self.pins, network).await?;
            info!(%interface, mode = mode.label(), "XDP program attached");
            if mode == Mode::Generic {
                warn!(%interface, "generic mode: the driver has no native XDP; drops cost several times as much");
            }
        }
        for interface in self.pins.forget_links_except(&settings.interfaces)? {
            info!(%interface, "XDP program detached: no longer among the interfaces");
        }
        self.pins.pin_program(program)?;
        Ok((shield, candidates))
    }
}

impl Shield {
    /// Replaces the list of this host's addresses. Those that find no room are named in the log: their knock ports
    /// stay closed to knocks.
    ///
    /// # Errors
    /// If the kernel takes no map update.
    pub fn set_own_addresses(&mut self, own: &[Address]) -> Result<(), XdpError> {
        for address in self.own.replace(own)? {
            warn!(%address, "no room for this address of ours: knocks to it are not seen");
        }
        Ok(())
    }

    /// Frames by outcome, over all CPUs, since the maps were made.
    ///
    /// # Errors
    /// If the kernel does not let the map be read.
    pub fn counters(&self) -> Result<Counters, XdpError> {
        let per_cpu = self.counters.get(&0, 0).map_err(XdpError::map("counters"))?;
        Ok(Counters::sum(&per_cpu))
    }
}

/// The interfaces that an earlier daemon has left the program on.
///
/// # Errors
/// [`XdpError`] if the pin folder cannot be read.
pub fn attached(settings: &config::Xdp) -> Result<Vec<String>, XdpError> {
    Pins::at(&settings.pin_dir).linked_interfaces()
}

/// Detaches the program from every interface and removes all pins. Says for each interface that it did.
///
/// # Errors
/// [`XdpError`] names the pin that cannot be removed.
pub fn detach(settings: &config::Xdp) -> Result<Vec<String>, XdpError> {
    Pins::at(&settings.pin_dir).remove_all()
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, XdpError> {
    let program = ebpf.program_mut(PROGRAM).ok_or(XdpError::Object("program"))?;
    program.try_into().map_err(|_| XdpError::Object("program"))
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<aya::maps::Map, XdpError> {
    ebpf.take_map(name).ok_or(XdpError::Object(name))
}
