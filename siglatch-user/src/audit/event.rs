//! The events of the audit log and the fields of each, schema version 1 (`docs/audit.md`). Never decides what happens.
//!
//! Fields keep their names and meanings for good; new ones may join them.

mod names;
mod of_bans;
mod of_gate;
#[cfg(test)]
pub(crate) mod samples;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};
use siglatch_common::address::{Address, Network};
use siglatch_common::wire::v1::{ActionId, UserId};

use crate::admin::network_text;
use crate::gate::{KnockId, Refusal};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The daemon has begun. The recorder adds what it found in the log.
    Start(Start),
    /// The daemon ends as it was asked to.
    Stop {
        /// What asked it: `SIGTERM`, `SIGINT`, `error`.
        why: String,
    },
    /// A knock was admitted or refused.
    Knock(Knock),
    /// Services were opened for an address.
    Grant(Grant),
    /// They could not be, and are tried again.
    GrantFailed(Grant),
    /// Grants ended before their time.
    Revoke(Revoke),
    /// A program has begun.
    ExecStarted(Exec),
    /// A program has ended, or did not begin.
    ExecEnded(ExecEnded),
    /// Runs for failed programs found no room to wait in.
    ExecDropped {
        /// How many.
        runs: u64,
    },
    /// The daemon itself was asked for something, by a knock.
    Builtin(Builtin),
    /// Something is to be undone later.
    UndoOwed(Undo),
    /// It is, or need not be any more.
    UndoSettled {
        /// Which debt.
        debt: u64,
    },
    /// It never will be.
    UndoLost(Undo),
    /// What would have been done, had this not been a dry run.
    Pretended(Pretended),
    /// The state of the firewall.
    Firewall(Firewall),
    /// How it stands with the XDP program.
    Xdp(Xdp),
    /// Somebody was banned.
    Ban(Ban),
    /// A ban was lifted.
    Unban(Ban),
    /// The configuration was read again.
    Reload(Reload),
    /// An operator has asked the daemon for something.
    Admin(Admin),
    /// Knocks of somebody's are told in full in the log, or no longer.
    Debug(Debug),
    /// Something that an operator had switched off is on again, because its time is over.
    SwitchedOn {
        /// `user`, `action`, `port` or `sequence`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The process that starts programs.
    Starter {
        /// `restarted` or `gone`.
        state: &'static str,
        /// What is known about it.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<String>,
    },
    /// What strangers sent, in totals.
    Junk(Junk),
    /// Records are missing here.
    Lost(Lost),
    /// The file was set aside, and another begun.
    Rotated(Rotated),
    /// A disk does not take what must be written to it, or does again.
    Disk(Disk),
}

/// What every record about a knock says of it.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Who {
    /// Ties the knock to what comes of it.
    #[serde(serialize_with = "shown")]
    pub knock: KnockId,
    /// The user's name.
    pub user: String,
    /// The user's number.
    pub user_id: u16,
    /// The action's name.
    pub action: String,
    /// The action's number.
    pub action_id: u8,
    /// Where the knock came from, or whom it is for.
    #[serde(serialize_with = "shown")]
    pub source: Address,
}

/// [`Event::Start`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Start {
    /// The daemon's version.
    pub version: String,
    /// The process.
    pub pid: u32,
    /// Whether nothing is done, and everything only told.
    pub dry_run: bool,
    /// What was found of the log: see [`Found`].
    #[serde(flatten)]
    pub found: Found,
}

/// What the daemon has found of the log at its start.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Found {
    /// Bytes behind the last complete record, which were cut away.
    #[serde(skip_serializing_if = "is_zero")]
    pub torn: u64,
    /// Records that were written, as the head file says, and are not there.
    #[serde(skip_serializing_if = "is_zero")]
    pub missing: u64,
    /// The name under which a file was set aside that made no sense at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damaged: Option<String>,
    /// Whether there was no head file, though there is a log.
    #[serde(skip_serializing_if = "is_false")]
    pub headless: bool,
    /// Whether there was no log, though there is a head file.
    #[serde(skip_serializing_if = "is_false")]
    pub fileless: bool,
    /// Whether the last record is not the one whose hash the head file has.
    #[serde(skip_serializing_if = "is_false")]
    pub unlike_head: bool,
}

/// [`Event::Knock`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Knock {
    /// Whose it was; nothing if it was nobody's. Such are told in the plain log only, and counted.
    #[serde(flatten)]
    pub who: Option<Who>,
    /// Where it came from, if it was nobody's.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub source: Option<Address>,
    /// `admitted` or `refused`.
    pub decision: &'static str,
    /// The refusal.
    #[serde(serialize_with = "refusal", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
    /// The steps of a sequence taken so far, if it was one and not the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<usize>,
    /// How many there are in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<usize>,
    /// Whether what comes of it is only told.
    #[serde(skip_serializing_if = "is_false")]
    pub dry_run: bool,
}

/// [`Event::Grant`] and [`Event::GrantFailed`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Grant {
    /// The knock behind it; nothing if an operator has extended what a knock had opened.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub knock: Option<KnockId>,
    /// The user's name.
    pub user: String,
    /// The action's name.
    pub action: String,
    /// Who is let in.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub source: Option<Address>,
    /// To what: `tcp/22`, `tcp/5432@10.0.0.5`.
    pub services: Vec<String>,
    /// For how long.
    pub seconds: u64,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// [`Event::Revoke`]: grants of one user, action and source.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Revoke {
    /// The knock that ended them.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub knock: Option<KnockId>,
    /// Who ended them.
    pub by: By,
    /// Whose they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Which action had opened them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Who was let in.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub source: Option<Address>,
    /// To what; empty if there was nothing to end.
    pub services: Vec<String>,
}

/// [`Event::ExecStarted`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Exec {
    /// Whose knock it was; for an undo, whose work is undone.
    #[serde(flatten)]
    pub who: Who,
    /// The number of the run.
    pub job: u64,
    /// The name of the program: that of its action.
    pub program: String,
    /// `knock`, `undo` or `failure`.
    pub why: &'static str,
    /// Which debt it settles, if it undoes something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub debt: Option<u64>,
    /// Which run has failed, if it runs for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_job: Option<u64>,
}

/// [`Event::ExecEnded`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ExecEnded {
    /// Which run.
    #[serde(flatten)]
    pub exec: Exec,
    /// `exited`, `killed`, `bounded`, `not_started` or `lost`.
    pub result: &'static str,
    /// The exit code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<u8>,
    /// The signal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// Which bound, or why it did not begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The system's error number, if that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errno: Option<i32>,
    /// From start to end, in milliseconds.
    pub ms: u64,
    /// The first bytes that it wrote, as ASCII; others as `\xNN`, `\n`, `\\`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// How many it wrote in all.
    pub written: u64,
}

/// [`Event::Builtin`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Builtin {
    /// The knock that asked.
    #[serde(serialize_with = "shown")]
    pub knock: KnockId,
    /// What for: `reload`, `status`, `list-actions`.
    pub builtin: &'static str,
    /// Why it was not done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// [`Event::UndoOwed`] and [`Event::UndoLost`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Undo {
    /// Whose work.
    #[serde(flatten)]
    pub who: Who,
    /// The number of the debt.
    pub debt: u64,
    /// The program that undoes it.
    pub program: String,
    /// When, in Unix time.
    pub due: u64,
}

/// [`Event::Pretended`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Pretended {
    /// The knock.
    #[serde(serialize_with = "shown")]
    pub knock: KnockId,
    /// What would have been done: `grant`, `revoke`, `exec`, `builtin`.
    pub what: &'static str,
    /// For whom, if an address was to be let in or out.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub source: Option<Address>,
    /// The user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The action's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Which services.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<String>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Which program.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// Which builtin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub builtin: Option<&'static str>,
}

/// [`Event::Firewall`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Firewall {
    /// `failing`, or `repaired` after somebody had changed it.
    pub state: &'static str,
    /// Grants that were put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grants: Option<u64>,
    /// What was found: of the table, for example `missing`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// [`Event::Xdp`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Xdp {
    /// Of an interface: `native`, `generic`, `renamed`, `waiting`, `occupied`, `replaced`, `refused`, `taken_down`, `dropped`. Of the pins:
    /// `pins_lost`, `pins_mended`.
    pub state: &'static str,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// [`Event::Ban`] and [`Event::Unban`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Ban {
    /// Whom it is about: an address or a network.
    #[serde(serialize_with = "network")]
    pub source: Network,
    /// Who has done it.
    pub by: By,
    /// What for: `unauthentic`, `flood`, `operator`, `file`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// For how long; nothing: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// The how manieth in a row, if it was earned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<u32>,
    /// What the operator says about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// [`Event::Reload`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Reload {
    /// Who asked for it.
    pub by: By,
    /// The knock that did, if one did.
    #[serde(serialize_with = "shown_if", skip_serializing_if = "Option::is_none")]
    pub knock: Option<KnockId>,
    /// `done`; `partly`: it holds, but not everything is as it says; or `failed`: then the old one holds.
    pub result: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Users that there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<usize>,
    /// Actions that there are now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actions: Option<usize>,
}

/// [`Event::Admin`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Admin {
    /// What was asked, as the protocol names it, with its fields.
    pub request: String,
    /// The user of this machine who asked, by number.
    pub peer_uid: u32,
    /// The process that asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_pid: Option<u32>,
    /// `done` or `failed`.
    pub result: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// [`Event::Debug`].
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Debug {
    /// `on` or `off`.
    pub state: &'static str,
    /// Whose knocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<String>,
    /// Or from where.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// [`Event::Junk`]. What did not occur is left out.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Junk {
    /// Frames that the filter has dropped, by outcome.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub filter: BTreeMap<&'static str, u64>,
    /// Datagrams that the daemon has refused and that have no record of their own, by refusal.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<&'static str, u64>,
    /// Bans that sources earned and that have no record of their own.
    #[serde(skip_serializing_if = "is_zero")]
    pub bans: u64,
    /// In how long.
    pub seconds: u64,
}

/// [`Event::Lost`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Lost {
    /// How many records.
    pub records: u64,
    /// Of knocks that were admitted, how many.
    pub admitted: u64,
    /// When the first of them happened: nanoseconds since boot.
    pub since_boot: u64,
    /// When the last of them did.
    pub until_boot: u64,
}

/// [`Event::Rotated`]: the first record of a new file.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Rotated {
    /// `size`, `age`, `request`, `damaged`, or `moved` if somebody else had moved the file away.
    pub why: &'static str,
    /// The name under which the file before stands beside this one, unless somebody else has moved it away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Sequence number of its first record.
    pub first: u64,
    /// And of its last.
    pub last: u64,
    /// How many older files were deleted.
    #[serde(skip_serializing_if = "is_zero")]
    pub removed: u64,
    /// No record up to this one is kept any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub removed_to: u64,
}

/// [`Event::Disk`].
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Disk {
    /// `failing` or `working`.
    pub state: &'static str,
    /// For what: `audit`, `nonces`, `ledger`, `bans`.
    pub what: &'static str,
    /// What the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Who has done something to the daemon, or had it do something.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A knock.
    Knock,
    /// An operator, with `siglatchctl`.
    Operator,
    /// A signal.
    Signal,
    /// Somebody who changed maps or tables without siglatch.
    Hand,
    /// The configuration.
    Configuration,
    /// The daemon, by its rules.
    Daemon,
}

impl Who {
    /// What is said of a knock.
    #[must_use]
    pub fn new(knock: KnockId, user: (UserId, &str), action: (ActionId, &str), source: Address) -> Self {
        let ((UserId(user_id), user), (ActionId(action_id), action)) = (user, action);
        Self { knock, user: user.to_owned(), user_id, action: action.to_owned(), action_id, source }
    }
}

fn shown<S: Serializer>(value: &impl fmt::Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

fn shown_if<S: Serializer>(value: &Option<impl fmt::Display>, to: S) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => to.collect_str(value),
        None => to.serialize_none(),
    }
}

fn refusal<S: Serializer>(value: &Option<Refusal>, to: S) -> Result<S::Ok, S::Error> {
    value.map(Refusal::label).serialize(to)
}

fn network<S: Serializer>(value: &Network, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&network_text(*value))
}

const fn is_zero(number: &u64) -> bool {
    *number == 0
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_written_under_its_name() {
        let names: Vec<_> = samples::every().iter().map(Event::name).collect();
        for name in Event::NAMES {
            assert!(names.contains(&name), "no sample of {name}");
        }
        for event in samples::every() {
            assert!(Event::NAMES.contains(&event.name()), "{} is not among the names", event.name());
            let text = serde_json::to_string(&event).unwrap();
            assert!(text.starts_with(&format!("{{\"event\":\"{}\"", event.name())), "{text}");
            assert!(!text.contains('\n') && !text.contains("null"), "{text}");
        }
    }
}
