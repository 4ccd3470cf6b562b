//! Where users may knock from, and where actions may be asked for: they must meet somewhere. Never knows where anybody is.

use siglatch_common::address::Network;

use super::Crowd;
use crate::config::deeds::Deed;
use crate::config::finding::{Code, Findings};
use crate::config::people::Person;
use crate::config::terms::holds;

/// Reports actions that none of their users can ask for from where they may knock, and users of whom that is true of
/// every action.
pub(in crate::config) fn networks(people: &[Person<'_>], actions: &[Deed<'_>], findings: &mut Findings) {
    let Some(crowds) = crowds(actions) else { return };
    let is_bound = people.iter().any(|person| !person.networks.is_empty());
    if !is_bound {
        return;
    }
    let mut is_reported = false;
    for (action, crowd) in crowds.iter().filter(|(action, _)| !action.networks.is_empty()) {
        let mut users = people.iter().filter(|person| person.enabled && crowd.has(person)).peekable();
        if users.peek().is_some() && !users.any(|person| meet(&person.networks, &action.networks)) {
            is_reported = true;
            let message = format!("none of its users may knock from where {} may be asked for", action.name.value);
            let help = "let its `networks` and those of a user have an address in common";
            findings.report(Code::NoCommonNetwork, action.name.span, message, help);
        }
    }
    // Of one user and one action, one word is enough.
    for person in people.iter().filter(|person| person.enabled && !person.networks.is_empty() && !is_reported) {
        let mut open = crowds.iter().filter(|(_, crowd)| crowd.has(person)).peekable();
        if open.peek().is_some() && !open.any(|(action, _)| meet(&person.networks, &action.networks)) {
            let message = format!("no action may be asked for from where {} may knock", person.name.value);
            let help = "let the user's `networks` and those of an action have an address in common";
            findings.report(Code::NoCommonNetwork, person.name.span, message, help);
        }
    }
}

/// The networks that lie in both lists; an empty list is everywhere. Nothing: there is no such network.
pub(super) fn common(some: &[Network], others: &[Network]) -> Option<Vec<Network>> {
    if some.is_empty() || others.is_empty() {
        return Some([some, others].concat());
    }
    let both = |a: Network, b: Network| if holds(a, b) { Some(b) } else { holds(b, a).then_some(a) };
    let common: Vec<_> = some.iter().flat_map(|a| others.iter().filter_map(|b| both(*a, *b))).collect();
    (!common.is_empty()).then_some(common)
}

fn meet(some: &[Network], others: &[Network]) -> bool {
    let touch = |a: &Network| others.iter().any(|b| holds(*a, *b) || holds(*b, *a));
    some.is_empty() || others.is_empty() || some.iter().any(touch)
}

/// Each action that knocks can ask for, with whom it is for; nothing if that was not understood of one.
fn crowds<'a, 't>(actions: &'a [Deed<'t>]) -> Option<Vec<(&'a Deed<'t>, Crowd<'t>)>> {
    let public = actions.iter().filter(|action| action.is_public);
    public.map(|action| Some((action, Crowd::of(action.askers.as_ref()?)))).collect()
}
