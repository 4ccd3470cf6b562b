//! Rung 4: what policy lets this user do, from here, now.

use std::time::Duration;

use siglatch_common::address::{Address, Network};
use siglatch_common::units::Wall;

use super::step::Stepped;
use super::words::Words;
use super::{Admission, Knock, Outcome, Refusal};
use crate::policy::{Action, ActionKind, GrantRule, Policy, Service, SourceRule, User};

/// A knock that policy allows.
#[derive(Debug)]
pub(super) struct Permitted<'a> {
    pub(super) admission: Admission,
    /// What to open; nothing for a step.
    pub(super) opening: Option<Opening<'a>>,
    _proof: (),
}

/// What an action opens.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) source: Address,
    pub(super) services: &'a [Service],
    pub(super) ttl: Duration,
    pub(super) user: &'a User,
    pub(super) action: &'a Action,
}

/// Asks every rule.
///
/// # Errors
/// The refusal of the first rule that does not hold.
pub(super) fn permit<'a>(
    stepped: &Stepped,
    knock: Knock,
    from: Address,
    policy: &'a Policy,
    now: Wall,
) -> Result<Permitted<'a>, Refusal> {
    let action = policy.action(stepped.action).ok_or(Refusal::UnknownAction)?;
    let user = policy.user(stepped.user).ok_or(Refusal::NotAllowed)?;
    if user.period.is_over(now) {
        return Err(Refusal::UserExpired);
    }
    if !within(&user.networks, from) {
        return Err(Refusal::UserNetwork);
    }
    if !action.allowed.allows(user.id) {
        return Err(Refusal::NotAllowed);
    }
    if !within(&action.networks, from) {
        return Err(Refusal::ActionNetwork);
    }
    let admission = Admission { knock, outcome: stepped.outcome, dry_run: action.dry_run };
    let opening = match (&action.kind, stepped.outcome) {
        (ActionKind::Step | ActionKind::Revoke(_) | ActionKind::Exec(_) | ActionKind::Builtin(_), _)
        | (ActionKind::Grant(_), Outcome::Step { .. }) => None,
        (ActionKind::Grant(rule), Outcome::Done) => Some(opening(rule, stepped, from, user, action)?),
    };
    Ok(Permitted { admission, opening, _proof: () })
}

fn opening<'a>(
    rule: &'a GrantRule,
    stepped: &Stepped,
    from: Address,
    user: &'a User,
    action: &'a Action,
) -> Result<Opening<'a>, Refusal> {
    let words = Words::read(stepped.payload.as_bytes())?;
    let source = match rule.source {
        SourceRule::Packet => match words.source {
            Some(named) if named != from => return Err(Refusal::SourceMismatch),
            Some(_) | None => from,
        },
        SourceRule::Match => match words.source {
            Some(named) if named == from => from,
            Some(_) => return Err(Refusal::SourceMismatch),
            None => return Err(Refusal::SourceMissing),
        },
        SourceRule::Claimed => words.source.ok_or(Refusal::SourceMissing)?,
    };
    if !within(&user.networks, source) {
        return Err(Refusal::UserNetwork);
    }
    if !within(&action.networks, source) {
        return Err(Refusal::ActionNetwork);
    }
    // Nobody can be told that a time is too long: whoever asks for more than the longest gets the longest.
    let ttl = words.ttl.unwrap_or(rule.ttl).min(rule.max_ttl);
    Ok(Opening { source, services: &rule.services, ttl, user, action })
}

fn within(networks: &[Network], address: Address) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(address))
}
