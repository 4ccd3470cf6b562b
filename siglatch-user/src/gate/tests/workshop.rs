//! A policy with programs, and effects as short texts, for the suites beside this one.

use super::*;
use crate::policy::{Bounds, Builtin, ExecRule, PayloadRule, Program, ProgramId, RevokeRule, Undo};

/// Starts a program, and undoes it 60 s after the last knock.
pub(super) const VPN: ActionId = ActionId(21);
/// Starts a program, one at a time; one more waits; tells of failures.
pub(super) const RUN: ActionId = ActionId(22);
/// Ends what `WEB` and `VPN` have done.
pub(super) const CLOSE: ActionId = ActionId(23);
/// Opens tcp/443 for 60 s, and undoes it.
pub(super) const WEB: ActionId = ActionId(24);
/// Asks for the status.
pub(super) const STATUS: ActionId = ActionId(25);

const VPN_ON: ProgramId = ProgramId(0);
const VPN_OFF: ProgramId = ProgramId(1);
const ONCE: ProgramId = ProgramId(2);
const ALARM: ProgramId = ProgramId(3);
const WEB_OFF: ProgramId = ProgramId(4);

pub(super) fn workshop() -> Policy {
    let exec = |program, undo| ActionKind::Exec(ExecRule { program, payload: PayloadRule::default(), undo });
    let undo = Undo { program: VPN_OFF, after: Duration::from_secs(60) };
    let revoke = RevokeRule { actions: [WEB, VPN].into(), source: SourceRule::Packet };
    let actions = vec![
        action(SSH, "ssh", ActionKind::Grant(grant("tcp/22"))),
        action(VPN, "vpn", exec(VPN_ON, Some(undo))),
        action(RUN, "run", exec(ONCE, None)),
        action(CLOSE, "close", ActionKind::Revoke(revoke)),
        action(WEB, "web", ActionKind::Grant(GrantRule { undo: Some(WEB_OFF), ..grant("tcp/443") })),
        action(STATUS, "status", ActionKind::Builtin(Builtin::Status)),
        action(STEP_1, "db-1", ActionKind::Step),
        action(STEP_2, "db-2", ActionKind::Step),
        action(STEP_3, "db", exec(ONCE, None)),
    ];
    let programs = vec![
        program("vpn", 2, 2, None),
        program("vpn-off", 1, 0, None),
        program("once", 1, 1, Some(ALARM)),
        program("alarm", 1, 0, Some(ALARM)),
        program("web-off", 2, 0, Some(ALARM)),
    ];
    let users = vec![User { admin: true, ..user(ALICE, "alice") }, user(BOB, "bob")];
    Policy::new(users, actions, vec![sequence()], SKEW).with_programs(programs)
}

fn program(name: &str, at_once: usize, queue: usize, on_failure: Option<ProgramId>) -> Program {
    Program {
        name: name.into(),
        command: vec![format!("/usr/lib/{name}")],
        run_as: "nobody".into(),
        run_groups: vec![],
        folder: "/".into(),
        bounds: Bounds::DEFAULT,
        at_once: at_once.try_into().unwrap(),
        queue,
        on_failure,
    }
}

/// The workshop, with one thing about it changed.
pub(super) fn workshop_with(change: impl FnOnce(&mut Vec<User>, &mut Vec<Action>, &mut Vec<Program>)) -> Policy {
    let policy = workshop();
    let mut users: Vec<_> = policy.users().cloned().collect();
    let mut actions: Vec<_> = policy.actions().cloned().collect();
    let mut programs = policy.programs().to_vec();
    change(&mut users, &mut actions, &mut programs);
    Policy::new(users, actions, vec![sequence()], SKEW).with_programs(programs)
}

impl Door {
    /// The effects since the last call, without those for nonces; times are seconds from now.
    pub(super) fn said(&mut self) -> Vec<String> {
        let effects = self.gate.take_effects();
        effects.iter().filter_map(|effect| told(effect, self.now, &self.policy)).collect()
    }

    /// Time passes, and the gate does what is due.
    pub(super) fn wait_secs(&mut self, secs: u64) -> Vec<String> {
        self.pass_secs(secs);
        self.gate.handle_timeout(self.now);
        self.said()
    }

    /// The program with that number ends.
    pub(super) fn end(&mut self, job: u64, how: How) -> Vec<String> {
        let ending = Ending { how, took: Duration::ZERO, output: vec![], written: 0 };
        self.gate.finished(JobId(job), &ending, self.now);
        self.said()
    }

    /// A knock of Alice's, and what comes of it.
    pub(super) fn does(&mut self, action: ActionId) -> Vec<String> {
        assert_eq!(self.now_knock(action, HOME), admitted(action));
        self.said()
    }
}

fn told(effect: &Effect, now: Now, policy: &Policy) -> Option<String> {
    let grants = |grants: &[Grant]| {
        let each = grants.iter().map(|grant| {
            let to = grant.key.destination.map(|host| format!("@{host}")).unwrap_or_default();
            format!(" {}{to} {} {}", grant.key.service, grant.ttl.as_secs(), grant.label)
        });
        each.collect::<Vec<_>>().join(",")
    };
    let run = |job: &Job| {
        let name = &policy.program(job.program).unwrap().name;
        let why = match job.why {
            Why::Knock => "for a knock".to_owned(),
            Why::Undo(debt) => format!("to undo {}", number(debt)),
            Why::Failure(JobId(failed), _) => format!("as {failed} failed"),
        };
        format!("run {} {name} {why}", job.id.0)
    };
    let text = match effect {
        Effect::Lease(_) | Effect::Remember(_) | Effect::Forget(_) => return None,
        Effect::Note(Entry::UserUsed { name, times }) => format!("user {name} {times}"),
        Effect::Note(Entry::ActionUsed { name, times }) => format!("action {name} {times}"),
        Effect::Note(Entry::Owed(debt)) => {
            let in_secs = debt.due.since(now.boot).as_secs();
            assert_eq!(debt.due_wall.as_secs().saturating_sub(now.wall.as_secs()), in_secs, "both clocks agree");
            format!("owe {} {} in {in_secs}", number(debt.id), debt.program)
        }
        Effect::Note(Entry::Settled(debt)) => format!("settled {}", number(*debt)),
        Effect::Open(opened) => format!("open{}", grants(&opened.grants)),
        Effect::Close(ended) => format!("close{}", grants(&ended.grants)),
        Effect::Run(job) => run(job),
        Effect::Builtin(_, builtin) => format!("builtin {}", builtin.label()),
        Effect::Pretend(_, Pretended::Open(opened)) => format!("would open{}", grants(opened)),
        Effect::Pretend(_, Pretended::Close(keys)) => format!("would close {}", keys.len()),
        Effect::Pretend(_, Pretended::Run(job)) => format!("would {}", run(job)),
        Effect::Pretend(_, Pretended::Builtin(builtin)) => format!("would do {}", builtin.label()),
    };
    Some(text)
}

/// Without the number of the daemon's run.
fn number(debt: DebtId) -> u64 {
    debt.0 & 0xffff_ffff
}
