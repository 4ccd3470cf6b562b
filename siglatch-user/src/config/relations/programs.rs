//! What actions say of each other: programs that undo or follow a failure, and what is revoked. Never judges a program.

use std::collections::{HashMap, HashSet};

use super::did_you_mean;
use crate::config::deeds::{Deed, Exec, Work};
use crate::config::finding::{Code, Findings};
use crate::config::section::Located;

/// Each name is an action's of a kind that fits; each program is started by something, and by no circle; and together
/// they are as many as may run at once.
pub(in crate::config) fn programs(actions: &[Deed<'_>], at_once: Located<usize>, findings: &mut Findings) {
    let by_name: HashMap<&str, &Deed<'_>> = actions.iter().map(|action| (action.name.value, action)).collect();
    let too_many = too_many(actions, findings);
    for action in actions {
        match &action.work {
            Some(Work::Grant(grant)) => runs(grant.undo, "undo", &by_name, findings),
            Some(Work::Exec(exec)) => {
                runs(exec.undo, "undo", &by_name, findings);
                runs(exec.on_failure, "on_failure", &by_name, findings);
                if !too_many {
                    circle(action, &by_name, findings);
                }
            }
            Some(Work::Revoke(revoke)) => {
                for name in &revoke.actions {
                    revoked(*name, &by_name, findings);
                }
            }
            Some(Work::Step | Work::Builtin(_)) | None => {}
        }
    }
    unused(actions, findings);
    more_than_all(actions, at_once, findings);
}

/// The name under `key`, if there is one, is a program's.
fn runs(name: Option<Located<&str>>, key: &str, by_name: &HashMap<&str, &Deed<'_>>, findings: &mut Findings) {
    let Some(name) = name else { return };
    let Some(action) = by_name.get(name.value) else {
        let programs = by_name.values().filter(|action| is_program(action)).map(|action| action.name.value);
        let shown = name.value.escape_debug();
        let otherwise = format!("write [action.{shown}] with exec = [\"/path/to/program\"], or name another action");
        let help = did_you_mean(name.value, programs, otherwise);
        findings.report(Code::UnknownAction, name.span, format!("there is no action \"{shown}\""), help);
        return;
    };
    if action.work.is_some() && !is_program(action) {
        let message = format!("`{key}` starts a program, and {} is none", name.value);
        let help = "name an action with `exec`";
        findings.report_with(Code::WrongKind, name.span, message, help, (action.name.span, "this action"));
    }
}

/// What is revoked can be: it opened something, or its program can be undone.
fn revoked(name: Located<&str>, by_name: &HashMap<&str, &Deed<'_>>, findings: &mut Findings) {
    let is_revocable = |action: &Deed<'_>| match &action.work {
        Some(Work::Grant(_)) | None => true,
        Some(Work::Exec(exec)) => exec.undo.is_some() && action.is_public,
        Some(Work::Step | Work::Revoke(_) | Work::Builtin(_)) => false,
    };
    let Some(action) = by_name.get(name.value) else {
        let known = by_name.values().filter(|action| is_revocable(action)).map(|action| action.name.value);
        let help = did_you_mean(name.value, known, "name an action with `grant`, or with `exec` and `undo`");
        let message = format!("there is no action \"{}\"", name.value.escape_debug());
        findings.report(Code::UnknownAction, name.span, message, help);
        return;
    };
    if !is_revocable(action) {
        let message =
            format!("there is nothing to take back of {}: it opens nothing, and nothing undoes it", name.value);
        let help = "name an action with `grant`, or with `exec` and `undo`";
        findings.report_with(Code::WrongKind, name.span, message, help, (action.name.span, "this action"));
    }
}

/// Reports a program that its own failure would start; of a circle of several, the one that stands first.
fn circle(action: &Deed<'_>, by_name: &HashMap<&str, &Deed<'_>>, findings: &mut Findings) {
    let Some(first) = program(action).and_then(|program| program.on_failure) else { return };
    let mut chain = vec![action.name.value];
    let mut next = Some(first);
    while let Some(name) = next {
        if name.value == action.name.value {
            chain.push(name.value);
            let message = format!("these would start each other for ever: {}", chain.join(" → "));
            let help = "let the last one of them be without `on_failure`";
            findings.report(Code::FailureCircle, first.span, message, help);
            return;
        }
        let Some(follower) = by_name.get(name.value) else { return };
        // It leads into a circle that it is no part of, or that one before it has told of.
        if chain.len() > by_name.len() || follower.name.span < action.name.span {
            return;
        }
        chain.push(name.value);
        next = program(follower).and_then(|program| program.on_failure);
    }
}

/// Programs that no knock can ask for, and that no action names.
fn unused(actions: &[Deed<'_>], findings: &mut Findings) {
    let named: HashSet<&str> = actions.iter().flat_map(|action| started_by(action)).map(|name| name.value).collect();
    let is_unused = |action: &&Deed<'_>| !action.is_public && !named.contains(action.name.value);
    for action in actions.iter().filter(is_unused) {
        let message = format!("nothing starts the program {}", action.name.value.escape_debug());
        let help = "write id and users, so that knocks can ask for it; or name it as `undo` or `on_failure`";
        findings.report(Code::UnusedProgram, action.name.span, message, help);
    }
}

/// A program cannot run more often at once than all of them together.
fn more_than_all(actions: &[Deed<'_>], at_once: Located<usize>, findings: &mut Findings) {
    for own in actions.iter().filter_map(|action| program(action)?.at_once) {
        if own.value.get() > at_once.value {
            let message =
                format!("it never runs {} times at once: all programs together run {}", own.value, at_once.value);
            let help = format!("write at_once = {} in [exec], or less here", own.value);
            findings.report(Code::AtOnceOverAll, own.span, message, help);
        }
    }
}

/// Whether there are more programs than a machine should start.
fn too_many(actions: &[Deed<'_>], findings: &mut Findings) -> bool {
    let extra = actions.iter().filter(|action| is_program(action)).nth(MOST_PROGRAMS);
    if let Some(extra) = extra {
        let message = format!("there are more than {MOST_PROGRAMS} programs");
        let help = "let one program do the work of several: it is told which action it runs for";
        findings.report(Code::OutOfRange, extra.name.span, message, help);
    }
    extra.is_some()
}

fn program<'a, 't>(action: &'a Deed<'t>) -> Option<&'a Exec<'t>> {
    match &action.work {
        Some(Work::Exec(exec)) => Some(exec),
        Some(Work::Step | Work::Grant(_) | Work::Revoke(_) | Work::Builtin(_)) | None => None,
    }
}

fn is_program(action: &Deed<'_>) -> bool {
    program(action).is_some()
}

/// The programs that the action names.
fn started_by<'t>(action: &Deed<'t>) -> impl Iterator<Item = Located<&'t str>> + use<'t> {
    let names = match &action.work {
        Some(Work::Grant(grant)) => [grant.undo, None],
        Some(Work::Exec(exec)) => [exec.undo, exec.on_failure],
        Some(Work::Step | Work::Revoke(_) | Work::Builtin(_)) | None => [None, None],
    };
    names.into_iter().flatten()
}

/// Far below what a program's number holds.
const MOST_PROGRAMS: usize = 1_024;
