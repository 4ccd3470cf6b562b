//! A configuration that was found sound: what the daemon is started with. Never read from text here.

use std::path::PathBuf;

use siglatch_common::seal::HmacKey;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::UserId;

use crate::keys::ServerKey;
use crate::policy::{Policy, Service};

/// Everything the operator decided.
#[derive(Debug)]
pub struct Settings {
    /// The gateway as users know it.
    pub gateway: Gateway,
    /// Where datagrams come in.
    pub ingress: Ingress,
    /// The knock ports; at least one, no port twice, at most [`siglatch_common::layout::PortList::CAPACITY`].
    pub ports: Vec<KnockPort>,
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

/// How the XDP program is attached.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Xdp {
    /// Names of network interfaces; at least one, none twice. May be empty until the command line has spoken.
    pub interfaces: Vec<String>,
    /// Native, generic, or what works.
    pub attach: Attach,
    /// The bpffs folder for maps, program and links.
    pub pin_dir: PathBuf,
}

impl Xdp {
    /// Where maps, program and links are pinned unless the operator says otherwise.
    pub const DEFAULT_PIN_DIR: &str = "/sys/fs/bpf/siglatch";
}

impl Default for Xdp {
    /// Names no interface.
    fn default() -> Self {
        Self { interfaces: Vec::new(), attach: Attach::Auto, pin_dir: PathBuf::from(Self::DEFAULT_PIN_DIR) }
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
}

/// The operator's sets: `type ipv4_addr . inet_proto . inet_service` (or `ipv6_addr …`) with `flags timeout`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OperatorSets {
    /// `inet`, `ip` or `ip6`.
    pub family: String,
    /// The table's name.
    pub table: String,
    /// Name of the set for IPv4, if there is one.
    pub v4: Option<String>,
    /// Name of the set for IPv6, if there is one.
    pub v6: Option<String>,
}
