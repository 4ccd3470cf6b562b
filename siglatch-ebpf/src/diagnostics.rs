//! Which frames the daemon's log is told of, one by one: those that the operator asked for, so many a second and no more.
//! Never decides what becomes of a frame.

use core::hint::black_box;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use siglatch_common::address::Halves;
use siglatch_common::frame::source_of;
use siglatch_common::layout::{Rules, Tuning};
use siglatch_common::outcome::{Fate, Outcome};

use crate::maps;
use crate::packet::Packet;

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
        // SAFETY: the context is the program's.
        unsafe { siglatch_tell(ctx.ctx, outcome as u32) };
    }
}

/// The number of its outcome, and who says to have sent it: the daemon puts words to it. Out of line and verified once, as
/// [`maps::siglatch_note`].
///
/// # Safety
/// The context is the program's.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn siglatch_tell(ctx: *mut xdp_md, outcome: u32) -> u64 {
    let ctx = XdpContext::new(black_box(ctx));
    let [first, last] = source_of(&Packet::new(&ctx))
        .map_or([0; 2], |Halves { first, last }| [u64::from_be(first), u64::from_be(last)]);
    debug!(&ctx, "{} {} {}", outcome, first, last);
    0
}
