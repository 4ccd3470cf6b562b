//! Programs for tests and measurements, one for each part of the filter by itself: what a look-up, a clock or a hash
//! costs on the same frame. Never attached to an interface, and not in the daemon.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![expect(missing_docs, reason = "the entry macro makes functions that cannot carry any")]

#[path = "packet.rs"]
mod packet;

use aya_ebpf::EbpfContext as _;
use aya_ebpf::bindings::xdp_action;
use aya_ebpf::btf_maps::lpm_trie::Key as Prefix;
use aya_ebpf::btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, ProgramArray};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_ktime_get_boot_ns, bpf_ktime_get_coarse_ns, bpf_xdp_store_bytes};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use packet::Packet;
use siglatch_common::address::Halves;
use siglatch_common::filter::form;
use siglatch_common::frame::{Frame as _, Seen, read, source_of};
use siglatch_common::layout::{OwnBucket, PortRule, Source};
use siglatch_common::own_addresses::{bucket_of, holds};
use siglatch_common::pace::Pace;
use siglatch_common::siphash::{Key, siphash_1_3, siphash_2_4};
use siglatch_common::stamp::{Slot, stamp};
use siglatch_common::wire::Wire;

#[btf_map(name = "jump")]
static JUMP: ProgramArray<1> = ProgramArray::new();

#[btf_map(name = "own")]
static OWN: Array<OwnBucket, 1024> = Array::new();

#[btf_map(name = "hash")]
static HASH: HashMap<Source, [u64; 3], 1024> = HashMap::new();

#[btf_map(name = "trie")]
static TRIE: LpmTrie<Source, u64, 1024> = LpmTrie::new();

#[btf_map(name = "array")]
static ARRAY: Array<u64, 1024> = Array::new();

#[btf_map(name = "lru")]
static LRU: LruHashMap<Source, u64, 1024> = LruHashMap::new();

#[btf_map(name = "counter")]
static COUNTER: PerCpuArray<u64, 32> = PerCpuArray::new();

/// Places in `array`, less one; written by the loader.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".rodata")]
static MASK: u32 = 0;

/// Nothing: the floor.
#[xdp(frags)]
pub fn part_empty(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Reads the headers of a datagram to a knock port, and judges its form.
#[xdp(frags)]
pub fn part_parse(ctx: XdpContext) -> u32 {
    let frame = Packet::new(&ctx);
    let Seen::Udp(headers) = read(&frame) else { return xdp_action::XDP_PASS };
    let (Some(destination), Some(length)) = (headers.destination(&frame), headers.payload_len(&frame)) else {
        return xdp_action::XDP_PASS;
    };
    let rule = PortRule::new(headers.dest_port, Wire::Stamped);
    let sealed = form(headers.fragment, length, &PortRule::new(headers.dest_port, Wire::Sealed)).is_none();
    if !sealed && form(headers.fragment, length, &rule).is_some() || destination.is_impossible_source() {
        return xdp_action::XDP_PASS;
    }
    if !frame.reaches(headers.payload_at() + usize::from(length)) {
        return xdp_action::XDP_PASS;
    }
    match headers.source(&frame) {
        Some(source) if !source.is_impossible_source() => xdp_action::XDP_DROP,
        _ => xdp_action::XDP_PASS,
    }
}

/// Counts, as the filter does.
#[xdp(frags)]
pub fn part_counter(_: XdpContext) -> u32 {
    if let Some(counter) = COUNTER.get_ptr_mut(0) {
        // SAFETY: a value of the map, of this CPU.
        unsafe { *counter += 1 };
    }
    xdp_action::XDP_DROP
}

/// Reads the source address, which every part below does first.
#[xdp(frags)]
pub fn part_source(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| source.last != 0)
}

/// Looks the source up among own addresses.
#[xdp(frags)]
pub fn part_own(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| !OWN.get(bucket_of(source)).is_some_and(|bucket| holds(bucket, source)))
}

/// Looks the source up in a hash map.
#[xdp(frags)]
pub fn part_hash(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| HASH.get_ptr(Source::of(source)).is_none_or(|entry| !entry.is_null()))
}

/// Looks the source up among networks.
#[xdp(frags)]
pub fn part_trie(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| {
        let question = Question { _before: 0, key: Prefix::new(128, Source::of(source)) };
        TRIE.get(&question.key).is_none_or(|value| *value != 7)
    })
}

/// Hashes the source with SipHash-1-3.
#[xdp(frags)]
pub fn part_spread(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| spread(source) != 0)
}

/// Hashes the source, and looks into the array at that place.
#[xdp(frags)]
pub fn part_array(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| {
        word(source).is_some_and(|word| {
            // SAFETY: a value of the map.
            unsafe { word.read_volatile() != 7 }
        })
    })
}

/// A token bucket in the array: hash, place, clock.
#[xdp(frags)]
pub fn part_bucket(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| {
        word(source).is_some_and(|word| {
            // SAFETY: a value of the map; volatile, because other CPUs write it.
            unsafe {
                if let Some(next) = PACE.take(word.read_volatile(), bpf_ktime_get_coarse_ns()) {
                    word.write_volatile(next);
                }
            }
            true
        })
    })
}

/// The same token bucket in an LRU hash.
#[xdp(frags)]
pub fn part_lru(ctx: XdpContext) -> u32 {
    with_source(&ctx, |source| {
        let source = Source::of(source);
        // SAFETY: no arguments to get wrong.
        let now = unsafe { bpf_ktime_get_coarse_ns() };
        match LRU.get_ptr_mut(source) {
            // SAFETY: a value of the map; volatile, because other CPUs write it.
            Some(word) => unsafe {
                if let Some(next) = PACE.take(word.read_volatile(), now) {
                    word.write_volatile(next);
                }
                true
            },
            None => PACE.take(0, now).is_none_or(|next| LRU.insert(source, next, 0).is_ok()),
        }
    })
}

/// Reads the clock of rates.
#[xdp(frags)]
pub fn part_coarse_clock(_: XdpContext) -> u32 {
    // SAFETY: no arguments to get wrong.
    answer(unsafe { bpf_ktime_get_coarse_ns() } != 0)
}

/// Reads the clock of bans.
#[xdp(frags)]
pub fn part_boot_clock(_: XdpContext) -> u32 {
    // SAFETY: no arguments to get wrong.
    answer(unsafe { bpf_ktime_get_boot_ns() } != 0)
}

/// Verifies the 264 bytes behind the headers of a plain IPv4 datagram.
#[xdp(frags)]
pub fn part_stamp(ctx: XdpContext) -> u32 {
    let frame = Packet::new(&ctx);
    let Some(sealed) = frame.block::<256>(PAYLOAD_AT + 8) else { return xdp_action::XDP_PASS };
    let (words, _) = sealed.as_chunks::<8>();
    let made = stamp(Slot::of_stamp(3), KEY, |index| words.get(index).map(|word| u64::from_le_bytes(*word)));
    answer(made != frame.word(PAYLOAD_AT))
}

/// The fingerprint of a plain IPv4 datagram, and the place where it would be.
#[xdp(frags)]
pub fn part_copy(ctx: XdpContext) -> u32 {
    let frame = Packet::new(&ctx);
    let (Some(first), Some(second)) = (frame.word(PAYLOAD_AT + 12), frame.word(PAYLOAD_AT + 20)) else {
        return xdp_action::XDP_PASS;
    };
    let hash = siphash_1_3(KEY, first, second);
    let Some(word) = ARRAY.get_ptr_mut((hash >> 32) as u32 & mask()) else { return xdp_action::XDP_PASS };
    // SAFETY: a value of the map.
    answer(unsafe { word.read_volatile() } != hash | 1)
}

/// A token bucket at a place that is always the same: the budget of a lane.
#[xdp(frags)]
pub fn part_budget(_: XdpContext) -> u32 {
    let Some(word) = ARRAY.get_ptr_mut(0) else { return xdp_action::XDP_PASS };
    // SAFETY: a value of the map; volatile, because other CPUs write it.
    unsafe {
        if let Some(next) = PACE.take(word.read_volatile(), bpf_ktime_get_coarse_ns()) {
            word.write_volatile(next);
        }
    }
    xdp_action::XDP_DROP
}

/// Gives a plain IPv4 frame a random source and eight random bytes of payload, and jumps to program 0.
#[xdp(frags)]
pub fn part_forge(ctx: XdpContext) -> u32 {
    // SAFETY: no arguments to get wrong.
    let (source, payload) = unsafe { (bpf_get_prandom_u32(), bpf_get_prandom_u32()) };
    let start = ctx.data();
    if start + PAYLOAD_AT + 24 > ctx.data_end() {
        return xdp_action::XDP_ABORTED;
    }
    // SAFETY: `start .. start + PAYLOAD_AT + 24` was just checked to lie inside the frame. From 11.0.0.0/8: no source
    // that is impossible.
    unsafe {
        ((start + SOURCE_AT) as *mut u32).write_unaligned(source & !0xff | 11);
        ((start + PAYLOAD_AT + 20) as *mut u32).write_unaligned(payload);
    }
    // SAFETY: the map holds XDP programs alone. Returns only if there is none.
    unsafe { JUMP.tail_call(&ctx, 0) };
    xdp_action::XDP_ABORTED
}

/// Hashes a message of up to 32 words: behind 14 bytes the key, the number of words, the words; the hash is written
/// over the number.
#[xdp(frags)]
pub fn part_vector(ctx: XdpContext) -> u32 {
    let frame = Packet::new(&ctx);
    let (Some(k0), Some(k1), Some(count)) = (frame.word(14), frame.word(22), frame.word(30)) else {
        return xdp_action::XDP_ABORTED;
    };
    if count > 32 {
        return xdp_action::XDP_ABORTED;
    }
    let mut words = 0_usize;
    let hash = siphash_2_4(Key { k0, k1 }, count as usize, |index| {
        words += 1;
        frame.far_word(38 + index * 8)
    });
    let Some(mut hash) = hash else { return xdp_action::XDP_ABORTED };
    // SAFETY: the helper checks the frame's bounds itself, and reads the 8 bytes of `hash`.
    let stored = unsafe { bpf_xdp_store_bytes(ctx.as_ptr().cast(), 30, (&raw mut hash).cast(), 8) };
    answer(stored == 0)
}

/// Keeps the address in the key aligned, as in the filter.
#[repr(C, align(8))]
struct Question {
    _before: u32,
    key: Prefix<Source>,
}

#[inline(always)]
fn with_source(ctx: &XdpContext, holds: impl FnOnce(Halves) -> bool) -> u32 {
    match source_of(&Packet::new(ctx)) {
        Some(source) => answer(holds(source)),
        None => xdp_action::XDP_PASS,
    }
}

/// Drops if all is well: no result is left out by the optimiser.
#[inline(always)]
const fn answer(well: bool) -> u32 {
    if well { xdp_action::XDP_DROP } else { xdp_action::XDP_PASS }
}

#[inline(always)]
fn spread(source: Halves) -> u64 {
    siphash_1_3(KEY, source.first, source.last)
}

#[inline(always)]
fn word(source: Halves) -> Option<*mut u64> {
    ARRAY.get_ptr_mut(spread(source) as u32 & mask())
}

#[inline(always)]
fn mask() -> u32 {
    // SAFETY: a static; volatile, because the loader has written it since this was compiled.
    unsafe { (&raw const MASK).read_volatile() }
}

const KEY: Key = Key { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };

/// As the filter's for one source.
const PACE: Pace = Pace::per_second(10, 20);

/// Of a plain IPv4 frame.
const SOURCE_AT: usize = 26;
/// Of a plain IPv4 frame.
const PAYLOAD_AT: usize = 42;

/// See `main.rs`.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// See `main.rs`.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
