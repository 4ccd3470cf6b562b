//! The shield: loads the XDP program, shares its maps, attaches it, and hands over candidates. Never judges one.

mod addresses;
mod attach;
mod diagnostics;
mod error;
mod gauge;
mod ground;
mod link;
mod lists;
mod live;
mod pins;
mod posts;
mod ring;

use std::os::fd::AsFd as _;

use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use siglatch_common::address::Address;
use siglatch_common::lane::{Lane, PerLane};
use siglatch_common::layout::{PortRule, Tuning};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::Key;
use tracing::warn;

use crate::config;
use crate::edge::network::Network;

pub use attach::Mode;
pub use diagnostics::Diagnostics;
pub use error::XdpError;
pub use gauge::Gauge;
pub use lists::Maps;
pub use live::LiveRules;
pub use pins::PinNews;
pub use posts::{PostNews, Posts, Standing};
pub use ring::Candidates;

use addresses::OwnAddresses;
use pins::Pins;

/// The XDP program, as an ELF object.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/siglatch-xdp.o"));

/// The program's name in the object.
const PROGRAM: &str = "siglatch";

/// The running filter's list of own addresses. Dropping it leaves everything as it is: the filter outlives the daemon.
pub struct Shield {
    own: OwnAddresses,
}

/// What the program is made with, besides its ports.
#[derive(Clone, Copy, Debug)]
pub struct Measures {
    /// Limits, and a random key.
    pub tuning: Tuning,
    /// Entries that the blacklist has room for.
    pub bans: u32,
    /// Entries that the list of known origins has room for.
    pub known: u32,
    /// The size of each lane's ring, in bytes.
    pub rings: PerLane<u32>,
}

/// A program that the kernel has accepted, with its maps, about to be attached.
pub struct Loaded {
    ebpf: Ebpf,
    pins: Pins,
    rules: LiveRules,
}

/// The program at work, and what comes of it.
pub struct Attached {
    /// This host's addresses, to be kept true.
    pub shield: Shield,
    /// The ring of each lane.
    pub candidates: PerLane<Candidates>,
    /// What it goes by, to be changed.
    pub rules: LiveRules,
    /// Single frames, if the operator asks for them.
    pub diagnostics: Diagnostics,
    /// The program at its interfaces, to be watched over.
    pub posts: Posts,
    /// How it stands with each at first.
    pub news: Vec<PostNews>,
}

impl Loaded {
    /// Checks the ground, takes over the pinned maps of an earlier daemon where their layout is ours, and has the
    /// kernel verify the program. Changes nothing that a running daemon could notice.
    ///
    /// # Errors
    /// [`XdpError`] names what is missing and its cure.
    pub async fn new(
        settings: &config::Xdp,
        ports: &[PortRule],
        measures: &Measures,
        network: &Network,
    ) -> Result<Self, XdpError> {
        ground::check(&settings.pin_dir)?;
        if settings.interfaces.is_empty() {
            return Err(XdpError::NoInterface { known: ground::known_interfaces() });
        }
        let pins = Pins::open(&settings.pin_dir)?;
        for interface in &settings.interfaces {
            attach::is_free(interface, &pins, network).await?;
        }
        let mut loader = EbpfLoader::new();
        measures.size(&mut loader);
        if pins.has_maps() {
            let mut fresh = loader.load(OBJECT).map_err(XdpError::load)?;
            for stale in pins.discard_stale(&mut fresh)? {
                warn!(map = stale, "the pinned map has another layout: replaced, what it held is gone");
            }
        }
        for name in pins::MAPS {
            loader.map_pin_path(name, pins.map(name));
        }
        let mut ebpf = loader.load(OBJECT).map_err(XdpError::load)?;
        pins.mark_layout(&mut ebpf)?;
        let rules = LiveRules::begin(&mut ebpf, ports, &measures.tuning)?;
        program(&mut ebpf)?.load().map_err(XdpError::verify)?;
        Ok(Self { ebpf, pins, rules })
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
    ) -> Result<Attached, XdpError> {
        let mut shield = Shield { own: OwnAddresses::new(take(&mut self.ebpf, "own_addresses")?)? };
        shield.set_own_addresses(own)?;
        let mut ring = |lane| Candidates::new(take(&mut self.ebpf, ring_of(lane))?);
        let candidates =
            PerLane { stamped: ring(Lane::Stamped)?, known: ring(Lane::Known)?, unknown: ring(Lane::Unknown)? };

        let diagnostics = Diagnostics::new(&mut self.ebpf)?;

        let program = program(&mut self.ebpf)?;
        let number = program.info().map_err(XdpError::verify)?.id();
        let descriptor =
            program.fd().map_err(XdpError::verify)?.as_fd().try_clone_to_owned().map_err(XdpError::Poll)?;
        let held = self.pins.hold()?;
        let mut posts = Posts::new(descriptor, number, settings.attach, self.pins, held);
        let news = posts.begin(&settings.interfaces, network).await?;
        Ok(Attached { shield, candidates, rules: self.rules, diagnostics, posts, news })
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
}

impl Measures {
    /// The measures that an operator's limits come to.
    #[must_use]
    pub fn new(settings: &config::Settings, spread: Key) -> Self {
        let limits = settings.limits;
        let lane = |lane| {
            let budget = settings.lanes.of(lane).budget;
            Pace::per_second(budget, budget.div_ceil(BURST_OF_A_SECOND))
        };
        let tuning = Tuning {
            spread: [spread.k0, spread.k1],
            source: Pace::per_second(limits.rate, limits.burst),
            lanes: Lane::ALL.map(lane),
            bucket_mask: limits.sources.saturating_sub(1),
            copy_mask: limits.copies.saturating_sub(1),
            bans_hosts: u32::from(settings.ban.scope == config::Scope::Host),
            diagnostics: match &settings.ingress {
                config::Ingress::Xdp(xdp) => xdp.diagnostics as u32,
                config::Ingress::Socket => 0,
            },
        };
        let rings = PerLane::from_fn(|lane| settings.lanes.of(lane).ring_kib * 1024);
        Self { tuning, bans: settings.ban.capacity, known: settings.known.capacity, rings }
    }

    fn size(&self, loader: &mut EbpfLoader<'_>) {
        loader
            .map_max_entries("buckets", self.tuning.bucket_mask + 1)
            .map_max_entries("copies", self.tuning.copy_mask + 1)
            .map_max_entries("blacklist", self.bans)
            .map_max_entries("blacklist_networks", self.bans)
            .map_max_entries("known", self.known);
        for lane in Lane::ALL {
            loader.map_max_entries(ring_of(lane), *self.rings.of(lane));
        }
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

/// The ring of a lane.
const fn ring_of(lane: Lane) -> &'static str {
    match lane {
        Lane::Stamped => "lane_stamped",
        Lane::Known => "lane_known",
        Lane::Unknown => "lane_unknown",
    }
}

/// A lane takes the budget of so much of a second at once: a tenth.
const BURST_OF_A_SECOND: u32 = 10;
