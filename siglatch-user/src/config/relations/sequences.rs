//! Sequences: of at least two actions that exist, that are in no other, and that somebody may go through to its end.
//! Never judges what the last one does.

use std::collections::HashMap;
use std::time::Duration;

use super::{Crowd, did_you_mean, networks};
use crate::config::deeds::{Deed, Work};
use crate::config::finding::{Code, Findings, Span};
use crate::config::paths::Path;
use crate::config::people::Person;
use crate::config::section::Located;

/// Sequences: of at least two actions that exist, that are in no other, and that somebody may go through to its end.
pub(in crate::config) fn sequences(
    paths: &[Path<'_>],
    actions: &[Deed<'_>],
    people: &[Person<'_>],
    findings: &mut Findings,
) {
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
        if let Some((why, help)) = obstacle(&known, path.within, people).filter(|_| !people.is_empty()) {
            let message = format!("{why} the sequence {}", path.name.value);
            findings.report(Code::UnusableSequence, path.span(), message, help);
        }
    }
    for action in actions {
        if matches!(action.work, Some(Work::Step)) && !homes.contains_key(action.name.value) {
            let message =
                format!("the step {} is in no sequence: it sets nothing off", action.name.value.escape_debug());
            let help = "name it in the `steps` of a sequence, or take it out";
            findings.report(Code::OrphanStep, action.name.span, message, help);
        }
    }
}

fn unknown_step<'a>(step: Located<&str>, known: impl Iterator<Item = &'a str>, findings: &mut Findings) {
    let otherwise =
        format!("write [action.{}] with kind = \"step\", or name another action", step.value.escape_debug());
    let help = did_you_mean(step.value, known, otherwise);
    let message = format!("there is no action \"{}\"", step.value.escape_debug());
    findings.report(Code::UnknownAction, step.span, message, help);
}

/// Steps first, and something with an effect last.
fn effects(steps: &[Located<&str>], actions: &[&Deed<'_>], findings: &mut Findings) {
    let last = actions.len() - 1;
    for (place, (step, action)) in steps.iter().zip(actions).enumerate() {
        let note = (action.name.span, "this action");
        match &action.work {
            Some(Work::Exec(_)) if !action.is_public => {
                let message = format!("{} has no id: no knock can ask for it", step.value);
                let help = format!("write id and users in [action.{}], or name another action", step.value);
                findings.report_with(Code::WrongKind, step.span, message, help, note);
            }
            Some(Work::Grant(_) | Work::Revoke(_) | Work::Exec(_) | Work::Builtin(_)) if place < last => {
                let message = format!("{} has an effect, but it comes only to a sequence's last step", step.value);
                let help = format!("write kind = \"step\" in [action.{}], or put it last", step.value);
                findings.report_with(Code::EffectBeforeEnd, step.span, message, help, note);
            }
            Some(Work::Step) if place == last => {
                let message = format!("{} is only a step: the sequence has no effect", step.value);
                let help = format!(
                    "write what [action.{}] grants or starts, or put an action with an effect last",
                    step.value
                );
                findings.report_with(Code::NoEffect, step.span, message, help, note);
            }
            Some(Work::Step | Work::Grant(_) | Work::Revoke(_) | Work::Exec(_) | Work::Builtin(_)) | None => {}
        }
    }
}

/// Why no enabled user can go through all of the actions, in words behind the sequence's name; nothing if somebody can,
/// or if that cannot be told.
fn obstacle(actions: &[&Deed<'_>], within: Duration, people: &[Person<'_>]) -> Option<(&'static str, &'static str)> {
    let crowds = actions.iter().map(|action| action.askers.as_ref().map(Crowd::of)).collect::<Option<Vec<_>>>()?;
    let is_for_admins = actions.iter().any(|action| matches!(action.work, Some(Work::Builtin(_))));
    let may = |person: &&Person<'_>| {
        person.enabled && (person.admin || !is_for_admins) && crowds.iter().all(|crowd| crowd.has(person))
    };
    let mut walkers = people.iter().filter(may).peekable();
    if walkers.peek().is_none() {
        let help = match is_for_admins {
            true => "let the `users` and `groups` of its actions have an admin in common",
            false => "let the `users` and `groups` of its actions have somebody in common",
        };
        return Some(("nobody may use every step of", help));
    }
    // All knocks come from one address.
    let place = actions.iter().try_fold(Vec::new(), |place, action| networks::common(&place, &action.networks));
    if place.is_none_or(|place| !walkers.any(|person| networks::common(&place, &person.networks).is_some())) {
        let help = "let the `networks` of its actions and of a user have an address in common";
        return Some(("there is no place from where every step may be asked for of", help));
    }
    let help = "let the `hours`, `not_before` and `not_after` of its actions allow one step after the other";
    (!is_in_time(actions, within)).then_some(("there is no time at which every step may be asked for of", help))
}

/// Whether each step may be asked for at some time after the one before, soon enough.
fn is_in_time(actions: &[&Deed<'_>], within: Duration) -> bool {
    let begins = actions.iter().filter_map(|action| action.period.not_before);
    let ends = actions.iter().filter_map(|action| action.period.not_after);
    if let (Some(begin), Some(end)) = (begins.max(), ends.min())
        && begin.as_secs() >= end.as_secs().saturating_add(within.as_secs())
    {
        return false;
    }
    let hours: Vec<_> = actions.iter().filter_map(|action| action.hours.as_ref()).collect();
    let minutes = usize::try_from(within.as_secs().div_ceil(60)).unwrap_or(WEEK) + CLOCK_CHANGE;
    let mut reached = vec![true; WEEK];
    for hours in hours {
        let mut next = vec![false; WEEK];
        // How many minutes ago the step before was possible; the week is gone through twice, as it has no first minute.
        let mut ago = usize::MAX;
        for minute in (0..WEEK).chain(0..WEEK) {
            ago = if reached[minute] { 0 } else { ago.saturating_add(1) };
            next[minute] = ago <= minutes && hours.spans.iter().any(|span| span.holds_minute(minute));
        }
        reached = next;
    }
    reached.contains(&true)
}

/// Minutes in a week.
const WEEK: usize = 7 * 24 * 60;

/// What a clock may jump by, in minutes, when summer time begins.
const CLOCK_CHANGE: usize = 60;
