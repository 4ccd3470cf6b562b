//! `siglatch list`: every profile there is. Never lets a broken one hide the others.

use std::fmt;
use std::path::Path;

use serde::Serialize;
use siglatch_common::wire::Wire;

use super::load_profile;
use crate::edge::store::Store;
use crate::edge::terminal::Terminal;
use crate::failure::Failure;
use crate::gateway_name::GatewayName;
use crate::profile::Profile;

/// What is told of one profile. The keys of its JSON form are stable.
#[derive(Serialize)]
pub(super) struct Listed<'a> {
    gateway: &'a str,
    host: &'a str,
    port: u16,
    wire: &'static str,
    /// Its number, if the wire is stamped.
    gate_key: Option<u8>,
    user: &'a str,
    user_id: u16,
    actions: Vec<ListedAction<'a>>,
    sequences: Vec<ListedSequence<'a>>,
    path: String,
}

#[derive(Serialize)]
struct ListedAction<'a> {
    name: &'a str,
    id: u8,
    source: &'static str,
}

#[derive(Serialize)]
struct ListedSequence<'a> {
    name: &'a str,
    steps: &'a [String],
}

#[derive(Serialize)]
struct ProfileLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    listed: &'a Listed<'a>,
}

/// How the profiles are.
pub(super) enum Health {
    Sound,
    SomeBroken,
}

pub(super) fn run(terminal: Terminal) -> Result<Health, Failure> {
    let store = Store::of_user()?;
    let names = store.names()?;
    if names.is_empty() {
        terminal.remark(format_args!(
            "no profiles in {}; import the file that a gateway's operator gave you: siglatch import FILE",
            store.folder().display()
        ));
    }
    let mut health = Health::Sound;
    for name in names {
        let loaded = name.and_then(|name| load_profile(&name, &store).map(|profile| (name, profile)));
        match loaded {
            Ok((name, profile)) => {
                let listed = Listed::new(&name, &profile, &store.path(&name));
                terminal.say(&listed, &ProfileLine { event: "profile", listed: &listed })?;
            }
            Err(failure) => {
                terminal.complain(&failure);
                health = Health::SomeBroken;
            }
        }
    }
    Ok(health)
}

impl<'a> Listed<'a> {
    pub(super) fn new(name: &'a GatewayName, profile: &'a Profile, path: &Path) -> Self {
        let action = |(name, action): (&'a String, &crate::profile::Action)| ListedAction {
            name,
            id: action.id.0,
            source: action.source.label(),
        };
        let sequence = |(name, steps): (&'a String, &'a Vec<String>)| ListedSequence { name, steps };
        Self {
            gateway: name.as_str(),
            host: &profile.host,
            port: profile.port,
            wire: Wire::label(profile.keys.wire()),
            gate_key: profile.keys.gate_key(),
            user: &profile.user.name,
            user_id: profile.user.id.0,
            actions: profile.actions.iter().map(action).collect(),
            sequences: profile.sequences.iter().map(sequence).collect(),
            path: path.display().to_string(),
        }
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, host, port, wire, user, user_id, .. } = self;
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { (*host).to_owned() };
        let gate_key = self.gate_key.map(|number| format!(" (gate key {number})")).unwrap_or_default();
        write!(f, "{gateway}: {host}:{port}, {wire}{gate_key}, as {user} (user {user_id})")?;
        if !self.actions.is_empty() {
            let names: Vec<_> = self.actions.iter().map(|action| action.name).collect();
            write!(f, "\n  actions    {}", names.join(", "))?;
        }
        for (index, sequence) in self.sequences.iter().enumerate() {
            let label = if index == 0 { "sequences" } else { "" };
            write!(f, "\n  {label:<9}  {}: {}", sequence.name, sequence.steps.join(" → "))?;
        }
        Ok(())
    }
}
