//! Users: at least one, each with an id and a key of their own, and something to do. Never judges what they may do.

use std::collections::HashSet;

use super::{Crowd, free_id, repeated};
use crate::config::deeds::Deed;
use crate::config::finding::{Code, Findings, Span};
use crate::config::people::Person;

/// Users: at least one, each with an id and a key of their own, and something to do.
pub(in crate::config) fn people(
    people: &[Person<'_>],
    actions: &[Deed<'_>],
    users_span: Option<Span>,
    findings: &mut Findings,
) {
    if people.is_empty() {
        let help = "add the first user: siglatchctl user add NAME";
        findings.report(Code::NoUsers, users_span, "nobody may knock yet", help);
    }
    let ids = people.iter().filter_map(|person| Some((person.name.value, person.id?)));
    for (span, first_span, first_name) in repeated(ids) {
        let free = free_id(people.iter().filter_map(|person| Some(u32::from(person.id?.value.0))));
        let message = format!("this id is {first_name}'s already");
        let help = format!("write a number that nobody has, for example: id = {free}");
        findings.report_with(Code::DuplicateUserId, span, message, help, (first_span, first_name));
    }
    shared_keys(people, findings);
    idle(people, actions, findings);
}

/// Users whom no action is for.
fn idle(people: &[Person<'_>], actions: &[Deed<'_>], findings: &mut Findings) {
    let public = || actions.iter().filter(|action| action.is_public);
    // What was not understood may be for anybody.
    let Some(crowds) = public().map(|action| action.askers.as_ref().map(Crowd::of)).collect::<Option<Vec<_>>>() else {
        return;
    };
    let names: HashSet<&str> = people.iter().map(|person| person.name.value).collect();
    let groups: HashSet<&str> = people.iter().flat_map(|person| person.groups.iter().copied()).collect();
    let is_known = |action: &Deed<'_>| {
        action.users().iter().all(|name| names.contains(name.value))
            && action.groups().iter().all(|group| groups.contains(group.value))
    };
    // An unknown name may be an idle user's with a slip in it.
    if crowds.is_empty() || !public().all(is_known) {
        return;
    }
    let is_idle = |person: &&Person<'_>| person.enabled && !crowds.iter().any(|crowd| crowd.has(person));
    for person in people.iter().filter(is_idle) {
        let message = format!("{} may use no action", person.name.value);
        let help = format!("add \"{}\" to the `users` of an action, or take the user out", person.name.value);
        findings.report(Code::IdleUser, person.name.span, message, help);
    }
}

fn shared_keys(people: &[Person<'_>], findings: &mut Findings) {
    let mut holders: Vec<_> =
        people.iter().filter_map(|person| Some((person.key.as_ref()?, person.name.value))).collect();
    holders.sort_by(|(a, _), (b, _)| a.value.as_bytes().cmp(b.value.as_bytes()).then(a.span.cmp(&b.span)));
    for neighbours in holders.windows(2) {
        let [(first, first_name), (second, second_name)] = neighbours else { continue };
        if first.value.as_bytes() == second.value.as_bytes() {
            let message = format!("{second_name} has the same key as {first_name}: either could pass for the other");
            let help = format!("give {second_name} a key file of their own");
            findings.report_with(Code::SharedKey, second.span, message, help, (first.span, first_name));
        }
    }
}
