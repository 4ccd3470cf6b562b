//! One event of each kind, and more where a kind has several shapes: for tests.

use std::num::NonZeroUsize;
use std::time::Duration;

use siglatch_common::address::Address;
use siglatch_common::ban::Reason;
use siglatch_common::units::{Boot, Wall};
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use super::{Admin, By, Debug, Disk, Event, Firewall, Junk, Lost, Reload, Rotated, Start, Xdp};
use crate::bans::Sentence;
use crate::gate::{
    Admission, Bound, Call, Debt, DebtId, Ender, Ending, Grant, GrantKey, GrantsEnded, GrantsOpened, How, Job, JobId,
    Knock, KnockId, NotStarted, Outcome, Pretended, Refusal, Verdict, Why,
};
use crate::policy::{Builtin, ProgramId};

/// Somebody outside.
pub(crate) const SOURCE: Address = Address::v4([192, 0, 2, 7]);

/// One event of each kind at least.
pub(crate) fn every() -> Vec<Event> {
    let mut all = vec![
        Event::Start(Start { version: "0.1.0".to_owned(), pid: 4711, ..Start::default() }),
        admitted(1),
        refused(2, Refusal::Replay),
        Event::knock(&Verdict::Refuse(Refusal::Unauthentic, None), SOURCE, "", ""),
        Event::knock(&Verdict::Admit(Admission { outcome: step(), ..admission(3) }), SOURCE, "alice", "ssh"),
        Event::grant(&opened()).expect("it opens something"),
        Event::grant_failed(&opened(), "no such table".to_owned()).expect("it opens something"),
        Event::exec_started(&job(Why::Knock), "vpn"),
        Event::ExecDropped { runs: 3 },
        Event::builtin(KnockId::new(7, 6), Builtin::Reload, None),
        Event::undo_owed(&debt()),
        Event::UndoSettled { debt: 5 },
        Event::undo_lost(&debt()),
        Event::Firewall(Firewall {
            state: "repaired",
            grants: Some(2),
            found: Some("missing".to_owned()),
            error: None,
        }),
        Event::Xdp(Xdp { state: "occupied", interface: Some("eth0".to_owned()), error: None }),
        Event::sentenced(&Sentence {
            source: SOURCE,
            reason: Reason::Unauthentic,
            step: 1,
            span: Duration::from_secs(600),
        }),
        Event::cleared(SOURCE_NETWORK.parse().expect("a network")),
        Event::Reload(Reload {
            by: By::Signal,
            knock: None,
            result: "done",
            error: None,
            users: Some(3),
            actions: Some(4),
        }),
        Event::Admin(Admin {
            request: "unban 192.0.2.7".to_owned(),
            peer_uid: 1000,
            peer_pid: Some(4712),
            result: "done",
            error: None,
        }),
        Event::Debug(Debug { state: "on", users: vec!["alice".to_owned()], sources: vec![], seconds: Some(600) }),
        Event::SwitchedOn { kind: "user", name: "alice".to_owned() },
        Event::Starter { state: "restarted", error: None },
        Event::Junk(Junk {
            filter: [("over_rate", 9)].into(),
            refused: [("unauthentic", 70)].into(),
            bans: 2,
            seconds: 60,
        }),
        Event::Lost(Lost { records: 12, admitted: 1, since_boot: 5, until_boot: 9 }),
        Event::Rotated(Rotated {
            why: "size",
            file: Some("audit.jsonl.000000000001".to_owned()),
            first: 1,
            last: 99,
            removed: 0,
            removed_to: 0,
        }),
        Event::Disk(Disk { state: "failing", what: "audit", error: Some("No space left on device".to_owned()) }),
        Event::Stop { why: "SIGTERM".to_owned() },
    ];
    all.extend(endings().map(|ending| Event::exec_ended(&job(Why::Undo(DebtId(5))), "vpn-down", &ending)));
    all.extend(Event::revoke(&GrantsEnded { by: Ender::Operator, grants: opened().grants }));
    all.extend(Event::revoke(&GrantsEnded { by: Ender::Knock(KnockId::new(7, 9)), grants: vec![] }));
    let pretended = [
        Pretended::Open(opened().grants),
        Pretended::Close(opened().grants.iter().map(|grant| grant.key).collect()),
        Pretended::Run(Box::new(job(Why::Knock))),
        Pretended::Builtin(Builtin::Status),
    ];
    all.extend(pretended.iter().map(|pretended| Event::pretended(KnockId::new(7, 8), pretended, "vpn")));
    all
}

/// A knock that was admitted, the how manieth of the run.
pub(crate) fn admitted(number: u32) -> Event {
    Event::knock(&Verdict::Admit(admission(number)), SOURCE, "alice", "ssh")
}

/// A knock that was refused.
pub(crate) fn refused(number: u32, refusal: Refusal) -> Event {
    Event::knock(&Verdict::Refuse(refusal, Some(admission(number).knock)), SOURCE, "alice", "ssh")
}

fn admission(number: u32) -> Admission {
    let knock = Knock { id: KnockId::new(7, number), user: UserId(1), action: ActionId(10) };
    Admission { knock, outcome: Outcome::Done, dry_run: false }
}

fn step() -> Outcome {
    Outcome::Step { taken: NonZeroUsize::MIN, of: 3 }
}

fn opened() -> GrantsOpened {
    let grant = |service: &str, destination: Option<Address>| Grant {
        key: GrantKey { source: SOURCE, destination, service: service.parse().expect("a service") },
        ttl: Duration::from_secs(600),
        label: "alice ssh".to_owned(),
    };
    let behind = Address::v4([10, 0, 0, 5]);
    GrantsOpened {
        knock: Some(KnockId::new(7, 1)),
        grants: vec![grant("tcp/22", None), grant("tcp/5432", Some(behind))],
    }
}

fn job(why: Why) -> Job {
    Job { id: JobId(31), program: ProgramId(0), why, call: call() }
}

fn call() -> Call {
    Call {
        knock: KnockId::new(7, 4),
        source: SOURCE,
        user: UserId(1),
        user_name: "alice".to_owned(),
        action: ActionId(20),
        action_name: "vpn".to_owned(),
        sealed: true,
        payload: Payload::new(b"").expect("it is short"),
    }
}

fn debt() -> Debt {
    Debt {
        id: DebtId(5),
        program: "vpn-down".to_owned(),
        call: call(),
        due: Boot::from_nanos(9_000_000_000),
        due_wall: Wall::from_secs(1_795_000_000),
        ends_with_boot: false,
    }
}

fn endings() -> impl Iterator<Item = Ending> {
    let ways = [
        How::Exited(3),
        How::Killed(11),
        How::Bounded(Bound::Time),
        How::NotStarted(NotStarted::System(13)),
        How::NotStarted(NotStarted::Missing),
        How::Lost,
    ];
    ways.into_iter().map(|how| Ending {
        how,
        took: Duration::from_millis(412),
        output: b"no \"route\"\n\x1b[2J\xff".to_vec(),
        written: 1 << 30,
    })
}

const SOURCE_NETWORK: &str = "192.0.2.7";
