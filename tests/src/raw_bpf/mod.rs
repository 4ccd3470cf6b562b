//! A few BPF commands by hand: small programs that no compiler makes, and programs run without an interface.
//! Never pins anything: programs and maps end with their descriptors.

mod assembly;
mod number;

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use anyhow::{Context as _, Result};

pub use assembly::{Alu, Assembly, Helper, Label, R0, R1, R2, R3, R6, R7, R8, R9, Register, Test, Width};
pub use number::Number;

use crate::netns::Namespace;

/// A loaded XDP program.
#[derive(Debug)]
pub struct Program(OwnedFd);

/// What an XDP program answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Answer {
    /// `XDP_DROP`.
    Drop = 1,
    /// `XDP_PASS`.
    Pass = 2,
}

/// How a program is attached: flags of `linux/if_link.h`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mode {
    /// By the driver if it can, by the kernel's generic way if not.
    Any = 0,
    /// `XDP_FLAGS_DRV_MODE`: by the driver.
    Native = 1 << 2,
}

/// One timed call.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// What the program answered last.
    pub verdict: u32,
    /// Mean time a packet, as the kernel measured it.
    pub nanos: u32,
}

impl Program {
    /// Loads a program, for frames of one piece or of several.
    ///
    /// # Errors
    /// With the verifier's words if the kernel refuses it, which it does without root.
    pub fn load(assembly: &Assembly) -> io::Result<Self> {
        let instructions = assembly.instructions();
        let mut attributes = LoadAttributes {
            kind: BPF_PROG_TYPE_XDP,
            instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
            instructions: instructions.as_ptr() as u64,
            licence: c"Dual MIT/GPL".as_ptr() as u64,
            program_flags: BPF_F_XDP_HAS_FRAGS,
            expected_attach_type: BPF_XDP,
            ..LoadAttributes::default()
        };
        let loaded = bpf(BPF_PROG_LOAD, &mut attributes).map_err(|error| attributes.reason(&error))?;
        // SAFETY: BPF_PROG_LOAD returned it just now, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(loaded) }))
    }

    /// Loads the program that does nothing but answer.
    ///
    /// # Errors
    /// Without root.
    pub fn empty(answer: Answer) -> io::Result<Self> {
        let mut assembly = Assembly::default();
        assembly.answer(answer);
        Self::load(&assembly)
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a program `repeat` times on the same frame.
///
/// # Errors
/// If the kernel does not run it.
pub fn time(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<Timed> {
    let mut attributes = RunAttributes::of(program, frame, repeat);
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(Timed { verdict: attributes.verdict, nanos: attributes.duration })
}

/// Runs a program on `repeat` frames that are real: what the program redirects leaves by that interface, of the calling
/// thread's network namespace. The program sees frames again that it has changed before.
///
/// # Errors
/// Before Linux 5.18, or if the kernel does not run it.
pub fn release(program: BorrowedFd<'_>, frame: &[u8], repeat: u32, batch: u32) -> io::Result<()> {
    let mut attributes =
        RunAttributes { flags: BPF_F_TEST_XDP_LIVE_FRAMES, batch, ..RunAttributes::of(program, frame, repeat) };
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(())
}

/// Attaches a program to an interface of a namespace. Dropping what is returned detaches it.
///
/// # Errors
/// If there is no such interface, or it takes no program.
pub fn attach(program: BorrowedFd<'_>, namespace: &Namespace, interface: &str, mode: Mode) -> Result<OwnedFd> {
    let interface_index = namespace.index(interface)?;
    let attached = namespace.within(|| {
        let mut attributes = LinkAttributes {
            program: program.as_raw_fd() as u32,
            interface: interface_index,
            attach_type: BPF_XDP,
            flags: mode as u32,
        };
        bpf(BPF_LINK_CREATE, &mut attributes)
    })?;
    let link = attached.with_context(|| format!("{interface} of {} takes no program", namespace.name()))?;
    // SAFETY: BPF_LINK_CREATE returned it just now, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(link) })
}

/// Puts a program in place of the one of a pinned link.
///
/// # Errors
/// If there is no such link, or it takes no such program.
pub fn replace(program: BorrowedFd<'_>, pin: &Path) -> Result<()> {
    let name = CString::new(pin.as_os_str().as_bytes())?;
    let mut get = PinAttributes { path: name.as_ptr() as u64, descriptor: 0, flags: 0 };
    let link = bpf(BPF_OBJ_GET, &mut get).with_context(|| format!("there is no link at {}", pin.display()))?;
    // SAFETY: BPF_OBJ_GET returned it just now, and nobody else knows of it.
    let link = unsafe { OwnedFd::from_raw_fd(link) };
    let [link, program] = [link.as_raw_fd() as u32, program.as_raw_fd() as u32];
    bpf(BPF_LINK_UPDATE, &mut UpdateAttributes { link, program, flags: 0, earlier: 0 })?;
    Ok(())
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` of the length given, and the pointers in it are to memory
    // that its maker keeps alive; the kernel writes where the command says so, and the makers hand it mutable memory
    // there.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<T>()) };
    match RawFd::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_PROG_LOAD, as far as it is used.
#[derive(Default)]
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    program_flags: u32,
    name: [u8; 16],
    interface: u32,
    expected_attach_type: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_PROG_TEST_RUN.
#[derive(Default)]
#[repr(C)]
struct RunAttributes {
    program: u32,
    verdict: u32,
    frame_length: u32,
    out_length: u32,
    frame: u64,
    out: u64,
    repeat: u32,
    duration: u32,
    context_in_length: u32,
    context_out_length: u32,
    context_in: u64,
    context_out: u64,
    flags: u32,
    cpu: u32,
    batch: u32,
    padding: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_LINK_CREATE.
#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_OBJ_GET.
#[repr(C)]
struct PinAttributes {
    path: u64,
    descriptor: u32,
    flags: u32,
}

/// `linux/bpf.h`, `union bpf_attr`, the part of BPF_LINK_UPDATE.
#[repr(C)]
struct UpdateAttributes {
    link: u32,
    program: u32,
    flags: u32,
    earlier: u32,
}

impl LoadAttributes {
    /// Asks once more, for the verifier's last words.
    fn reason(&mut self, error: &io::Error) -> io::Error {
        let mut log = vec![0_u8; 1 << 16];
        (self.log_level, self.log_size, self.log) = (1, log.len() as u32, log.as_mut_ptr() as u64);
        let _ = bpf(BPF_PROG_LOAD, self);
        let said = String::from_utf8_lossy(&log);
        let lines: Vec<_> = said.trim_end_matches('\0').lines().rev().take(8).collect();
        io::Error::new(error.kind(), format!("{error}; the verifier's words, the last first: {}", lines.join(" / ")))
    }
}

impl RunAttributes {
    fn of(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> Self {
        Self {
            program: program.as_raw_fd() as u32,
            frame_length: frame.len() as u32,
            frame: frame.as_ptr() as u64,
            repeat,
            ..Self::default()
        }
    }
}

/// `linux/bpf.h`, `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_OBJ_GET: libc::c_long = 7;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_LINK_UPDATE: libc::c_long = 29;
/// `linux/bpf.h`, `enum bpf_prog_type`.
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `linux/bpf.h`, `enum bpf_attach_type`.
const BPF_XDP: u32 = 37;
/// `linux/bpf.h`: as siglatch's own; only programs alike in this may call one another.
const BPF_F_XDP_HAS_FRAGS: u32 = 1 << 5;
/// `linux/bpf.h`.
const BPF_F_TEST_XDP_LIVE_FRAMES: u32 = 1 << 1;
