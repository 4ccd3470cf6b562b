//! A program of some sixty bytes whose first instructions ask for the time, which it then tells. Never does more: what
//! comes before its first instruction is the machine's and whoever's who started it.

use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat, open};
use siglatch_tests::script::Scripts;
use siglatch_user::edge::clock;

/// The program, and the pipe that it writes to.
pub(crate) struct Clockmaker {
    scripts: Scripts,
    pipe: File,
}

impl Clockmaker {
    /// It is written in the instructions of one kind of processor.
    pub(crate) const RUNS_HERE: bool = cfg!(target_arch = "x86_64");

    pub(crate) fn new() -> Result<Self> {
        let scripts = Scripts::new()?;
        let (program, pipe) = (scripts.path(PROGRAM), scripts.path(PIPE));
        fs::write(&program, executable())?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR, 0)?;
        // For whoever it runs as.
        fs::set_permissions(&pipe, Permissions::from_mode(0o622))?;
        // With both ends here, no writer waits for a reader, and nobody reads an end.
        let pipe = File::from(open(&pipe, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?);
        Ok(Self { scripts, pipe })
    }

    /// Path and argument.
    pub(crate) fn command(&self) -> [String; 2] {
        [PROGRAM, PIPE].map(|name| self.scripts.path(name).display().to_string())
    }

    /// From the order to the first instruction if nobody stands between.
    pub(crate) fn spawn(&self) -> Result<Duration> {
        let [program, pipe] = self.command();
        let mut command = Command::new(program);
        command.arg(pipe).env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let begin = clock::boot();
        let status = command.spawn()?.wait()?;
        ensure!(status.success(), "the clockmaker has ended badly: {status}");
        Ok(self.told()?.saturating_sub(Duration::from_nanos(begin.as_nanos())))
    }

    /// When its last run began, since boot; waits for it.
    pub(crate) fn told(&self) -> Result<Duration> {
        let patience = Timespec { tv_sec: PATIENCE, tv_nsec: 0 };
        let mut pipe = [PollFd::from_borrowed_fd(self.pipe.as_fd(), PollFlags::IN)];
        ensure!(poll(&mut pipe, Some(&patience))? == 1, "the program has not told the time for {PATIENCE} seconds");
        let mut told = [0; 16];
        (&self.pipe).read_exact(&mut told)?;
        let [seconds, nanos] = [0, 8].map(|at| u64::from_ne_bytes(*told[at..].first_chunk().expect("16 bytes")));
        Ok(Duration::new(seconds, u32::try_from(nanos).context("no time")?))
    }
}

/// An ELF file of one segment: two headers, then the code.
fn executable() -> Vec<u8> {
    let size = HEADERS + CODE.len() as u64;
    let mut file = b"\x7fELF\x02\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |file: &mut Vec<u8>, value: u16| file.extend(value.to_le_bytes());
    let word = |file: &mut Vec<u8>, value: u32| file.extend(value.to_le_bytes());
    let long = |file: &mut Vec<u8>, value: u64| file.extend(value.to_le_bytes());
    // An executable of x86-64's, version 1, and where it begins.
    [2, 62].into_iter().for_each(|value| half(&mut file, value));
    word(&mut file, 1);
    [BASE + HEADERS, 64, 0].into_iter().for_each(|value| long(&mut file, value));
    word(&mut file, 0);
    // Sizes: this header; each of the program's, and how many; none of sections.
    [64, 56, 1, 64, 0, 0].into_iter().for_each(|value| half(&mut file, value));
    // Loaded, to be read and run: from the file's beginning, to BASE, all of it.
    [1, 5].into_iter().for_each(|value| word(&mut file, value));
    [0, BASE, BASE, size, size, 0x1000].into_iter().for_each(|value| long(&mut file, value));
    file.extend(CODE);
    file
}

const PROGRAM: &str = "clockmaker";
const PIPE: &str = "told";
const PATIENCE: i64 = 5;
const BASE: u64 = 0x40_0000;
/// elf(5): 64 bytes of the file's header and 56 of the program's.
const HEADERS: u64 = 120;

/// `clock_gettime(CLOCK_BOOTTIME)`, `open(argv[1], O_WRONLY)`, `write`, `exit_group(0)`.
#[rustfmt::skip]
const CODE: &[u8] = &[
    0x48, 0x83, 0xec, 0x10,        // sub rsp, 16
    0xbf, 7, 0, 0, 0,              // mov edi, CLOCK_BOOTTIME
    0x48, 0x89, 0xe6,              // mov rsi, rsp
    0xb8, 228, 0, 0, 0,            // mov eax, clock_gettime
    0x0f, 0x05,                    // syscall
    0x48, 0x8b, 0x7c, 0x24, 0x20,  // mov rdi, [rsp + 32]: argv[1]
    0xbe, 1, 0, 0, 0,              // mov esi, O_WRONLY
    0xb8, 2, 0, 0, 0,              // mov eax, open
    0x0f, 0x05,                    // syscall
    0x89, 0xc7,                    // mov edi, eax
    0x48, 0x89, 0xe6,              // mov rsi, rsp
    0xba, 16, 0, 0, 0,             // mov edx, 16
    0xb8, 1, 0, 0, 0,              // mov eax, write
    0x0f, 0x05,                    // syscall
    0x31, 0xff,                    // xor edi, edi
    0xb8, 231, 0, 0, 0,            // mov eax, exit_group
    0x0f, 0x05,                    // syscall
];
