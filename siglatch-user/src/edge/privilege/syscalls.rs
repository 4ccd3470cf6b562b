//! The system calls that this process still has. Never asks what they are for.
//!
//! Two filters, of which the stricter answer counts: what only an intruder calls ends the process at once; what is not on the
//! list is not there (`ENOSYS`), so that a newer C library takes the older way.
#![expect(unsafe_code, reason = "installing a filter with a log is a bare system call")]

use std::collections::BTreeMap;
use std::io;

use rustix::io::Errno;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{Eq, MaskedEq};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::PrivilegeError;

/// Who is filtered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::edge) enum Calls {
    /// The daemon, when everything is open.
    Daemon,
}

/// Filters the calls of every thread of this process, for ever. False if the kernel cannot.
pub(in crate::edge) fn confine_calls(calls: Calls) -> Result<bool, PrivilegeError> {
    let Calls::Daemon = calls;
    for program in [deadly(), needed()] {
        let program = program.map_err(|error| PrivilegeError::System {
            doing: "make a filter of system calls",
            source: io::Error::other(error),
        })?;
        match install(&program) {
            Ok(()) => {}
            Err(Errno::INVAL | Errno::NOSYS) => return Ok(false),
            Err(error) => return Err(PrivilegeError::system("filter system calls")(error)),
        }
    }
    Ok(true)
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Ends the process for what no fault of ours could call.
fn deadly() -> Result<BpfProgram, seccompiler::Error> {
    let rules: Rules = DEADLY.iter().map(|number| (*number, Vec::new())).collect();
    compile(rules, SeccompAction::Allow, SeccompAction::KillProcess)
}

/// Lets through what is needed, and denies the rest.
fn needed() -> Result<BpfProgram, seccompiler::Error> {
    let mut rules: Rules = PLAIN.iter().chain(OLDER).map(|number| (*number, Vec::new())).collect();
    let mut some = |number, conditions: Vec<Vec<Condition>>| {
        let each = conditions.into_iter().map(|all| {
            let all = all
                .into_iter()
                .map(|(argument, length, operation, value)| SeccompCondition::new(argument, length, operation, value));
            SeccompRule::new(all.collect::<Result<_, _>>()?)
        });
        rules.insert(number, each.collect::<Result<_, seccompiler::BackendError>>()?);
        Ok::<_, seccompiler::BackendError>(())
    };
    // Threads, and nothing that is more of a process.
    some(libc::SYS_clone, vec![vec![(0, Qword, MaskedEq(THREAD), THREAD)]])?;
    some(libc::SYS_bpf, BPF_COMMANDS.iter().map(|command| vec![(0, Dword, Eq, *command)]).collect())?;
    some(libc::SYS_prctl, PRCTL_OPTIONS.iter().map(|option| vec![(0, Dword, Eq, *option)]).collect())?;
    some(libc::SYS_ioctl, IOCTL_REQUESTS.iter().map(|request| vec![(1, Dword, Eq, (*request).into())]).collect())?;
    // Limits are asked for, not set.
    some(libc::SYS_prlimit64, vec![vec![(0, Dword, Eq, 0), (2, Qword, Eq, 0)]])?;
    // The thread that tells metrics comes after all others; a thread sets its own.
    some(libc::SYS_setpriority, vec![vec![(0, Dword, Eq, 0), (1, Dword, Eq, 0)]])?;
    // Nobody's signals but its own: that is how a process aborts.
    let itself = u64::from(std::process::id());
    for call in [libc::SYS_kill, libc::SYS_tgkill] {
        some(call, vec![vec![(0, Dword, Eq, itself)]])?;
    }
    let any = [libc::AF_UNIX, libc::AF_NETLINK].map(|family| vec![(0, Dword, Eq, number(family))]);
    let plain = [libc::AF_INET, libc::AF_INET6].into_iter().flat_map(|family| {
        // With `SOCK_NONBLOCK` and `SOCK_CLOEXEC` or without.
        [libc::SOCK_STREAM, libc::SOCK_DGRAM]
            .map(|kind| vec![(0, Dword, Eq, number(family)), (1, Dword, MaskedEq(SOCKET_KIND), number(kind))])
    });
    some(libc::SYS_socket, any.into_iter().chain(plain).collect())?;
    // No page becomes code that was data, nor both at once.
    let no_code = |argument| vec![vec![(argument, Dword, MaskedEq(number(libc::PROT_EXEC)), 0)]];
    some(libc::SYS_mprotect, no_code(2))?;
    let mut maps = no_code(2);
    // Libraries that are loaded on demand to look users up.
    maps.push(vec![(2, Dword, Eq, number(libc::PROT_READ | libc::PROT_EXEC))]);
    some(libc::SYS_mmap, maps)?;
    compile(rules, SeccompAction::Errno(libc::ENOSYS.cast_unsigned()), SeccompAction::Allow)
}

/// An argument by its place, how much of it counts, and what it must be.
type Condition = (u8, SeccompCmpArgLen, SeccompCmpOp, u64);

fn compile(rules: Rules, other: SeccompAction, listed: SeccompAction) -> Result<BpfProgram, seccompiler::Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(BpfProgram::try_from(SeccompFilter::new(rules, other, listed, arch)?)?)
}

/// Gives the filter to all threads at once, and has the kernel log what it denies.
fn install(program: &BpfProgram) -> Result<(), Errno> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| Errno::INVAL)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    let flags = libc::SECCOMP_FILTER_FLAG_TSYNC | libc::SECCOMP_FILTER_FLAG_LOG;
    // SAFETY: the filter is as long as it says, has the kernel's layout, and is live while the kernel copies it.
    let refused = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const filter) };
    match refused {
        0 => Ok(()),
        // With this flag a thread that cannot follow is the answer; there is none besides this one.
        thread if thread > 0 => Err(Errno::BUSY),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

fn number(value: i32) -> u64 {
    u64::from(value.cast_unsigned())
}

/// A process of its own has none of these flags; a thread has all.
const THREAD: u64 =
    (libc::CLONE_VM | libc::CLONE_FS | libc::CLONE_FILES | libc::CLONE_SIGHAND | libc::CLONE_THREAD) as u64;

/// The kinds of sockets, without flags.
const SOCKET_KIND: u64 = 0xf;

/// `enum bpf_cmd`, linux/bpf.h: elements of maps (1 to 4), pins (6, 7), information (15), links that are made, given another
/// program, and taken down (28, 29, 34). No map is made, no program loaded, and nothing found by its number.
const BPF_COMMANDS: [u64; 10] = [1, 2, 3, 4, 6, 7, 15, 28, 29, 34];

/// Names of threads, of mappings, and what the C library asks about itself.
const PRCTL_OPTIONS: [u64; 4] =
    [libc::PR_SET_NAME as u64, libc::PR_GET_NAME as u64, libc::PR_SET_VMA as u64, libc::PR_GET_DUMPABLE as u64];

/// Becoming another program, looking into others, mounting, loading code into the kernel, becoming somebody else.
const DEADLY: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
];

/// What does no harm by itself: files that are open or that Landlock lets be opened, memory, threads, time, waiting, sockets.
const PLAIN: &[i64] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_pread64,
    libc::SYS_pwrite64,
    libc::SYS_preadv,
    libc::SYS_pwritev,
    libc::SYS_preadv2,
    libc::SYS_pwritev2,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_mkdirat,
    libc::SYS_getdents64,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_pipe2,
    libc::SYS_umask,
    libc::SYS_getcwd,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_rm_watch,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_restart_syscall,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_timerfd_gettime,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_signalfd4,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_sigsuspend,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_sendto,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_recvmmsg,
    libc::SYS_shutdown,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_capget,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_sysinfo,
    libc::SYS_uname,
    libc::SYS_times,
];

/// The same in older words, which not every architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_chmod,
    libc::SYS_dup2,
    libc::SYS_pipe,
    libc::SYS_getdents,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getrlimit,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Whether something waits, whether it is a terminal, which interface has which number. C libraries disagree about their
/// width; the kernel takes 32 bits.
const IOCTL_REQUESTS: [u32; 8] = [
    libc::FIONBIO as u32,
    libc::FIONREAD as u32,
    libc::FIOCLEX as u32,
    libc::FIONCLEX as u32,
    libc::TCGETS as u32,
    libc::TIOCGWINSZ as u32,
    libc::SIOCGIFNAME as u32,
    libc::SIOCGIFINDEX as u32,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_both_deadly_and_needed() {
        let listed: Vec<_> = PLAIN.iter().chain(OLDER).filter(|number| DEADLY.contains(number)).collect();
        assert!(listed.is_empty(), "{listed:?}");
    }

    #[test]
    fn both_filters_are_short_enough_for_the_kernel() {
        for filter in [deadly(), needed()] {
            let length = filter.unwrap().len();
            assert!((1..4096).contains(&length), "{length} instructions");
        }
    }
}
