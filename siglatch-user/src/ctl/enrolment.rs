//! The file that is handed to a user: what the settings say of this host and of that user. Never writes it.

use siglatch_common::enrolment::{ENROLMENT_VERSION, EnrolledAction, EnrolledUser, Enrolment};
use siglatch_common::wire::Wire;
use zeroize::{Zeroize as _, Zeroizing};

use crate::config::Settings;
use crate::policy::{Action, ActionKind, SourceRule};

/// The text of that user's enrolment file; nothing if there is no such user.
pub(super) fn text(settings: &Settings, user: &str) -> Option<anyhow::Result<Zeroizing<String>>> {
    let mut enrolment = enrolment(settings, user)?;
    let toml = toml::to_string_pretty(&enrolment).map(Zeroizing::new);
    enrolment.user.key.zeroize();
    Some(toml.map_err(anyhow::Error::from).map(|toml| {
        let (user, gateway) = (&enrolment.user.name, &enrolment.gateway);
        Zeroizing::new(format!(
            "# {user} at {gateway}. Whoever has this file can knock as {user}: hand it over in private.\n\
             # On {user}'s machine: siglatch import {user}.siglatch\n\n{}",
            *toml
        ))
    }))
}

fn enrolment(settings: &Settings, name: &str) -> Option<Enrolment> {
    let Settings { policy, ports, gateway, .. } = settings;
    let user = policy.users().find(|user| user.name == name)?;
    let (_, key) = settings.user_keys.iter().find(|(id, _)| *id == user.id)?;
    let hex = Zeroizing::new(key.to_hex_file());
    let port = ports.iter().find(|port| port.wire == Wire::Sealed).or(ports.first())?;
    let allowed = |action: &&Action| action.allowed.allows(user.id);
    let sequences = policy.sequences().iter().filter_map(|sequence| {
        let steps =
            sequence.steps.iter().map(|step| policy.action(*step).filter(allowed).map(|step| step.name.clone()));
        Some((sequence.name.clone(), steps.collect::<Option<Vec<_>>>()?))
    });
    let actions = policy.actions().filter(allowed).map(|action| {
        let source = match &action.kind {
            ActionKind::Step => None,
            ActionKind::Grant(rule) => match rule.source {
                SourceRule::Packet => None,
                SourceRule::Match => Some("match".to_owned()),
                SourceRule::Claimed => Some("claimed".to_owned()),
            },
        };
        (action.name.clone(), EnrolledAction { id: action.id.0, source })
    });
    Some(Enrolment {
        siglatch: ENROLMENT_VERSION,
        gateway: gateway.name.clone(),
        host: gateway.host.clone(),
        port: port.port,
        wire: port.wire.label().to_owned(),
        server_key: settings.server_key.public().to_pem(),
        gate_key: None,
        user: EnrolledUser {
            name: user.name.clone(),
            id: user.id.0,
            key: String::from_utf8_lossy(hex.trim_ascii()).into_owned(),
        },
        action: actions.collect(),
        sequence: sequences.collect(),
    })
}
