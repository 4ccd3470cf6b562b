//! A gateway under siglatch that is about to be flooded, with people who know it and people who do not.
//! Never floods it.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use siglatch_client::knocker::{Keys, Knock, Stamper, datagram};
use siglatch_common::seal::GateKey;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};
use siglatch_tests::flood::{core, receive_offload};
use siglatch_tests::netns::GATE;

use super::visitors::{Visitor, Who, knock_all, visit};
use crate::bed::{Bed, Daemon, KNOCKS, STAMPED_KNOCKS, Terms};

/// The gateway, and what its users hold.
pub(crate) struct Field {
    // In the order in which they are taken down.
    pub(crate) daemon: Daemon,
    pub(crate) bed: Bed,
    sealed: Keys,
    stamped: Keys,
    challenge: u32,
}

/// How datagrams come in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ingress {
    /// By the XDP program.
    Xdp,
    /// By sockets.
    Socket,
}

impl Field {
    /// Starts the daemon on the product's own terms.
    pub(crate) fn new(ingress: Ingress) -> Result<Self> {
        core::join()?;
        let bed = Bed::build()?;
        core::hush(&bed.street)?;
        let terms = Terms { socket: ingress == Ingress::Socket, audit: true, more: BRIEF_ACTION };
        // What XDP does not take needs another way into the cable's end.
        receive_offload(&bed.street.gateway, GATE, ingress == Ingress::Socket)?;
        let daemon = core::apart(|| bed.start(1, terms))?;
        let (user_key, server_key) = bed.keys()?;
        let gate_key = GateKey::parse(&fs::read(bed.gate_key_file())?)?;
        let stamper = Stamper::new(0, gate_key).context("0 is a gate key's number")?;
        let stamped = Keys::stamped(user_key.clone(), server_key.clone(), stamper);
        Ok(Self { daemon, bed, sealed: Keys::sealed(user_key, server_key), stamped, challenge: 0 })
    }

    /// Makes so many addresses known: each has knocked once, been let in, and been shut out again.
    pub(super) fn introduce(&mut self, count: u32) -> Result<()> {
        let visitors = (0..count).map(|number| self.visitor(Who::Known, number, BRIEF)).collect::<Result<Vec<_>>>()?;
        let tally = visit(&self.bed.street.outside, &visitors, Duration::from_millis(10))?;
        ensure!(
            tally.share(Who::Known) == Some(1.0),
            "before the flood not everybody got in: {tally:?}: {} {}",
            self.bed.log()?,
            self.bed
                .street
                .gateway
                .shell(&format!("bpftool map dump pinned {}/counters", self.bed.pin("").display()))
                .unwrap_or_default()
        );
        thread::sleep(BRIEF_SPAN + Duration::from_millis(500));
        Ok(())
    }

    /// So many visitors of each of these kinds, in turns; those who are known are those of [`Field::introduce`].
    pub(super) fn visitors(&mut self, kinds: &[Who], count: u32) -> Result<Vec<Visitor>> {
        let turns = (0..count).flat_map(|number| kinds.iter().map(move |who| (*who, number)));
        turns.map(|(who, number)| self.visitor(who, number, OPEN)).collect()
    }

    /// A knock that somebody has watched on its way, after it was honoured.
    pub(super) fn captured(&mut self, is_stamped: bool) -> Result<Vec<u8>> {
        let (keys, to) = if is_stamped { (&self.stamped, STAMPED_KNOCKS) } else { (&self.sealed, KNOCKS) };
        let captured = datagram(&knock(&mut self.challenge, BRIEF)?, keys)?;
        let source = Bed::source(1 << 16);
        knock_all(&self.bed.street.outside, &[Visitor::new(Who::FirstTime, source, to, &captured)])?;
        thread::sleep(Duration::from_millis(100));
        Ok(captured)
    }

    fn visitor(&mut self, who: Who, number: u32, action: ActionId) -> Result<Visitor> {
        let (keys, to) = match who {
            Who::Stamped => (&self.stamped, STAMPED_KNOCKS),
            Who::Known | Who::FirstTime => (&self.sealed, KNOCKS),
        };
        let source: IpAddr = Bed::source(number + ((who as u32) << 12));
        Ok(Visitor::new(who, source, to, &datagram(&knock(&mut self.challenge, action)?, keys)?))
    }
}

fn knock(challenge: &mut u32, action: ActionId) -> Result<Knock> {
    *challenge += 1;
    let timestamp = u32::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(Knock { user: UserId(1), action, payload: Payload::EMPTY, timestamp, challenge: *challenge })
}

/// The action that `siglatchctl init` writes.
const OPEN: ActionId = ActionId(1);
const BRIEF: ActionId = ActionId(99);
const BRIEF_SPAN: Duration = Duration::from_secs(1);
const BRIEF_ACTION: &str = "\n[action.brief]\nid = 99\nusers = \"all\"\ngrant = [\"tcp/22\"]\nttl = \"1s\"\n";
