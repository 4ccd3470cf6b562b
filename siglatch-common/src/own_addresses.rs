//! Which addresses are this host's own: a table that costs the kernel one array look-up.
//!
//! A hash map look-up costs more than reading the whole packet headers does (`docs/decisions/0002-own-addresses.md`),
//! and it would be paid before a wrong length can be dropped. Never learns an address by itself.

use crate::address::{Address, Halves};
use crate::layout::OwnBucket;

/// Buckets in the map `own_addresses`. A power of two.
pub const BUCKETS: u32 = 1024;

/// The bucket that an address lives in, below [`BUCKETS`].
#[inline(always)]
#[must_use]
pub const fn bucket_of(address: Halves) -> u32 {
    let mixed = (address.first.rotate_left(32) ^ address.last).wrapping_mul(SPREAD);
    (mixed >> (u64::BITS - BUCKETS.trailing_zeros())) as u32
}

/// Whether `bucket`, which must be [`bucket_of`] the address, holds it.
#[inline(always)]
#[must_use]
pub const fn holds(bucket: &OwnBucket, address: Halves) -> bool {
    let [a, b, c, d] = &bucket.addresses;
    same(a, address) || same(b, address) || same(c, address) || same(d, address)
}

/// A bucket without addresses. Its places hold one that lives in another bucket, and so can never be found here.
#[must_use]
pub const fn empty_bucket(index: u32) -> OwnBucket {
    const { assert!(bucket_of(MULTICAST.halves()) != bucket_of(Halves::UNSPECIFIED)) };
    let nobody = if index == bucket_of(Halves::UNSPECIFIED) { MULTICAST } else { Address::UNSPECIFIED };
    OwnBucket { addresses: [nobody; 4] }
}

/// Puts an address into its bucket, once; false if there is no room.
#[must_use]
pub fn put(bucket: &mut OwnBucket, address: Address) -> bool {
    let nobody = empty_bucket(bucket_of(address.halves())).addresses[0];
    match bucket.addresses.iter_mut().find(|place| **place == address || **place == nobody) {
        Some(place) => {
            *place = address;
            true
        }
        None => false,
    }
}

#[inline(always)]
const fn same(place: &Address, address: Halves) -> bool {
    let place = place.halves();
    place.first == address.first && place.last == address.last
}

/// `ff00::`, a multicast address: no host's own.
const MULTICAST: Address = Address::v6([0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

/// Knuth, The Art of Computer Programming 3, section 6.4: multiplicative hashing by 2^64 over the golden ratio.
pub(crate) const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_bucket_and_a_neighbour_is_not() {
        let (mine, other) = (Address::v4([192, 0, 2, 1]), Address::v4([192, 0, 2, 2]));
        let mut bucket = empty_bucket(bucket_of(mine.halves()));
        assert!(!holds(&bucket, mine.halves()));
        assert!(put(&mut bucket, mine));
        assert!(holds(&bucket, mine.halves()));
        assert!(!holds(&bucket, other.halves()));
    }

    #[test]
    fn the_fifth_of_a_bucket_finds_no_room_and_one_said_twice_takes_one_place() {
        let home = bucket_of(Address::v4([10, 0, 0, 0]).halves());
        let mut neighbours =
            (0..u32::MAX).map(|n| Address::v4(n.to_be_bytes())).filter(|address| bucket_of(address.halves()) == home);
        let mut bucket = empty_bucket(home);
        for address in neighbours.by_ref().take(4) {
            assert!(put(&mut bucket, address) && put(&mut bucket, address));
        }
        assert!(!put(&mut bucket, neighbours.next().unwrap()));
    }

    #[test]
    fn an_empty_table_holds_nobody() {
        for address in [Address::UNSPECIFIED, MULTICAST, Address::v4([192, 0, 2, 1])] {
            let halves = address.halves();
            assert!(!holds(&empty_bucket(bucket_of(halves)), halves), "{address}");
        }
    }

    #[test]
    fn a_hundred_neighbouring_addresses_fit() {
        for prefix in
            [Address::v4([10, 0, 0, 0]), Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
        {
            let mut load = [0_u8; BUCKETS as usize];
            for last in 0..100 {
                let mut address = prefix;
                address.octets[15] = last;
                load[bucket_of(address.halves()) as usize] += 1;
            }
            assert!(load.iter().all(|n| *n <= 4));
        }
    }
}
