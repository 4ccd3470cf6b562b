//! One attachment of a program to an interface: the kernel's link, by its descriptor. Never decides where a program belongs.
//!
//! A link lives as long as a descriptor or a pin of it. Making, changing and pinning one needs CAP_NET_ADMIN at most.
#![expect(unsafe_code, reason = "aya keeps the descriptors of links to itself; the calls of linux/bpf.h are made here")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::Mode;

/// A link.
#[derive(Debug)]
pub(super) struct Link(OwnedFd);

impl Link {
    /// Attaches a program to the interface of that number.
    pub(super) fn new(program: BorrowedFd<'_>, interface: u32, mode: Mode) -> io::Result<Self> {
        let flags = match mode {
            Mode::Generic => XDP_FLAGS_SKB_MODE,
            Mode::Native => XDP_FLAGS_DRV_MODE,
        };
        let program = number(program);
        let link = call(BPF_LINK_CREATE, &mut Create { program, interface, attach_type: BPF_XDP, flags })?;
        Ok(Self(owned(link)))
    }

    /// The link that is pinned there.
    pub(super) fn from_pin(path: &Path) -> io::Result<Self> {
        let name = name(path)?;
        let link = call(BPF_OBJ_GET, &mut Named { path: address(&name), descriptor: 0, flags: 0 })?;
        let link = Self(owned(link));
        if link.look()?.kind == BPF_LINK_TYPE_XDP { Ok(link) } else { Err(io::ErrorKind::InvalidData.into()) }
    }

    /// Keeps it beyond the life of this process.
    pub(super) fn pin(&self, path: &Path) -> io::Result<()> {
        pin(self.0.as_fd(), path)
    }

    /// Puts another program in place of the attached one, between two frames.
    pub(super) fn update(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        let mut update = Update { link: number(self.0.as_fd()), program: number(program), flags: 0, earlier: 0 };
        call(BPF_LINK_UPDATE, &mut update).map(drop)
    }

    /// Takes the program down, whoever else holds the link.
    pub(super) fn detach(&self) -> io::Result<()> {
        call(BPF_LINK_DETACH, &mut Detach { link: number(self.0.as_fd()) }).map(drop)
    }

    /// The number of the interface; nothing if that is gone, or the link was detached.
    pub(super) fn interface(&self) -> io::Result<Option<u32>> {
        Ok(Some(self.look()?.interface).filter(|number| *number != 0))
    }

    /// The kernel's number of the program that it runs.
    pub(super) fn program(&self) -> io::Result<u32> {
        Ok(self.look()?.program)
    }

    fn look(&self) -> io::Result<Look> {
        let mut look = Look::default();
        let mut question = Question {
            descriptor: number(self.0.as_fd()),
            length: u32::try_from(size_of::<Look>()).unwrap_or_default(),
            answer: (&raw mut look) as u64,
        };
        call(BPF_OBJ_GET_INFO_BY_FD, &mut question)?;
        Ok(look)
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Pins a program, a map or a link.
pub(super) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let name = name(path)?;
    let descriptor = number(object);
    call(BPF_OBJ_PIN, &mut Named { path: address(&name), descriptor, flags: 0 }).map(drop)
}

fn name(path: &Path) -> io::Result<CString> {
    Ok(CString::new(path.as_os_str().as_bytes())?)
}

fn address(name: &CString) -> u64 {
    name.as_ptr() as u64
}

fn number(descriptor: BorrowedFd<'_>) -> u32 {
    // A descriptor that is open is never negative.
    descriptor.as_raw_fd().cast_unsigned()
}

fn owned(descriptor: RawFd) -> OwnedFd {
    // SAFETY: the kernel has just made it for this call alone.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// `bpf(2)`. Its attributes may be shorter than the kernel's: what is missing is zero.
fn call<T>(command: libc::c_long, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: the attributes are of the command's form, for as many bytes as is said, and what they point to outlives the call.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(done).map_err(io::Error::other)
}

/// `linux/bpf.h`, `union bpf_attr`, `link_create`.
#[repr(C)]
struct Create {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// `link_update`.
#[repr(C)]
struct Update {
    link: u32,
    program: u32,
    flags: u32,
    earlier: u32,
}

/// `link_detach`.
#[repr(C)]
struct Detach {
    link: u32,
}

/// For `BPF_OBJ_PIN` and `BPF_OBJ_GET`.
#[repr(C)]
struct Named {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `info`.
#[repr(C)]
struct Question {
    descriptor: u32,
    length: u32,
    answer: u64,
}

/// `struct bpf_link_info` of an XDP link.
#[repr(C, align(8))]
#[derive(Default)]
struct Look {
    kind: u32,
    link: u32,
    program: u32,
    _before: u32,
    interface: u32,
    _behind: [u32; 3],
}

/// `linux/bpf.h`, `enum bpf_cmd`.
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_long = 15;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
const BPF_LINK_DETACH: libc::c_long = 34;

/// `linux/bpf.h`, `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
/// `linux/bpf.h`, `enum bpf_link_type`.
const BPF_LINK_TYPE_XDP: u32 = 6;

/// `linux/if_link.h`.
const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
