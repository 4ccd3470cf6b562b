//! `siglatch sequence`: several actions in order. Never goes on after a step that was not sent.

use super::delivery::{self, Step};
use super::{knock, load_profile, sender_of_key_files, sender_of_profile};
use crate::cli::{SequenceArgs, SequenceRequest};
use crate::edge::store::Store;
use crate::edge::terminal::Terminal;
use crate::failure::Failure;
use crate::gateway_name::GatewayName;
use crate::profile::Profile;

pub(super) fn run(request: &SequenceRequest<'_>, args: &SequenceArgs, terminal: Terminal) -> Result<(), Failure> {
    let (sender, steps) = match request {
        SequenceRequest::Profile { gateway, sequence } => {
            let profile = load_profile(gateway, &Store::of_user()?)?;
            let actions = profile.sequences.get(*sequence).ok_or_else(|| Failure::NoSequence {
                gateway: (*gateway).clone(),
                sequence: (*sequence).to_owned(),
                known: profile.sequences.keys().cloned().collect(),
            })?;
            (sender_of_profile(gateway, &profile, &args.sending), steps(actions, gateway, &profile)?)
        }
        SequenceRequest::Steps { gateway, actions } => {
            let profile = load_profile(gateway, &Store::of_user()?)?;
            (sender_of_profile(gateway, &profile, &args.sending), steps(actions, gateway, &profile)?)
        }
        SequenceRequest::KeyFiles { files, actions } => {
            (sender_of_key_files(files, &args.sending)?, actions.iter().copied().map(knock::numbered).collect())
        }
    };
    delivery::deliver(&steps, &sender, &args.sending, args.gap, terminal)
}

fn steps(actions: &[String], gateway: &GatewayName, profile: &Profile) -> Result<Vec<Step>, Failure> {
    actions.iter().map(|action| knock::named(action, gateway, profile)).collect()
}
