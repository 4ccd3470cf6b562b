//! What the operator reads in the log about bans and refused sources: so many lines a minute, and totals.
//! Never decides anything.

use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::units::Boot;
use tracing::{error, info, warn};

use super::samples::{Share, worst};
use crate::admin::network_text;
use crate::bans::{Change, ChangeKind, Sentence, Turn};
use crate::causes::with_causes;
use crate::edge::blacklist_files::{ListFlaw, News as Files};
use crate::edge::files::FileError;
use crate::edge::lists::ListError;

/// How many lines may still be written this minute.
#[derive(Debug)]
pub(super) struct News {
    left: u32,
    /// What was not told.
    untold: u64,
    /// Bans among it.
    untold_bans: u64,
}

impl News {
    pub(super) const fn new() -> Self {
        Self { left: LINES, untold: 0, untold_bans: 0 }
    }

    /// Tells a ban that was earned, and says whether there was room for it: whoever forges sources can earn many.
    pub(super) fn banned(&mut self, sentence: &Sentence) -> bool {
        let may = self.may_tell();
        if may {
            let Sentence { source, reason, step, span } = sentence;
            info!(%source, reason = reason.label(), step, seconds = span.as_secs(), "banned");
        }
        self.untold_bans += u64::from(!may);
        may
    }

    /// Bans that were earned this minute and not told.
    pub(super) const fn untold_bans(&self) -> u64 {
        self.untold_bans
    }

    pub(super) fn changed_by_hand(&mut self, Change { network, kind }: Change, now: Boot) {
        if !self.may_tell() {
            return;
        }
        let seconds = |until: Option<Boot>| {
            until.map_or_else(|| "for good".to_owned(), |until| until.since(now).as_secs().to_string())
        };
        let network = network_text(network);
        match kind {
            ChangeKind::Set(until) => info!(%network, seconds = seconds(until), "ban set by hand"),
            ChangeKind::Altered(until) => info!(%network, seconds = seconds(until), "ban changed by hand"),
            ChangeKind::Lifted => info!(%network, "ban lifted by hand"),
        }
    }

    pub(super) fn clock_set(&mut self, seconds: i64) {
        if self.may_tell() {
            warn!(
                seconds,
                "the clock on the wall was set: knocks are fresh by the new time; grants, bans and sequences end when they would have"
            );
        }
    }

    pub(super) fn list_failed(&mut self, error: &ListError) {
        if self.may_tell() {
            error!(error = with_causes(error), "the filter's lists are not as they should be");
        }
    }

    pub(super) fn keep_failed(&mut self, error: &FileError) {
        if self.may_tell() {
            error!(%error, "bans and known sources outlive no reboot: trying again");
        }
    }

    /// Once a minute: totals, whatever there were.
    pub(super) fn tell_minute(&mut self, totals: &Totals<'_>) {
        let Totals { refused, shares, turned_away, unheard } = totals;
        let outcomes = || Outcome::ALL.into_iter().filter(|of| of.is_refused() && refused.of(*of) > 0);
        let reasons: Vec<_> = outcomes().map(|of| format!("{}={}", of.label(), refused.of(of))).collect();
        let worst = outcomes().map(|of| (of, worst(shares, of))).filter(|(_, worst)| !worst.is_empty());
        let worst: Vec<_> = worst.map(|(of, worst)| format!("{}: {worst}", of.label())).collect();
        if !reasons.is_empty() {
            info!(reasons = reasons.join(" "), worst = worst.join("; "), "datagrams dropped by the filter");
        }
        if self.untold > 0 {
            info!(lines = self.untold, "more about bans than is told one by one");
        }
        if *turned_away > 0 {
            warn!(bans = turned_away, "no room for bans of the daemon's own: raise `capacity` in [ban]");
        }
        if *unheard > 0 {
            warn!(events = unheard, "more happened than the bans could follow");
        }
        *self = Self::new();
    }

    fn may_tell(&mut self) -> bool {
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        self.untold += u64::from(!may);
        may
    }
}

/// What a minute came to.
#[derive(Debug)]
pub(super) struct Totals<'a> {
    /// Frames by outcome.
    pub(super) refused: Counters,
    /// Who had how many of them, as far as samples tell.
    pub(super) shares: &'a [Share],
    /// Bans for which there was no room.
    pub(super) turned_away: u64,
    /// Events for which there was no room.
    pub(super) unheard: u64,
}

/// What has become of the files of banned networks. Only the operator can set this off.
pub(super) fn tell_files(files: &Files, turn: Option<Turn>) {
    for (path, networks) in &files.read {
        info!(path = %path.display(), networks, "file of banned networks read");
    }
    for flaw in &files.flaws {
        let flaw: &ListFlaw = flaw;
        warn!(error = with_causes(flaw), "a file of banned networks makes no sense: what it said before holds");
    }
    match turn {
        None => {}
        Some(Turn { added: 0, removed: 0, left_out: 0 }) => {}
        Some(Turn { added, removed, left_out: 0 }) => info!(added, removed, "bans that files say"),
        Some(Turn { added, removed, left_out }) => {
            warn!(added, removed, left_out, "no room for all bans that files say: raise `capacity` in [ban]");
        }
    }
}

/// More in a minute helps nobody.
const LINES: u32 = 20;
