//! Sends knocks one after the other: finds the way, words them all, then sends. Never decides which.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};

use crate::bind::{Family, is_translated};
use crate::cli::SendArgs;
use crate::decoded::Decoded;
use crate::edge::network::{Route, Sent};
use crate::edge::terminal::Terminal;
use crate::edge::{clock, randomness};
use crate::failure::Failure;
use crate::gap::Gap;
use crate::gateway_name::GatewayName;
use crate::knocker::{self, Keys, Knock};
use crate::payload::{SOURCE, Words};
use crate::profile::SourceRule;

/// Whose knocks they are, and where they go.
pub(super) struct Sender {
    pub(super) gateway: Option<GatewayName>,
    pub(super) user_name: Option<String>,
    pub(super) user: UserId,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) keys: Keys,
}

/// What one knock asks for.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) name: Option<String>,
    pub(super) id: ActionId,
    pub(super) source: SourceRule,
}

/// What is told of one datagram. The keys of its JSON form are stable.
#[derive(Serialize)]
struct Record<'a> {
    event: &'static str,
    gateway: Option<&'a str>,
    user: Option<&'a str>,
    user_id: u16,
    action: Option<&'a str>,
    action_id: u8,
    step: usize,
    steps: usize,
    to: SocketAddr,
    from: SocketAddr,
    wire: &'static str,
    /// The number of the key that the stamp was made with, if the wire is stamped.
    gate_key: Option<u8>,
    bytes: usize,
    /// The address that the payload names, if an option or the action put one there.
    source: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    packet: Option<Decoded<'a>>,
}

/// Sends the steps in order.
///
/// # Errors
/// What is wrong with any step is found before the first is sent.
pub(super) fn deliver(
    steps: &[Step],
    sender: &Sender,
    sending: &SendArgs,
    gap: Gap,
    terminal: Terminal,
) -> Result<(), Failure> {
    let family = sending.family().or_else(|| family_of_source(steps, sending));
    let route = Route::find(&sender.host, sender.port, family, sending.bind)?;
    let letters = write_letters(steps, sending, route.from.ip())?;
    remark_on_source(&letters, sending, &route, terminal);

    for (index, (step, letter)) in steps.iter().zip(&letters).enumerate() {
        if index > 0 && !sending.dry_run {
            clock::wait(gap.duration());
        }
        let knock = Knock {
            user: sender.user,
            action: step.id,
            payload: letter.payload,
            timestamp: u32::try_from(clock::now()?.as_secs()).map_err(|_| Failure::Clock)?,
            challenge: randomness::challenge()?,
        };
        let datagram = knocker::datagram(&knock, &sender.keys)?;
        let decoded = Decoded { knock: &knock, user: sender.user_name.as_deref(), action: step.name.as_deref() };
        let record = Record {
            event: if sending.dry_run { "dry_run" } else { "sent" },
            gateway: sender.gateway.as_ref().map(GatewayName::as_str),
            user: sender.user_name.as_deref(),
            user_id: sender.user.0,
            action: step.name.as_deref(),
            action_id: step.id.0,
            step: index + 1,
            steps: steps.len(),
            to: route.to,
            from: route.from,
            wire: sender.keys.wire().label(),
            gate_key: sender.keys.gate_key(),
            bytes: datagram.len(),
            source: letter.source,
            packet: sending.dry_run.then_some(decoded),
        };
        if !sending.dry_run {
            send(&datagram, &route, &record, terminal)?;
        }
        terminal.say(&record, &record)?;
    }
    Ok(())
}

/// The words of one step.
struct Letter {
    payload: Payload,
    source: Option<IpAddr>,
}

/// The last step has the effect, and so the words; an earlier one names an address where its action must have one.
fn write_letters(steps: &[Step], sending: &SendArgs, from: IpAddr) -> Result<Vec<Letter>, Failure> {
    let letter = |(index, step): (usize, &Step)| {
        let last = index + 1 == steps.len();
        let mut words = Words::default();
        if last {
            words = Words { source: sending.source, ttl: sending.ttl, free: sending.payload.clone() };
        }
        match step.source {
            SourceRule::Packet => {}
            SourceRule::Match | SourceRule::Claimed if words.names(SOURCE) => {}
            SourceRule::Match | SourceRule::Claimed => words.source = Some(sending.source.unwrap_or(from)),
        }
        Ok(Letter { payload: words.payload()?, source: words.source })
    };
    steps.iter().enumerate().map(letter).collect()
}

/// An address that must be the datagram's decides the family that the datagram needs.
fn family_of_source(steps: &[Step], sending: &SendArgs) -> Option<Family> {
    let must_match = steps.iter().any(|step| step.source == SourceRule::Match);
    sending.source.filter(|_| must_match).map(Family::of)
}

fn remark_on_source(letters: &[Letter], sending: &SendArgs, route: &Route, terminal: Terminal) {
    let from = route.from.ip();
    if sending.source.is_some() || letters.iter().all(|letter| letter.source.is_none()) {
        return;
    }
    terminal.remark(format_args!("asking for {from}, the address that the knock leaves from; --source names another"));
    if is_translated(from, route.to.ip()) {
        terminal.remark(format_args!(
            "{from} is private: if the gateway sees you under another address, name that one with --source"
        ));
    }
}

fn send(datagram: &[u8], route: &Route, record: &Record<'_>, terminal: Terminal) -> Result<(), Failure> {
    match route.send(datagram) {
        Ok(Sent::Quietly) => {}
        Ok(Sent::AfterRefusal) => terminal.remark(format_args!(
            "{} answered that the port is closed, which a gateway never does: check --host and --port",
            record.to
        )),
        Err(failure) => {
            if record.steps > 1 {
                terminal.remark(format_args!("step {} of {} was not sent", record.step, record.steps));
            }
            return Err(failure);
        }
    }
    Ok(())
}

impl fmt::Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps > 1 {
            let name = self.action.map_or_else(|| self.action_id.to_string(), str::to_owned);
            write!(f, "step {} of {}, {name}: ", self.step, self.steps)?;
        }
        let Self { bytes, wire, from, to, .. } = self;
        match self.packet {
            Some(packet) => {
                let gate_key = self.gate_key.map(|number| format!(" (gate key {number})")).unwrap_or_default();
                let from = from.ip();
                write!(f, "would send {bytes} bytes, {wire}{gate_key}, from {from} to {to}; nothing was sent\n{packet}")
            }
            None if self.step == self.steps => {
                write!(f, "sent {bytes} bytes to {to} (the gateway never answers; try the service now)")
            }
            None => write!(f, "sent {bytes} bytes to {to}"),
        }
    }
}
