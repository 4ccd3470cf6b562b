//! `siglatch knock`: one action. Never more than one datagram.

use siglatch_common::wire::v1::ActionId;

use super::delivery::{self, Step};
use super::{load_profile, sender_of_key_files, sender_of_profile};
use crate::cli::{KnockRequest, SendArgs};
use crate::edge::store::Store;
use crate::edge::terminal::Terminal;
use crate::failure::Failure;
use crate::gap::Gap;
use crate::gateway_name::GatewayName;
use crate::profile::{Profile, SourceRule};

pub(super) fn run(request: &KnockRequest<'_>, sending: &SendArgs, terminal: Terminal) -> Result<(), Failure> {
    let (sender, step) = match request {
        KnockRequest::Profile { gateway, action } => {
            let profile = load_profile(gateway, &Store::of_user()?)?;
            (sender_of_profile(gateway, &profile, sending), named(action, gateway, &profile)?)
        }
        KnockRequest::KeyFiles { files, action } => (sender_of_key_files(files, sending)?, numbered(*action)),
    };
    delivery::deliver(&[step], &sender, sending, Gap::default(), terminal)
}

/// An action of a profile.
///
/// # Errors
/// [`Failure::NoAction`] if there is none of that name.
pub(super) fn named(name: &str, gateway: &GatewayName, profile: &Profile) -> Result<Step, Failure> {
    match profile.actions.get(name) {
        Some(action) => Ok(Step { name: Some(name.to_owned()), id: action.id, source: action.source }),
        None => Err(Failure::NoAction {
            gateway: gateway.clone(),
            action: name.to_owned(),
            known: profile.actions.keys().cloned().collect(),
        }),
    }
}

/// An action of which only the number is known.
pub(super) const fn numbered(id: ActionId) -> Step {
    Step { name: None, id, source: SourceRule::Packet }
}
