//! The maps, and the filter's view of them. Never decides.

use core::cell::UnsafeCell;
use core::hint::black_box;
use core::mem::{offset_of, transmute};

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_md;
use aya_ebpf::btf_maps::lpm_trie::Key as Prefix;
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, PerCpuArray, RingBuf};
use aya_ebpf::helpers::{bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_xdp_load_bytes};
use aya_ebpf::macros::btf_map;
use aya_ebpf::programs::XdpContext;
use siglatch_common::address::Halves;
use siglatch_common::ban::{Ban, Reason};
use siglatch_common::filter::{Arrival, Host, Word, judge};
use siglatch_common::frame::{FARTHEST, Frame, source_of};
use siglatch_common::lane::Lane;
use siglatch_common::layout::{
    Candidate, Known, LaneMeter, LayoutVersion, Offender, OwnBucket, PortRule, RulePair, Rules, Source, StampKey,
};
use siglatch_common::outcome::{Counters, Outcome};
use siglatch_common::own_addresses::{BUCKETS, bucket_of, holds};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::{Key, siphash_1_3};
use siglatch_common::stamp::{SLOTS, Slot};
use siglatch_common::wire::Wire;

use crate::packet::Packet;

/// Ports, limits and keys, written by user space at any time. Not a map to look into: the address of a global is part of
/// the program, and every datagram of the host comes here (`docs/decisions/0004-ports.md`).
#[unsafe(no_mangle)]
#[unsafe(link_section = ".data.rules")]
static RULES: Shared<RulePair> = Shared(UnsafeCell::new(RulePair::new(Rules::NONE)));

/// This host's addresses, each in the bucket that `own_addresses::bucket_of` names.
#[btf_map(name = "own_addresses")]
static OWN_ADDRESSES: Array<OwnBucket, { BUCKETS as usize }> = Array::new();

/// Networks that are neither banned nor limited. The sizes of this map and of those below are the least; the loader
/// sets others.
#[btf_map(name = "allowlist")]
static ALLOWLIST: LpmTrie<Source, u64, 1024> = LpmTrie::new();

/// Banned addresses.
#[btf_map(name = "blacklist")]
static BLACKLIST: HashMap<Source, ShownBan, 1024> = HashMap::new();

/// Banned networks.
#[btf_map(name = "blacklist_networks")]
static BLACKLIST_NETWORKS: LpmTrie<Source, ShownBan, 1024> = LpmTrie::new();

/// Origins that authenticated lately.
#[btf_map(name = "known")]
static KNOWN: HashMap<Source, Known, 1024> = HashMap::new();

/// What stamps are made with.
#[btf_map(name = "stamp_keys")]
static STAMP_KEYS: Array<StampKey, SLOTS> = Array::new();

/// A token bucket for each hash of an origin.
#[btf_map(name = "buckets")]
static BUCKET_WORDS: Array<u64, 1024> = Array::new();

/// What was submitted last, for each hash of a datagram.
#[btf_map(name = "copies")]
static COPIES: Array<u64, 1024> = Array::new();

/// A token bucket for each lane, and behind them one for diagnostics.
#[btf_map(name = "lanes")]
static LANES: Array<LaneMeter, { Lane::ALL.len() + 1 }> = Array::new();

/// Who is refused most, by samples.
#[btf_map(name = "offenders")]
static OFFENDERS: Array<Offender, { OFFENDER_PLACES as usize }> = Array::new();

/// Frames by outcome.
#[btf_map(name = "counters")]
static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();

/// Datagrams on their way to the daemon, a ring for each lane. 256 KiB hold some 860 of them: a third of a second of
/// private-key operations on two cores. Without a value type, because libbpf demands that a ring buffer has none.
#[btf_map(name = "lane_stamped")]
static LANE_STAMPED: RingBuf<(), RING_BYTES> = RingBuf::new();

/// See [`LANE_STAMPED`].
#[btf_map(name = "lane_known")]
static LANE_KNOWN: RingBuf<(), RING_BYTES> = RingBuf::new();

/// See [`LANE_STAMPED`].
#[btf_map(name = "lane_unknown")]
static LANE_UNKNOWN: RingBuf<(), RING_BYTES> = RingBuf::new();

/// What the bytes of the maps above mean. Only user space reads it.
#[btf_map(name = "layout")]
static LAYOUT: Array<LayoutVersion, 1> = Array::new();

/// Adds one to this CPU's count of an outcome, and returns the sum.
#[inline(always)]
pub fn count(outcome: Outcome) -> u64 {
    let Some(counters) = COUNTERS.get_ptr_mut(0) else { return 0 };
    let counter = counters.cast::<u64>().wrapping_add(outcome as usize);
    // SAFETY: `Counters` is one `u64` for each outcome, in the order of the enum, so the place lies inside the
    // map value; nobody else writes this CPU's copy.
    unsafe {
        *counter += 1;
        *counter
    }
}

/// Notes who sent a frame that was refused.
#[inline(always)]
pub fn note_source_of(ctx: *mut xdp_md, outcome: Outcome, rules: &Rules) {
    let Key { k0, k1 } = rules.tuning.key();
    // SAFETY: the context is the program's.
    unsafe { siglatch_note(ctx, outcome as u32, k0, k1) };
}

/// Out of line, and verified once, as [`siglatch_judge`]: not behind every outcome that leads to it. The context is hidden from
/// the optimiser, which would read the frame's bounds before the call, and the verifier would not know them again.
///
/// # Safety
/// The context is the program's.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn siglatch_note(ctx: *mut xdp_md, outcome: u32, k0: u64, k1: u64) -> u64 {
    let ctx = XdpContext::new(black_box(ctx));
    if let Some(source) = source_of(&Packet::new(&ctx)) {
        note(source, outcome, Key { k0, k1 });
    }
    0
}

/// Notes one refused frame of many. Whoever is refused most holds his place against the others who come to it
/// (Boyer and Moore, "MJRTY: a fast majority vote algorithm").
#[inline(always)]
fn note(source: Halves, outcome: u32, key: Key) {
    let hash = siphash_1_3(key, source.first ^ u64::from(outcome), source.last);
    let Some(place) = OFFENDERS.get_ptr_mut(hash as u32 & (OFFENDER_PLACES - 1)) else { return };
    let address = source.address().octets;
    // SAFETY: a value of the map, of plain numbers; two CPUs can spoil one sample of each other's.
    unsafe {
        if (*place).samples == 0 {
            (*place).address = address;
            (*place).outcome = outcome;
            (*place).samples = 1;
        } else if (*place).outcome == outcome && (*place).address == address {
            (*place).samples = (*place).samples.wrapping_add(1);
        } else {
            (*place).samples -= 1;
        }
    }
}

/// The rules that count. Nobody writes them as long as the program runs: user space writes the others, and waits for every
/// program that goes by them before it does so again.
#[inline(always)]
pub fn rules() -> &'static Rules {
    let pair = RULES.0.get();
    // SAFETY: a field of a static; volatile, because user space writes it, and read once.
    let counts = unsafe { (&raw const (*pair).counts).read_volatile() };
    // SAFETY: one of the two, and the one that is not written.
    unsafe { &*(&raw const (*pair).rules).cast::<Rules>().add((counts & 1) as usize) }
}

/// Whether one more frame may be told this second.
#[inline(always)]
pub fn may_tell() -> bool {
    let Some(meter) = LANES.get_ptr_mut(Lane::ALL.len() as u32) else { return false };
    // SAFETY: a field of a map value; no arguments to get wrong.
    let (word, now) = unsafe { (MapWord(&raw mut (*meter).bucket), bpf_ktime_get_coarse_ns()) };
    let next = DIAGNOSTICS.take(word.read(), now);
    next.inspect(|next| word.write(*next)).is_some()
}

/// The kernel as the filter sees it.
pub struct Kernel<'a> {
    ctx: &'a XdpContext,
    rules: &'static Rules,
}

/// The question which network an address is in. The verifier demands that what is written to the stack is aligned, and
/// the address stands 4 bytes behind the start of the key.
#[repr(C, align(8))]
struct Question {
    _before: u32,
    key: Prefix<Source>,
}

/// A [`Ban`] as the maps declare it, so that bpftool shows the reason by its name. Only ever pointed at: an operator may
/// have written a number that is no reason.
#[repr(C)]
struct ShownBan {
    until: u64,
    hits: u64,
    reason: ShownReason,
    step: u32,
}

/// A [`Reason`] by its label.
#[repr(u32)]
#[expect(non_camel_case_types, dead_code, reason = "bpftool shows these names, and nobody else uses them")]
enum ShownReason {
    operator = Reason::Operator.number(),
    file = Reason::File.number(),
    unauthentic = Reason::Unauthentic.number(),
    flood = Reason::Flood.number(),
}

const _: () = {
    assert!(size_of::<ShownBan>() == size_of::<Ban>() && align_of::<ShownBan>() == align_of::<Ban>());
    assert!(offset_of!(ShownBan, until) == offset_of!(Ban, until));
    assert!(offset_of!(ShownBan, hits) == offset_of!(Ban, hits));
    assert!(offset_of!(ShownBan, reason) == offset_of!(Ban, reason));
    assert!(offset_of!(ShownBan, step) == offset_of!(Ban, step));
    assert!(size_of::<ShownReason>() == size_of::<u32>() && Reason::ALL.len() == 4);
};

/// A global that user space writes.
#[repr(transparent)]
struct Shared<T>(UnsafeCell<T>);

// SAFETY: whoever reads it says why nobody writes it meanwhile.
unsafe impl<T> Sync for Shared<T> {}

/// A number in a map.
pub struct MapWord(*mut u64);

impl<'a> Kernel<'a> {
    /// The kernel, about to judge the frame of `ctx` by these rules.
    #[inline(always)]
    pub fn new(ctx: &'a XdpContext, rules: &'static Rules) -> Self {
        Self { ctx, rules }
    }

    /// Copies a datagram into ring memory; false if the frame is shorter than its headers say.
    #[inline(always)]
    fn fill(&self, candidate: *mut Candidate, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        let arrival_ns = boot_ns();
        // SAFETY: `candidate` is reserved ring memory, 8-byte aligned and as long as a `Candidate`.
        let datagram_at = unsafe {
            (&raw mut (*candidate).arrival_ns).write(arrival_ns);
            (&raw mut (*candidate).source).write(arrival.source.address());
            (&raw mut (*candidate).source_port).write(arrival.source_port);
            (&raw mut (*candidate).dest_port).write(arrival.dest_port);
            (&raw mut (*candidate).length).write(rule.length);
            (&raw mut (*candidate).wire).write(rule.wire);
            (&raw mut (*candidate).lane).write(lane as u8);
            &raw mut (*candidate).datagram
        };
        // A literal for each length: the verifier follows no range that the optimiser has taken apart.
        Wire::ALL.into_iter().any(|wire| {
            let length = wire.datagram_len();
            rule.length == length && self.copy_out(arrival.payload_at, datagram_at, length)
        })
    }

    /// Copies `length` bytes of the frame, which must be a literal; false if the frame has them not.
    #[inline(always)]
    fn copy_out(&self, at: usize, to: *mut [u8; Candidate::ROOM], length: u16) -> bool {
        // SAFETY: the helper checks the frame's bounds itself, and no wire's length exceeds the room.
        unsafe { bpf_xdp_load_bytes(self.ctx.as_ptr().cast(), at as u32, to.cast(), u32::from(length)) == 0 }
    }

    #[inline(always)]
    fn submit_to(&self, ring: &RingBuf<(), RING_BYTES>, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        let Some(mut entry) = ring.reserve_untyped::<Candidate>(0) else {
            return false;
        };
        if self.fill(entry.as_mut_ptr(), arrival, rule, lane) {
            entry.submit(0);
            true
        } else {
            entry.discard(0);
            false
        }
    }
}

impl Host for Kernel<'_> {
    type Word = MapWord;

    #[inline(always)]
    fn port(&self, port: u16) -> Option<PortRule> {
        self.rules.ports.rule(port)
    }

    #[inline(always)]
    fn is_own(&self, address: Halves) -> bool {
        OWN_ADDRESSES.get(bucket_of(address)).is_some_and(|bucket| holds(bucket, address))
    }

    #[inline(always)]
    fn bans_hosts(&self) -> bool {
        self.rules.tuning.bans_hosts != 0
    }

    #[inline(always)]
    fn is_allowed(&self, source: Halves) -> bool {
        ALLOWLIST.get(&Question::about(Source::of(source)).key).is_some()
    }

    #[inline(always)]
    fn is_banned(&self, source: Halves) -> bool {
        let source = Source::of(source);
        if BLACKLIST.get_ptr_mut(source).is_some_and(|ban| holds_and_hits(ban.cast())) {
            return true;
        }
        // SAFETY: the same map, whose definition is pointers, with a value type that any bytes are a value of.
        let networks = unsafe { &*(&raw const BLACKLIST_NETWORKS).cast::<LpmTrie<Source, Ban, 1024>>() };
        let ban = networks.get(&Question::about(source).key);
        ban.is_some_and(|ban| holds_and_hits((&raw const *ban).cast_mut()))
    }

    #[inline(always)]
    fn stamp_key(&self, slot: Slot) -> Option<Key> {
        STAMP_KEYS.get(u32::from(slot.number()))?.key()
    }

    #[inline(always)]
    fn spread(&self) -> Key {
        self.rules.tuning.key()
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: no arguments to get wrong.
        unsafe { bpf_ktime_get_coarse_ns() }
    }

    #[inline(always)]
    fn source_pace(&self) -> Pace {
        self.rules.tuning.source
    }

    #[inline(always)]
    fn known(&self, origin: Halves) -> Option<MapWord> {
        let known = KNOWN.get_ptr_mut(Source::of(origin))?;
        // SAFETY: a field of a map value.
        Some(MapWord(unsafe { &raw mut (*known).bucket }))
    }

    #[inline(always)]
    fn bucket(&self, hash: u64) -> Option<MapWord> {
        let mask = self.rules.tuning.bucket_mask;
        BUCKET_WORDS.get_ptr_mut(hash as u32 & mask).map(MapWord)
    }

    #[inline(always)]
    fn copy(&self, hash: u64) -> Option<MapWord> {
        let mask = self.rules.tuning.copy_mask;
        // A table of one place is none.
        if mask == 0 {
            return None;
        }
        COPIES.get_ptr_mut(hash as u32 & mask).map(MapWord)
    }

    #[inline(always)]
    fn lane_pace(&self, lane: Lane) -> Pace {
        let [stamped, known, unknown] = self.rules.tuning.lanes;
        match lane {
            Lane::Stamped => stamped,
            Lane::Known => known,
            Lane::Unknown => unknown,
        }
    }

    #[inline(always)]
    fn lane(&self, lane: Lane) -> Option<MapWord> {
        let meter = LANES.get_ptr_mut(lane as u32)?;
        // SAFETY: a field of a map value.
        Some(MapWord(unsafe { &raw mut (*meter).bucket }))
    }

    #[inline(always)]
    fn submit(&self, arrival: &Arrival, rule: &PortRule, lane: Lane) -> bool {
        match lane {
            Lane::Stamped => self.submit_to(&LANE_STAMPED, arrival, rule, lane),
            Lane::Known => self.submit_to(&LANE_KNOWN, arrival, rule, lane),
            Lane::Unknown => self.submit_to(&LANE_UNKNOWN, arrival, rule, lane),
        }
    }

    #[inline(always)]
    fn judge(&self, arrival: &Arrival, rule: &PortRule, _: &impl Frame) -> Outcome {
        let case = Case {
            source: arrival.source,
            payload_at: arrival.payload_at as u64,
            source_port: arrival.source_port,
            dest_port: arrival.dest_port,
            reserved: 0,
            rule: *rule,
        };
        // SAFETY: all of them are there, and stay meanwhile.
        let number = unsafe { siglatch_judge(self.ctx.ctx, &raw const case, &raw const *self.rules) };
        // The optimiser has read the function and knows its answers; the verifier knows what is asked here.
        let number = black_box(number);
        if number >= Outcome::ALL.len() as u64 {
            return Outcome::CutShort;
        }
        // SAFETY: outcomes are numbered from 0 without a gap, and this is the number of one.
        unsafe { transmute::<u32, Outcome>(number as u32) }
    }
}

/// An [`Arrival`] and the rule of its port, without a byte that is not written: the verifier may refuse to hand on one.
#[repr(C)]
pub struct Case {
    source: Halves,
    payload_at: u64,
    source_port: u16,
    dest_port: u16,
    reserved: u32,
    rule: PortRule,
}

/// Out of line: registers are scarce, and most frames are judged without any of this. A function that the verifier knows
/// by the types of its arguments alone, which is why it has a name of its own, and asks for what its caller has seen to: it is
/// verified once, and not again behind every chain of headers that leads to it.
///
/// # Safety
/// The context is the program's, the pointers are null or valid.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe extern "C" fn siglatch_judge(ctx: *mut xdp_md, case: *const Case, rules: *const Rules) -> u64 {
    // SAFETY: as the caller promises; a null pointer is none.
    let (Some(case), Some(rules)) = (unsafe { case.as_ref() }, unsafe { rules.as_ref() }) else {
        return Outcome::CutShort as u64;
    };
    if case.payload_at > FARTHEST as u64 {
        return Outcome::CutShort as u64;
    }
    let arrival = Arrival {
        source: case.source,
        source_port: case.source_port,
        dest_port: case.dest_port,
        payload_at: case.payload_at as usize,
    };
    let ctx = XdpContext::new(black_box(ctx));
    judge(&arrival, &case.rule, &Packet::new(&ctx), &Kernel::new(&ctx, rules)) as u64
}

impl Question {
    #[inline(always)]
    fn about(source: Source) -> Self {
        Self { _before: 0, key: Prefix::new(ALL_BITS, source) }
    }
}

impl Word for MapWord {
    #[inline(always)]
    fn read(&self) -> u64 {
        // SAFETY: points into a map value; volatile, because other CPUs write it.
        unsafe { self.0.read_volatile() }
    }

    #[inline(always)]
    fn write(&self, value: u64) {
        // SAFETY: as above.
        unsafe { self.0.write_volatile(value) }
    }
}

/// Whether a ban holds; if so, counts a hit.
#[inline(always)]
fn holds_and_hits(ban: *mut Ban) -> bool {
    // SAFETY: a value of a map, of plain numbers, that lives until the program ends.
    unsafe {
        let until = (&raw const (*ban).until).read_volatile();
        let holds = until == 0 || boot_ns() < until;
        if holds {
            (*ban).hits += 1;
        }
        holds
    }
}

#[inline(always)]
fn boot_ns() -> u64 {
    // SAFETY: no arguments to get wrong.
    unsafe { bpf_ktime_get_boot_ns() }
}

/// Frames told one by one: enough to see what is going on, too few to fill a disk.
const DIAGNOSTICS: Pace = Pace::per_second(100, 100);

/// Bytes of a ring.
const RING_BYTES: usize = 256 * 1024;

/// Places for offenders, a power of two.
const OFFENDER_PLACES: u32 = 1024;

/// The prefix length of one address.
const ALL_BITS: u32 = 128;
