//! The filter's lists as BPF maps, found by their pins. Never decides what stands in a list.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray};
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Ban;
use siglatch_common::layout::{Known, NetworkKey, Offender, Source, StampKey};
use siglatch_common::outcome::Counters;
use siglatch_common::stamp::SLOTS;

use super::XdpError;
use super::pins::Pins;
use crate::edge::lists::{ListError, Lists, Size};

/// The maps of the running filter, but for own addresses and rings.
pub struct Maps {
    /// Every map by its name, open even if its pin is removed.
    all: Vec<(&'static str, MapData)>,
    blacklist: HashMap<MapData, Source, Ban>,
    networks: LpmTrie<MapData, Source, Ban>,
    allowlist: LpmTrie<MapData, Source, u64>,
    known: HashMap<MapData, Source, Known>,
    stamp_keys: Array<MapData, StampKey>,
    offenders: Array<MapData, Offender>,
    counters: PerCpuArray<MapData, Counters>,
}

impl Maps {
    /// Opens the maps that are pinned in a folder.
    ///
    /// # Errors
    /// [`XdpError`] names the map that is not there, or is none of ours.
    pub fn open(pin_dir: &Path) -> Result<Self, XdpError> {
        let pins = Pins::at(pin_dir);
        Ok(Self {
            blacklist: pinned(&pins, BLACKLIST)?,
            networks: pinned(&pins, NETWORKS)?,
            allowlist: pinned(&pins, ALLOWLIST)?,
            known: pinned(&pins, KNOWN)?,
            stamp_keys: pinned(&pins, STAMP_KEYS)?,
            offenders: pinned(&pins, OFFENDERS)?,
            counters: pinned(&pins, COUNTERS)?,
            all: pins.open_all()?,
        })
    }
}

impl Lists for Maps {
    fn bans(&self) -> Result<Vec<(Network, Ban)>, ListError> {
        let exact = self.blacklist.iter().map(|entry| entry.map(|(source, ban)| (Network::of(source.address()), ban)));
        let mut bans = exact.collect::<Result<Vec<_>, _>>().map_err(error(BLACKLIST))?;
        for entry in self.networks.iter() {
            let (key, ban) = entry.map_err(error(NETWORKS))?;
            bans.extend(network(&key).map(|network| (network, ban)));
        }
        Ok(bans)
    }

    fn set_ban(&mut self, network: Network, ban: Ban) -> Result<(), ListError> {
        match network.as_single() {
            Some(address) => self.blacklist.insert(source(address), ban, ANY).map_err(error(BLACKLIST)),
            None => self.networks.insert(&prefix(network), ban, ANY).map_err(error(NETWORKS)),
        }
    }

    fn lift_ban(&mut self, network: Network) -> Result<(), ListError> {
        if let Some(address) = network.as_single() {
            if_there(self.blacklist.remove(&source(address))).map_err(error(BLACKLIST))?;
        }
        // Somebody may have put a single address there by hand.
        if_there(self.networks.remove(&prefix(network))).map_err(error(NETWORKS))
    }

    fn known(&self) -> Result<Vec<(Address, Known)>, ListError> {
        let known = self.known.iter().map(|entry| entry.map(|(origin, known)| (origin.address(), known)));
        known.collect::<Result<_, _>>().map_err(error(KNOWN))
    }

    fn set_known(&mut self, origin: Address, until: u64) -> Result<(), ListError> {
        let origin = source(origin);
        let bucket = self.known.get(&origin, 0).map_or(0, |known| known.bucket);
        self.known.insert(origin, Known { until, bucket }, ANY).map_err(error(KNOWN))
    }

    fn forget_known(&mut self, origin: Address) -> Result<(), ListError> {
        if_there(self.known.remove(&source(origin))).map_err(error(KNOWN))
    }

    fn set_allowed(&mut self, networks: &[Network]) -> Result<(), ListError> {
        let there = self.allowlist.keys().collect::<Result<Vec<_>, _>>().map_err(error(ALLOWLIST))?;
        for key in there.iter().filter(|key| network(key).is_none_or(|network| !networks.contains(&network))) {
            if_there(self.allowlist.remove(key)).map_err(error(ALLOWLIST))?;
        }
        for &network in networks {
            self.allowlist.insert(&prefix(network), 1, ANY).map_err(error(ALLOWLIST))?;
        }
        Ok(())
    }

    fn set_stamp_keys(&mut self, keys: &[StampKey; SLOTS]) -> Result<(), ListError> {
        for (slot, key) in (0..).zip(keys) {
            self.stamp_keys.set(slot, key, 0).map_err(error(STAMP_KEYS))?;
        }
        Ok(())
    }

    fn offenders(&self) -> Result<Vec<Offender>, ListError> {
        self.offenders.iter().collect::<Result<_, _>>().map_err(error(OFFENDERS))
    }

    fn counters(&self) -> Result<Counters, ListError> {
        let per_cpu = self.counters.get(&0, 0).map_err(error(COUNTERS))?;
        Ok(Counters::sum(&per_cpu))
    }

    fn number(&self) -> Result<u64, ListError> {
        let number = |list| match self.all.iter().find(|(name, _)| *name == list) {
            Some((_, map)) => map.info().map(|info| info.id()).map_err(error(list)),
            None => Ok(0),
        };
        Ok(u64::from(number(BLACKLIST)?) << 32 | u64::from(number(NETWORKS)?))
    }

    fn sizes(&self) -> Result<Vec<Size>, ListError> {
        self.all.iter().map(|(list, map)| size(list, map)).collect()
    }
}

/// Opens a pinned map in the form that it must have.
fn pinned<M: TryFrom<Map, Error = MapError>>(pins: &Pins, name: &'static str) -> Result<M, XdpError> {
    let data = MapData::from_pin(pins.map(name)).map_err(XdpError::map(name))?;
    Map::from_map_data(data).and_then(M::try_from).map_err(XdpError::map(name))
}

fn size(list: &'static str, data: &MapData) -> Result<Size, ListError> {
    let room = u64::from(data.info().map_err(error(list))?.max_entries());
    // proc(5): what the kernel says of a map's descriptor.
    let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", data.fd().as_fd().as_raw_fd()));
    let text = text.map_err(|source| ListError { list, source })?;
    let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:")?.trim().parse().ok()).unwrap_or(0);
    Ok(Size { list, room, bytes })
}

fn source(address: Address) -> Source {
    Source::of(address.halves())
}

fn prefix(network: Network) -> Key<Source> {
    Key::new(u32::from(network.bits()), source(network.address()))
}

fn network(key: &Key<Source>) -> Option<Network> {
    NetworkKey { prefix_len: key.prefix_len(), address: key.data().address }.network()
}

/// What was to be removed may be gone already.
fn if_there(removed: Result<(), MapError>) -> Result<(), MapError> {
    match removed {
        Err(MapError::KeyNotFound | MapError::ElementNotFound) => Ok(()),
        Err(MapError::SyscallError(error)) if error.io_error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        removed => removed,
    }
}

fn error(list: &'static str) -> impl Fn(MapError) -> ListError {
    move |error| ListError {
        list,
        source: match error {
            MapError::SyscallError(error) => error.io_error,
            error => io::Error::other(error),
        },
    }
}

const BLACKLIST: &str = "blacklist";
const NETWORKS: &str = "blacklist_networks";
const ALLOWLIST: &str = "allowlist";
const KNOWN: &str = "known";
const STAMP_KEYS: &str = "stamp_keys";
const OFFENDERS: &str = "offenders";
const COUNTERS: &str = "counters";

/// `linux/bpf.h`: make it, or make it another.
const ANY: u64 = 0;
