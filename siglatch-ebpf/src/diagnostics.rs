//! Tells single frames to the daemon's log, if the operator asked for it when the program was loaded; so many a second
//! and no more. Costs nothing otherwise: the verifier takes out what can never run. Never decides.

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use siglatch_common::address::Halves;
use siglatch_common::frame::{Frame, source_of};
use siglatch_common::layout::Tuning;
use siglatch_common::outcome::{Fate, Outcome};

use crate::maps;

/// Tells what became of a frame: the number of its outcome, and who says to have sent it. The daemon puts words to it.
#[inline(always)]
pub fn tell(ctx: &XdpContext, frame: &impl Frame, outcome: Outcome) {
    let level = maps::diagnostics();
    let is_told = match outcome.fate() {
        Fate::Drop => level >= Tuning::DIAGNOSE_DROPS,
        Fate::Pass => level >= Tuning::DIAGNOSE_ALL,
    };
    if is_told && maps::may_tell() {
        let [first, last] =
            source_of(frame).map_or([0; 2], |Halves { first, last }| [u64::from_be(first), u64::from_be(last)]);
        debug!(ctx, "{} {} {}", outcome as u32, first, last);
    }
}
