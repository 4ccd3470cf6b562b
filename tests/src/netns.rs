//! Network namespaces joined by cables, each for as long as a value of its own lives. Never knows what runs in them.
//!
//! Names are unique to the process. What killed processes have left is taken away by the next one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use std::{panic, thread};

use anyhow::{Context as _, Result, ensure};
use rustix::net::netdevice::name_to_index;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use socket2::{Domain, SockAddr, SockAddrStorage, Socket, Type};

use crate::packet::Link;
use crate::scene::{GATEWAY, Pair, STRANGER};

/// A network namespace. Clones share it; the last one dropped deletes it.
#[derive(Clone, Debug)]
pub struct Namespace(Arc<Room>);

#[derive(Debug)]
struct Room {
    name: String,
}

/// A gateway and its neighbour, joined by one cable.
///
/// The gateway has the addresses [`GATEWAY`], its neighbour those of [`CLIENT`] and of [`STRANGER`], and its Ethernet
/// addresses are those of [`Link::DEFAULT`].
#[derive(Debug)]
pub struct Street {
    /// Where the daemon belongs; its end of the cable is [`GATE`].
    pub gateway: Namespace,
    /// Where everybody else is; their end of the cable is [`DOOR`].
    pub outside: Namespace,
}

/// The gateway's end of the cable.
pub const GATE: &str = "gate";
/// The neighbour's end of the cable.
pub const DOOR: &str = "door";
/// Somebody who has keys.
pub const CLIENT: Pair = Pair { v4: Ipv4Addr::new(192, 0, 2, 2), v6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2) };

impl Namespace {
    /// A new one, with its loopback up.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn new(role: &str) -> Result<Self> {
        sweep();
        let name = unique(role);
        run(Command::new("ip").args(["netns", "add", &name]))?;
        let namespace = Self(Arc::new(Room { name }));
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// The name that `ip netns` shows.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Where it can be entered: what `nsenter --net=` takes.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new(FOLDER).join(&self.0.name)
    }

    /// A command that will run inside. It is killed when the thread that starts it ends, however that comes.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("setpriv");
        // Not `ip netns exec`: that hides the BPF file system.
        let enter = format!("--net={}", self.path().display());
        command.env("PATH", search_path()).args(["--pdeathsig=KILL", "nsenter", &enter, "--"]).arg(program);
        command
    }

    /// Runs `ip` inside, with arguments separated by spaces.
    ///
    /// # Errors
    /// With what it says if it fails.
    pub fn ip(&self, arguments: &str) -> Result<String> {
        run(Command::new("ip").args(["-n", self.name()]).args(arguments.split_whitespace()))
    }

    /// Runs a line of shell inside, and returns what it prints.
    ///
    /// # Errors
    /// With what it says if it fails.
    pub fn shell(&self, line: &str) -> Result<String> {
        run(self.command("sh").args(["-ec", line]))
    }

    /// Does something on a thread that is inside. Sockets made there stay there.
    ///
    /// # Errors
    /// If the namespace cannot be entered.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        let file = File::open(self.path()).with_context(|| format!("namespace {} is gone", self.name()))?;
        let inside = thread::scope(|scope| {
            scope
                .spawn(|| {
                    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
                    Ok(work())
                })
                .join()
        });
        let done: rustix::io::Result<T> = inside.unwrap_or_else(|panicked| panic::resume_unwind(panicked));
        done.with_context(|| format!("cannot enter namespace {}", self.name()))
    }

    /// The number of an interface inside.
    ///
    /// # Errors
    /// If there is no such interface.
    pub fn index(&self, interface: &str) -> Result<u32> {
        let index = self.within(|| {
            let any = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
            Ok::<_, io::Error>(name_to_index(&any, interface)?)
        })?;
        index.with_context(|| format!("no interface {interface} in {}", self.name()))
    }

    /// A UDP socket inside, bound to `at`.
    ///
    /// A socket that was closed there a moment ago is waited for: a process that another thread is about to start holds
    /// it until it becomes its program.
    ///
    /// # Errors
    /// If it cannot be bound.
    pub fn udp(&self, at: SocketAddr) -> Result<UdpSocket> {
        let mut bound = self.within(|| UdpSocket::bind(at))?;
        let deadline = Instant::now() + HELD;
        while bound.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            bound = self.within(|| UdpSocket::bind(at))?;
        }
        bound.with_context(|| format!("no UDP socket at {at} in {}", self.name()))
    }

    /// Sends one datagram from an address of this namespace.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn send(&self, datagram: &[u8], from: IpAddr, to: SocketAddr) -> Result<()> {
        let sent = self.udp(SocketAddr::new(from, 0))?.send_to(datagram, to);
        sent.with_context(|| format!("no datagram from {from} to {to}"))?;
        Ok(())
    }

    /// Puts one Ethernet frame on an interface as it stands.
    ///
    /// # Errors
    /// If it does not leave.
    pub fn send_frame(&self, frame: &[u8], interface: &str) -> Result<()> {
        self.within(|| {
            let raw = Socket::new(Domain::PACKET, Type::RAW, None)?;
            let index = name_to_index(&raw, interface)?;
            raw.send_to(frame, &link_address(index))
        })?
        .with_context(|| format!("no frame on {interface} of {}", self.name()))?;
        Ok(())
    }

    /// Opens one TCP connection from an address of this namespace, waiting at most so long.
    ///
    /// # Errors
    /// As the kernel says; nobody answers within `patience` where packets are dropped.
    pub fn connect(&self, from: IpAddr, to: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
        let connected = self.within(|| {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), patience)?;
            Ok(socket.into())
        });
        connected.map_err(io::Error::other)?
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

impl Street {
    /// Builds it.
    ///
    /// # Errors
    /// Without root, or without `ip`.
    pub fn new() -> Result<Self> {
        let (gateway, outside) = (Namespace::new("gw")?, Namespace::new("out")?);
        join((&gateway, GATE), (&outside, DOOR))?;
        let Link { to, from } = Link::DEFAULT;
        for (namespace, interface, mac, hosts) in
            [(&gateway, GATE, to, &[GATEWAY][..]), (&outside, DOOR, from, &[CLIENT, STRANGER])]
        {
            namespace.ip(&format!("link set {interface} address {} up", colons(mac)))?;
            for Pair { v4, v6 } in hosts {
                namespace.ip(&format!("address add {v4}/24 dev {interface}"))?;
                namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"))?;
            }
        }
        Ok(Self { gateway, outside })
    }

    /// Frames from outside that the cable has lost, because the gateway's end was too slow to take them.
    ///
    /// # Errors
    /// If `ip` shows no statistics.
    pub fn lost(&self) -> Result<u64> {
        let shown: serde_json::Value = serde_json::from_str(&self.outside.ip(&format!("-j -s link show {DOOR}"))?)?;
        shown[0]["stats64"]["tx"]["dropped"].as_u64().context("`ip` shows no statistics")
    }

    /// Frames that the gateway's end of the cable has taken.
    ///
    /// # Errors
    /// If `ip` shows no statistics.
    pub fn arrived(&self) -> Result<u64> {
        let shown: serde_json::Value = serde_json::from_str(&self.gateway.ip(&format!("-j -s link show {GATE}"))?)?;
        shown[0]["stats64"]["rx"]["packets"].as_u64().context("`ip` shows no statistics")
    }
}

/// Joins two namespaces by a cable with an interface of the given name at each end. Both are down.
///
/// # Errors
/// If a name is taken.
pub fn join((one, at_one): (&Namespace, &str), (other, at_other): (&Namespace, &str)) -> Result<()> {
    let ends = ["add", at_one, "netns", one.name(), "type", "veth", "peer", "name", at_other, "netns", other.name()];
    run(Command::new("ip").arg("link").args(ends))?;
    Ok(())
}

/// Runs a command to its end and returns what it prints.
///
/// # Errors
/// With what it says on standard error if it fails.
pub fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.env("PATH", search_path()).output();
    let output =
        output.with_context(|| format!("cannot run {program}: `cargo xtask setup` installs what is needed"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {}", output.status, said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A name that no other process, and no other value in this one, uses: `siglatch-test-PID-NUMBER-ROLE`.
pub fn unique(role: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}-{role}", process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Takes away, once in this process, what processes that are no longer there have left.
pub fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for name in orphans(FOLDER) {
            let _ = Command::new("ip").args(["netns", "del", &name]).output();
        }
        for folder in [PIN_FOLDER.into(), std::env::temp_dir()] {
            for name in orphans(&folder) {
                let _ = fs::remove_dir_all(folder.join(name));
            }
        }
    });
}

fn orphans(folder: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let is_orphan = |name: &String| {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists())
    };
    names.filter(is_orphan).collect()
}

/// The address of an interface, as packet(7) wants it.
fn link_address(index: u32) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: every bit pattern is a `sockaddr_ll`, and the storage has room for it: its size is checked.
    let link = unsafe { storage.view_as::<libc::sockaddr_ll>() };
    link.sll_family = libc::AF_PACKET as libc::sa_family_t;
    link.sll_ifindex = index.cast_signed();
    // SAFETY: the storage holds a `sockaddr_ll`, whose size this is.
    unsafe { SockAddr::new(storage, size_of::<libc::sockaddr_ll>() as libc::socklen_t) }
}

/// Debian keeps `ip`, `nft` and `bpftool` where a login without root does not look.
fn search_path() -> String {
    format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default())
}

/// An Ethernet address as people write it.
pub(crate) fn colons(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// How long a socket that was closed may be held by a process that has just begun.
const HELD: Duration = Duration::from_secs(5);
const PREFIX: &str = "siglatch-test-";
const FOLDER: &str = "/run/netns";
/// Where daemons of tests keep their pins, each in a folder of its own.
pub const PIN_FOLDER: &str = "/sys/fs/bpf";
