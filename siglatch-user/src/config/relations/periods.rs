//! Users and actions whose time is over. Never asks what time it is.

use siglatch_common::units::Wall;

use crate::config::deeds::Deed;
use crate::config::finding::{Code, Findings};
use crate::config::people::Person;

/// Reports enabled users and actions that no knock is admitted for any more.
pub(in crate::config) fn periods(
    people: &[Person<'_>],
    actions: &[Deed<'_>],
    now: Option<Wall>,
    findings: &mut Findings,
) {
    let Some(now) = now else { return };
    for person in people.iter().filter(|person| person.enabled && person.period.is_over(now)) {
        let message = format!("the time of {} is over: no knock of theirs is admitted", person.name.value);
        let help = "write a later `not_after`, or take the user out";
        findings.report(Code::Expired, person.name.span, message, help);
    }
    for action in actions.iter().filter(|action| action.period.is_over(now)) {
        let message = format!("the time of {} is over: nobody is admitted to it", action.name.value.escape_debug());
        let help = "write a later `not_after`, or take the action out";
        findings.report(Code::Expired, action.name.span, message, help);
    }
}
