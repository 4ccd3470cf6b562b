//! Actions: each with an id of its own, and with somebody who may use it. Never judges what they do.

use std::collections::{BTreeSet, HashSet};

use super::{Crowd, did_you_mean, free_id, repeated};
use crate::config::deeds::{Askers, Deed, Users, Work};
use crate::config::finding::{Code, Findings};
use crate::config::people::Person;

/// Actions: each with an id of its own, and with somebody who may use it.
pub(in crate::config) fn actions(actions: &[Deed<'_>], people: &[Person<'_>], findings: &mut Findings) {
    let ids = actions.iter().filter_map(|action| Some((action.name.value, action.id?)));
    for (span, first_span, first_name) in repeated(ids) {
        let free = free_id(actions.iter().filter_map(|action| Some(u32::from(action.id?.value.0))));
        let message = format!("this id is the action {first_name}'s already");
        let help = format!("write a number that no action has, for example: id = {free}");
        findings.report_with(Code::DuplicateActionId, span, message, help, (first_span, first_name));
    }
    let users: HashSet<&str> = people.iter().map(|person| person.name.value).collect();
    let groups: BTreeSet<&str> = people.iter().flat_map(|person| person.groups.iter().copied()).collect();
    for action in actions {
        // Groups come with their members: without any user that is all there is to say.
        let known =
            unknown_users(action, &users, findings) & (people.is_empty() || unknown_groups(action, &groups, findings));
        if let Some(askers) = &action.askers {
            let crowd = Crowd::of(askers);
            let are_there = known && !people.is_empty();
            if are_there && !people.iter().any(|person| person.enabled && crowd.has(person)) {
                unusable(action, askers, findings);
            }
            no_admin(action, &crowd, people, findings);
        }
    }
}

/// Whether all users are known whom the action names.
fn unknown_users(action: &Deed<'_>, users: &HashSet<&str>, findings: &mut Findings) -> bool {
    let mut all_known = true;
    for name in action.users().iter().filter(|name| !users.contains(name.value)) {
        all_known = false;
        let otherwise = "add the user: siglatchctl user add NAME; or take the name out";
        let help = did_you_mean(name.value, users.iter().copied(), otherwise);
        let message = format!("there is no user \"{}\"", name.value.escape_debug());
        findings.report(Code::UnknownUser, name.span, message, help);
    }
    all_known
}

/// Whether all groups have members that the action names.
fn unknown_groups(action: &Deed<'_>, groups: &BTreeSet<&str>, findings: &mut Findings) -> bool {
    let mut all_known = true;
    for group in action.groups().iter().filter(|group| !groups.contains(group.value)) {
        all_known = false;
        let otherwise = format!("write groups = [\"{}\"] in the table of each user who is in it", group.value);
        let help = did_you_mean(group.value, groups.iter().copied(), otherwise);
        let message = format!("no user is in the group \"{}\"", group.value);
        findings.report(Code::UnknownGroup, group.span, message, help);
    }
    all_known
}

fn unusable(action: &Deed<'_>, askers: &Askers<'_>, findings: &mut Findings) {
    let why = match &askers.users {
        Users::Only(names) if names.is_empty() && askers.groups.is_empty() => "no user is named",
        Users::All | Users::Only(_) => "all of its users are disabled",
    };
    let message = format!("nobody may use the action {}: {why}", action.name.value.escape_debug());
    let help = "write users = [\"NAME\"], or \"all\", or groups = [\"NAME\"]";
    findings.report(Code::UnusableAction, askers.span, message, help);
}

/// What is for admins alone needs one.
fn no_admin(action: &Deed<'_>, crowd: &Crowd<'_>, people: &[Person<'_>], findings: &mut Findings) {
    let mut allowed = people.iter().filter(|person| person.enabled && crowd.has(person)).peekable();
    let is_builtin = matches!(action.work, Some(Work::Builtin(_)));
    if is_builtin && allowed.peek().is_some() && !allowed.any(|person| person.admin) {
        let message = format!("nobody may use the action {}: none of its users is an admin", action.name.value);
        let help = "write admin = true in the table of a user who may";
        findings.report(Code::NoAdmin, action.name.span, message, help);
    }
}
