//! The thread that owns the filter's lists: bans, known origins, allowed networks, stamp keys. It keeps them as they
//! ought to be, and follows what operators do to them. Never admits anybody; the judge never waits for it.

mod desk;
mod due;
mod news;
mod samples;
mod wall_clock;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::{Context as _, Result};
use siglatch_common::address::{Address, Network};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::siphash::Key;
use siglatch_common::stamp::Epoch;
use siglatch_common::units::{Boot, Now};
use tracing::{debug, info, warn};

use super::judge::Input;
use super::pulse::Pulse;
use super::report::Report;
use crate::audit;
use crate::bans::{Bans, Change, Deadline, Effect, KnownChange, KnownOrigins, Sentence, Urgency};
use crate::config::{BanRule, KnownRule};
use crate::edge::admin::Asked;
use crate::edge::audit::Recorder;
use crate::edge::ban_store::BanStore;
use crate::edge::blacklist_files::BlacklistFiles;
use crate::edge::clock;
use crate::edge::lists::{ListError, Lists};
use crate::keys::GateKeys;
use due::{Due, MINUTE, POLLING, SWEEPING};
use news::{News, Totals, tell_files};
use samples::{Samples, Share};
use wall_clock::WallClock;

/// What the warden is told.
#[derive(Debug)]
pub(super) enum Event {
    /// A datagram of nobody's.
    Unauthentic {
        /// Where it says to come from.
        source: Address,
        /// Whether that address holds a grant.
        holds_grant: bool,
    },
    /// A knock that vouches for where it says to come from.
    Authentic(Address),
    /// Somebody was granted something.
    Granted(Address),
    /// An operator asks something.
    Asked(Box<Asked>),
    /// A knock wants the status told in the log.
    TellStatus,
    /// The configuration has changed.
    Adopt(Box<Rules>),
    /// Finish.
    Stop,
}

/// What of the configuration the warden goes by.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) ban: BanRule,
    pub(super) known: KnownRule,
    pub(super) allow: Vec<Network>,
    pub(super) blacklist: Vec<PathBuf>,
    pub(super) gate_keys: GateKeys,
}

/// The way to the warden. Clones lead to the same.
#[derive(Clone, Debug)]
pub(super) struct ToWarden {
    events: SyncSender<Event>,
    unheard: Arc<AtomicU64>,
}

/// What the warden begins with.
pub(super) struct Parts {
    pub(super) lists: Box<dyn Lists>,
    pub(super) store: BanStore,
    pub(super) rules: Rules,
    pub(super) recorder: Recorder,
    /// A secret that spreads sources over tables.
    pub(super) spread: Key,
    /// Who knows who holds grants.
    pub(super) judge: Sender<Input>,
}

/// The lists, and everything that decides what stands there.
pub(super) struct Warden {
    lists: Box<dyn Lists>,
    number: u64,
    store: BanStore,
    bans: Bans,
    known: KnownOrigins,
    allow: Vec<Network>,
    files: BlacklistFiles,
    gate_keys: GateKeys,
    /// The epoch that stamp keys were loaded for last.
    epoch: Option<Epoch>,
    /// Frames over the rate that are a flood; 0 if none are.
    flood: u64,
    judge: Sender<Input>,
    recorder: Recorder,
    counted: Counters,
    of_minute: Samples,
    of_flood_span: Samples,
    news: News,
    due: Due,
    wall_clock: WallClock,
    events: Receiver<Event>,
    unheard: Arc<AtomicU64>,
    /// How many there were when they were told last.
    unheard_before: u64,
}

impl Event {
    /// Waits a moment, unless somebody waits for an answer: what comes then is taken together. To wake the warden for each
    /// costs the judge more than telling it does.
    fn let_others_come(&self) {
        match self {
            Self::Unauthentic { .. } | Self::Authentic(_) | Self::Granted(_) | Self::TellStatus => clock::rest(MOMENT),
            Self::Asked(_) | Self::Adopt(_) | Self::Stop => {}
        }
    }
}

impl ToWarden {
    /// To a warden that hears, and does nothing.
    #[cfg(test)]
    pub(super) fn nowhere() -> (Self, Receiver<Event>) {
        let (events, heard) = sync_channel(1);
        (Self { events, unheard: Arc::default() }, heard)
    }

    /// Tells the warden, unless there is no room: then it is counted.
    pub(super) fn tell(&self, event: Event) {
        if let Err(TrySendError::Full(_)) = self.events.try_send(event) {
            self.unheard.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Hands on what an operator asks; without room, it is dropped, and the operator hears that.
    pub(super) fn ask(&self, asked: Asked) {
        let _ = self.events.try_send(Event::Asked(Box::new(asked)));
    }

    /// Has it go by other rules, after what it was told before; true unless it has finished.
    pub(super) fn adopt(&self, rules: Rules) -> bool {
        self.events.send(Event::Adopt(Box::new(rules))).is_ok()
    }

    /// Events that found no room since the start.
    pub(super) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    /// Has it finish, after what it was told before.
    pub(super) fn stop(&self) {
        // Fails only if it has finished already.
        let _ = self.events.send(Event::Stop);
    }
}

impl Warden {
    /// Brings the filter's lists in order: what was kept, what survived there, what was changed by hand, what files say.
    ///
    /// # Errors
    /// If store or lists cannot be read.
    pub(super) fn begin(parts: Parts) -> Result<(Self, ToWarden)> {
        let now = clock::now();
        let Parts { lists, store, rules, recorder, spread, judge } = parts;
        let Rules { ban, known, allow, blacklist, gate_keys } = rules;
        let (sender, events) = sync_channel(EVENTS);
        let unheard = Arc::new(AtomicU64::new(0));
        let to_warden = ToWarden { events: sender, unheard: Arc::clone(&unheard) };
        let offenders = lists.offenders()?;
        let mut warden = Self {
            number: lists.number()?,
            counted: lists.counters()?,
            of_minute: Samples::new(offenders.clone()),
            of_flood_span: Samples::new(offenders),
            flood: u64::from(ban.flood),
            bans: Bans::new(ban, spread),
            known: KnownOrigins::new(known),
            epoch: None,
            news: News::new(),
            due: Due::new(now.boot),
            wall_clock: WallClock::new(now),
            lists,
            store,
            allow,
            files: BlacklistFiles::new(blacklist),
            gate_keys,
            judge,
            recorder,
            events,
            unheard,
            unheard_before: 0,
        };
        warden.lists.set_allowed(&warden.allow).context("the allow list")?;
        warden.load_stamp_keys(now);
        warden.begin_bans(now)?;
        warden.begin_known(now)?;
        let (bans, known) = (warden.bans.len(), warden.known.len());
        if bans > 0 || known > 0 {
            info!(bans, known, "bans and known sources that stand");
        }
        Ok((warden, to_warden))
    }

    /// Keeps the lists in order, and answers operators, until told to stop.
    pub(super) fn run(mut self, mut report: Report, pulse: &Pulse) {
        loop {
            let now = clock::boot();
            pulse.beat(now);
            let due = self.due.next().since(now);
            let first = self.events.recv_timeout(pulse.rest(Some(due)).unwrap_or(due));
            let more = match first {
                Ok(first) => {
                    first.let_others_come();
                    let rest: Vec<_> = self.events.try_iter().take(BATCH - 1).collect();
                    std::iter::once(first).chain(rest).all(|event| self.take(event, &mut report))
                }
                Err(RecvTimeoutError::Timeout) => true,
                Err(RecvTimeoutError::Disconnected) => false,
            };
            if !more {
                break;
            }
            self.keep_time();
            report.hold(self.holding());
            if let Err(error) = report.note(&*self.lists, clock::boot()) {
                self.news.list_failed(&error);
            }
        }
        let now = clock::now();
        if self.due.keep.is_some() {
            self.keep(now);
        }
        if self.due.keep_known.is_some() {
            self.keep_known(now);
        }
    }

    fn begin_bans(&mut self, now: Now) -> Result<()> {
        let kept = self.store.bans()?;
        if let Some(path) = kept.damaged {
            warn!(
                path = %path.display(),
                "the file of bans made no sense and is set aside: only what stands in the filter's lists is left"
            );
        }
        let survived = !kept.rebooted && self.number != 0 && kept.lists == self.number;
        self.bans.restore(kept.said, kept.rebooted, now);
        let changes = self.bans.begin(self.lists.bans()?, survived, now);
        self.carry_out(now);
        for change in changes {
            self.tell_by_hand(change, now);
        }
        let files = self.files.look();
        let turn = self.bans.set_listed(self.files.listed(), now);
        self.carry_out(now);
        tell_files(&files, Some(turn));
        // Which lists they stand in is known from here on.
        self.keep(now);
        Ok(())
    }

    /// The known origins of the lists, and those that were kept and are not there: after a reboot, all of them.
    fn begin_known(&mut self, now: Now) -> Result<()> {
        let kept = self.store.known()?;
        if let Some(path) = kept.damaged {
            warn!(path = %path.display(), "the file of known sources made no sense and is set aside");
        }
        let found: BTreeMap<_, _> =
            self.lists.known()?.into_iter().map(|(origin, known)| (origin, Boot::from_nanos(known.until))).collect();
        let mut all = found.clone();
        for (origin, until) in kept.said {
            let until = until.boot(kept.rebooted, self.known.span(), now);
            all.entry(origin).or_insert(until);
        }
        let changes = self.known.take_over(all, now.boot);
        self.change_known(&changes);
        let new = self.known.iter().filter(|(origin, _)| !found.contains_key(origin));
        let new: Vec<_> = new.map(|(origin, until)| KnownChange::Know(origin, until)).collect();
        self.change_known(&new);
        Ok(())
    }

    /// Takes one event; false if it was the last.
    fn take(&mut self, event: Event, report: &mut Report) -> bool {
        let now = clock::now();
        match event {
            Event::Unauthentic { source, holds_grant } => {
                let is_protected = holds_grant || self.is_protected(source, now.boot);
                let sentence = self.bans.strike(source, is_protected, now);
                self.punish(sentence, now);
            }
            Event::Authentic(source) => {
                let changes = self.known.authentic(source, now.boot);
                self.change_known(&changes);
                self.acquit(source, now);
            }
            Event::Granted(source) => self.acquit(source, now),
            Event::Asked(asked) => self.answer(*asked, report),
            Event::TellStatus => self.tell_status(report, now),
            Event::Adopt(rules) => self.adopt(*rules, now),
            Event::Stop => return false,
        }
        true
    }

    /// Goes by other rules from now on. Bans, strikes and known origins stay; what files no longer say is lifted.
    fn adopt(&mut self, rules: Rules, now: Now) {
        let Rules { ban, known, allow, blacklist, gate_keys } = rules;
        self.flood = u64::from(ban.flood);
        self.bans.set_rule(ban);
        self.known.set_span(known.span);
        if let Err(error) = self.lists.set_allowed(&allow) {
            self.news.list_failed(&error);
        }
        self.allow = allow;
        self.files.set_paths(blacklist);
        let files = self.files.look();
        let turn = self.bans.set_listed(self.files.listed(), now);
        self.carry_out(now);
        tell_files(&files, Some(turn));
        self.gate_keys = gate_keys;
        self.epoch = None;
        self.load_stamp_keys(now);
    }

    fn punish(&mut self, sentence: Option<Sentence>, now: Now) {
        self.carry_out(now);
        if let Some(sentence) = sentence
            && self.news.banned(&sentence)
        {
            self.recorder.record(audit::Event::sentenced(&sentence));
        }
    }

    fn tell_by_hand(&mut self, change: Change, now: Now) {
        self.recorder.record(audit::Event::changed_by_hand(&change, now.boot));
        self.news.changed_by_hand(change, now.boot);
    }

    fn acquit(&mut self, source: Address, now: Now) {
        let is_lifted = self.bans.authentic(source, now);
        self.carry_out(now);
        if is_lifted {
            self.recorder.record(audit::Event::cleared(Network::of(source)));
            info!(%source, "ban lifted: an authentic knock came from there");
        }
    }

    /// Whether a source is never banned, whatever is sent in its name; who holds grants aside.
    fn is_protected(&self, source: Address, now: Boot) -> bool {
        self.allow.iter().any(|network| network.contains(source)) || self.known.holds(source, now)
    }

    /// Does what was decided about bans. What the lists do not take is told, and the first of it returned.
    fn carry_out(&mut self, now: Now) -> Option<ListError> {
        let mut failed = None;
        for effect in self.bans.take_effects() {
            let done = match effect {
                Effect::Set(network, ban) => {
                    self.lists.set_ban(network, ban).inspect_err(|_| self.bans.could_not_set(network))
                }
                Effect::Lift(network) => self.lists.lift_ban(network),
                Effect::Keep(urgency) => {
                    let span = match urgency {
                        Urgency::Soon => KEEPING,
                        Urgency::Now => Duration::ZERO,
                    };
                    let due = now.boot.after(span);
                    self.due.keep = Some(self.due.keep.map_or(due, |before| before.min(due)));
                    Ok(())
                }
            };
            if let Err(error) = done {
                self.news.list_failed(&error);
                failed.get_or_insert(error);
            }
        }
        if self.due.keep.is_some_and(|due| due <= now.boot) {
            self.keep(now);
        }
        failed
    }

    fn change_known(&mut self, changes: &[KnownChange]) {
        for change in changes {
            let done = match *change {
                KnownChange::Know(origin, until) => self.lists.set_known(origin, until.as_nanos()),
                KnownChange::Forget(origin) => self.lists.forget_known(origin),
            };
            if let Err(error) = done {
                self.news.list_failed(&error);
            }
            self.due.keep_known.get_or_insert(clock::boot().after(KEEPING_KNOWN));
        }
    }

    /// Does whatever is due.
    fn keep_time(&mut self) {
        let now = clock::now();
        if let Some(seconds) = self.wall_clock.set_by(now) {
            self.load_stamp_keys(now);
            self.news.clock_set(seconds);
        }
        if self.due.sweep <= now.boot {
            self.due.sweep = now.boot.after(SWEEPING);
            self.sweep(now);
        }
        if self.due.poll <= now.boot {
            self.poll(now);
        }
        if self.due.floods <= now.boot {
            self.due.floods = now.boot.after(Bans::FLOOD_SPAN);
            self.look_for_floods(now);
        }
        if self.due.minute <= now.boot {
            self.due.minute = now.boot.after(MINUTE);
            self.tell_minute(now);
        }
        if self.due.keep.is_some_and(|due| due <= now.boot) {
            self.keep(now);
        }
        if self.due.keep_known.is_some_and(|due| due <= now.boot) {
            self.keep_known(now);
        }
    }

    /// Takes out what is over, reads files that have changed, and loads the stamp keys of a new epoch.
    fn sweep(&mut self, now: Now) {
        self.bans.expire(now);
        let forgotten = self.known.expire(now.boot);
        self.change_known(&forgotten);
        let files = self.files.look();
        let turn = files.listed.clone().map(|listed| self.bans.set_listed(listed, now));
        self.carry_out(now);
        tell_files(&files, turn);
        self.load_stamp_keys(now);
    }

    fn load_stamp_keys(&mut self, now: Now) {
        let epoch = Some(Epoch::at(now.wall.as_secs()));
        if self.epoch == epoch {
            return;
        }
        match self.lists.set_stamp_keys(&self.gate_keys.stamp_keys(now.wall)) {
            Ok(()) => self.epoch = epoch,
            Err(error) => self.news.list_failed(&error),
        }
    }

    /// Reads the bans of the lists: how often they have hit, and what somebody has changed by hand. The more there are,
    /// the less often.
    fn poll(&mut self, now: Now) {
        let found = self.lists.bans();
        let took = clock::boot().since(now.boot);
        self.due.poll = now.boot.after(POLLING.max(took * POLLING_LOAD));
        match found {
            Ok(found) => {
                let changes = self.bans.reconcile(found, now);
                self.carry_out(now);
                for change in changes {
                    self.tell_by_hand(change, now);
                }
            }
            Err(error) => self.news.list_failed(&error),
        }
    }

    /// Bans whoever has sent far more than the rate allows since this was asked last.
    fn look_for_floods(&mut self, now: Now) {
        let shares = match self.lists.offenders() {
            Ok(reading) => self.of_flood_span.since(reading),
            Err(error) => return self.news.list_failed(&error),
        };
        let is_flood = |share: &Share| {
            self.flood > 0
                && share.outcome == Outcome::OverRate
                && share.frames >= self.flood
                && !self.is_protected(share.source, now.boot)
        };
        let floods: Vec<_> = shares.into_iter().filter(is_flood).collect();
        if floods.is_empty() {
            return;
        }
        let Some(holders) = self.who_holds_grants(floods.iter().map(|flood| flood.source).collect()) else {
            return debug!("nobody said who holds grants: no ban for a flood this time");
        };
        for Share { source, frames, .. } in floods {
            let sentence = self.bans.flood(source, frames, holders.contains(&source), now);
            self.punish(sentence, now);
        }
    }

    /// Those of the sources that hold grants; nothing if the judge does not say.
    fn who_holds_grants(&self, sources: Vec<Address>) -> Option<Vec<Address>> {
        let (reply, answer) = sync_channel(1);
        self.judge.send(Input::WhoHoldsGrants { sources, reply }).ok()?;
        answer.recv_timeout(ANSWER).ok()
    }

    fn tell_minute(&mut self, now: Now) {
        let reading = self.lists.counters().and_then(|counters| Ok((counters, self.lists.offenders()?)));
        let (counters, offenders) = match reading {
            Ok(reading) => reading,
            Err(error) => return self.news.list_failed(&error),
        };
        let refused = counters.since(&self.counted);
        self.counted = counters;
        let shares = self.of_minute.since(offenders);
        let turned_away = self.bans.take_turned_away();
        let unheard = self.unheard.load(Ordering::Relaxed);
        let unheard = unheard - std::mem::replace(&mut self.unheard_before, unheard);
        self.record_minute(&refused, self.news.untold_bans());
        self.news.tell_minute(&Totals { refused, shares: &shares, turned_away, unheard });
        // Somebody may have changed these by hand, too.
        match self.lists.known() {
            Ok(found) => {
                let found = found.into_iter().map(|(origin, known)| (origin, Boot::from_nanos(known.until)));
                let changes = self.known.take_over(found, now.boot);
                self.change_known(&changes);
            }
            Err(error) => self.news.list_failed(&error),
        }
    }

    fn record_minute(&self, refused: &Counters, bans: u64) {
        let refused = Outcome::ALL
            .into_iter()
            .filter(|of| of.is_refused() && refused.of(*of) > 0)
            .map(|of| (of.label(), refused.of(of)));
        let filter: BTreeMap<_, _> = refused.collect();
        if !filter.is_empty() || bans > 0 {
            let (refused, seconds) = (BTreeMap::new(), MINUTE.as_secs());
            self.recorder.record(audit::Event::Junk(audit::event::Junk { filter, refused, bans, seconds }));
        }
    }

    fn keep(&mut self, now: Now) {
        self.due.keep = None;
        if let Err(error) = self.store.keep_bans(&self.bans.records(now), self.number) {
            self.news.keep_failed(&error);
            self.due.keep = Some(now.boot.after(RETRY));
        }
    }

    fn keep_known(&mut self, now: Now) {
        self.due.keep_known = None;
        let known: Vec<_> = self.known.iter().map(|(origin, until)| (origin, Deadline::at(until, now))).collect();
        if let Err(error) = self.store.keep_known(&known) {
            self.news.keep_failed(&error);
            self.due.keep_known = Some(now.boot.after(RETRY));
        }
    }
}

/// Events that wait; more are dropped, and counted.
const EVENTS: usize = 1024;
/// How long events gather. An operator waits so long at most.
const MOMENT: Duration = Duration::from_millis(5);
/// Events taken before the clock is looked at again.
const BATCH: usize = 256;
/// Of fifty parts of a processor's time, one at most goes into reading bans.
const POLLING_LOAD: u32 = 50;
/// Until then, bans of the daemon's own stand in the pinned lists only.
const KEEPING: Duration = Duration::from_secs(5);
const KEEPING_KNOWN: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(60);
/// How long the judge may take.
const ANSWER: Duration = Duration::from_secs(1);
