//! How the daemon is: everything that `siglatchctl status` and `siglatchctl top` show. Never gathers it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Switch;

/// How the daemon is, at one moment. What a daemon of another version does not say is nothing.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[serde(default)]
pub struct Status {
    /// The version of siglatch.
    pub version: String,
    /// Seconds since the daemon started.
    pub uptime: u64,
    /// What the daemon may still do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub privileges: Option<Privileges>,
    /// Where datagrams come in.
    pub ingress: Ingress,
    /// The interfaces that the program belongs to.
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
    /// Programs that knocks have set off.
    pub programs: Programs,
    /// What is still to be undone.
    pub debts: u64,
    /// How the audit log is.
    pub audit: AuditState,
    /// What the daemon goes by.
    pub configuration: Configuration,
}

/// What the daemon may do beyond others, and what holds it.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Privileges {
    /// The name of its user.
    pub user: String,
    /// Its capabilities, or `none`.
    pub capabilities: String,
    /// Whether its system calls are filtered.
    pub seccomp: bool,
    /// The version of Landlock that holds it to its folders.
    pub landlock: Option<u32>,
    /// Whether its memory is locked, so that no key gets into swap.
    pub memory: String,
}

/// Programs that knocks have set off.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Programs {
    /// Those that run.
    pub running: u64,
    /// Those that wait for a place.
    pub waiting: u64,
    /// Whether none can be started, because what starts them is gone.
    pub failing: bool,
}

/// How the audit log is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct AuditState {
    /// Whether it is not being written: its disk is full, or too slow.
    pub failing: bool,
    /// Records that were lost since the daemon started.
    pub lost: u64,
    /// Events that observers were too slow for since the daemon started.
    pub missed: u64,
    /// Requests of people who may not ask, since the daemon started.
    pub forbidden: u64,
}

/// What the daemon goes by.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Configuration {
    /// The file.
    pub file: String,
    /// When it was read last, and taken, in Unix time; 0 if nobody knows.
    pub loaded: u64,
    /// Keys that have changed there since, and whose changes hold from the next start.
    pub at_next_start: Vec<String>,
    /// What an operator has switched off; the first [`Configuration::SWITCHES`].
    pub switches: Vec<Switch>,
    /// How much is switched off in all.
    pub switched_off: usize,
    /// Whether everything is judged and told, and nothing done.
    pub dry_run: bool,
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

/// An interface that the program belongs to.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// `native` or `generic`; or, if it is not attached as it ought to be, `waiting` for the interface to appear, `occupied` by
    /// another program, `replaced` by one in our own link, `refused` by the driver, `renamed` (and still attached), `taken_down` on purpose.
    pub mode: String,
    /// The kernel's number of the program that is attached there; 0 if it is not.
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
    /// Dropped: as many waited as can.
    pub ring_full: Count,
    /// Datagrams that wait for the private key.
    pub waiting: u64,
    /// Datagrams that can wait.
    pub room: u64,
    /// Private-key operations.
    pub operations: Count,
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

impl Status {
    /// All frames that were passed on to the network stack.
    #[must_use]
    pub fn passed(&self) -> Count {
        let passed = self.frames.iter().filter(|frames| frames.passed);
        passed.fold(Count::default(), |sum, frames| Count {
            total: sum.total.saturating_add(frames.count.total),
            per_second: sum.per_second + frames.count.per_second,
        })
    }

    /// Makes every rate the mean since an earlier status, `span` ago. What was not counted then, and everything if
    /// another daemon has taken over meanwhile, keeps the rate that it has.
    pub fn pace(&mut self, earlier: &Self, span: Duration) {
        if self.uptime < earlier.uptime {
            return;
        }
        for frames in &mut self.frames {
            let before = earlier.frames.iter().find(|before| before.outcome == frames.outcome);
            frames.count.pace(before.map(|before| before.count), span);
        }
        for lane in &mut self.lanes {
            let before = earlier.lanes.iter().find(|before| before.lane == lane.lane);
            lane.submitted.pace(before.map(|before| before.submitted), span);
            lane.over_budget.pace(before.map(|before| before.over_budget), span);
            lane.ring_full.pace(before.map(|before| before.ring_full), span);
            lane.operations.pace(before.map(|before| before.operations), span);
        }
        for source in &mut self.refused_sources {
            let same = |before: &&RefusedSource| before.address == source.address && before.reason == source.reason;
            source.frames.pace(earlier.refused_sources.iter().find(same).map(|before| before.frames), span);
        }
        self.knocks.admitted.pace(Some(earlier.knocks.admitted), span);
        for refused in &mut self.knocks.refused {
            let before = earlier.knocks.refused.iter().find(|before| before.reason == refused.reason);
            refused.count.pace(before.map(|before| before.count), span);
        }
        self.interval = tenths(span.as_secs_f64());
    }
}

impl fmt::Display for Privileges {
    /// `user=siglatch caps=net_admin seccomp=on landlock=abi 7 memory=locked`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, capabilities, seccomp, landlock, memory } = self;
        write!(f, "user={user} caps={capabilities} seccomp={} ", if *seccomp { "on" } else { "off" })?;
        match landlock {
            Some(version) => write!(f, "landlock=abi {version} ")?,
            None => f.write_str("landlock=off ")?,
        }
        write!(f, "memory={memory}")
    }
}

impl Configuration {
    /// The most switches that are told.
    pub const SWITCHES: usize = 200;
}

impl Count {
    /// A total, and its rate since an earlier total, `span` ago.
    #[must_use]
    pub fn since(total: u64, earlier: u64, span: Duration) -> Self {
        let more = total.saturating_sub(earlier) as f64;
        let per_second = if span.is_zero() { 0.0 } else { tenths(more / span.as_secs_f64()) };
        Self { total, per_second }
    }

    fn pace(&mut self, earlier: Option<Self>, span: Duration) {
        if let Some(earlier) = earlier {
            *self = Self::since(self.total, earlier.total, span);
        }
    }
}

/// More digits than one behind the point mean nothing.
fn tenths(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uptime: u64, total: u64) -> Status {
        let count = Count { total, per_second: 99.0 };
        let frames = |outcome: &str, passed| Frames { outcome: outcome.to_owned(), passed, count };
        let source =
            |address: &str| RefusedSource { address: address.to_owned(), reason: "copy".to_owned(), frames: count };
        Status {
            uptime,
            frames: vec![frames("other_port", true), frames("not_udp", true), frames("copy", false)],
            lanes: vec![LaneStatus {
                lane: "known".to_owned(),
                submitted: count,
                operations: count,
                ..LaneStatus::default()
            }],
            refused_sources: vec![source("192.0.2.7")],
            knocks: KnockCounts { admitted: count, refused: vec![Refused { reason: "replay".to_owned(), count }] },
            ..Status::default()
        }
    }

    #[test]
    fn rates_are_means_since_the_earlier_status() {
        let mut now = status(10, 250);
        now.refused_sources.push(RefusedSource { address: "192.0.2.8".to_owned(), ..now.refused_sources[0].clone() });
        now.pace(&status(6, 100), Duration::from_secs(4));
        assert_eq!(now.interval, 4.0);
        assert_eq!(now.passed(), Count { total: 500, per_second: 75.0 });
        let paced = Count { total: 250, per_second: 37.5 };
        assert_eq!((now.lanes[0].submitted, now.lanes[0].operations), (paced, paced));
        assert_eq!((now.knocks.admitted, now.knocks.refused[0].count), (paced, paced));
        assert_eq!((now.refused_sources[0].frames, now.refused_sources[1].frames.per_second), (paced, 99.0));
    }

    #[test]
    fn another_daemon_and_a_count_that_was_set_back_give_no_strange_rates() {
        let mut now = status(1, 250);
        now.pace(&status(6, 100), Duration::from_secs(4));
        assert_eq!(now, status(1, 250));
        assert_eq!(Count::since(5, 9, Duration::from_secs(1)), Count { total: 5, per_second: 0.0 });
        assert_eq!(Count::since(5, 0, Duration::ZERO), Count { total: 5, per_second: 0.0 });
    }
}
