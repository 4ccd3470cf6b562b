//! Bans as they are kept across restarts and reboots, and how their ends outlive the clock that they were counted by.
//! Never reads or writes a file.

use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Reason;
use siglatch_common::units::{Boot, Now, Wall};

use crate::admin::Comment;

/// What the daemon must not forget.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Records {
    /// Bans that stand, but for those that files say.
    pub bans: Vec<BanRecord>,
    /// How often sources were banned.
    pub past: Vec<PastRecord>,
}

/// A ban that stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BanRecord {
    /// Who is banned.
    pub network: Network,
    /// When it ends; nothing if it is for good.
    pub until: Option<Deadline>,
    /// Why.
    pub reason: Reason,
    /// The how manieth in a row; 0 if it was not earned.
    pub step: u32,
    /// Frames that it has dropped.
    pub hits: u64,
    /// When it was made.
    pub since: Wall,
    /// What the operator says about it.
    pub comment: Comment,
}

/// How often a source was banned in a row.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PastRecord {
    /// Who.
    pub source: Address,
    /// How often.
    pub step: u32,
    /// When that is forgotten.
    pub forget: Deadline,
}

/// A moment by both clocks: the first is exact until the machine starts anew, the second counts afterwards.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Deadline {
    /// By the clock of the maps.
    pub boot: Boot,
    /// By the clock on the wall.
    pub wall: Wall,
}

impl Deadline {
    /// The moment that the clock of the maps will show as `boot`.
    #[must_use]
    pub fn at(boot: Boot, now: Now) -> Self {
        Self { boot, wall: now.wall.after(boot.since(now.boot)) }
    }

    /// When it is, by the clock of the maps; `rebooted` if that has begun anew since it was kept. Then it is not more
    /// than `longest` away, whatever the clock on the wall shows.
    #[must_use]
    pub fn boot(self, rebooted: bool, longest: Duration, now: Now) -> Boot {
        if !rebooted {
            return self.boot;
        }
        let left = Duration::from_secs(self.wall.as_secs().saturating_sub(now.wall.as_secs()));
        now.boot.after(left.min(longest))
    }
}
