//! What the judge answers operators: grants, users, actions, sequences, debts, debugging. Never reads from a socket, and
//! never waits for what it has others do.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use siglatch_common::units::{Now, Wall};
use tracing::{error, info};

use super::Judge;
use crate::admin::protocol::{Code, Problem, Reply, Request};
use crate::admin::{
    ActionEntry, ActionList, DebtEntry, DebtPage, DebtsQuery, ExtendOrder, Extended, GrantEntry, GrantFilter,
    GrantPage, GrantView, GrantsQuery, LastKnock, Place, RevokeOrder, Revoked, SequenceEntry, SequenceList, UserEntry,
    UserPage, UsersQuery,
};
use crate::daemon::{cut, desk};
use crate::edge::admin::Asked;
use crate::edge::clock;
use crate::gate::{Cut, Debt, Gate, Grant, GrantKey, Revocation};
use crate::policy::{Action, ActionKind, Allowed, Policy, Sequence};

/// The last knock of each user that was admitted, by name: a number may be another's after a reload.
#[derive(Debug, Default)]
pub(super) struct LastKnocks(HashMap<String, LastKnock>);

impl Judge {
    /// Answers one request.
    pub(super) fn answer(&mut self, asked: Asked) {
        let now = clock::now();
        let answer = match &asked.request {
            Request::Grants(query) => Ok(Reply::Grants(self.grants(query, now))),
            Request::Revoke(order) => match self.revoke(order, now) {
                Ok((revoked, Some(cut))) => return self.cut(asked, revoked, cut),
                Ok((revoked, None)) => Ok(Reply::Revoked(revoked)),
                Err(problem) => Err(problem),
            },
            Request::Extend(order) => self.extend(order, now).map(Reply::Extended),
            Request::Users(query) => Ok(Reply::Users(self.users(query, now))),
            Request::Actions {} => Ok(Reply::Actions(self.actions(now))),
            Request::Sequences {} => Ok(Reply::Sequences(self.sequences(now))),
            Request::Debts(query) => Ok(Reply::Debts(self.debts(query, now))),
            Request::Debug {} => Ok(Reply::Debug(self.debugged(now.boot))),
            Request::DebugOn(order) => self.debug_on(order, now.boot).map(Reply::Debug),
            Request::DebugOff(target) => self.debug_off(target, now.boot).map(Reply::Debug),
            Request::Status {}
            | Request::Bans(_)
            | Request::Ban(_)
            | Request::Unban(_)
            | Request::Known(_)
            | Request::Reload {}
            | Request::Check {}
            | Request::Enable(_)
            | Request::Disable(_) => Err(desk::astray(&asked)),
        };
        desk::answer(asked, answer, &self.recorder);
    }

    fn grants(&self, query: &GrantsQuery, now: Now) -> GrantPage {
        let grants = self.gate.each_grant(now.boot);
        GrantPage::select(grants.map(|(key, left, label)| view(key, left, label)), query)
    }

    /// Ends grants. The firewall has been told when this returns, unless it fails: then it is told again and again.
    /// Whose connections are to be cut as well, if any, is for the caller to have done.
    pub(super) fn revoke(&mut self, order: &RevokeOrder, now: Now) -> Result<(Revoked, Option<Cut>), Problem> {
        let RevokeOrder { which, all, cut } = order;
        match (which.is_empty(), all) {
            (true, true) | (false, false) => {}
            (true, false) => return Err(unnamed(Some("end every grant with \"all\":true"))),
            (false, true) => {
                return Err(Problem::new(Code::Malformed, "all grants, and some grants, at once")
                    .with_help("say `all`, or name a source, user, action or service"));
            }
        }
        self.must_know(which, now)?;
        let revocation = revocation(which);
        let gone = self.gate.revoke(&revocation, now);
        self.carry_out();
        let keys: Vec<_> = gone.grants.iter().map(|grant| grant.key).collect();
        let firewall_fails = self.wall.is_closing(&keys);
        let (grants, debts) = (gone.grants.len(), gone.debts);
        info!(grants, debts, all, "grants revoked by the operator");
        let first = first(&gone.grants);
        let note = firewall_fails.then(|| {
            "The firewall did not take it: they stay open until it does, or until they end by themselves. \
             The daemon's log says why, and it is tried again and again."
                .to_owned()
        });
        let cut = match (cut, all) {
            (false, _) => None,
            (true, true) => Some(self.gate.everybody(self.wall.closed(), now)),
            (true, false) => Some(self.gate.connections(&revocation, now)),
        };
        Ok((Revoked { grants, first, debts, cut: None, note }, cut))
    }

    /// Lets grants hold for longer.
    fn extend(&mut self, order: &ExtendOrder, now: Now) -> Result<Extended, Problem> {
        let ExtendOrder { which, seconds } = order;
        if which.is_empty() {
            return Err(unnamed(None));
        }
        self.must_know(which, now)?;
        let span = Duration::from_secs(seconds.get());
        if span > LONGEST {
            return Err(Problem::new(Code::Malformed, "nobody is let in for so long")
                .with_help(format!("at most {} days", LONGEST.as_secs() / 86_400)));
        }
        self.carry_out();
        let (_, extended) = self.gate.extend(&revocation(which), span, now);
        self.carry_out();
        let query = GrantsQuery { which: which.clone(), limit: Some(GrantPage::FIRST), after: None };
        let GrantPage { total, grants, .. } = self.grants(&query, now);
        info!(grants = total, extended, seconds, "grants extended by the operator");
        Ok(Extended { grants: total, extended, first: grants })
    }

    /// Has established connections cut by a thread of its own, which answers when it has.
    fn cut(&self, asked: Asked, mut revoked: Revoked, cut: Cut) {
        let recorder = self.recorder.clone();
        let cut = move || {
            let done = cut::carry_out(&cut);
            (revoked.cut, revoked.note) = (done.cut, cut::joined(revoked.note, done.note));
            desk::answer(asked, Ok(Reply::Revoked(revoked)), &recorder);
        };
        // Without a thread the request is dropped, and the operator hears that the daemon is busy.
        if let Err(error) = thread::Builder::new().name("cut".into()).spawn(cut) {
            error!(%error, "no thread to cut connections with");
        }
    }

    fn users(&mut self, query: &UsersQuery, now: Now) -> UserPage {
        let grants = count(self.gate.each_grant(now.boot).map(|(_, _, label)| owner(label).0));
        self.last_knocks.forget_strangers(&self.gate);
        let meant = |name: &str| query.name.as_deref().is_none_or(|meant| meant == name);
        let limit = query.limit.unwrap_or(UserPage::MAX).min(UserPage::MAX);
        let mut page = UserPage::default();
        let policy = self.gate.policy();
        for user in policy.users().filter(|user| meant(&user.name)) {
            page.total += 1;
            if query.after.is_some_and(|after| user.id.0 <= after) {
                continue;
            }
            if page.users.len() >= limit {
                page.more = true;
                continue;
            }
            page.users.push(UserEntry {
                name: user.name.clone(),
                id: user.id.0,
                enabled: policy.may_knock(user.id),
                off_until: policy.user_off(user.id).flatten().map(Wall::as_secs),
                admin: user.admin,
                uses: user.uses.map(Into::into),
                uses_left: self.gate.uses_left_of_user(user),
                grants: grants.get(user.name.as_str()).copied().unwrap_or_default(),
                last: self.last_knocks.0.get(&user.name).cloned(),
            });
        }
        page
    }

    fn actions(&self, now: Now) -> ActionList {
        let grants = count(self.gate.each_grant(now.boot).map(|(_, _, label)| owner(label).1));
        let policy = self.gate.policy();
        let entry = |action: &Action| ActionEntry {
            name: action.name.clone(),
            id: action.id.0,
            kind: action.kind.label().to_owned(),
            enabled: policy.action_off(action.id).is_none(),
            off_until: policy.action_off(action.id).flatten().map(Wall::as_secs),
            dry_run: action.dry_run,
            users: users_of(action, policy),
            opens: opens(action),
            sequence: policy.step(action.id).map(|step| step.of.name.clone()),
            uses: action.uses.map(Into::into),
            uses_left: self.gate.uses_left_of_action(action),
            grants: grants.get(action.name.as_str()).copied().unwrap_or_default(),
        };
        ActionList { actions: policy.actions().map(entry).collect() }
    }

    fn sequences(&self, now: Now) -> SequenceList {
        let under_way = self.gate.sequences_under_way(now.boot);
        let policy = self.gate.policy();
        let entry = |(place, Sequence { name, steps, within, .. }): (usize, &Sequence)| SequenceEntry {
            name: name.clone(),
            enabled: policy.sequence_off(place).is_none(),
            off_until: policy.sequence_off(place).flatten().map(Wall::as_secs),
            steps: steps.iter().map(|step| self.gate.action_name(*step).to_owned()).collect(),
            within: within.as_secs(),
            under_way: under_way.get(&place).copied().unwrap_or_default(),
        };
        SequenceList { sequences: policy.sequences().iter().enumerate().map(entry).collect() }
    }

    fn debts(&self, query: &DebtsQuery, now: Now) -> DebtPage {
        let entry = |debt: &Debt| DebtEntry {
            debt: debt.id.0,
            program: debt.program.clone(),
            user: debt.call.user_name.clone(),
            action: debt.call.action_name.clone(),
            source: debt.call.source.into(),
            knock: debt.call.knock.to_string(),
            due: debt.due_wall.as_secs(),
            left: debt.due.since(now.boot).as_secs(),
        };
        DebtPage::select(self.gate.debts().map(entry), query)
    }

    /// A name that nobody has is a slip: nothing would come of it. But grants of those who are gone can be revoked, and
    /// their connections be cut.
    fn must_know(&mut self, which: &GrantFilter, now: Now) -> Result<(), Problem> {
        match self.unknown(which, now) {
            // Looked for last: all that is known may be gone through.
            Some(problem) if !self.gate.knows_ended(&revocation(which), now) => Err(problem),
            _ => Ok(()),
        }
    }

    /// What is wrong with the names, going by the rules and the grants that hold.
    fn unknown(&self, which: &GrantFilter, now: Now) -> Option<Problem> {
        let policy = self.gate.policy();
        let is_live = |means: &dyn Fn((&str, &str)) -> bool| {
            self.gate.each_grant(now.boot).any(|(_, _, label)| means(owner(label)))
        };
        let unknown_user = which.user.as_deref().filter(|user| policy.user_named(user).is_none());
        if let Some(user) = unknown_user.filter(|user| !is_live(&|owner| owner.0 == *user)) {
            return Some(Problem::no_such("user", user).with_help("siglatchctl users"));
        }
        let unknown_action = which.action.as_deref().filter(|action| policy.action_named(action).is_none());
        let action = unknown_action.filter(|action| !is_live(&|owner| owner.1 == *action))?;
        Some(Problem::no_such("action", action).with_help("siglatchctl actions"))
    }
}

impl LastKnocks {
    /// Remembers one.
    pub(super) fn note(&mut self, user: &str, action: &str, source: IpAddr, at: Wall) {
        let last = LastKnock { at: at.as_secs(), source, action: action.to_owned() };
        match self.0.get_mut(user) {
            Some(before) => *before = last,
            None => _ = self.0.insert(user.to_owned(), last),
        }
    }

    /// There are as many as users, and no more.
    fn forget_strangers(&mut self, gate: &Gate) {
        self.0.retain(|name, _| gate.user_named(name).is_some());
    }
}

fn revocation(which: &GrantFilter) -> Revocation {
    let GrantFilter { source, user, action, service } = which.clone();
    Revocation { source: source.map(Into::into), user, action, service }
}

fn view<'a>(key: &GrantKey, left: Duration, label: &'a str) -> GrantView<'a> {
    let (user, action) = owner(label);
    let GrantKey { source, destination, service } = *key;
    GrantView { source, place: Place { destination, service }, user, action, left: left.as_secs() }
}

fn first(grants: &[Grant]) -> Vec<GrantEntry> {
    grants.iter().take(GrantPage::FIRST).map(|grant| view(&grant.key, grant.ttl, &grant.label).into()).collect()
}

/// Whose knock a grant is of, and what for.
fn owner(label: &str) -> (&str, &str) {
    label.split_once(' ').unwrap_or((label, ""))
}

fn users_of(action: &Action, policy: &Policy) -> usize {
    let is_for_admins = matches!(action.kind, ActionKind::Builtin(_));
    match &action.allowed {
        Allowed::Only(users) if !is_for_admins => users.len(),
        Allowed::Only(users) => users.iter().filter_map(|user| policy.user(*user)).filter(|user| user.admin).count(),
        Allowed::All => policy.users().filter(|user| user.admin || !is_for_admins).count(),
    }
}

fn count<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        match counts.get_mut(name) {
            Some(count) => *count += 1,
            None => _ = counts.insert(name.to_owned(), 1),
        }
    }
    counts
}

fn opens(action: &Action) -> Vec<String> {
    let ActionKind::Grant(rule) = &action.kind else {
        return Vec::new();
    };
    let here = rule.destinations.is_empty().then_some(None);
    let destinations = || here.into_iter().chain(rule.destinations.iter().copied().map(Some));
    let places = rule
        .services
        .iter()
        .flat_map(|service| destinations().map(|destination| Place { destination, service: *service }.to_string()));
    places.take(ActionEntry::OPENS).collect()
}

fn unnamed(otherwise: Option<&str>) -> Problem {
    let otherwise = otherwise.map(|otherwise| format!(", or {otherwise}")).unwrap_or_default();
    Problem::new(Code::Malformed, "no grants are named")
        .with_help(format!("name a source, user, action or service{otherwise}"))
}

/// A month: whoever needs more has an action with a longer `max_ttl`, or no siglatch.
const LONGEST: Duration = Duration::from_secs(31 * 86_400);
