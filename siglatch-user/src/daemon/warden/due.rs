//! When the warden has something to do by itself. Never does it.

use std::time::Duration;

use siglatch_common::units::Boot;

use crate::bans::Bans;

/// When what is to be done next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Due {
    pub(super) sweep: Boot,
    pub(super) poll: Boot,
    pub(super) floods: Boot,
    pub(super) minute: Boot,
    pub(super) keep: Option<Boot>,
    pub(super) keep_known: Option<Boot>,
}

impl Due {
    pub(super) fn new(now: Boot) -> Self {
        Self {
            sweep: now.after(SWEEPING),
            poll: now.after(POLLING),
            floods: now.after(Bans::FLOOD_SPAN),
            minute: now.after(MINUTE),
            keep: None,
            keep_known: None,
        }
    }

    pub(super) fn next(&self) -> Boot {
        let Self { sweep, poll, floods, minute, keep, keep_known } = *self;
        [keep, keep_known].into_iter().flatten().fold(sweep.min(poll).min(floods).min(minute), Boot::min)
    }
}

pub(super) const SWEEPING: Duration = Duration::from_secs(2);
/// Changes made by hand are noticed within this, unless there are many bans.
pub(super) const POLLING: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_secs(60);
