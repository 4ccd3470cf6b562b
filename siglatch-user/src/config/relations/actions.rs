//! Actions: each with an id of its own, and with somebody who may use it. Never judges what they do.

use std::collections::HashMap;

use super::{free_id, named, repeated};
use crate::config::deeds::{Deed, Users};
use crate::config::finding::{Code, Findings};
use crate::config::nearest::nearest;
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
