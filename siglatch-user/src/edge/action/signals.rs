//! Signals as something to be read: that a child has ended, that this process is to end. Never lets one interrupt.
#![expect(unsafe_code, reason = "only the C library sets masks and makes a descriptor of them")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Pid;
use rustix::time::Timespec;

/// Where signals arrive. Goes on for a forked process, which reads its own.
pub(super) struct Signals(OwnedFd);

/// What has arrived.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Signalled {
    /// A child has ended, or several.
    Child,
    /// This process is asked to end; by whom.
    Term(Option<Pid>),
}

impl Signals {
    /// From here on signals do what they do by default, except for those that are to be read.
    pub(super) fn begin() -> io::Result<Self> {
        for signal in 1..=SIGNAL_MAX {
            // The kernel's own call: the C library keeps its two signals from us, but not from whoever was here before.
            let default = [0_u64; ACTION_WORDS];
            // SAFETY: zeroes are the default, which is no code of ours; the record is longer than the kernel's.
            unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), SET_LEN) };
        }
        let mask = mask(&[libc::SIGCHLD, libc::SIGTERM]);
        set_mask(&mask)?;
        // SAFETY: the mask is live and whole; -1 asks for a new descriptor.
        let fd = unsafe { libc::signalfd(-1, &raw const mask, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is new, and nobody else's.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next one, if there is one.
    pub(super) fn take(&self) -> Option<Signalled> {
        let mut record = [0; size_of::<libc::signalfd_siginfo>()];
        let length = rustix::io::read(&self.0, &mut record).ok()?;
        if length < record.len() {
            return None;
        }
        // SAFETY: so many bytes are there, the kernel wrote them as this record, and it is read wherever it lies.
        let info = unsafe { ptr::read_unaligned(record.as_ptr().cast::<libc::signalfd_siginfo>()) };
        Some(match info.ssi_signo.cast_signed() {
            libc::SIGTERM => Signalled::Term(i32::try_from(info.ssi_pid).ok().and_then(Pid::from_raw)),
            _ => Signalled::Child,
        })
    }

    /// Waits until there is one, but not for longer than this.
    pub(super) fn wait(&self, most: Duration) {
        let _ = poll(&mut [PollFd::new(self, PollFlags::IN)], Some(&timespec(most)));
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A span as the kernel takes it.
pub(super) fn timespec(span: Duration) -> Timespec {
    Timespec { tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX), tv_nsec: span.subsec_nanos().into() }
}

/// Lets every signal through. Allocates nothing.
pub(super) fn unblock() -> io::Result<()> {
    set_mask(&mask(&[]))
}

fn mask(signals: &[libc::c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: it points to room for a set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for signal in signals {
        // SAFETY: the set was made above.
        unsafe { libc::sigaddset(set.as_mut_ptr(), *signal) };
    }
    // SAFETY: `sigemptyset` has written it.
    unsafe { set.assume_init() }
}

fn set_mask(mask: &libc::sigset_t) -> io::Result<()> {
    // SAFETY: the mask is live, and the former one is not asked for.
    match unsafe { libc::sigprocmask(libc::SIG_SETMASK, mask, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `_NSIG`. It fails for the two signals that always do the default.
const SIGNAL_MAX: libc::c_int = 64;

/// `struct sigaction` of the kernel: at most a handler, flags, a restorer and a set.
const ACTION_WORDS: usize = 4;

/// Bytes of a set of signals in the kernel.
const SET_LEN: usize = 8;
