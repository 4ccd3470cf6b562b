//! What must be true between the tables of a configuration: ids, names, keys, sequences. Never reads a single value.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;

use super::deeds::{Deed, Path, Users};
use super::finding::{Code, Findings, Span};
use super::firewall::Protected;
use super::nearest::nearest;
use super::people::Person;
use super::section::Located;
use super::settings::KnockPort;
use crate::policy::Protocol;

/// Users: at least one, each with an id and a key of their own, and something to do.
pub(super) fn people(people: &[Person<'_>], actions: &[Deed<'_>], users_span: Option<Span>, findings: &mut Findings) {
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
    let anyone =
        actions.iter().any(|action| action.users.as_ref().is_none_or(|users| matches!(users.value, Users::All)));
    let busy: HashSet<&str> = actions.iter().flat_map(named).map(|name| name.value).collect();
    let names: HashSet<&str> = people.iter().map(|person| person.name.value).collect();
    // An unknown name may be an idle user's with a slip in it.
    if anyone || actions.is_empty() || !busy.is_subset(&names) {
        return;
    }
    for person in people.iter().filter(|person| person.enabled && !busy.contains(person.name.value)) {
        let message = format!("{} may use no action", person.name.value);
        let help = format!("add \"{}\" to the `users` of an action, or take the user out", person.name.value);
        findings.report(Code::IdleUser, person.name.span, message, help);
    }
}

/// Actions: each with an id of its own, and with somebody who may use it.
pub(super) fn actions(actions: &[Deed<'_>], people: &[Person<'_>], findings: &mut Findings) {
    let ids = actions.iter().filter_map(|action| Some((action.name.value, action.id?)));
    for (span, first_span, first_name) in repeated(ids) {
        let free = free_id(actions.iter().filter_map(|action| Some(u32::from(action.id?.value.0))));
        let message = format!("this id is the action {first_name}'s already");
        let help = format!("write a number that no action has, for example: id = {free}");
        findings.report_with(Code::DuplicateActionId, span, message, help, (first_span, first_name));
    }
    let enabled: HashMap<&str, bool> = people.iter().map(|person| (person.name.value, person.enabled)).collect();
    for action in actions {
        let mut all_known = true;
        for name in named(action).filter(|name| !enabled.contains_key(name.value)) {
            all_known = false;
            let help = match nearest(name.value, enabled.keys().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "add the user: siglatchctl user add NAME; or take the name out".to_owned(),
            };
            let message = format!("there is no user \"{}\"", name.value.escape_debug());
            findings.report(Code::UnknownUser, name.span, message, help);
        }
        let Some(users) = &action.users else { continue };
        let usable = match &users.value {
            Users::All => people.is_empty() || people.iter().any(|person| person.enabled),
            Users::Only(names) => names.iter().any(|name| enabled.get(name.value) == Some(&true)) || !all_known,
        };
        if !usable {
            let why = match &users.value {
                Users::Only(names) if names.is_empty() => "no user is named",
                Users::All | Users::Only(_) => "all of its users are disabled",
            };
            let message = format!("nobody may use the action {}: {why}", action.name.value.escape_debug());
            findings.report(Code::UnusableAction, users.span, message, "write users = [\"NAME\"], or \"all\"");
        }
    }
}

/// Sequences: of at least two actions that exist, that are in no other, and that somebody may go through to its end.
pub(super) fn sequences(paths: &[Path<'_>], actions: &[Deed<'_>], people: &[Person<'_>], findings: &mut Findings) {
    let by_name: HashMap<&str, &Deed<'_>> = actions.iter().map(|action| (action.name.value, action)).collect();
    let mut homes: HashMap<&str, (usize, Span)> = HashMap::new();
    for (number, path) in paths.iter().enumerate() {
        let Some(steps) = &path.steps else { continue };
        if steps.value.len() < 2 {
            let message = format!("the sequence {} has less than two steps", path.name.value.escape_debug());
            let help = "name at least two actions; the last one has the effect";
            findings.report(Code::ShortSequence, steps.span, message, help);
        }
        for step in &steps.value {
            if !by_name.contains_key(step.value) {
                unknown_step(*step, by_name.keys().copied(), findings);
            } else if let Some((home, first)) = homes.get(step.value) {
                let (code, message) = if *home == number {
                    (Code::RepeatedStep, format!("{} is a step of this sequence already", step.value))
                } else {
                    (Code::SharedStep, format!("{} is a step of another sequence already", step.value))
                };
                let help = "make another action of kind = \"step\" for this place";
                findings.report_with(code, step.span, message, help, (*first, "here"));
            } else {
                homes.insert(step.value, (number, step.span));
            }
        }
        let known: Option<Vec<&Deed<'_>>> = steps.value.iter().map(|step| by_name.get(step.value).copied()).collect();
        let Some(known) = known.filter(|known| known.len() >= 2) else { continue };
        effects(&steps.value, &known, findings);
        if !people.is_empty() && walkers(&known, people).is_some_and(|walkers| walkers.is_empty()) {
            let message = format!("nobody may use every step of the sequence {}", path.name.value);
            let help = "let the `users` of its actions have somebody in common";
            findings.report(Code::UnusableSequence, path.span(), message, help);
        }
    }
    for action in actions {
        if action.is_step == Some(true) && !homes.contains_key(action.name.value) {
            let message =
                format!("the step {} is in no sequence: it sets nothing off", action.name.value.escape_debug());
            let help = "name it in the `steps` of a sequence, or take it out";
            findings.report(Code::OrphanStep, action.name.span, message, help);
        }
    }
}

/// Services: what is granted is closed otherwise, and no knock port is among what is closed.
pub(super) fn services(
    ports: &[Located<KnockPort>],
    protected: &Protected,
    actions: &[Deed<'_>],
    findings: &mut Findings,
) {
    let Protected::Services(protected) = protected else { return };
    for service in protected.iter().filter(|service| service.value.protocol == Protocol::Udp) {
        if let Some(port) = ports.iter().find(|port| port.value.port == service.value.port) {
            let message = format!("{} is a knock port: nothing can listen there for users", service.value);
            let help = "take it out of `protect`: knock ports never answer anyway; or knock on another port";
            findings.report_with(Code::ProtectedKnockPort, service.span, message, help, (port.span, "the knock port"));
        }
    }
    let closed: HashSet<_> = protected.iter().map(|service| service.value).collect();
    for service in actions.iter().flat_map(|action| &action.services).filter(|service| !closed.contains(&service.value))
    {
        let message = format!("{} is not protected: the grant opens what is not closed", service.value);
        let help = format!("add \"{}\" to `protect` in [firewall], or take it out here", service.value);
        findings.report(Code::UnprotectedService, service.span, message, help);
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

fn unknown_step<'a>(step: Located<&str>, known: impl Iterator<Item = &'a str>, findings: &mut Findings) {
    let help = match nearest(step.value, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("write [action.{}] with kind = \"step\", or name another action", step.value.escape_debug()),
    };
    let message = format!("there is no action \"{}\"", step.value.escape_debug());
    findings.report(Code::UnknownAction, step.span, message, help);
}

fn effects(steps: &[Located<&str>], actions: &[&Deed<'_>], findings: &mut Findings) {
    let last = actions.len() - 1;
    for (place, (step, action)) in steps.iter().zip(actions).enumerate() {
        match action.is_step {
            Some(false) if place < last => {
                let message = format!("{} grants something, but only a sequence's last step has an effect", step.value);
                let help = format!("write kind = \"step\" in [action.{}], or put it last", step.value);
                findings.report_with(
                    Code::EffectBeforeEnd,
                    step.span,
                    message,
                    help,
                    (action.name.span, "this action"),
                );
            }
            Some(true) if place == last => {
                let message = format!("{} is only a step: the sequence has no effect", step.value);
                let help = format!("write what [action.{}] grants, or put an action with an effect last", step.value);
                findings.report_with(Code::NoEffect, step.span, message, help, (action.name.span, "this action"));
            }
            Some(_) | None => {}
        }
    }
}

/// The enabled users who may use all of the actions; nothing if that cannot be told.
fn walkers<'p>(actions: &[&Deed<'_>], people: &'p [Person<'_>]) -> Option<BTreeSet<&'p str>> {
    let mut walkers: BTreeSet<&str> =
        people.iter().filter(|person| person.enabled).map(|person| person.name.value).collect();
    for action in actions {
        if let Users::Only(names) = &action.users.as_ref()?.value {
            let names: HashSet<&str> = names.iter().map(|name| name.value).collect();
            walkers.retain(|name| names.contains(name));
        }
    }
    Some(walkers)
}

/// The names of the users that the action is for, unless it is for all.
fn named<'a, 't>(action: &'a Deed<'t>) -> impl Iterator<Item = Located<&'t str>> + use<'a, 't> {
    let names = match action.users.as_ref().map(|users| &users.value) {
        Some(Users::Only(names)) => names.as_slice(),
        Some(Users::All) | None => &[],
    };
    names.iter().copied()
}

/// Each value that was there before: its place, the first one's place, and the first one's name.
fn repeated<'t, T: Copy + Eq + Hash>(
    values: impl Iterator<Item = (&'t str, Located<T>)>,
) -> Vec<(Span, Span, &'t str)> {
    let mut seen: HashMap<T, (Span, &str)> = HashMap::new();
    let mut repeated = Vec::new();
    for (name, value) in values {
        match seen.get(&value.value) {
            Some((first, first_name)) => repeated.push((value.span, *first, *first_name)),
            None => {
                seen.insert(value.value, (value.span, name));
            }
        }
    }
    repeated
}

/// The least number from 1 that is not taken.
fn free_id(taken: impl Iterator<Item = u32>) -> u32 {
    let taken: HashSet<u32> = taken.collect();
    (1..).find(|id| !taken.contains(id)).unwrap_or(1)
}
