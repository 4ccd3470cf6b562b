//! A minute's verdicts: those with a line in the log and a record in the audit log, and totals of the others.
//! Never lets a stranger fill a disk ([`Strangers`]).

use std::time::Duration;

use siglatch_common::units::Boot;
use tracing::info;

use crate::audit::Event;
use crate::audit::line::Strangers;
use crate::edge::audit::Recorder;
use crate::gate::{Refusal, Verdict};

/// What was refused since the last totals.
#[derive(Debug, Default)]
pub(super) struct Tally {
    refused: [u64; Refusal::ALL.len()],
    strangers: Strangers,
    begun: Option<Boot>,
}

impl Tally {
    /// Tells a verdict, as far as this minute has room for it.
    pub(super) fn tell(&mut self, verdict: &Verdict, event: Event, now: Boot, recorder: &Recorder) {
        if let Verdict::Refuse(refusal, _) = verdict {
            self.begun.get_or_insert(now);
            let counts = Refusal::ALL.iter().zip(&mut self.refused);
            counts.filter(|(of, _)| *of == refusal).for_each(|(_, count)| *count += 1);
        }
        recorder.tell(event, self.strangers.judge(verdict, now));
    }

    /// When [`Tally::close`] has something to do.
    pub(super) fn due(&self) -> Option<Boot> {
        self.begun.map(|begun| begun.after(MINUTE))
    }

    /// One line and one record about the minute, however much there was.
    pub(super) fn close(&mut self, now: Boot, recorder: &Recorder) {
        self.begun = None;
        let counts = Refusal::ALL.iter().zip(std::mem::take(&mut self.refused)).filter(|(_, count)| *count > 0);
        let reasons: Vec<_> = counts.map(|(refusal, count)| format!("{}={count}", refusal.label())).collect();
        if !reasons.is_empty() {
            info!(reasons = reasons.join(" "), "knocks refused");
        }
        if let Some(junk) = self.strangers.take(now) {
            recorder.record(Event::Junk(junk));
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);
