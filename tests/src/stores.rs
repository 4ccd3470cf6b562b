//! The files of the state folder, and one change of each: as it was before, as it is made, and what a daemon may find after
//! whatever ended it in the middle. Never ends anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_common::address::Address;
use siglatch_common::ban::Reason;
use siglatch_common::units::{Boot, Wall};
use siglatch_common::wire::v1::UserId;
use siglatch_user::admin::{Comment, SwitchKind, SwitchTarget};
use siglatch_user::bans::{BanRecord, Deadline, Records};
use siglatch_user::edge::ban_store::BanStore;
use siglatch_user::edge::clock;
use siglatch_user::edge::ledger::Ledger;
use siglatch_user::edge::nonce_store::NonceStore;
use siglatch_user::edge::switch_store::SwitchStore;
use siglatch_user::gate::{Entry, Nonce};
use siglatch_user::switches::Switches;

/// What is changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Nonces are kept.
    Remember,
    /// A lease is taken.
    Lease,
    /// A generation of nonces is forgotten.
    Forget,
    /// The nonces of an earlier daemon are taken over.
    OpenNonces,
    /// Counts are noted.
    Note,
    /// Counts are noted, and the ledger is written anew for it.
    Compact,
    /// The ledger of an earlier daemon is taken over.
    OpenLedger,
    /// Bans are kept.
    KeepBans,
    /// Known origins are kept.
    KeepKnown,
    /// What is switched off is kept.
    KeepSwitches,
}

/// What is open of the folder.
#[derive(Debug)]
pub struct Stores {
    folder: PathBuf,
    nonces: Option<NonceStore>,
    ledger: Option<Ledger>,
}

impl Change {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Remember,
        Self::Lease,
        Self::Forget,
        Self::OpenNonces,
        Self::Note,
        Self::Compact,
        Self::OpenLedger,
        Self::KeepBans,
        Self::KeepKnown,
        Self::KeepSwitches,
    ];

    /// Its name on a command line.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Remember => "remember",
            Self::Lease => "lease",
            Self::Forget => "forget",
            Self::OpenNonces => "open-nonces",
            Self::Note => "note",
            Self::Compact => "compact",
            Self::OpenLedger => "open-ledger",
            Self::KeepBans => "keep-bans",
            Self::KeepKnown => "keep-known",
            Self::KeepSwitches => "keep-switches",
        }
    }

    const fn is_of_nonces(self) -> bool {
        matches!(self, Self::Remember | Self::Lease | Self::Forget | Self::OpenNonces)
    }

    const fn is_of_the_ledger(self) -> bool {
        matches!(self, Self::Note | Self::Compact | Self::OpenLedger)
    }
}

impl Stores {
    /// What stands before the change.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn before(folder: &Path, change: Change) -> Result<Self> {
        let mut stores = Self { folder: folder.to_owned(), nonces: None, ledger: None };
        if change.is_of_nonces() {
            NonceStore::create(folder)?;
            let (mut store, ..) = NonceStore::open(folder, SKEW, clock::now())?;
            store.remember(&[nonce(1)])?;
            store.forget(Wall::from_secs(0), None)?;
            store.remember(&[nonce(2)])?;
            stores.nonces = (change != Change::OpenNonces).then_some(store);
        }
        if change.is_of_the_ledger() {
            let (mut ledger, _) = Ledger::open(folder)?;
            ledger.note(&used(1))?;
            if change == Change::Compact {
                fill(folder, &mut ledger)?;
            }
            stores.ledger = (change != Change::OpenLedger).then_some(ledger);
        }
        if !change.is_of_nonces() && !change.is_of_the_ledger() {
            stores.keep(change, 1)?;
        }
        Ok(stores)
    }

    /// Makes the change.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn make(&mut self, change: Change) -> Result<()> {
        let closed = "it is not open";
        match change {
            Change::Remember => self.nonces.as_mut().context(closed)?.remember(&[nonce(3), nonce(4)])?,
            Change::Lease => self.nonces.as_mut().context(closed)?.lease(nonce(9).stamp())?,
            Change::Forget => self.nonces.as_mut().context(closed)?.forget(nonce(1).stamp(), None)?,
            Change::OpenNonces => drop(NonceStore::open(&self.folder, SKEW, clock::now())?),
            Change::Note | Change::Compact => self.ledger.as_mut().context(closed)?.note(&used(2))?,
            Change::OpenLedger => drop(Ledger::open(&self.folder)?),
            Change::KeepBans | Change::KeepKnown | Change::KeepSwitches => self.keep(change, 2)?,
        }
        Ok(())
    }

    fn keep(&self, change: Change, count: u8) -> Result<()> {
        let store = BanStore::open(&self.folder)?;
        match change {
            Change::KeepBans => {
                store.keep_bans(&Records { bans: (1..=count).map(ban).collect(), past: Vec::new() }, 7)?
            }
            Change::KeepKnown => store.keep_known(&(1..=count).map(known).collect::<Vec<_>>())?,
            _ => SwitchStore::new(&self.folder).keep(&switched(count)?)?,
        }
        Ok(())
    }
}

/// Looks at what is left as the next daemon does: what was kept before the change is kept still, and what it says is the old or
/// the new, as a whole. `is_made`: whoever made it had been told so.
///
/// # Errors
/// If it is not, or cannot be read.
pub fn check(folder: &Path, change: Change, is_made: bool) -> Result<()> {
    let least = if is_made { 2 } else { 1 };
    if change.is_of_nonces() {
        let (mut store, left, recovery) = NonceStore::open(folder, SKEW, clock::now())?;
        let is_safe = |number| {
            let nonce = nonce(number);
            left.nonces.contains(&nonce) || left.floor.is_some_and(|floor| nonce.stamp() <= floor)
        };
        for number in [1, 2].into_iter().chain(if is_made && change == Change::Remember { 3..5 } else { 0..0 }) {
            ensure!(is_safe(number), "nonce {number} is forgotten: {recovery:?}, {left:?}");
        }
        return Ok(store.remember(&[nonce(5)])?);
    }
    if change.is_of_the_ledger() {
        let (mut ledger, noted) = Ledger::open(folder)?;
        ensure!(!noted.damaged && ledger.damage().is_none(), "it is damaged: {noted:?}");
        let [(_, user)] = noted.users[..] else { anyhow::bail!("{noted:?}") };
        let [(_, action)] = noted.actions[..] else { anyhow::bail!("{noted:?}") };
        let most = if change == Change::OpenLedger { 1 } else { 2 };
        ensure!(user == action && (least.min(most)..=most).contains(&user), "{noted:?}");
        return Ok(ledger.note(&used(3))?);
    }
    let store = BanStore::open(folder)?;
    let found = match change {
        Change::KeepBans => {
            let kept = store.bans()?;
            ensure!(kept.damaged.is_none() && !kept.rebooted && kept.lists == 7, "{kept:?}");
            let count = u8::try_from(kept.said.bans.len())?;
            ensure!(kept.said.bans == (1..=count).map(ban).collect::<Vec<_>>(), "{kept:?}");
            count
        }
        Change::KeepKnown => {
            let kept = store.known()?;
            ensure!(kept.damaged.is_none() && !kept.rebooted, "{kept:?}");
            let count = u8::try_from(kept.said.len())?;
            ensure!(kept.said == (1..=count).map(known).collect::<Vec<_>>(), "{kept:?}");
            count
        }
        _ => {
            let read = SwitchStore::new(folder).read()?;
            let count = u8::try_from(read.iter().count())?;
            ensure!(read == switched(count)?, "{read:?}");
            count
        }
    };
    ensure!((least..=2).contains(&u32::from(found)), "{found} are kept");
    Stores { folder: folder.to_owned(), nonces: None, ledger: None }.keep(change, 3)
}

/// So that one line more has the ledger written anew.
fn fill(folder: &Path, ledger: &mut Ledger) -> Result<()> {
    let length = || Ok::<_, anyhow::Error>(fs::metadata(folder.join("ledger"))?.len());
    for entries in [100, 1] {
        let mut line = 0;
        while length()? + line < GROWN {
            let before = length()?;
            ledger.note(&vec![used(1); entries].concat())?;
            line = length()?.saturating_sub(before);
        }
    }
    Ok(())
}

/// Each later than the one before, and far beyond every floor but their own.
const fn nonce(number: u8) -> Nonce {
    Nonce { user: UserId(1), timestamp: LATE + number as u32, challenge: number as u32 }
}

/// Both counts stand in one line.
fn used(times: u32) -> Vec<Entry> {
    vec![Entry::UserUsed { name: "alice".into(), times }, Entry::ActionUsed { name: "ssh".into(), times }]
}

fn ban(number: u8) -> BanRecord {
    BanRecord {
        network: siglatch_common::address::Network::of(Address::v4([192, 0, 2, number])),
        until: Some(deadline()),
        reason: Reason::Operator,
        step: 0,
        hits: number.into(),
        since: Wall::from_secs(1_700_000_000),
        comment: Comment::default(),
    }
}

fn known(number: u8) -> (Address, Deadline) {
    (Address::v4([198, 51, 100, number]), deadline())
}

fn switched(count: u8) -> Result<Switches> {
    let mut switches = Switches::default();
    for number in 1..=count {
        let target = SwitchTarget { kind: SwitchKind::User, name: format!("user{number}") };
        switches.turn_off(target, None).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    Ok(switches)
}

const fn deadline() -> Deadline {
    Deadline { boot: Boot::from_nanos(u64::MAX / 4), wall: Wall::from_secs(4_000_000_000) }
}

const SKEW: Duration = Duration::from_secs(60);
const LATE: u32 = 4_000_000_000;
/// A ledger of that length is written anew.
const GROWN: u64 = 64 * 1024;
