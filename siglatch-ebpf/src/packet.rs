//! The only raw packet reads in the program. Never interprets what it reads.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
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

    #[inline(always)]
    fn block<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        let start = self.0.data() + at;
        if start + N > self.0.data_end() {
            return None;
        }
        // SAFETY: as above; the frame is not changed while the program runs.
        Some(unsafe { &*(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn word(&self, at: usize) -> Option<u64> {
        match self.array(at) {
            Some(bytes) => Some(u64::from_le_bytes(bytes)),
            None => self.far_word(at),
        }
    }

    #[inline(always)]
    fn far_word(&self, at: usize) -> Option<u64> {
        let mut word = 0_u64;
        // SAFETY: the helper checks the frame's bounds itself, and writes the 8 bytes of `word`.
        let done = unsafe { bpf_xdp_load_bytes(self.0.as_ptr().cast(), at as u32, (&raw mut word).cast(), 8) };
        (done == 0).then_some(u64::from_le(word))
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
