//! Sequences: of at least two actions that exist, that are in no other, and that somebody may go through to its end.
//! Never judges what the last one does.

use std::collections::HashMap;

use super::{Crowd, did_you_mean};
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
        if !people.is_empty() && can_be_walked(&known, people) == Some(false) {
            let message = format!("nobody may use every step of the sequence {}", path.name.value);
            let help = "let the `users` and `groups` of its actions have somebody in common";
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

/// Whether an enabled user may use all of the actions; nothing if that cannot be told.
fn can_be_walked(actions: &[&Deed<'_>], people: &[Person<'_>]) -> Option<bool> {
    let crowds = actions.iter().map(|action| action.askers.as_ref().map(Crowd::of)).collect::<Option<Vec<_>>>()?;
    Some(people.iter().any(|person| person.enabled && crowds.iter().all(|crowd| crowd.has(person))))
}
