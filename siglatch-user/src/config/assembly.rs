//! Puts users, actions, programs and sequences together into the policy, by their names. Never reports anything: what is
//! missing was reported before.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use siglatch_common::seal::HmacKey;
use siglatch_common::wire::v1::{ActionId, UserId};

use super::deeds::{Askers, Deed, Work};
use super::paths::Path;
use super::people::Person;
use super::relations::Crowd;
use crate::policy::{Action, ActionKind, Allowed, Policy, Program, ProgramId, Sequence};

/// The rules, and each user's key; nothing if something is missing.
pub(super) fn policy(
    people: Vec<Person<'_>>,
    deeds: &[Deed<'_>],
    paths: &[Path<'_>],
    max_skew: Duration,
) -> Option<(Policy, Vec<(UserId, HmacKey)>)> {
    let actions = Names::of(deeds);
    let rules = deeds.iter().filter(|deed| deed.is_public).map(|deed| actions.action(deed, &people));
    let rules = rules.collect::<Option<Vec<Action>>>()?;
    let programs = deeds.iter().filter_map(|deed| actions.program(deed)).collect::<Option<Vec<Program>>>()?;
    let sequences = paths.iter().map(|path| actions.sequence(path)).collect::<Option<Vec<Sequence>>>()?;
    let (users, keys): (Vec<_>, Vec<_>) =
        people.into_iter().map(Person::finish).collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let user_keys = users.iter().map(|user| user.id).zip(keys).collect();
    Some((Policy::new(users, rules, sequences, max_skew).with_programs(programs), user_keys))
}

/// The numbers of what has a name.
struct Names<'t> {
    actions: HashMap<&'t str, ActionId>,
    programs: HashMap<&'t str, ProgramId>,
}

impl<'t> Names<'t> {
    fn of(deeds: &[Deed<'t>]) -> Self {
        let programs = deeds.iter().filter(|deed| matches!(deed.work, Some(Work::Exec(_))));
        Self {
            actions: deeds.iter().filter_map(|deed| Some((deed.name.value, deed.id?.value))).collect(),
            programs: programs.zip(0..=u16::MAX).map(|(deed, place)| (deed.name.value, ProgramId(place))).collect(),
        }
    }

    fn action(&self, deed: &Deed<'_>, people: &[Person<'_>]) -> Option<Action> {
        Some(Action {
            id: deed.id?.value,
            name: deed.name.value.to_owned(),
            allowed: allowed(deed.askers.as_ref()?, people)?,
            networks: deed.networks.clone(),
            period: deed.period,
            hours: deed.hours.clone(),
            uses: deed.uses,
            dry_run: deed.dry_run,
            kind: match deed.work.as_ref()? {
                Work::Step => ActionKind::Step,
                Work::Grant(grant) => ActionKind::Grant(grant.rule(&self.programs)?),
                Work::Revoke(revoke) => ActionKind::Revoke(revoke.rule(&self.actions)?),
                Work::Exec(exec) => {
                    let own = self.programs.get(deed.name.value).copied()?;
                    ActionKind::Exec(exec.rule(own, &self.programs)?)
                }
                Work::Builtin(builtin) => ActionKind::Builtin((*builtin)?),
            },
        })
    }

    /// The program of an action that is one; nothing inside if something is missing.
    fn program(&self, deed: &Deed<'_>) -> Option<Option<Program>> {
        match &deed.work {
            Some(Work::Exec(exec)) => Some(exec.program(deed.name.value, &self.programs)),
            Some(Work::Step | Work::Grant(_) | Work::Revoke(_) | Work::Builtin(_)) | None => None,
        }
    }

    fn sequence(&self, path: &Path<'_>) -> Option<Sequence> {
        let steps = path.steps.as_ref()?.value.iter().map(|step| self.actions.get(step.value).copied());
        let steps = steps.collect::<Option<Vec<_>>>()?;
        Some(Sequence { name: path.name.value.to_owned(), steps, within: path.within })
    }
}

fn allowed(askers: &Askers<'_>, people: &[Person<'_>]) -> Option<Allowed> {
    let crowd = Crowd::of(askers);
    if crowd.is_everybody() {
        return Some(Allowed::All);
    }
    let ids = people.iter().filter(|person| crowd.has(person)).map(|person| Some(person.id?.value));
    Some(Allowed::Only(ids.collect::<Option<BTreeSet<_>>>()?))
}
