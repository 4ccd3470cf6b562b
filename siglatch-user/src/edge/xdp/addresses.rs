//! Writes this host's addresses into the map `own_addresses`. Never learns an address by itself.

use std::collections::BTreeMap;

use aya::maps::{Array, Map, MapData};
use siglatch_common::address::Address;
use siglatch_common::layout::OwnBucket;
use siglatch_common::own_addresses::{BUCKETS, bucket_of, empty_bucket, put};

use super::XdpError;

/// The map, and what was last written to each bucket.
pub(super) struct OwnAddresses {
    map: Array<MapData, OwnBucket>,
    /// Nothing until the first write: the map may hold what an earlier daemon left.
    written: Option<BTreeMap<u32, OwnBucket>>,
}

impl OwnAddresses {
    pub(super) fn new(map: Map) -> Result<Self, XdpError> {
        let map = Array::try_from(map).map_err(XdpError::map("own_addresses"))?;
        Ok(Self { map, written: None })
    }

    /// Makes the map hold exactly these, and returns those that find no room.
    pub(super) fn replace(&mut self, own: &[Address]) -> Result<Vec<Address>, XdpError> {
        let (wanted, homeless) = buckets(own);
        for index in 0..BUCKETS {
            let bucket = wanted.get(&index);
            let stale = self.written.as_ref().is_none_or(|written| written.get(&index) != bucket);
            if stale {
                let bucket = bucket.copied().unwrap_or_else(|| empty_bucket(index));
                self.map.set(index, bucket, 0).map_err(XdpError::map("own_addresses"))?;
            }
        }
        self.written = Some(wanted);
        Ok(homeless)
    }
}

/// Sorts addresses into buckets; each once. Those beyond the fourth of a bucket are left over.
fn buckets(own: &[Address]) -> (BTreeMap<u32, OwnBucket>, Vec<Address>) {
    let mut buckets = BTreeMap::new();
    let mut homeless = Vec::new();
    for &address in own.iter().filter(|address| **address != Address::UNSPECIFIED) {
        let index = bucket_of(address.halves());
        if !put(buckets.entry(index).or_insert_with(|| empty_bucket(index)), address) {
            homeless.push(address);
        }
    }
    (buckets, homeless)
}

#[cfg(test)]
mod tests {
    use super::*;
    use siglatch_common::own_addresses::holds;

    #[test]
    fn every_address_is_in_its_bucket_or_left_over() {
        let own: Vec<_> = (0..20_000_u32).map(|n| Address::v4(n.to_be_bytes())).collect();
        let (buckets, homeless) = buckets(&own);
        assert!(!homeless.is_empty(), "20,000 addresses do not fit 4,096 places");
        for address in own.iter().filter(|address| **address != Address::UNSPECIFIED) {
            let housed =
                buckets.get(&bucket_of(address.halves())).is_some_and(|bucket| holds(bucket, address.halves()));
            assert_ne!(housed, homeless.contains(address), "{address}");
        }
    }
}
