//! Which addresses are this host's own: a table that costs the kernel one array look-up.
//!
//! A hash map look-up costs more than reading the whole packet headers does (`docs/decisions/0002-own-addresses.md`),
//! and it would be paid before a wrong length can be dropped. Never learns an address by itself.

use crate::address::Address;
use crate::layout::OwnBucket;

/// Buckets in the map `own_addresses`. A power of two.
pub const BUCKETS: usize = 1024;

/// The bucket that `address` lives in, below [`BUCKETS`].
#[inline(always)]
#[must_use]
pub const fn bucket_of(address: &Address) -> u32 {
    let (high, low) = address.halves();
    let mixed = (low ^ high.rotate_left(32)).wrapping_mul(SPREAD);
    (mixed >> (64 - BUCKETS.trailing_zeros())) as u32
}

/// Whether `bucket`, which must be [`bucket_of`] the address, holds it.
#[inline(always)]
#[must_use]
pub const fn holds(bucket: &OwnBucket, address: &Address) -> bool {
    let [a, b, c, d] = &bucket.addresses;
    same(a, address) || same(b, address) || same(c, address) || same(d, address)
}

#[inline(always)]
const fn same(a: &Address, b: &Address) -> bool {
    let (ours, theirs) = (a.halves(), b.halves());
    ours.0 == theirs.0 && ours.1 == theirs.1
}

/// Knuth, The Art of Computer Programming 3, section 6.4: multiplicative hashing by 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_its_bucket_and_a_neighbour_is_not() {
        let (mine, other) = (Address::v4([192, 0, 2, 1]), Address::v4([192, 0, 2, 2]));
        let mut bucket = OwnBucket { addresses: [Address::UNSPECIFIED; 4] };
        assert!(!holds(&bucket, &mine));
        bucket.addresses[3] = mine;
        assert!(holds(&bucket, &mine));
        assert!(!holds(&bucket, &other));
    }

    #[test]
    fn a_hundred_neighbouring_addresses_fit() {
        for prefix in
            [Address::v4([10, 0, 0, 0]), Address::v6([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])]
        {
            let mut load = [0_u8; BUCKETS];
            for last in 0..100 {
                let mut address = prefix;
                address.octets[15] = last;
                load[bucket_of(&address) as usize] += 1;
            }
            assert!(load.iter().all(|n| *n <= 4));
        }
    }
}
