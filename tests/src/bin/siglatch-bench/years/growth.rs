//! What judging one knock costs beside few and beside many users, grants and bans, in turns. Never runs a daemon, and
//! leaves the private key out where it does not say otherwise: beside it, nothing of this would show.

use std::hint::black_box;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_common::address::Address;
use siglatch_common::seal::{HmacKey, authenticate};
use siglatch_common::units::{Boot, Now, Wall};
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, PACKET_LEN, Packet, Payload, SEALED_LEN, UserId};
use siglatch_tests::raw_bpf::time;
use siglatch_tests::scene::STRANGER;
use siglatch_user::gate::{Beginning, Decoy, Effect, Gate, Grant, GrantKey, Noted, Opened, Remembered, Verdict, open};
use siglatch_user::keys::{Keyring, ServerKey};
use siglatch_user::policy::{Action, ActionKind, Allowed, GrantRule, Period, Policy, SourceRule, User};

use crate::figures::{Figure, Target, median};
use crate::flood::filter::{Filter, SMALL, Strictness, knock};
use crate::operations::thread_cpu;

/// A gate with so many users and grants, which is asked one knock after the other, and forgets a grant for each that it
/// opens.
struct Crowd {
    gate: Gate,
    keys: Keyring,
    users: u16,
    /// Knocks so far.
    knocks: u32,
    dice: Dice,
    nanos: Vec<f64>,
    whole_nanos: Vec<f64>,
}

/// Numbers without order, the same in each run.
struct Dice(u64);

/// The gate alone beside few and many users and grants; whole knocks beside few and many users; the filter beside few and
/// many bans.
pub(super) fn figures() -> Result<Vec<Figure>> {
    let mut crowds = [
        (None, Crowd::new(FEW, FEW.into())?),
        (Some("users_1000"), Crowd::new(SOME, FEW.into())?),
        (Some("users_65535"), Crowd::new(u16::MAX, FEW.into())?),
        (Some("grants_1000"), Crowd::new(FEW, SOME.into())?),
        (Some("grants_65000"), Crowd::new(FEW, MANY_GRANTS)?),
        (Some("both_65000"), Crowd::new(u16::MAX, MANY_GRANTS)?),
    ];
    for turn in 0..WARM_UP + TURNS {
        for (_, crowd) in &mut crowds {
            crowd.judge_some(turn >= WARM_UP)?;
        }
    }
    for _ in 0..WHOLE_TURNS {
        for (_, crowd) in &mut crowds {
            crowd.judge_whole()?;
        }
    }
    let medians: Vec<_> =
        crowds.into_iter().map(|(name, crowd)| (name, median(crowd.nanos), median(crowd.whole_nanos))).collect();
    let Some((None, floor, whole_floor)) = medians.first().copied() else { bail!("nothing was measured") };
    let judging = |(name, nanos, _): &(Option<&str>, f64, f64)| {
        Some(figure(format!("judging.{}", (*name)?), *nanos, "ns", floor))
    };
    let whole = |(name, _, nanos): &(Option<&str>, f64, f64)| {
        Some(figure(format!("knock.{}", (*name)?), nanos / 1e3, "us", whole_floor / 1e3))
    };
    let mut figures: Vec<_> = medians.iter().filter_map(judging).collect();
    figures.extend(medians.iter().filter_map(whole));
    figures.extend(bans()?);
    Ok(figures)
}

/// A frame of somebody who is not banned, beside so many who are.
fn bans() -> Result<Vec<Figure>> {
    let counts = [u32::from(FEW), SOME.into(), MANY_BANS];
    let mut filters = Vec::new();
    for count in counts {
        filters.push((Filter::with_bans(Strictness::OfLanes, SMALL, count)?, Vec::new()));
    }
    for turn in 0..WARM_UP + TURNS {
        for (filter, nanos) in &mut filters {
            let timed = time(filter.descriptor()?, &knock(STRANGER.v4, 2), FRAMES)?;
            if turn >= WARM_UP {
                nanos.push(f64::from(timed.nanos));
            }
        }
    }
    let medians: Vec<_> = filters.into_iter().map(|(_, nanos)| median(nanos)).collect();
    let floor = *medians.first().context("nothing was measured")?;
    let named = counts.into_iter().zip(medians).skip(1);
    Ok(named.map(|(count, nanos)| figure(format!("filter.bans_{count}"), nanos, "ns", floor)).collect())
}

fn figure(name: String, value: f64, unit: &'static str, floor: f64) -> Figure {
    Figure { name: format!("growth.{name}"), value, unit, floor, target: Some(Target::RatioAtMost(1.1)) }
}

impl Crowd {
    fn new(users: u16, grants: u32) -> Result<Self> {
        let server = ServerKey::from_pem(include_str!("../../../../../siglatch-user/tests/data/throwaway-server.key"))?;
        let held: Vec<_> = (1..=grants).map(|number| standing(number, grants)).collect();
        let beginning = Beginning {
            policy: Arc::new(policy(users, grants)?),
            nonce_capacity: 1 << 20,
            programs_at_once: 1,
            run: 1,
            remembered: Remembered::default(),
            noted: Noted::default(),
            grants: &held,
        };
        let keys = (1..=users).map(|id| Ok((UserId(id), key(id)?))).collect::<Result<Vec<_>>>()?;
        let crowd = Self {
            gate: Gate::new(beginning, at(0)),
            keys: Keyring::new(server, keys, key(0)?),
            users,
            knocks: 0,
            dice: Dice(0x5eed),
            nanos: Vec::new(),
            whole_nanos: Vec::new(),
        };
        ensure!(crowd.gate.grants() == grants as usize, "the gate has taken over {} grants", crowd.gate.grants());
        Ok(crowd)
    }

    /// Judges knocks that were opened before, each by another user than the last, from another address.
    fn judge_some(&mut self, counts: bool) -> Result<()> {
        let mut knocks = Vec::with_capacity(A_TURN);
        let mut effects = Vec::with_capacity(4 * A_TURN);
        for _ in 0..A_TURN {
            let packet = self.packet()?;
            knocks.push((self.open(&packet.encode(), Wire::Clear)?, self.source(), at(self.knocks)));
        }
        let (before, begin) = (self.gate.grants(), thread_cpu());
        for (opened, source, now) in knocks {
            let verdict = self.gate.judge(Ok(opened), source, now);
            ensure!(matches!(verdict, Verdict::Admit(_)), "not admitted: {verdict:?}");
            effects.extend(self.gate.take_effects());
        }
        let nanos = (thread_cpu() - begin).as_nanos() as f64 / A_TURN as f64;
        let opened = effects.iter().filter(|effect| matches!(effect, Effect::Open(_))).count();
        ensure!(opened == A_TURN && self.gate.grants() == before, "{opened} opened, {} held", self.gate.grants());
        if counts {
            self.nanos.push(nanos);
        }
        Ok(())
    }

    /// The same of one sealed knock, with the private key and the user's.
    fn judge_whole(&mut self) -> Result<()> {
        let packet = self.packet()?;
        let sealed: [u8; SEALED_LEN] = self.keys.server().public().seal(&packet)?;
        let (source, now) = (self.source(), at(self.knocks));
        let begin = thread_cpu();
        let opened = self.open(&sealed, Wire::Sealed)?;
        let verdict = self.gate.judge(Ok(opened), source, now);
        let effects = black_box(self.gate.take_effects());
        self.whole_nanos.push((thread_cpu() - begin).as_nanos() as f64);
        ensure!(matches!(verdict, Verdict::Admit(_)) && !effects.is_empty(), "not admitted: {verdict:?}");
        Ok(())
    }

    /// The next knock, of somebody's.
    fn packet(&mut self) -> Result<Packet> {
        self.knocks += 1;
        let users = NonZeroU16::new(self.users).context("there are users")?;
        let user = 1 + u16::try_from(self.dice.roll() % u64::from(users.get()))?;
        let packet = Packet {
            timestamp: u32::try_from(at(self.knocks).wall.as_secs())?,
            user: UserId(user),
            action: ACTION,
            challenge: self.knocks,
            hmac: [0; 32],
            payload: Payload::EMPTY,
        };
        Ok(authenticate(packet, &key(user)?))
    }

    fn open(&self, datagram: &[u8], wire: Wire) -> Result<Opened> {
        let decoy = Decoy::from_random([9; PACKET_LEN]);
        open(datagram, wire, &self.keys, &decoy).ok().context("a sound knock does not open")
    }

    /// An address of its own, without order.
    fn source(&self) -> Address {
        newcomer(self.knocks)
    }
}

impl Dice {
    /// xorshift64: Marsaglia, Journal of Statistical Software 8 (14), 2003.
    const fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn policy(users: u16, grants: u32) -> Result<Policy> {
    let user = |id| User {
        id: UserId(id),
        name: format!("user-{id}"),
        enabled: true,
        admin: false,
        networks: Vec::new(),
        period: Period::default(),
        uses: None,
    };
    let ttl = PAUSE * grants;
    let rule = GrantRule {
        services: vec!["tcp/22".parse()?],
        destinations: Vec::new(),
        ttl,
        max_ttl: ttl,
        source: SourceRule::Packet,
        undo: None,
    };
    let action = Action {
        id: ACTION,
        name: "ssh".to_owned(),
        allowed: Allowed::All,
        networks: Vec::new(),
        period: Period::default(),
        hours: None,
        uses: None,
        dry_run: false,
        kind: ActionKind::Grant(rule),
    };
    Ok(Policy::new((1..=users).map(user).collect(), vec![action], Vec::new(), Duration::from_secs(60)))
}

/// One of those that hold at the beginning: the first ends when the first knock comes.
fn standing(number: u32, grants: u32) -> Grant {
    let key = GrantKey {
        source: newcomer(u32::MAX - number),
        destination: None,
        service: "tcp/22".parse().expect("a service"),
    };
    Grant { key, ttl: PAUSE * number, label: format!("user-{} ssh", number % grants + 1) }
}

/// Each number has another: a multiplication by an odd number loses nothing.
fn newcomer(number: u32) -> Address {
    Address::v4(number.wrapping_mul(0x9e37_79b9).to_be_bytes())
}

/// When knock number so many comes.
fn at(number: u32) -> Now {
    let since = PAUSE * number;
    Now { boot: Boot::from_nanos(1_000_000_000).after(since), wall: Wall::from_secs(1_800_000_000 + since.as_secs()) }
}

fn key(id: u16) -> Result<HmacKey> {
    let mut bytes = [0x5a; 32];
    bytes[..2].copy_from_slice(&id.to_le_bytes());
    Ok(HmacKey::parse(&bytes)?)
}

const ACTION: ActionId = ActionId(1);
const FEW: u16 = 10;
const SOME: u16 = 1000;
/// The gate holds 65,536 at most.
const MANY_GRANTS: u32 = 65_000;
const MANY_BANS: u32 = 100_000;
/// Between two knocks.
const PAUSE: Duration = Duration::from_millis(1);
const A_TURN: usize = 500;
const WARM_UP: u32 = 8;
const TURNS: u32 = 61;
const WHOLE_TURNS: u32 = 301;
const FRAMES: u32 = 200_000;
