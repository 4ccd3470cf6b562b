//! The maps, and the filter's view of them. Never decides.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::btf_maps::{Array, PerCpuArray, RingBuf};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_xdp_load_bytes};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use siglatch_common::address::Halves;
use siglatch_common::filter::{Arrival, Host};
use siglatch_common::layout::{Candidate, LayoutVersion, OwnBucket, PortList, PortRule};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::own_addresses::{BUCKETS, bucket_of, holds};
use siglatch_common::wire::Wire;

/// The knock ports, written by the loader. Not a map: in frozen memory they are constants to the verifier, and what
/// they do not need is not even compiled. Every UDP datagram of the host is asked about them
/// (`docs/decisions/0004-ports.md`).
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static PORTS: PortList = PortList::EMPTY;

/// This host's addresses, each in the bucket that `own_addresses::bucket_of` names.
#[btf_map(name = "own_addresses")]
static OWN_ADDRESSES: Array<OwnBucket, { BUCKETS as usize }> = Array::new();

/// Frames by outcome.
#[btf_map(name = "counters")]
static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// Datagrams on their way to the daemon. 256 KiB hold some 860 of them: a third of a second of private-key
/// operations on two cores. Without a value type, because libbpf demands that a ring buffer has none.
#[btf_map(name = "candidates")]
static CANDIDATES: RingBuf<(), { 256 * 1024 }> = RingBuf::new();

/// What the bytes of the maps above mean. Only user space reads it.
#[btf_map(name = "layout")]
static LAYOUT: Array<LayoutVersion, 1> = Array::new();

/// Adds one to this CPU's count of an outcome.
#[inline(always)]
pub fn count(outcome: Outcome) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        let counter = counters.cast::<u64>().wrapping_add(outcome as usize);
        // SAFETY: `Counters` is one `u64` for each outcome, in the order of the enum, so the place lies inside the
        // map value; nobody else writes this CPU's copy.
        unsafe { *counter += 1 };
    }
}

/// The kernel as the filter sees it.
pub struct Kernel<'a>(&'a XdpContext);

impl<'a> Kernel<'a> {
    /// The kernel, about to judge the frame of `ctx`.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext) -> Self {
        Self(ctx)
    }

    /// Copies a datagram into ring memory; false if the frame is shorter than its headers say.
    #[inline(always)]
    fn fill(&self, candidate: *mut Candidate, arrival: &Arrival, rule: &PortRule) -> bool {
        // SAFETY: no arguments to get wrong.
        let arrival_ns = unsafe { bpf_ktime_get_boot_ns() };
        // SAFETY: `candidate` is reserved ring memory, 8-byte aligned and as long as a `Candidate`.
        let datagram_at = unsafe {
            (&raw mut (*candidate).arrival_ns).write(arrival_ns);
            (&raw mut (*candidate).source).write(arrival.source.address());
            (&raw mut (*candidate).source_port).write(arrival.source_port);
            (&raw mut (*candidate).dest_port).write(arrival.dest_port);
            (&raw mut (*candidate).length).write(rule.length);
            (&raw mut (*candidate).wire).write(rule.wire);
            (&raw mut (*candidate).reserved).write(0);
            &raw mut (*candidate).datagram
        };
        // A literal for each length: the verifier follows no range that the optimiser has taken apart.
        Wire::ALL.into_iter().any(|wire| {
            let length = wire.datagram_len();
            rule.length == length && self.copy(arrival.payload_at, datagram_at, length)
        })
    }

    /// Copies `length` bytes of the frame, which must be a literal; false if the frame has them not.
    #[inline(always)]
    fn copy(&self, at: usize, to: *mut [u8; Candidate::ROOM], length: u16) -> bool {
        // SAFETY: the helper checks the frame's bounds itself, and no wire's length exceeds the room.
        unsafe { bpf_xdp_load_bytes(self.0.as_ptr().cast(), at as u32, to.cast(), u32::from(length)) == 0 }
    }
}

impl Host for Kernel<'_> {
    #[inline(always)]
    fn port(&self, port: u16) -> Option<PortRule> {
        for rule in &PORTS.rules {
            // SAFETY: a field of a static; volatile, because the loader has written it since this was compiled.
            let known = unsafe { (&raw const rule.port).read_volatile() };
            if known == 0 {
                return None;
            }
            if known == port {
                // SAFETY: as above.
                return Some(unsafe { (&raw const *rule).read_volatile() });
            }
        }
        None
    }

    #[inline(always)]
    fn is_own(&self, address: Halves) -> bool {
        OWN_ADDRESSES.get(bucket_of(address)).is_some_and(|bucket| holds(bucket, address))
    }

    #[inline(always)]
    fn submit(&self, arrival: &Arrival, rule: &PortRule) -> bool {
        let Some(mut entry) = CANDIDATES.reserve_untyped::<Candidate>(0) else {
            return false;
        };
        if self.fill(entry.as_mut_ptr(), arrival, rule) {
            entry.submit(0);
            true
        } else {
            entry.discard(0);
            false
        }
    }
}
