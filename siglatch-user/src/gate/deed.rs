//! Rung 5: what a knock that policy allows asks for, by its payload. Never does it.

use std::collections::BTreeSet;
use std::time::Duration;

use siglatch_common::address::{Address, Network};

use super::words::Words;
use super::{GrantKey, Refusal};
use crate::policy::{
    Action, ActionKind, Builtin, ExecRule, GrantRule, PayloadRule, Policy, RevokeRule, SourceRule, User,
};

/// What an action does for a knock.
#[derive(Debug)]
pub(super) enum Deed<'a> {
    /// Nothing.
    Nothing,
    /// It opens services.
    Open(Opening<'a>),
    /// It ends what others have done for the same user and address.
    Close(Closing<'a>),
    /// It starts a program.
    Run(&'a ExecRule),
    /// It asks the daemon for something.
    Builtin(Builtin),
}

/// What an action opens.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) source: Address,
    pub(super) keys: Vec<GrantKey>,
    pub(super) ttl: Duration,
    pub(super) rule: &'a GrantRule,
}

/// What an action ends.
#[derive(Debug)]
pub(super) struct Closing<'a> {
    pub(super) source: Address,
    /// Names of actions.
    pub(super) actions: BTreeSet<&'a str>,
}

/// Asks the rules about payload and source.
///
/// # Errors
/// The refusal of the first rule that does not hold.
pub(super) fn read<'a>(
    payload: &[u8],
    from: Address,
    (user, action): (&User, &'a Action),
    policy: &'a Policy,
) -> Result<Deed<'a>, Refusal> {
    let place = |words: Words, rule| {
        let source = source(words, rule, from)?;
        check_networks(source, user, action)?;
        Ok(source)
    };
    let deed = match &action.kind {
        ActionKind::Step => Deed::Nothing,
        ActionKind::Grant(rule) => {
            let words = Words::read(payload)?;
            let source = place(words, rule.source)?;
            // Nobody can be told that a time is too long: whoever asks for more than the longest gets the longest.
            let ttl = words.ttl.unwrap_or(rule.ttl).min(rule.max_ttl);
            Deed::Open(Opening { source, keys: keys(rule, source)?, ttl, rule })
        }
        ActionKind::Revoke(rule) => {
            let words = Words::read(payload)?;
            if words.ttl.is_some() {
                return Err(Refusal::BadPayload);
            }
            Deed::Close(Closing { source: place(words, rule.source)?, actions: names(rule, policy) })
        }
        ActionKind::Exec(rule) => {
            check_payload(payload, &rule.payload)?;
            Deed::Run(rule)
        }
        ActionKind::Builtin(builtin) => Deed::Builtin(*builtin),
    };
    Ok(deed)
}

/// Makes sure that user and action may be where an address is.
///
/// # Errors
/// [`Refusal::UserNetwork`] or [`Refusal::ActionNetwork`].
fn check_networks(source: Address, user: &User, action: &Action) -> Result<(), Refusal> {
    if !within(&user.networks, source) {
        return Err(Refusal::UserNetwork);
    }
    if !within(&action.networks, source) {
        return Err(Refusal::ActionNetwork);
    }
    Ok(())
}

/// Whether an address is in one of the networks; no networks: anywhere.
pub(super) fn within(networks: &[Network], address: Address) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(address))
}

fn source(words: Words, rule: SourceRule, from: Address) -> Result<Address, Refusal> {
    match rule {
        SourceRule::Packet => match words.source {
            Some(named) if named != from => Err(Refusal::SourceMismatch),
            Some(_) | None => Ok(from),
        },
        SourceRule::Match => match words.source {
            Some(named) if named == from => Ok(from),
            Some(_) => Err(Refusal::SourceMismatch),
            None => Err(Refusal::SourceMissing),
        },
        SourceRule::Claimed => words.source.ok_or(Refusal::SourceMissing),
    }
}

/// One grant for each service, on each host of the source's IP version.
fn keys(rule: &GrantRule, source: Address) -> Result<Vec<GrantKey>, Refusal> {
    let there = rule.destinations.iter().filter(|host| host.is_v4() == source.is_v4());
    let mut hosts: Vec<_> = there.copied().map(Some).collect();
    if rule.destinations.is_empty() {
        hosts.push(None);
    }
    if hosts.is_empty() {
        return Err(Refusal::NoDestination);
    }
    let of_host = |destination| rule.services.iter().map(move |&service| GrantKey { source, destination, service });
    Ok(hosts.into_iter().flat_map(of_host).collect())
}

fn names<'a>(rule: &RevokeRule, policy: &'a Policy) -> BTreeSet<&'a str> {
    rule.actions.iter().filter_map(|id| policy.action(*id)).map(|action| action.name.as_str()).collect()
}

fn check_payload(payload: &[u8], rule: &PayloadRule) -> Result<(), Refusal> {
    if rule.require_ascii && !payload.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(Refusal::PayloadNotAscii);
    }
    if !payload.starts_with(&rule.starts_with) {
        return Err(Refusal::PayloadStart);
    }
    Ok(())
}
