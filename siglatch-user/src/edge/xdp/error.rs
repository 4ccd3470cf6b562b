//! What can go wrong with the shield, each with its cure.

use std::io;
use std::path::{Path, PathBuf};

use aya::EbpfError;
use aya::maps::MapError;
use aya::programs::ProgramError;
use thiserror::Error;

use crate::edge::network::NetworkError;

/// The shield cannot be raised.
#[derive(Debug, Error)]
pub enum XdpError {
    /// No interface was named.
    #[error("no interface is named: start with --iface NAME, or set `interfaces` under [ingress]; {known}")]
    NoInterface {
        /// The interfaces there are.
        known: String,
    },
    /// The kernel does not say what it knows of an interface.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A capability is missing.
    #[error(
        "loading and attaching the XDP program needs {missing}: start as root, or under systemd with AmbientCapabilities={missing}; without XDP, use --ingress socket"
    )]
    Capability {
        /// Names of capabilities, separated by spaces.
        missing: String,
    },
    /// The kernel is older than the program needs.
    #[error("this kernel is {release}; the XDP program needs Linux 5.18 or later: upgrade it, or use --ingress socket")]
    KernelTooOld {
        /// As `uname -r` says it.
        release: String,
    },
    /// The pin folder is on no bpffs.
    #[error(
        "{path} is not on a BPF file system: mount one with `mount -t bpf bpf /sys/fs/bpf`, or set `pin_dir` under [ingress]; without XDP, use --ingress socket"
    )]
    NoBpffs {
        /// The pin folder.
        path: PathBuf,
    },
    /// Somebody else's program is attached.
    #[error(
        "another XDP program{program} is attached to {interface}: remove it with `ip link set dev {interface} xdp off` (or `bpftool net detach xdp dev {interface}`, or, if a link holds it, by stopping its owner), or use --ingress socket"
    )]
    Occupied {
        /// Where.
        interface: String,
        /// ` (id 7)`, if it is known.
        program: String,
    },
    /// The interface takes no program in the mode that was demanded.
    #[error("{interface} takes no XDP program in {mode} mode: {source}; set attach = \"auto\" under [ingress]")]
    Mode {
        /// Where.
        interface: String,
        /// Which mode.
        mode: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel does not take the object.
    #[error("the kernel does not load the XDP program's maps: {0}")]
    Load(#[source] EbpfError),
    /// The verifier does not take the program.
    #[error("the kernel does not accept the XDP program: {0}; please report this with the output of `uname -a`")]
    Verify(#[source] ProgramError),
    /// The object is not the one this program was built with.
    #[error(
        "the XDP object has no {0}: it was built apart from this program; build both with `cargo xtask build-ebpf` and `cargo build`"
    )]
    Object(&'static str),
    /// A map cannot be used.
    #[error("BPF map {map}: {source}")]
    Map {
        /// Which one.
        map: &'static str,
        /// What went wrong.
        #[source]
        source: MapError,
    },
    /// A later program has made the pinned maps.
    #[error(
        "the maps under {path} are of layout {version}, and this siglatch-user knows layout {ours}: a later one has made them. Install that again; or, to stay with this one, `siglatch-user --detach` takes them away, and bans come back from the state folder"
    )]
    Later {
        /// The pin folder.
        path: PathBuf,
        /// What the maps say.
        version: u32,
        /// Ours.
        ours: u32,
    },
    /// The ring cannot be waited for.
    #[error("cannot wait for the ring of candidates: {0}")]
    Poll(#[source] io::Error),
    /// A pin cannot be made or removed.
    #[error("{path}: {source}")]
    Pin {
        /// Which one.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
}

impl XdpError {
    pub(super) fn load(error: EbpfError) -> Self {
        Self::Load(error)
    }

    pub(super) fn verify(error: ProgramError) -> Self {
        Self::Verify(error)
    }

    pub(super) fn map(map: &'static str) -> impl FnOnce(MapError) -> Self {
        move |source| Self::Map { map, source }
    }

    pub(super) fn pin(path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Pin { path: path.to_owned(), source }
    }
}
