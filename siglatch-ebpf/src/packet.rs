//! The only raw packet reads in the program. Never interprets what it reads.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::bpf_xdp_get_buff_len;
use aya_ebpf::programs::XdpContext;
use siglatch_common::frame::Frame;

/// The frame under judgement.
pub struct Packet<'a>(&'a XdpContext);

impl<'a> Packet<'a> {
    /// The frame that the program was called for.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext) -> Self {
        Self(ctx)
    }
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let start = self.0.data() + at;
        if start + N > self.0.data_end() {
            return None;
        }
        // SAFETY: `start .. start + N` was just checked to lie inside the packet, and `[u8; N]` has alignment 1
        // and no invalid bit pattern.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    /// Asks the kernel only if need be: behind `data_end`, a frame of several pieces may go on.
    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        if self.0.data() + end <= self.0.data_end() {
            return true;
        }
        // SAFETY: the context is the one that the program was called with.
        unsafe { bpf_xdp_get_buff_len(self.0.as_ptr().cast()) >= end as u64 }
    }
}
