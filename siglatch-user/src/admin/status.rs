//! How the daemon is: everything that `siglatchctl status` and `siglatchctl top` show. Never gathers it.

use serde::{Deserialize, Serialize};

/// How the daemon is, at one moment. What a daemon of another version does not say is nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Status {
    /// The version of siglatch.
    pub version: String,
    /// Seconds since the daemon started.
    pub uptime: u64,
    /// Where datagrams come in.
    pub ingress: Ingress,
    /// The interfaces that the program is attached to.
    pub interfaces: Vec<Interface>,
    /// The knock ports.
    pub ports: Vec<Port>,
    /// Seconds that every `per_second` is the mean of.
    pub interval: f64,
    /// What became of frames.
    pub frames: Vec<Frames>,
    /// The lanes, in the order in which they are served.
    pub lanes: Vec<LaneStatus>,
    /// Who is refused most, most of late first.
    pub refused_sources: Vec<RefusedSource>,
    /// What the filter's lists hold and cost.
    pub lists: Lists,
    /// Bans that hold.
    pub bans: u64,
    /// Origins that authenticated lately.
    pub known: u64,
    /// Grants that are open.
    pub grants: u64,
    /// What became of knocks.
    pub knocks: KnockCounts,
    /// What the daemon could not do for lack of room or time, by name; left out where it is nothing.
    pub lost: Vec<(String, u64)>,
}

/// Where datagrams come in.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ingress {
    /// The XDP program.
    #[default]
    Xdp,
    /// Plain UDP sockets.
    Socket,
}

/// An interface that the program is attached to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: String,
    /// The kernel's number of the program that is attached there.
    pub program: u32,
}

/// A knock port.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Port {
    /// Its number.
    pub port: u16,
    /// The wire that it takes.
    pub wire: String,
}

/// How many of something.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Count {
    /// Since counting began.
    pub total: u64,
    /// In the last interval, a second.
    pub per_second: f64,
}

/// What became of frames.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Frames {
    /// The label of the outcome.
    pub outcome: String,
    /// Whether the network stack got to see them.
    pub passed: bool,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}

/// A lane.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct LaneStatus {
    /// Its label.
    pub lane: String,
    /// Datagrams a second that it takes; 0 for no limit.
    pub budget: u32,
    /// Key operations out of a hundred that it is sure of.
    pub share: u8,
    /// Handed to the daemon.
    pub submitted: Count,
    /// Dropped: more than the budget.
    pub over_budget: Count,
    /// Dropped: no room in the ring.
    pub ring_full: Count,
    /// What waits in its ring; nothing where there is none.
    pub ring: Option<RingFill>,
    /// Datagrams that wait for the private key.
    pub queued: u64,
    /// Private-key operations.
    pub operations: Count,
}

/// What waits in a ring.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct RingFill {
    /// Bytes that are taken.
    pub used: u64,
    /// Bytes that there are.
    pub room: u64,
}

/// Somebody much of whose traffic is refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RefusedSource {
    /// Who; what it says of itself, for a datagram can be forged.
    pub address: String,
    /// The label of the outcome.
    pub reason: String,
    /// Frames, estimated from samples.
    pub frames: Count,
}

/// What the filter's lists hold and cost.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lists {
    /// Each of them.
    pub each: Vec<ListStatus>,
    /// Memory of all, in bytes.
    pub bytes: u64,
}

/// What a list holds and costs.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ListStatus {
    /// Its name.
    pub name: String,
    /// Entries in it; nothing where they are not counted.
    pub used: Option<u64>,
    /// Entries that there is room for; bytes, for a ring.
    pub room: u64,
    /// Memory, in bytes, as the kernel accounts for it.
    pub bytes: u64,
}

/// What became of knocks, since the daemon started.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct KnockCounts {
    /// Those that did what they asked for.
    pub admitted: Count,
    /// The others, by reason.
    pub refused: Vec<Refused>,
}

/// Knocks that were refused.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// How many.
    #[serde(flatten)]
    pub count: Count,
}
