//! What is kept under the pin folder, under which name. Never attaches or fills anything.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapInfo};
use aya::programs::Xdp;
use siglatch_common::layout::LayoutVersion;

use super::XdpError;

/// The maps that outlive the daemon, by name.
pub(super) const MAPS: [&str; 15] = [
    "own_addresses",
    "allowlist",
    "blacklist",
    "blacklist_networks",
    "known",
    "stamp_keys",
    "buckets",
    "copies",
    "lanes",
    "offenders",
    "counters",
    "lane_stamped",
    "lane_known",
    "lane_unknown",
    LAYOUT,
];

/// The map that says what the bytes of the others mean.
const LAYOUT: &str = "layout";
const PROGRAM: &str = "program";
const LINK_PREFIX: &str = "link_";

/// The pin folder.
#[derive(Debug)]
pub(super) struct Pins {
    dir: PathBuf,
}

impl Pins {
    pub(super) fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Makes the folder if need be.
    pub(super) fn open(dir: &Path) -> Result<Self, XdpError> {
        fs::create_dir_all(dir).map_err(XdpError::pin(dir))?;
        Ok(Self::at(dir))
    }

    pub(super) fn map(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(super) fn link(&self, interface: &str) -> PathBuf {
        self.dir.join(format!("{LINK_PREFIX}{interface}"))
    }

    /// Removes pins whose layout is not that of `fresh`, maps made anew from our own object; names them.
    ///
    /// The running program keeps the old maps until it is replaced.
    pub(super) fn discard_stale(&self, fresh: &mut Ebpf) -> Result<Vec<&'static str>, XdpError> {
        let all = !self.layout_is_ours();
        let mut stale = Vec::new();
        for name in MAPS {
            let path = self.map(name);
            let Ok(pinned) = MapData::from_pin(&path) else {
                // Nothing there, or no map.
                remove(&path)?;
                continue;
            };
            let pinned = pinned.info().map_err(XdpError::map(name))?;
            let ours = data(fresh.map(name).ok_or(XdpError::Object(name))?).ok_or(XdpError::Object(name))?;
            let ours = ours.info().map_err(XdpError::map(name))?;
            if all || shape(&pinned) != shape(&ours) {
                remove(&path)?;
                stale.push(name);
            }
        }
        Ok(stale)
    }

    /// Notes in the pinned maps what their bytes mean.
    pub(super) fn mark_layout(&self, ebpf: &mut Ebpf) -> Result<(), XdpError> {
        let map = ebpf.map_mut(LAYOUT).ok_or(XdpError::Object(LAYOUT))?;
        let mut layout: Array<_, LayoutVersion> = map.try_into().map_err(XdpError::map(LAYOUT))?;
        layout.set(0, LayoutVersion::OURS, 0).map_err(XdpError::map(LAYOUT))
    }

    /// Pins the program, in place of an earlier one.
    pub(super) fn pin_program(&self, program: &mut Xdp) -> Result<(), XdpError> {
        let path = self.dir.join(PROGRAM);
        remove(&path)?;
        program.pin(&path).map_err(|error| XdpError::Pin { path, source: io::Error::other(error) })
    }

    /// Unpins, and so detaches, the links of other interfaces; names the interfaces.
    pub(super) fn forget_links_except(&self, interfaces: &[String]) -> Result<Vec<String>, XdpError> {
        let mut forgotten = Vec::new();
        for interface in self.linked_interfaces()? {
            if !interfaces.contains(&interface) {
                remove(&self.link(&interface))?;
                forgotten.push(interface);
            }
        }
        Ok(forgotten)
    }

    /// Removes everything of ours, links first, and the folder if nothing else is in it; names the interfaces.
    pub(super) fn remove_all(&self) -> Result<Vec<String>, XdpError> {
        let interfaces = self.forget_links_except(&[])?;
        for name in MAPS.into_iter().chain([PROGRAM]) {
            remove(&self.dir.join(name))?;
        }
        let _ = fs::remove_dir(&self.dir);
        Ok(interfaces)
    }

    /// The interfaces that a pinned link stands for.
    pub(super) fn linked_interfaces(&self) -> Result<Vec<String>, XdpError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(XdpError::pin(&self.dir)(error)),
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        Ok(names.filter_map(|name| name.strip_prefix(LINK_PREFIX).map(str::to_owned)).collect())
    }

    fn layout_is_ours(&self) -> bool {
        let pinned = MapData::from_pin(self.map(LAYOUT)).ok().and_then(|data| Map::from_map_data(data).ok());
        let layout = pinned.and_then(|map| Array::<_, LayoutVersion>::try_from(map).ok());
        layout.and_then(|layout| layout.get(&0, 0).ok()) == Some(LayoutVersion::OURS)
    }
}

/// What the kernel goes by: two maps of one shape can stand for each other.
fn shape(info: &MapInfo) -> (Option<u32>, u32, u32, u32) {
    (info.map_type().ok().map(|kind| kind as u32), info.key_size(), info.value_size(), info.max_entries())
}

fn data(map: &Map) -> Option<&MapData> {
    match map {
        Map::Array(data) | Map::HashMap(data) | Map::LpmTrie(data) | Map::PerCpuArray(data) | Map::RingBuf(data) => {
            Some(data)
        }
        _ => None,
    }
}

fn remove(path: &Path) -> Result<(), XdpError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(XdpError::pin(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
