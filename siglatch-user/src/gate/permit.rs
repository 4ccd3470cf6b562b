//! Rung 4: what policy lets this user do, from here, now.

use siglatch_common::address::Address;
use siglatch_common::units::Wall;

use super::deed::{Deed, read, within};
use super::step::Stepped;
use super::{Outcome, Refusal};
use crate::policy::{Action, ActionKind, Policy, User};

/// A knock that policy allows.
#[derive(Debug)]
pub(super) struct Permitted<'a> {
    pub(super) user: &'a User,
    pub(super) action: &'a Action,
    /// What it asks for; nothing for a step before the last.
    pub(super) deed: Option<Deed<'a>>,
    _proof: (),
}

/// Asks every rule that the policy alone can answer.
///
/// # Errors
/// The refusal of the first rule that does not hold.
pub(super) fn permit<'a>(
    stepped: &Stepped,
    from: Address,
    policy: &'a Policy,
    now: Wall,
) -> Result<Permitted<'a>, Refusal> {
    let action = policy.action(stepped.action).ok_or(Refusal::UnknownAction)?;
    let user = policy.user(stepped.user).ok_or(Refusal::NotAllowed)?;
    check_user(user, from, now)?;
    if !action.allowed.allows(user.id) {
        return Err(Refusal::NotAllowed);
    }
    if matches!(action.kind, ActionKind::Builtin(_)) && !user.admin {
        return Err(Refusal::NotAdmin);
    }
    if policy.action_off(action.id).is_some() {
        return Err(Refusal::DisabledAction);
    }
    check_action(action, from, now)?;
    let deed = match stepped.outcome {
        Outcome::Step { .. } => None,
        Outcome::Done => Some(read(stepped.payload.as_bytes(), from, (user, action), policy)?),
    };
    Ok(Permitted { user, action, deed, _proof: () })
}

fn check_user(user: &User, from: Address, now: Wall) -> Result<(), Refusal> {
    if !user.period.has_begun(now) {
        return Err(Refusal::UserEarly);
    }
    if user.period.is_over(now) {
        return Err(Refusal::UserExpired);
    }
    if !within(&user.networks, from) {
        return Err(Refusal::UserNetwork);
    }
    Ok(())
}

fn check_action(action: &Action, from: Address, now: Wall) -> Result<(), Refusal> {
    if !within(&action.networks, from) {
        return Err(Refusal::ActionNetwork);
    }
    if !action.period.has_begun(now) {
        return Err(Refusal::ActionEarly);
    }
    if action.period.is_over(now) {
        return Err(Refusal::ActionExpired);
    }
    if action.hours.as_ref().is_some_and(|hours| !hours.contain(now)) {
        return Err(Refusal::ActionHours);
    }
    Ok(())
}
