//! The file that is handed to a user: what the settings say of this host and of that user. Never writes it.

use anyhow::Context as _;
use siglatch_common::enrolment::{ENROLMENT_VERSION, EnrolledAction, EnrolledGateKey, EnrolledUser, Enrolment};
use siglatch_common::seal::GateKey;
use siglatch_common::wire::Wire;
use zeroize::Zeroizing;

use crate::config::{KnockPort, Settings};
use crate::policy::{Action, ActionKind, SourceRule, User};

/// The text of that user's enrolment file; nothing if there is no such user.
///
/// It is for a port of that wire: without one for a stamped port, else for a sealed one, else for the first.
///
/// # Errors
/// If no port takes that wire.
pub(super) fn text(settings: &Settings, user: &str, wire: Option<Wire>) -> Option<anyhow::Result<Zeroizing<String>>> {
    let user = settings.policy.users().find(|found| found.name == user)?;
    Some(enrolment(settings, user, wire).and_then(|enrolment| written(&enrolment)))
}

fn written(enrolment: &Enrolment) -> anyhow::Result<Zeroizing<String>> {
    let toml = Zeroizing::new(toml::to_string_pretty(enrolment)?);
    let (user, gateway) = (&enrolment.user.name, &enrolment.gateway);
    Ok(Zeroizing::new(format!(
        "# {user} at {gateway}. Whoever has this file can knock as {user}: hand it over in private.\n\
         # On {user}'s machine: siglatch import {user}.siglatch\n\n{}",
        *toml
    )))
}

fn enrolment(settings: &Settings, user: &User, wire: Option<Wire>) -> anyhow::Result<Enrolment> {
    let Settings { policy, gateway, .. } = settings;
    let port = port(&settings.ports, wire)?;
    let key = settings.user_keys.iter().find(|(id, _)| *id == user.id);
    let (_, key) = key.with_context(|| format!("{} has no key", user.name))?;
    let hex = Zeroizing::new(key.to_hex_file());
    let gate_key = match port.wire {
        Wire::Stamped => Some(settings.gate_keys.newest().context("there is no gate key")?),
        Wire::Sealed | Wire::Clear => None,
    };
    let allowed = |action: &&Action| action.is_for(user);
    let sequences = policy.sequences().iter().filter_map(|sequence| {
        let steps =
            sequence.steps.iter().map(|step| policy.action(*step).filter(allowed).map(|step| step.name.clone()));
        Some((sequence.name.clone(), steps.collect::<Option<Vec<_>>>()?))
    });
    let actions = policy.actions().filter(allowed).map(|action| {
        let source = match &action.kind {
            ActionKind::Grant(rule) => Some(rule.source),
            ActionKind::Revoke(rule) => Some(rule.source),
            ActionKind::Step | ActionKind::Exec(_) | ActionKind::Builtin(_) => None,
        };
        let source = match source {
            Some(SourceRule::Match) => Some("match".to_owned()),
            Some(SourceRule::Claimed) => Some("claimed".to_owned()),
            Some(SourceRule::Packet) | None => None,
        };
        (action.name.clone(), EnrolledAction { id: action.id.0, source })
    });
    Ok(Enrolment {
        siglatch: ENROLMENT_VERSION,
        gateway: gateway.name.clone(),
        host: gateway.host.clone(),
        port: port.port,
        wire: port.wire.label().to_owned(),
        server_key: settings.server_key.public().to_pem(),
        gate_key: gate_key.map(|(number, key)| enrolled(number, key)),
        user: EnrolledUser {
            name: user.name.clone(),
            id: user.id.0,
            key: String::from_utf8_lossy(hex.trim_ascii()).into_owned(),
        },
        action: actions.collect(),
        sequence: sequences.collect(),
    })
}

fn port(ports: &[KnockPort], wire: Option<Wire>) -> anyhow::Result<&KnockPort> {
    let of = |wire: Wire| ports.iter().find(|port| port.wire == wire);
    let port = match wire {
        Some(wire) => of(wire),
        None => of(Wire::Stamped).or_else(|| of(Wire::Sealed)).or(ports.first()),
    };
    port.with_context(|| {
        let known = ports.iter().map(|port| format!("{} ({})", port.port, port.wire.label()));
        let known = known.collect::<Vec<_>>().join(", ");
        format!("no knock port is {}; there are: {known}", wire.map_or("there", Wire::label))
    })
}

fn enrolled(number: u8, key: &GateKey) -> EnrolledGateKey {
    let hex = Zeroizing::new(key.to_hex_file());
    EnrolledGateKey { number, key: String::from_utf8_lossy(hex.trim_ascii()).into_owned() }
}
