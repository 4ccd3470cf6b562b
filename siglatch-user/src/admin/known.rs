//! Origins that authenticated lately, as an operator sees them. Never decides who is known.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use siglatch_common::address::Address;

/// Which known origins to list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct KnownQuery {
    /// At most so many; [`KnownPage::MAX`], if it is more, or if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those that sort behind this one: where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<IpAddr>,
}

/// Known origins, as many as a reply takes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct KnownPage {
    /// How many there are, `after` aside.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
    /// The origins, by address.
    pub known: Vec<KnownEntry>,
}

/// An origin that authenticated lately.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KnownEntry {
    /// An IPv4 address, or the first address of an IPv6 /64.
    pub origin: IpAddr,
    /// Seconds for which it stays known without another knock.
    pub left: u64,
}

impl KnownPage {
    /// The most origins of one reply.
    pub const MAX: usize = 1000;

    /// The origins that a query asks for, of all that there are.
    #[must_use]
    pub fn select(known: impl IntoIterator<Item = KnownEntry>, query: &KnownQuery) -> Self {
        let place = |entry: &KnownEntry| Address::from(entry.origin);
        let mut known: Vec<_> = known.into_iter().collect();
        let total = known.len();
        if let Some(after) = query.after.map(Address::from) {
            known.retain(|entry| place(entry) > after);
        }
        known.sort_by_key(place);
        let limit = query.limit.unwrap_or(Self::MAX).min(Self::MAX);
        let more = known.len() > limit;
        known.truncate(limit);
        Self { total, more, known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_one_another_until_there_is_no_more() {
        let known = || ["2001:db8::", "192.0.2.9", "192.0.2.7"].map(|text| text.parse::<IpAddr>().unwrap());
        let known = || known().map(|origin| KnownEntry { origin, left: 60 });
        let mut query = KnownQuery { limit: Some(2), after: None };
        let first = KnownPage::select(known(), &query);
        assert_eq!((first.total, first.more, first.known.len()), (3, true, 2));
        query.after = first.known.last().map(|entry| entry.origin);
        let second = KnownPage::select(known(), &query);
        assert_eq!((second.total, second.more), (3, false));
        let all: Vec<_> = first.known.iter().chain(&second.known).map(|entry| entry.origin.to_string()).collect();
        assert_eq!(all, ["192.0.2.7", "192.0.2.9", "2001:db8::"]);
    }
}
