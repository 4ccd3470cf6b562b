//! Two BPF commands by hand, so that the floor and the program under test are loaded and timed by the same code.
//! Never keeps a program beyond its descriptor.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::ptr;

/// What an empty program answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Answer {
    /// `XDP_DROP`.
    Drop = 1,
    /// `XDP_PASS`.
    Pass = 2,
}

/// One timed call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timed {
    /// What the program answered last.
    pub(crate) verdict: u32,
    /// Mean time a packet, as the kernel measured it.
    pub(crate) nanos: u32,
}

/// Loads the program that does nothing but answer.
pub(crate) fn load_empty(answer: Answer) -> io::Result<OwnedFd> {
    let instructions = [
        Instruction { code: MOVE_IMMEDIATE, registers: 0, offset: 0, immediate: answer as i32 },
        Instruction { code: EXIT, registers: 0, offset: 0, immediate: 0 },
    ];
    let mut attributes = LoadAttributes {
        kind: BPF_PROG_TYPE_XDP,
        instruction_count: instructions.len() as u32,
        instructions: instructions.as_ptr() as u64,
        licence: c"Dual MIT/GPL".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    let descriptor = bpf(BPF_PROG_LOAD, &mut attributes)?;
    // SAFETY: BPF_PROG_LOAD returned it just now, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Runs a program `repeat` times on the same frame.
pub(crate) fn time(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<Timed> {
    let mut attributes = RunAttributes {
        program: program.as_raw_fd() as u32,
        frame_length: frame.len() as u32,
        frame: frame.as_ptr() as u64,
        repeat,
        ..RunAttributes::default()
    };
    bpf(BPF_PROG_TEST_RUN, &mut attributes)?;
    Ok(Timed { verdict: attributes.verdict, nanos: attributes.duration })
}

fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<RawFd> {
    // SAFETY: `attributes` is a prefix of `union bpf_attr` of the length given, and the pointers in it are to memory
    // that its maker keeps alive and that the kernel only reads; BPF_PROG_TEST_RUN writes into `attributes` itself.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_mut(attributes), size_of::<T>()) };
    match RawFd::try_from(result) {
        Ok(result) if result >= 0 => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `linux/bpf.h`, `struct bpf_insn`.
#[repr(C)]
struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
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
    flags: u32,
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

/// `linux/bpf.h`, `enum bpf_cmd`.
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
/// `linux/bpf.h`, `enum bpf_prog_type`.
const BPF_PROG_TYPE_XDP: u32 = 6;
/// `linux/bpf.h`: `BPF_ALU64 | BPF_MOV | BPF_K`.
const MOVE_IMMEDIATE: u8 = 0xb7;
/// `linux/bpf.h`: `BPF_JMP | BPF_EXIT`.
const EXIT: u8 = 0x95;
