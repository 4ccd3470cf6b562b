//! Every number at one moment, as plain values. Never says how it is written.

use siglatch_common::lane::PerLane;
use siglatch_common::outcome::Counters;
use siglatch_common::units::Wall;
use siglatch_common::wire::Wire;

use super::Distribution;
use crate::gate::Refusal;

/// Everything that is told.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The version of siglatch.
    pub version: &'static str,
    /// Where datagrams come in: `xdp` or `socket`.
    pub ingress: &'static str,
    /// When the daemon started.
    pub started: Wall,
    /// What the process takes of the machine.
    pub process: Process,
    /// The interfaces that the XDP program belongs to.
    pub interfaces: Vec<Interface>,
    /// Frames by outcome, since the filter's maps were made.
    pub frames: Counters,
    /// What waits for the private key.
    pub lanes: PerLane<LaneFigures>,
    /// Places of the key pool.
    pub places: u64,
    /// Those that are taken.
    pub places_taken: u64,
    /// Knocks that were admitted.
    pub admitted: u64,
    /// Those that were refused, in the order of [`Refusal::ALL`].
    pub refused: [u64; Refusal::ALL.len()],
    /// From the arrival of an admitted knock to its effect.
    pub latency: Distribution,
    /// How long opening a datagram took, in the order of [`Wire::ALL`].
    pub key_operations: [Distribution; Wire::ALL.len()],
    /// Grants that are open.
    pub grants: u64,
    /// Programs that are still to be undone.
    pub debts: u64,
    /// Bans that hold.
    pub bans: Vec<Ban>,
    /// Origins that authenticated lately.
    pub known: u64,
    /// Programs that actions have started.
    pub programs: Programs,
    /// The audit log.
    pub audit: Audit,
    /// Events that found no room on their way to the warden.
    pub unheard: u64,
    /// Readings of the configuration since the start.
    pub reloads: Reloads,
    /// Whether the firewall did not take what it should, the last time.
    pub firewall_fails: bool,
    /// Whether knocks could not be remembered, the last time.
    pub state_fails: bool,
}

/// What the process takes of the machine; nothing where the system does not say.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// Bytes of memory.
    pub resident: Option<u64>,
    /// Open descriptors.
    pub descriptors: Option<u64>,
    /// Descriptors that it may open.
    pub descriptors_max: Option<u64>,
    /// How often there was none for somebody who connected.
    pub shortages: u64,
}

/// An interface that the XDP program belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; or why it is not attached.
    pub mode: String,
    /// Whether it is.
    pub attached: bool,
}

/// What waits in a lane.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LaneFigures {
    /// Datagrams that wait.
    pub waiting: u64,
    /// Datagrams that can wait.
    pub room: u64,
    /// Private-key operations so far.
    pub operations: u64,
}

/// Bans of one kind.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ban {
    /// `address` or `network`.
    pub kind: &'static str,
    /// How many hold.
    pub active: u64,
}

/// Programs that actions have started.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Programs {
    /// Those that run.
    pub running: u64,
    /// Those that wait for a place.
    pub waiting: u64,
    /// Those that were to tell of failures, and found no room.
    pub dropped: u64,
    /// Whether none can be started, because what starts them is gone.
    pub fail: bool,
}

/// The audit log.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Audit {
    /// Records that wait for the disk.
    pub waiting: u64,
    /// Records that can wait.
    pub room: u64,
    /// Records that were lost.
    pub lost: u64,
    /// Whether the disk does not take it.
    pub fails: bool,
}

/// Readings of the configuration since the start.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reloads {
    /// Those that took effect.
    pub done: u64,
    /// Those after which the earlier configuration held.
    pub failed: u64,
    /// Whether the last one failed.
    pub last_failed: bool,
    /// When the configuration that holds was read.
    pub last_success: Wall,
}
