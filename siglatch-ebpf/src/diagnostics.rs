//! Which frames the daemon's log is told of, one by one: those that the operator asked for, so many a second and no more.
//! Never decides what becomes of a frame.

use aya_ebpf::programs::XdpContext;
use siglatch_common::layout::{Rules, Tuning};
use siglatch_common::outcome::{Fate, Outcome};

use crate::maps;

/// Tells what became of a frame, if that is wanted.
#[inline(always)]
pub fn tell(ctx: &XdpContext, outcome: Outcome, rules: &Rules) {
    let level = rules.tuning.diagnostics;
    if level == 0 {
        return;
    }
    let is_told = match outcome.fate() {
        Fate::Drop => level >= Tuning::DIAGNOSE_DROPS,
        Fate::Pass => level >= Tuning::DIAGNOSE_ALL,
    };
    if is_told && maps::may_tell() {
        maps::tell_of(ctx.ctx, outcome);
    }
}
