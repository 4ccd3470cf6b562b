//! A configuration that was found sound: what the daemon is started with. Never read from text here.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::lane::PerLane;
use siglatch_common::layout::Tuning;
use siglatch_common::seal::HmacKey;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::UserId;

use crate::keys::{GateKeys, ServerKey};
use crate::policy::{Door, Policy, PortForward, Service};

/// Everything the operator decided.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The gateway as users know it.
    pub gateway: Gateway,
    /// Where datagrams come in.
    pub ingress: Ingress,
    /// The knock ports; at least one, no port twice, at most [`siglatch_common::layout::PortTable::CAPACITY`].
    pub ports: Vec<KnockPort>,
    /// How much of what strangers send gets through to the private key.
    pub limits: Limits,
    /// What each lane takes.
    pub lanes: PerLane<LaneRule>,
    /// Who counts as known.
    pub known: KnownRule,
    /// Networks that are neither banned nor limited.
    pub allow: Vec<Network>,
    /// Whom the daemon bans, and for how long.
    pub ban: BanRule,
    /// Files of banned networks, one a line.
    pub blacklist: Vec<PathBuf>,
    /// The gate keys; at least one if a port is stamped.
    pub gate_keys: GateKeys,
    /// The folders of the key files and of the configuration.
    pub key_folders: Vec<PathBuf>,
    /// Who may ask the daemon, and where.
    pub admin: AdminRule,
    /// Where its figures are to be had; nothing: nowhere.
    pub metrics: Option<MetricsAddress>,
    /// The user of this machine who the daemon becomes when everything is open; nothing: it stays who it is.
    pub daemon_user: Option<String>,
    /// Whether the daemon reads the file again by itself when it has changed.
    pub watch_file: bool,
    /// Who did what, for later.
    pub audit: AuditRule,
    /// Whose knocks are told in full.
    pub debug: DebugRule,
    /// Programs that run at once, whichever they are; at least one.
    pub programs_at_once: usize,
    /// Where nonces are kept.
    pub state_dir: PathBuf,
    /// Threads that use the private key; at least one.
    pub key_threads: usize,
    /// Nonces remembered at once; more knocks than that within twice the skew are refused.
    pub nonce_capacity: usize,
    /// Where grants go.
    pub firewall: Firewall,
    /// Who may do what.
    pub policy: Policy,
    /// The private key.
    pub server_key: ServerKey,
    /// The key of each user of the policy, disabled ones included.
    pub user_keys: Vec<(UserId, HmacKey)>,
}

/// What enrolment files say of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Gateway {
    /// A short name.
    pub name: String,
    /// Name or address that clients send knocks to.
    pub host: String,
}

/// Where datagrams come in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ingress {
    /// The XDP program.
    Xdp(Xdp),
    /// A plain UDP socket on each knock port.
    Socket,
}

/// How much of what strangers send gets through.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Datagrams a second from one source, on average; 0: as many as come.
    pub rate: u32,
    /// Datagrams from one source at once.
    pub burst: u32,
    /// Places that sources are spread over, a power of two; 8 bytes each.
    pub sources: u32,
    /// Datagrams that are remembered to tell copies, a power of two, 8 bytes each; 0: copies are not told.
    pub copies: u32,
}

/// What a lane takes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LaneRule {
    /// Datagrams a second; 0: as many as come.
    pub budget: u32,
    /// Key operations out of a hundred that it is sure of.
    pub share: u8,
    /// Room for what waits, in KiB; a power of two. Each datagram takes 304 bytes of it.
    pub ring_kib: u32,
}

/// Who counts as known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnownRule {
    /// How long after an authentic knock.
    pub span: Duration,
    /// How many at once.
    pub capacity: u32,
}

/// Whom the daemon bans, and for how long.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanRule {
    /// Datagrams of nobody's that earn a ban; 0: none does.
    pub strikes: u32,
    /// In so long.
    pub within: Duration,
    /// How long the first ban lasts, the second, and so on; at least one. The last counts for all that follow.
    pub steps: Vec<Duration>,
    /// How long after the end of a ban the next is a first one again.
    pub forget: Duration,
    /// Datagrams over the rate, in ten seconds, that earn a ban; 0: none do.
    pub flood: u32,
    /// What a ban is for.
    pub scope: Scope,
    /// How many bans at once.
    pub capacity: u32,
}

/// What a ban is for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scope {
    /// Datagrams to knock ports.
    #[default]
    Knock,
    /// Everything that the source sends.
    Host,
}

/// Who may ask the daemon, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdminRule {
    /// Where `siglatchctl` finds it.
    pub socket: PathBuf,
    /// Who may ask for everything, besides root.
    pub operators: Vec<Peer>,
    /// Who may look and change nothing.
    pub observers: Vec<Peer>,
    /// Where the daemon tells how it is, and hears nothing; nothing: nowhere.
    pub observer_socket: Option<PathBuf>,
}

/// Somebody on this machine, as the kernel names the other end of a Unix socket.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Peer {
    /// The user with that number.
    User(u32),
    /// Whoever is in the group with that number.
    Group(u32),
}

/// Where figures are to be had. Never an address that other machines reach.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum MetricsAddress {
    /// A port of the loopback interface.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// How the audit log is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AuditRule {
    /// Whether there is one.
    pub enabled: bool,
    /// The file that is written to. Older ones stand beside it.
    pub file: PathBuf,
    /// In bytes: a longer file is set aside, and a new one begun.
    pub size: u64,
    /// An older file is set aside, too.
    pub age: Duration,
    /// How many files that were set aside stay.
    pub keep: u32,
    /// What becomes of knocks while the log cannot be written.
    pub when_failing: WhenFailing,
}

/// What becomes of knocks while the audit log cannot be written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFailing {
    /// They are judged as always; what was not written is counted.
    #[default]
    Admit,
    /// They are refused.
    Refuse,
}

/// Whose knocks are told in full, in the log.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DebugRule {
    /// These users'.
    pub users: Vec<UserId>,
    /// Whatever comes from these sources.
    pub sources: Vec<Address>,
    /// How long after the daemon's start; then it ends by itself.
    pub span: Duration,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(number) => write!(f, "user {number}"),
            Self::Group(number) => write!(f, "group {number}"),
        }
    }
}

impl AdminRule {
    /// Where the socket is unless the operator says otherwise.
    pub const DEFAULT_SOCKET: &str = "/run/siglatch/admin.sock";
}

impl Default for AdminRule {
    /// Only root may ask.
    fn default() -> Self {
        Self {
            socket: PathBuf::from(Self::DEFAULT_SOCKET),
            operators: Vec::new(),
            observers: Vec::new(),
            observer_socket: None,
        }
    }
}

impl DebugRule {
    /// How long it lasts unless the operator says otherwise.
    pub const DEFAULT_SPAN: Duration = Duration::from_secs(3600);
}

impl Default for DebugRule {
    /// Nobody's.
    fn default() -> Self {
        Self { users: Vec::new(), sources: Vec::new(), span: Self::DEFAULT_SPAN }
    }
}

impl AuditRule {
    /// Where it is unless the operator says otherwise.
    pub const DEFAULT_FILE: &str = "/var/log/siglatch/audit.jsonl";
}

impl Default for AuditRule {
    fn default() -> Self {
        Self {
            enabled: true,
            file: PathBuf::from(Self::DEFAULT_FILE),
            size: 64 * 1024 * 1024,
            age: Duration::from_secs(30 * DAY),
            keep: 12,
            when_failing: WhenFailing::Admit,
        }
    }
}

impl Settings {
    /// [`Settings::programs_at_once`] unless the operator says otherwise.
    pub const DEFAULT_PROGRAMS_AT_ONCE: usize = 16;

    /// [`Settings::daemon_user`] unless the operator says otherwise, if this machine has that user: the package makes it.
    pub const DEFAULT_DAEMON_USER: &str = "siglatch";
}

impl Limits {
    /// What holds unless the operator says otherwise.
    pub const DEFAULT: Self = Self { rate: 10, burst: 20, sources: 65_536, copies: 65_536 };
}

impl LaneRule {
    /// What holds for each lane unless the operator says otherwise.
    #[must_use]
    pub fn defaults(key_threads: usize) -> PerLane<Self> {
        let threads = u32::try_from(key_threads).unwrap_or(u32::MAX);
        let of = |each: u32, share| Self { budget: each.saturating_mul(threads), share, ring_kib: 256 };
        PerLane { stamped: of(1000, 20), known: of(1000, 20), unknown: of(200, 5) }
    }
}

impl KnownRule {
    /// What holds unless the operator says otherwise.
    pub const DEFAULT: Self = Self { span: Duration::from_secs(30 * DAY), capacity: 16_384 };
}

impl Default for BanRule {
    fn default() -> Self {
        Self {
            strikes: 5,
            within: Duration::from_secs(600),
            steps: vec![Duration::from_secs(600), Duration::from_secs(3600), Duration::from_secs(DAY)],
            forget: Duration::from_secs(DAY),
            flood: 1000,
            scope: Scope::Knock,
            capacity: 65_536,
        }
    }
}

const DAY: u64 = 24 * 60 * 60;

/// How the XDP program is attached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Xdp {
    /// Names of network interfaces; at least one, none twice. May be empty until the command line has spoken.
    pub interfaces: Vec<String>,
    /// Native, generic, or what works.
    pub attach: Attach,
    /// The bpffs folder for maps, program and links.
    pub pin_dir: PathBuf,
    /// Which frames are told one by one, in the log.
    pub diagnostics: Diagnostics,
}

impl Xdp {
    /// Where maps, program and links are pinned unless the operator says otherwise.
    pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/siglatch";
}

impl Default for Xdp {
    /// Names no interface.
    fn default() -> Self {
        Self {
            interfaces: Vec::new(),
            attach: Attach::Auto,
            pin_dir: PathBuf::from(Self::DEFAULT_PIN_DIR),
            diagnostics: Diagnostics::Off,
        }
    }
}

/// The mode of an XDP program.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Attach {
    /// Native, else generic.
    #[default]
    Auto,
    /// In the driver, or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// Which frames the XDP program tells one by one, up to a hundred a second.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[repr(u32)]
pub enum Diagnostics {
    /// None, at no cost.
    #[default]
    Off = 0,
    /// Those that the network stack does not see.
    Drops = Tuning::DIAGNOSE_DROPS,
    /// All.
    All = Tuning::DIAGNOSE_ALL,
}

impl Diagnostics {
    /// The word in the configuration.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Drops => "drops",
            Self::All => "all",
        }
    }
}

/// A UDP port that takes knocks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KnockPort {
    /// 1 to 65535.
    pub port: u16,
    /// The one form it accepts.
    pub wire: Wire,
}

/// Where grants go.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Firewall {
    /// A table of our own, family `inet`.
    Table(OwnTable),
    /// Sets in the operator's own table.
    Sets(OperatorSets),
    /// Nowhere: nothing is read and nothing written. For a daemon that only tells what it would have done.
    Untouched,
}

impl Firewall {
    /// What is closed unless granted, with the host behind this one that it is of; nothing: this one's own. What the operator's
    /// own rules close is not known.
    pub fn closed(&self) -> impl Iterator<Item = (Option<Address>, Service)> {
        let own = match self {
            Self::Table(own) => Some(own),
            Self::Sets(_) | Self::Untouched => None,
        };
        own.into_iter().flat_map(|own| {
            let here = own.protect.iter().copied().chain(own.dnat.iter().map(|forward| forward.service));
            let behind = own.protect_forward.iter().map(|door| (Some(door.destination), door.service));
            here.map(|service| (None, service)).chain(behind)
        })
    }
}

/// Our own table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnTable {
    /// Its name.
    pub name: String,
    /// Priority of the `input` chain, relative to the hook's filter priority 0.
    pub priority: i32,
    /// Services that are closed unless granted.
    pub protect: Vec<Service>,
    /// Services of hosts behind this one that are closed unless granted.
    pub protect_forward: Vec<Door>,
    /// Ports of this host that lead whoever is granted them to a host behind it; closed for others.
    pub dnat: Vec<PortForward>,
}

impl OwnTable {
    /// Its name unless the operator says otherwise.
    pub const DEFAULT_NAME: &str = "siglatch";

    /// Just before the chains that most rulesets hang at `filter` (0).
    pub const DEFAULT_PRIORITY: i32 = -10;
}

impl Default for OwnTable {
    /// Closes nothing.
    fn default() -> Self {
        Self {
            name: Self::DEFAULT_NAME.to_owned(),
            priority: Self::DEFAULT_PRIORITY,
            protect: Vec::new(),
            protect_forward: Vec::new(),
            dnat: Vec::new(),
        }
    }
}

/// The operator's sets with `flags timeout`. Those for this host: `type ipv4_addr . inet_proto . inet_service` (or
/// `ipv6_addr …`); for hosts behind it: `type ipv4_addr . ipv4_addr . inet_proto . inet_service`, source and destination.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OperatorSets {
    /// `inet`, `ip` or `ip6`.
    pub family: String,
    /// The table's name.
    pub table: String,
    /// Name of the set for IPv4, if there is one.
    pub v4: Option<String>,
    /// Name of the set for IPv6, if there is one.
    pub v6: Option<String>,
    /// Name of the set for IPv4 to hosts behind this one, if there is one.
    pub forward_v4: Option<String>,
    /// The same for IPv6.
    pub forward_v6: Option<String>,
}
