//! The XDP program: reads a frame, lets [`siglatch_common::filter`] decide, counts, and answers.
//! Never decides anything by itself.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(missing_docs, reason = "the entry macro makes a function that cannot carry any")]

mod diagnostics;
mod maps;
mod packet;

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use siglatch_common::filter::decide;
use siglatch_common::layout::Offender;
use siglatch_common::outcome::Fate;

/// The one way in and the one way out.
#[xdp(frags)]
pub fn siglatch(ctx: XdpContext) -> u32 {
    let rules = maps::rules();
    let outcome = decide(&packet::Packet::new(&ctx), &maps::Kernel::new(&ctx, rules));
    let count = maps::count(outcome);
    diagnostics::tell(&ctx, outcome, rules);
    match outcome.fate() {
        Fate::Drop => {
            if Offender::is_sample(count) && outcome.is_refused() {
                maps::note_source_of(ctx.ctx, outcome, rules);
            }
            xdp_action::XDP_DROP
        }
        Fate::Pass => xdp_action::XDP_PASS,
    }
}

/// `bpf_xdp_load_bytes` and the ring buffer helpers are open to GPL-compatible programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// On the host the crate exists only so that `cargo check`, `clippy` and `doc` can read it.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
