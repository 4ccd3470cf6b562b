//! What is kept under the pin folder, under which name. Never attaches or fills anything.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, MapInfo};
use siglatch_common::layout::LayoutVersion;

use super::link::{self, Link};
use super::{XdpError, ground};
use crate::edge::files;
use crate::edge::privilege::reachable;

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

/// Those in which candidates wait.
const RINGS: [&str; 3] = ["lane_stamped", "lane_known", "lane_unknown"];
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
        reachable(&self.dir).join(name)
    }

    pub(super) fn link(&self, interface: &str) -> PathBuf {
        reachable(&self.dir).join(format!("{LINK_PREFIX}{interface}"))
    }

    /// Whether an earlier daemon has left one.
    pub(super) fn has_maps(&self) -> bool {
        MAPS.iter().any(|name| files::exists(&self.map(name)))
    }

    /// Removes pins whose layout is not that of `fresh`, maps made anew from our own object; names them.
    ///
    /// The running program keeps the old maps until it is replaced. Rings are kept as long as their records mean the same: what
    /// arrives until then is judged.
    ///
    /// # Errors
    /// [`XdpError::Later`] if a later program has made them; nothing is removed then.
    pub(super) fn discard_stale(&self, fresh: &mut Ebpf) -> Result<Vec<&'static str>, XdpError> {
        let layout = self.layout();
        if let Some(LayoutVersion { version }) = layout.filter(|layout| layout.is_later_than_ours()) {
            let ours = LayoutVersion::OURS.version;
            return Err(XdpError::Later { path: self.dir.clone(), version, ours });
        }
        let is_ours = layout == Some(LayoutVersion::OURS);
        let has_our_records = layout.map(LayoutVersion::records) == Some(LayoutVersion::OURS.records());
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
            let fits = if RINGS.contains(&name) { has_our_records } else { is_ours };
            if !fits || shape(&pinned) != shape(&ours) {
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
    pub(super) fn pin_program(&self, program: BorrowedFd<'_>) -> Result<(), XdpError> {
        let path = self.dir.join(PROGRAM);
        remove(&path)?;
        link::pin(program, &path).map_err(XdpError::pin(&path))
    }

    /// Pins a link, unless its interface has one.
    pub(super) fn pin_link(&self, link: &Link, interface: &str) -> Result<(), XdpError> {
        let path = self.link(interface);
        match link.pin(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(XdpError::pin(&path)(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether a link of that interface is pinned.
    pub(super) fn has_link(&self, interface: &str) -> bool {
        is_there(&self.link(interface))
    }

    /// Unpins the link of an interface.
    pub(super) fn forget_link(&self, interface: &str) -> Result<(), XdpError> {
        remove(&self.link(interface))
    }

    /// Opens every map, all of which must be pinned; with its name.
    pub(super) fn open_all(&self) -> Result<Vec<(&'static str, MapData)>, XdpError> {
        let open = |name| MapData::from_pin(self.map(name)).map(|map| (name, map)).map_err(XdpError::map(name));
        MAPS.into_iter().map(open).collect()
    }

    /// Opens all maps, so that they can be pinned again.
    pub(super) fn hold(&self) -> Result<Held, XdpError> {
        Ok(Held { maps: self.open_all()?, standing: Pinned::Whole })
    }

    /// Detaches and unpins the links of other interfaces; names the interfaces.
    pub(super) fn forget_links_except(&self, interfaces: &[String]) -> Result<Vec<String>, XdpError> {
        let mut forgotten = Vec::new();
        for interface in self.linked_interfaces()? {
            if !interfaces.contains(&interface) {
                // A daemon that runs holds the link as well.
                if let Ok(link) = Link::from_pin(&self.link(&interface)) {
                    let _ = link.detach();
                }
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

    fn layout(&self) -> Option<LayoutVersion> {
        let pinned = MapData::from_pin(self.map(LAYOUT)).ok().and_then(|data| Map::from_map_data(data).ok());
        let layout = pinned.and_then(|map| Array::<_, LayoutVersion>::try_from(map).ok());
        layout.and_then(|layout| layout.get(&0, 0).ok())
    }
}

/// Every map that outlives the daemon, by a descriptor of its own: the pins can be made again from them.
pub(super) struct Held {
    maps: Vec<(&'static str, MapData)>,
    standing: Pinned,
}

/// How it stood with the pins at the last look.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Pinned {
    Whole,
    /// Some were missing.
    Torn,
    /// They cannot be made again, and why.
    Lost(String),
}

/// What has changed about the pins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PinNews {
    /// Some had been removed, and are there again.
    Mended(usize),
    /// They are gone and cannot be made again, and why.
    Lost(String),
}

impl Held {
    /// Whether nothing was missing at the last look.
    pub(super) fn were_whole(&self) -> bool {
        self.standing == Pinned::Whole
    }

    /// Looks whether everything is pinned; pins what is missing for the second time.
    pub(super) fn look(&mut self, pins: &Pins, program: BorrowedFd<'_>, links: &[(&str, &Link)]) -> Option<PinNews> {
        let maps = self.maps.iter().map(|(name, map)| (pins.map(name), map.fd().as_fd()));
        let objects = maps.chain([(pins.dir.join(PROGRAM), program)]);
        let links = links.iter().map(|(interface, link)| (pins.link(interface), link.as_fd()));
        let missing: Vec<_> = objects.chain(links).filter(|(path, _)| !is_there(path)).collect();
        if missing.is_empty() {
            let earlier = std::mem::replace(&mut self.standing, Pinned::Whole);
            return matches!(earlier, Pinned::Lost(_)).then_some(PinNews::Mended(0));
        }
        if self.standing == Pinned::Whole {
            self.standing = Pinned::Torn;
            return None;
        }
        let count = missing.len();
        let mended = ground::bpffs(&pins.dir).and_then(|()| {
            fs::create_dir_all(&pins.dir).map_err(XdpError::pin(&pins.dir))?;
            missing.into_iter().try_for_each(|(path, object)| link::pin(object, &path).map_err(XdpError::pin(&path)))
        });
        match mended {
            Ok(()) => {
                self.standing = Pinned::Whole;
                Some(PinNews::Mended(count))
            }
            Err(error) => {
                let lost = Pinned::Lost(error.to_string());
                let is_new = self.standing != lost;
                self.standing = lost;
                is_new.then(|| PinNews::Lost(error.to_string()))
            }
        }
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

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

fn remove(path: &Path) -> Result<(), XdpError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(XdpError::pin(path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
