//! What has changed of users, actions and sequences. They are told apart by name: a number is one of their keys.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use siglatch_common::seal::HmacKey;
use siglatch_common::wire::v1::{ActionId, UserId};
use subtle::ConstantTimeEq as _;

use super::{Comparison, How, changed};
use crate::config::settings::Settings;
use crate::policy::{
    Action, ActionKind, Allowed, Bounds, ExecRule, GrantRule, PayloadRule, Period, Policy, Program, ProgramId,
    RevokeRule, Sequence, Undo, User,
};

/// Users with their keys, actions with their programs, sequences.
pub(super) fn compare(old: &Settings, new: &Settings, to: &mut Comparison) {
    to.each("user", [people(old), people(new)], person);
    let names = Names::of(&old.policy, &new.policy);
    to.each("action", [deeds(&old.policy), deeds(&new.policy)], |old, new| names.deed(old, new));
    to.each("sequence", [sequences(&old.policy), sequences(&new.policy)], |old, new| names.sequence(old, new));
}

/// A user with everything that is said of one.
struct Person<'a> {
    user: &'a User,
    key: Option<&'a HmacKey>,
    debug: bool,
}

fn people(settings: &Settings) -> BTreeMap<&str, Person<'_>> {
    let keys: HashMap<UserId, &HmacKey> = settings.user_keys.iter().map(|(user, key)| (*user, key)).collect();
    let told: HashSet<UserId> = settings.debug.users.iter().copied().collect();
    let users = settings.policy.users().map(|user| {
        let person = Person { user, key: keys.get(&user.id).copied(), debug: told.contains(&user.id) };
        (&*user.name, person)
    });
    users.collect()
}

fn person(old: &Person<'_>, new: &Person<'_>) -> Option<How> {
    let is_same_key = match (old.key, new.key) {
        (Some(old), Some(new)) => bool::from(old.ct_eq(new)),
        (old, new) => old.is_none() && new.is_none(),
    };
    let is_told = old.debug == new.debug;
    let (User { id, name: _, enabled, admin, networks, period, uses }, new) = (old.user, new.user);
    let Period { not_before, not_after } = period;
    changed([
        ("id", *id == new.id),
        ("key", is_same_key),
        ("enabled", *enabled == new.enabled),
        ("admin", *admin == new.admin),
        ("networks", *networks == new.networks),
        ("not_before", *not_before == new.period.not_before),
        ("not_after", *not_after == new.period.not_after),
        ("uses", *uses == new.uses),
        ("debug", is_told),
    ])
}

/// What stands under one `[action.NAME]`.
#[derive(Default)]
struct Deed<'a> {
    /// Nothing: no knock can ask for it.
    action: Option<&'a Action>,
    program: Option<&'a Program>,
}

fn deeds(policy: &Policy) -> BTreeMap<&str, Deed<'_>> {
    let mut deeds: BTreeMap<&str, Deed<'_>> = BTreeMap::new();
    for action in policy.actions() {
        deeds.entry(&action.name).or_default().action = Some(action);
    }
    for program in policy.programs() {
        deeds.entry(&program.name).or_default().program = Some(program);
    }
    deeds
}

fn sequences(policy: &Policy) -> BTreeMap<&str, &Sequence> {
    policy.sequences().iter().map(|sequence| (&*sequence.name, sequence)).collect()
}

/// Both policies: a number may mean something else in the other one.
struct Names<'a> {
    old: &'a Policy,
    new: &'a Policy,
    /// Whether some user has another number.
    are_renumbered: bool,
}

impl<'a> Names<'a> {
    fn of(old: &'a Policy, new: &'a Policy) -> Self {
        let is_renumbered = |user: &User| new.user(user.id).is_none_or(|same| same.name != user.name);
        Self { old, new, are_renumbered: old.users().any(is_renumbered) }
    }

    fn deed(&self, old: &Deed<'_>, new: &Deed<'_>) -> Option<How> {
        let mut keys = Vec::new();
        match (old.action, new.action) {
            (Some(old), Some(new)) => self.action(old, new, &mut keys),
            (old, new) => keys.push(("id", old.is_none() && new.is_none())),
        }
        // That there is none, or one, is a matter of the kind.
        if let (Some(old), Some(new)) = (old.program, new.program) {
            self.program(old, new, &mut keys);
        }
        changed(keys)
    }

    fn action(&self, old: &Action, new: &Action, keys: &mut Vec<(&'static str, bool)>) {
        let Action { id, name: _, allowed, networks, period, hours, uses, dry_run, kind } = old;
        let Period { not_before, not_after } = period;
        keys.extend([
            ("id", *id == new.id),
            ("users", self.are_same_users(allowed, &new.allowed)),
            ("networks", *networks == new.networks),
            ("not_before", *not_before == new.period.not_before),
            ("not_after", *not_after == new.period.not_after),
            ("hours", *hours == new.hours),
            ("uses", *uses == new.uses),
            ("dry_run", *dry_run == new.dry_run),
        ]);
        match (kind, &new.kind) {
            (ActionKind::Grant(old), ActionKind::Grant(new)) => self.grant(old, new, keys),
            (ActionKind::Revoke(old), ActionKind::Revoke(new)) => {
                let RevokeRule { actions, source } = old;
                let old_names: BTreeSet<_> = actions.iter().map(|action| action_name(self.old, *action)).collect();
                let new_names = new.actions.iter().map(|action| action_name(self.new, *action)).collect();
                keys.extend([("revoke", old_names == new_names), ("source", *source == new.source)]);
            }
            (ActionKind::Exec(old), ActionKind::Exec(new)) => {
                // The program is the action's own.
                let ExecRule { program: _, payload, undo } = old;
                let PayloadRule { require_ascii, starts_with } = payload;
                let [before, after] = [undo, &new.undo].map(|undo| undo.as_ref());
                keys.extend([
                    ("require_ascii", *require_ascii == new.payload.require_ascii),
                    ("starts_with", *starts_with == new.payload.starts_with),
                    ("undo", self.is_same_program(before.map(program_of), after.map(program_of))),
                    ("ttl", before.map(|undo| undo.after) == after.map(|undo| undo.after)),
                ]);
            }
            (ActionKind::Builtin(old), ActionKind::Builtin(new)) => keys.push(("builtin", old == new)),
            (ActionKind::Step, ActionKind::Step) => {}
            (
                ActionKind::Step
                | ActionKind::Grant(_)
                | ActionKind::Revoke(_)
                | ActionKind::Exec(_)
                | ActionKind::Builtin(_),
                _,
            ) => keys.push(("kind", false)),
        }
    }

    fn grant(&self, old: &GrantRule, new: &GrantRule, keys: &mut Vec<(&'static str, bool)>) {
        let GrantRule { services, destinations, ttl, max_ttl, source, undo } = old;
        keys.extend([
            ("grant", *services == new.services),
            ("to", *destinations == new.destinations),
            ("ttl", *ttl == new.ttl),
            ("max_ttl", *max_ttl == new.max_ttl),
            ("source", *source == new.source),
            ("undo", self.is_same_program(*undo, new.undo)),
        ]);
    }

    fn program(&self, old: &Program, new: &Program, keys: &mut Vec<(&'static str, bool)>) {
        let Program { name: _, command, run_as, run_groups, folder, bounds, at_once, queue, on_failure } = old;
        let Bounds { time, cpu, memory, processes, output } = bounds;
        keys.extend([
            ("exec", *command == new.command),
            ("run_as", *run_as == new.run_as),
            ("run_groups", *run_groups == new.run_groups),
            ("folder", *folder == new.folder),
            ("time", *time == new.bounds.time),
            ("cpu", *cpu == new.bounds.cpu),
            ("memory", *memory == new.bounds.memory),
            ("processes", *processes == new.bounds.processes),
            ("output", *output == new.bounds.output),
            ("at_once", *at_once == new.at_once),
            ("queue", *queue == new.queue),
            ("on_failure", self.is_same_program(*on_failure, new.on_failure)),
        ]);
    }

    fn sequence(&self, old: &Sequence, new: &Sequence) -> Option<How> {
        let Sequence { name: _, steps, within } = old;
        let old_names = steps.iter().map(|step| action_name(self.old, *step));
        let new_names = new.steps.iter().map(|step| action_name(self.new, *step));
        changed([("steps", old_names.eq(new_names)), ("within", *within == new.within)])
    }

    fn are_same_users(&self, old: &Allowed, new: &Allowed) -> bool {
        match (old, new) {
            (Allowed::Only(old), Allowed::Only(new)) if self.are_renumbered => {
                let old_names: BTreeSet<_> = old.iter().map(|user| user_name(self.old, *user)).collect();
                old_names == new.iter().map(|user| user_name(self.new, *user)).collect()
            }
            (old, new) => old == new,
        }
    }

    fn is_same_program(&self, old: Option<ProgramId>, new: Option<ProgramId>) -> bool {
        let name = |policy: &'a Policy, program| policy.program(program).map(|program| &*program.name);
        old.map(|program| name(self.old, program)) == new.map(|program| name(self.new, program))
    }
}

const fn program_of(undo: &Undo) -> ProgramId {
    undo.program
}

fn action_name(policy: &Policy, action: ActionId) -> Option<&str> {
    policy.action(action).map(|action| &*action.name)
}

fn user_name(policy: &Policy, user: UserId) -> Option<&str> {
    policy.user(user).map(|user| &*user.name)
}
