//! A process that is confined as the daemon is, and then tries one thing: for tests that look from inside. Never the daemon itself.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    unsafe_code,
    reason = "it does what a hole in the daemon would let somebody do: bare system calls, files, sockets, processes"
)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use std::{env, ptr, thread};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use siglatch_common::address::Address;
use siglatch_tests::process::program;
use siglatch_user::config::{self, OwnTable};
use siglatch_user::edge::action::Account;
use siglatch_user::edge::clock;
use siglatch_user::edge::firewall::{Firewall, begin_hand};
use siglatch_user::edge::privilege::{Folder, Plan, reachable, step_down};
use siglatch_user::gate::{Grant, GrantKey};

/// Gives up its rights as the daemon does, tries one thing, and prints what came of it.
#[derive(Debug, Parser)]
struct Options {
    /// Whom to become
    #[arg(long)]
    user: Option<String>,
    /// A folder with `config/`, in which it makes `state/`
    #[arg(long)]
    folder: PathBuf,
    /// A folder on bpffs
    #[arg(long)]
    pins: PathBuf,
    /// What to try, or nothing but to say what holds
    #[arg(long)]
    attempt: Option<String>,
    /// In a thread that was begun after rights were given up
    #[arg(long)]
    in_thread: bool,
}

/// What it has opened while it might.
struct Opened {
    folder: PathBuf,
    pins: PathBuf,
    map: OwnedFd,
    firewall: Firewall,
    state: File,
}

fn main() -> ExitCode {
    match run() {
        Ok(said) => {
            println!("{said}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
            println!("{}", number.map_or_else(|| format!("{error:#}"), |number| format!("errno {number}")));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String> {
    let Options { user, folder, pins, attempt, in_thread } = Options::parse();
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).with_target(false).init();
    begin_hand(&program("siglatch-user")?, user.as_deref())?;
    let plan = Plan {
        user,
        own: vec![Folder::whole(folder.join("state")), Folder::pins(pins.clone())],
        read: vec![folder.join("config")],
        changes_firewall: true,
        ..Plan::default()
    };
    let acting = step_down(plan)?;
    // Whoever stays root makes it when it is needed.
    let _ = fs::create_dir(&pins);
    let map = make_map().context("a map while it may be made")?;
    let table =
        OwnTable { protect: vec!["tcp/22".parse().map_err(|_| anyhow::anyhow!("a service"))?], ..OwnTable::default() };
    let (firewall, _) = Firewall::open(&config::Firewall::Table(table), &[62201], clock::boot())?;
    let state = File::create(folder.join("state/open"))?;
    let opened = Opened { folder, pins, map, firewall, state };
    let standing = acting.confine()?;
    let Some(attempt) = attempt else { return Ok(standing.to_string()) };
    let outcome = match in_thread {
        true => thread::spawn(move || try_one(&attempt, opened)).join().map_err(|_| anyhow::anyhow!("it panicked"))?,
        false => try_one(&attempt, opened),
    };
    outcome.map(|()| "done".to_owned())
}

/// Does what the name says.
fn try_one(attempt: &str, mut opened: Opened) -> Result<()> {
    let itself = env::current_exe();
    match attempt {
        // What the daemon needs.
        "update a map" => map_element(&opened.map, BPF_MAP_UPDATE_ELEM)?,
        "look a map up" => map_element(&opened.map, BPF_MAP_LOOKUP_ELEM)?,
        "pin a map" => pin(&opened.map, &reachable(&opened.pins).join("made"))?,
        "ask about a map" => {
            let mut attributes = [0_u64; 16];
            let mut about = [0_u64; 16];
            attributes[0] = u64::from(number(&opened.map)) | (128 << 32);
            attributes[1] = about.as_mut_ptr() as u64;
            call(|| bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes))?;
        }
        "open a grant" => opened.firewall.write(&[grant()], clock::boot())?,
        "run nft" => {
            let changed = config::Firewall::Table(OwnTable { name: "other".into(), ..OwnTable::default() });
            Firewall::check(&changed, &[])?;
        }
        "watch nftables" => drop(opened.firewall.watch()?.context("there is a table to watch")?),
        "put the table back" => {
            opened.firewall.revoke(&[grant().key])?;
            let restored = opened.firewall.restore(&[grant()], clock::boot())?;
            anyhow::ensure!(restored.grants == 1, "{restored:?}");
        }
        "write its state" => {
            let (new, old) = (opened.folder.join("state/new"), opened.folder.join("state/old"));
            opened.state.write_all(b"more")?;
            let mut file = File::create(&new)?;
            file.write_all(b"whole")?;
            file.sync_all()?;
            fs::rename(&new, &old)?;
            File::open(opened.folder.join("state"))?.sync_all()?;
            fs::remove_file(&old)?;
        }
        "make a socket in its folder" => drop(UnixListener::bind(opened.folder.join("state/socket"))?),
        "read its configuration" => drop(fs::read(opened.folder.join("config/siglatch.toml"))?),
        "read a time zone" => drop(fs::read("/usr/share/zoneinfo/Europe/Berlin").or_else(missing)?),
        "find a user" => drop(Account::named("daemon").context("there is a user daemon")?),
        "read about itself" => drop(fs::read_to_string("/proc/self/status")?),
        "begin a thread" => thread::spawn(|| ()).join().map_err(|_| anyhow::anyhow!("it panicked"))?,
        "have 64 MiB more" => {
            let mut more = vec![1_u8; 64 << 20];
            more.extend([2; 4096]);
            anyhow::ensure!(more.iter().step_by(4096).count() > 16_384);
        }
        "begin a runtime" => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                tokio::task::spawn_blocking(|| ()).await
            })?;
        }
        "listen to addresses" => drop(socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_ROUTE)?),
        "bind a UDP port" => drop(UdpSocket::bind("127.0.0.1:0")?),
        "talk to a socket of the system's" => {
            let (ours, _theirs) = UnixStream::pair()?;
            (&ours).write_all(b"word")?;
        }

        // What nobody in it needs.
        "read a password" => drop(File::open("/etc/shadow")?),
        "write to /etc" => drop(File::create("/etc/siglatch-inside")?),
        "write its configuration" => {
            drop(fs::OpenOptions::new().append(true).open(opened.folder.join("config/siglatch.toml"))?);
        }
        "look into /root" => drop(fs::read_dir("/root")?),
        "look into /home" => drop(fs::read_dir("/home")?),
        "write to /tmp" => drop(File::create(env::temp_dir().join("siglatch-inside"))?),
        "execute a program" => {
            let path = CString::new("/bin/true")?;
            let arguments = [path.as_ptr(), ptr::null()];
            // SAFETY: a path and two lists that end with a null pointer, all live.
            call(|| unsafe { libc::syscall(libc::SYS_execve, path.as_ptr(), arguments.as_ptr(), ptr::null::<u8>()) })?;
        }
        "execute an open file" => {
            let file = File::open(itself?).map_or(-1, |file| i32::try_from(number(&file.into())).unwrap_or(-1));
            let none: [*const u8; 1] = [ptr::null()];
            let (flags, name) = (libc::AT_EMPTY_PATH, c"");
            // SAFETY: as above.
            call(|| unsafe {
                libc::syscall(libc::SYS_execveat, file, name.as_ptr(), none.as_ptr(), none.as_ptr(), flags)
            })?;
        }
        "spawn a program" => drop(Command::new("/bin/true").spawn()?),
        "fork" => fork(libc::SIGCHLD as u64)?,
        "fork as vfork does" => fork((libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD) as u64)?,
        "fork in a new way" => {
            let mut arguments = [0_u64; 11];
            arguments[4] = libc::SIGCHLD as u64;
            // SAFETY: all-zero arguments but for the signal; the child would end at once.
            let child =
                call(|| unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments)) })?;
            leave_if_child(child);
        }
        "trace its parent" => {
            // SAFETY: attaches, if it may, and reads nothing.
            call(|| unsafe { libc::syscall(libc::SYS_ptrace, libc::PTRACE_SEIZE, libc::getppid(), 0, 0) })?;
        }
        "read its parent's memory" => {
            // SAFETY: nothing is read: there is no place to read to.
            call(|| unsafe { libc::syscall(libc::SYS_process_vm_readv, libc::getppid(), 0, 0, 0, 0, 0) })?;
        }
        // SAFETY: a number.
        "open its parent's memory" => drop(File::open(format!("/proc/{}/mem", unsafe { libc::getppid() }))?),
        // SAFETY: signal 0 does nothing.
        "signal its parent" => drop(call(|| unsafe { libc::syscall(libc::SYS_kill, libc::getppid(), 0) })?),
        // SAFETY: a number.
        "become root" => drop(call(|| unsafe { libc::syscall(libc::SYS_setuid, 0) })?),
        // SAFETY: numbers.
        "become root's group" => drop(call(|| unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?),
        "raise a capability" => {
            let (header, all) = ([0x2008_0522_u32, 0], [u32::MAX; 6]);
            // SAFETY: two live records of the kernel's layout.
            call(|| unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), all.as_ptr()) })?;
        }
        "make any other BPF call" => no_other_bpf()?,
        "load a BPF program" => drop(call(|| bpf(BPF_PROG_LOAD, &[0; 16]))?),
        "make a map" => drop(make_map()?),
        "mount" => {
            // SAFETY: no pointer is used.
            call(|| unsafe { libc::syscall(libc::SYS_mount, 0, c"/tmp".as_ptr(), 0, libc::MS_BIND, 0) })?;
        }
        // SAFETY: a flag.
        "leave its namespaces" => drop(call(|| unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_NEWUSER) })?),
        // SAFETY: no pointer is used.
        "load a module" => drop(call(|| unsafe { libc::syscall(libc::SYS_init_module, 0, 0, c"".as_ptr()) })?),
        "see frames" => drop(socket(libc::AF_PACKET, libc::SOCK_RAW, 0)?),
        "forge packets" => drop(socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW)?),
        "talk to the hypervisor" => drop(socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)?),
        "use the kernel's ciphers" => drop(socket(libc::AF_ALG, libc::SOCK_SEQPACKET, 0)?),
        "connect to a service" => {
            drop(TcpStream::connect_timeout(&"127.0.0.1:9".parse()?, Duration::from_secs(1))?);
        }
        "offer a service" => drop(TcpListener::bind("127.0.0.1:0")?),
        "raise its limits" => {
            let limit = libc::rlimit { rlim_cur: 1 << 20, rlim_max: 1 << 20 };
            // SAFETY: a live record.
            call(|| i64::from(unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const limit) }))?;
        }
        "let its core be dumped" => {
            // SAFETY: numbers.
            call(|| i64::from(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) }))?;
        }
        "make data code" => {
            let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
            // SAFETY: a new mapping, of nothing else's memory.
            let page =
                unsafe { libc::mmap(ptr::null_mut(), 4096, rights, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
            if page == libc::MAP_FAILED {
                return Err(io::Error::last_os_error().into());
            }
        }
        // SAFETY: no pointer is used, or it is of a live text.
        "use io_uring" => drop(call(|| unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, 0) })?),
        "make a file without a name" => {
            // SAFETY: a live text.
            call(|| unsafe { libc::syscall(libc::SYS_memfd_create, c"x".as_ptr(), 0) })?;
        }
        "keep a key in the kernel" => {
            // SAFETY: live texts.
            call(|| unsafe {
                libc::syscall(libc::SYS_add_key, c"user".as_ptr(), c"x".as_ptr(), c"x".as_ptr(), 1, -3)
            })?;
        }
        other => bail!("nobody knows how to {other}"),
    }
    Ok(())
}

fn missing(error: io::Error) -> io::Result<Vec<u8>> {
    // A machine without time zones is not the point.
    if error.kind() == io::ErrorKind::NotFound { Ok(Vec::new()) } else { Err(error) }
}

fn grant() -> Grant {
    let key = GrantKey {
        source: Address::v4([192, 0, 2, 7]),
        destination: None,
        service: "tcp/22".parse().expect("a service"),
    };
    Grant { key, ttl: Duration::from_secs(60), label: "alice open".into() }
}

fn fork(flags: u64) -> Result<()> {
    // SAFETY: a child would end at once, having touched nothing.
    let child = call(|| unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) })?;
    leave_if_child(child);
    Ok(())
}

fn leave_if_child(child: i64) {
    if child == 0 {
        // SAFETY: ends this process alone.
        unsafe { libc::_exit(0) }
    }
}

fn socket(family: i32, kind: i32, protocol: i32) -> Result<OwnedFd> {
    // SAFETY: numbers alone.
    let socket = call(|| i64::from(unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) }))?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(socket)?) })
}

/// An array of one number.
fn make_map() -> Result<OwnedFd> {
    let (kind, key, value, entries) = (2, 4, 4, 1);
    let map = call(|| {
        bpf(BPF_MAP_CREATE, &[kind | key << 32, value | entries << 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    })?;
    // SAFETY: it is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(map)?) })
}

fn map_element(map: &OwnedFd, command: i32) -> Result<()> {
    let (key, mut value) = (0_u32, 7_u32);
    let mut attributes = [0_u64; 16];
    attributes[..3].copy_from_slice(&[number(map).into(), &raw const key as u64, &raw mut value as u64]);
    call(|| bpf(command, &attributes)).map(drop)
}

fn pin(map: &OwnedFd, path: &Path) -> Result<()> {
    let path = CString::new(path.to_str().context("a path of text")?)?;
    let mut attributes = [0_u64; 16];
    attributes[..2].copy_from_slice(&[path.as_ptr() as u64, number(map).into()]);
    call(|| bpf(BPF_OBJ_PIN, &attributes)).map(drop)
}

/// Tries every command but those that the daemon needs; the first that the kernel would have looked at is told.
fn no_other_bpf() -> Result<()> {
    for command in (0..BEYOND).filter(|command| !NEEDED_BPF.contains(command)) {
        let answer = bpf(command, &[0; 16]);
        let error = io::Error::last_os_error();
        if answer >= 0 || error.raw_os_error() != Some(libc::ENOSYS) {
            bail!("command {command}: {answer}, {error}");
        }
    }
    Err(io::Error::from_raw_os_error(libc::ENOSYS).into())
}

fn bpf(command: i32, attributes: &[u64; 16]) -> i64 {
    // SAFETY: the attributes are so long, and what they point to is live.
    unsafe { libc::syscall(libc::SYS_bpf, command, attributes.as_ptr(), size_of_val(attributes)) }
}

fn number(descriptor: &OwnedFd) -> u32 {
    use std::os::fd::AsRawFd as _;
    descriptor.as_raw_fd().cast_unsigned()
}

fn call(system: impl FnOnce() -> i64) -> Result<i64> {
    match system() {
        answer @ 0.. => Ok(answer),
        _ => Err(io::Error::last_os_error().into()),
    }
}

/// `enum bpf_cmd`, linux/bpf.h.
const BPF_MAP_CREATE: i32 = 0;
const BPF_MAP_LOOKUP_ELEM: i32 = 1;
const BPF_MAP_UPDATE_ELEM: i32 = 2;
const BPF_PROG_LOAD: i32 = 5;
const BPF_OBJ_PIN: i32 = 6;
const BPF_OBJ_GET_INFO_BY_FD: i32 = 15;

/// What the daemon calls after its start (`docs/decisions/0012-privileges.md`): elements, pins, information, its own links.
const NEEDED_BPF: [i32; 10] = [1, 2, 3, 4, 6, 7, 15, 28, 29, 34];
/// More than there are.
const BEYOND: i32 = 64;
