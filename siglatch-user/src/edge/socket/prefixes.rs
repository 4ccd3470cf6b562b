//! A table of networks, asked for those around an address. Never says what one of them is for.

use std::collections::{BTreeMap, HashMap};

use siglatch_common::address::{Address, Network};

/// Something for each of some networks. A question costs one look-up for each prefix length there is.
#[derive(Debug)]
pub(super) struct Prefixes<V> {
    of: HashMap<Network, V>,
    /// How many networks have a prefix of so many bits.
    lengths: BTreeMap<u8, usize>,
}

impl<V> Prefixes<V> {
    /// What is there for the networks around an address, the smallest network first.
    pub(super) fn around(&self, address: Address) -> impl Iterator<Item = &V> {
        let networks = self.lengths.keys().rev().map(move |bits| Network::with_bits(address, *bits));
        let networks = networks.filter(move |network| network.contains(address));
        networks.filter_map(|network| self.of.get(&network))
    }

    pub(super) fn get(&self, network: &Network) -> Option<&V> {
        self.of.get(network)
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    /// Bytes of memory, not counting what the allocator needs.
    pub(super) fn bytes(&self) -> usize {
        self.of.capacity() * size_of::<(Network, V)>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Network, &V)> {
        self.of.iter()
    }

    pub(super) fn insert(&mut self, network: Network, value: V) {
        if self.of.insert(network, value).is_none() {
            *self.lengths.entry(network.bits()).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, network: &Network) {
        if self.of.remove(network).is_none() {
            return;
        }
        if let Some(count) = self.lengths.get_mut(&network.bits()) {
            *count -= 1;
            if *count == 0 {
                self.lengths.remove(&network.bits());
            }
        }
    }
}

impl<V> Default for Prefixes<V> {
    fn default() -> Self {
        Self { of: HashMap::new(), lengths: BTreeMap::new() }
    }
}

impl<V> FromIterator<(Network, V)> for Prefixes<V> {
    fn from_iter<I: IntoIterator<Item = (Network, V)>>(networks: I) -> Self {
        let mut prefixes = Self::default();
        networks.into_iter().for_each(|(network, value)| prefixes.insert(network, value));
        prefixes
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn networks_around_an_address_come_from_the_smallest_on() {
        let mut prefixes: Prefixes<&str> =
            ["192.0.2.0/24", "192.0.0.0/16", "192.0.2.7", "0.0.0.0/0", "::/0", "2001:db8::/32", "198.51.100.0/24"]
                .into_iter()
                .map(|text| (text.parse().unwrap(), text))
                .collect();
        let around =
            |prefixes: &Prefixes<&'static str>, text: &str| prefixes.around(address(text)).copied().collect::<Vec<_>>();
        assert_eq!(around(&prefixes, "192.0.2.7"), ["192.0.2.7", "192.0.2.0/24", "192.0.0.0/16", "0.0.0.0/0"]);
        assert_eq!(around(&prefixes, "192.0.3.7"), ["192.0.0.0/16", "0.0.0.0/0"]);
        assert_eq!(around(&prefixes, "2001:db8::1"), ["2001:db8::/32", "::/0"]);
        assert_eq!(around(&prefixes, "2001:db9::1"), ["::/0"], "and none of IPv4");

        prefixes.remove(&"192.0.2.0/24".parse().unwrap());
        prefixes.remove(&"192.0.2.0/24".parse().unwrap());
        assert_eq!(around(&prefixes, "192.0.2.8"), ["192.0.0.0/16", "0.0.0.0/0"]);
        assert_eq!(around(&prefixes, "198.51.100.8"), ["198.51.100.0/24", "0.0.0.0/0"], "of the same length");
    }

    fn address(text: &str) -> Address {
        text.parse::<IpAddr>().unwrap().into()
    }
}
