//! The only raw packet reads in the program. Never interprets what it reads.

use core::hint::black_box;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_get_buff_len, bpf_xdp_load_bytes};
use aya_ebpf::programs::XdpContext;
use siglatch_common::frame::{Behind, FARTHEST, Frame, behind_extensions};

/// The frame under judgement.
pub struct Packet<'a>(&'a XdpContext);

impl<'a> Packet<'a> {
    /// The frame that the program was called for.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext) -> Self {
        Self(ctx)
    }

    /// Read anew for each question: kept in a register, the optimiser might copy it as the 32 bits that it is declared to be, and
    /// for the verifier it would be a pointer no more.
    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: a field of the context that the program was called with.
        unsafe { (&raw const (*self.0.ctx).data).read_volatile() as usize }
    }

    /// Where the first piece of the frame ends; read anew as [`Self::start`].
    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (&raw const (*self.0.ctx).data_end).read_volatile() as usize }
    }
}

impl Frame for Packet<'_> {
    #[inline(always)]
    fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        let start = self.start() + at;
        if start + N > self.end() {
            return None;
        }
        // SAFETY: `start .. start + N` was just checked to lie inside the packet, and `[u8; N]` has alignment 1
        // and no invalid bit pattern.
        Some(unsafe { *(start as *const [u8; N]) })
    }

    #[inline(always)]
    fn block<const N: usize>(&self, at: usize) -> Option<&[u8; N]> {
        let start = self.start() + at;
        if start + N > self.end() {
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
        if self.start() + end <= self.end() {
            return true;
        }
        // SAFETY: the context is the one that the program was called with.
        unsafe { bpf_xdp_get_buff_len(self.0.as_ptr().cast()) >= end as u64 }
    }
    #[inline(always)]
    fn behind(&self, next: u8, at: usize) -> Option<Behind> {
        // SAFETY: the context is the program's.
        let packed = unsafe { siglatch_behind(self.0.ctx, u32::from(next), at as u64) };
        // The optimiser has read the function and knows its answers; the verifier knows what is asked here.
        Behind::unpack(black_box(packed))
    }
}

/// Out of line, and verified once: what is asked of the datagram is not verified again for each way through the headers before it.
///
/// # Safety
/// The context is the program's.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn siglatch_behind(ctx: *mut xdp_md, next: u32, at: u64) -> u64 {
    if at > FARTHEST as u64 {
        return Behind::pack(None);
    }
    let ctx = XdpContext::new(black_box(ctx));
    Behind::pack(behind_extensions(&Packet::new(&ctx), next as u8, at as usize))
}
