//! Grants as an operator asks for them, sees them, extends them and takes them back. Never decides who is let in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use siglatch_common::address::Address;

use super::Place;
use crate::policy::Service;

/// A grant that holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct GrantEntry {
    /// Who is let in.
    pub source: IpAddr,
    /// To what.
    pub place: Place,
    /// Whose knock has opened it.
    pub user: String,
    /// What for.
    pub action: String,
    /// Seconds until it ends.
    pub left: u64,
}

/// The same, as the gate has it.
#[derive(Clone, Copy, Debug)]
pub struct GrantView<'a> {
    /// Who is let in.
    pub source: Address,
    /// To what.
    pub place: Place,
    /// Whose knock has opened it.
    pub user: &'a str,
    /// What for.
    pub action: &'a str,
    /// Seconds until it ends.
    pub left: u64,
}

/// Which grants are meant: those for which all that is said here is true.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GrantFilter {
    /// For this address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
    /// Of this user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Of this action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// To this service, on whatever host.
    #[serde(default, with = "service_or_none", skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
}

/// Which grants to list.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GrantsQuery {
    /// Only these.
    #[serde(default, skip_serializing_if = "GrantFilter::is_empty")]
    pub which: GrantFilter,
    /// At most so many; [`GrantPage::MAX`], if it is more, or if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those that sort behind this one: where the last page ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<GrantSpot>,
}

/// Where in the list of grants one stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSpot {
    /// Whose.
    pub source: IpAddr,
    /// To what.
    pub place: Place,
}

/// Grants, as many as a reply takes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct GrantPage {
    /// How many there are that were asked for, `after` aside.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
    /// The grants, by address and place.
    pub grants: Vec<GrantEntry>,
}

/// End grants, and undo what came with them.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RevokeOrder {
    /// These.
    #[serde(default, skip_serializing_if = "GrantFilter::is_empty")]
    pub which: GrantFilter,
    /// Every one of them: `which` then says nothing.
    #[serde(default, skip_serializing_if = "is_false")]
    pub all: bool,
    /// Whether their established connections are cut as well.
    #[serde(default, skip_serializing_if = "is_false")]
    pub cut: bool,
}

/// What has become of a [`RevokeOrder`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Revoked {
    /// Grants that have ended.
    pub grants: usize,
    /// The first of them, as they stood.
    #[serde(default)]
    pub first: Vec<GrantEntry>,
    /// What is undone now instead of later.
    #[serde(default)]
    pub debts: usize,
    /// Connections that were cut; nothing if none were to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<usize>,
    /// What the operator should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Let grants hold for longer.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExtendOrder {
    /// These; at least one thing is said about them.
    #[serde(default, skip_serializing_if = "GrantFilter::is_empty")]
    pub which: GrantFilter,
    /// For so many seconds from now on, unless they hold for longer already.
    #[serde(rename = "for")]
    pub seconds: NonZeroU64,
}

/// What has become of an [`ExtendOrder`].
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Extended {
    /// Grants that are meant; those that held for longer already are among them.
    pub grants: usize,
    /// Those that hold for longer than before.
    #[serde(default)]
    pub extended: usize,
    /// The first of them, as they stand now.
    #[serde(default)]
    pub first: Vec<GrantEntry>,
}

impl GrantFilter {
    /// Whether it means every grant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it means this grant.
    #[must_use]
    pub fn means(&self, grant: &GrantView<'_>) -> bool {
        self.source.is_none_or(|source| Address::from(source) == grant.source)
            && self.user.as_ref().is_none_or(|user| user == grant.user)
            && self.action.as_ref().is_none_or(|action| action == grant.action)
            && self.service.is_none_or(|service| service == grant.place.service)
    }
}

impl GrantEntry {
    /// Its place in the list.
    #[must_use]
    pub const fn spot(&self) -> GrantSpot {
        GrantSpot { source: self.source, place: self.place }
    }
}

impl GrantSpot {
    fn key(&self) -> (Address, Place) {
        (self.source.into(), self.place)
    }
}

impl GrantPage {
    /// The most grants of one reply.
    pub const MAX: usize = 1000;
    /// How many grants a reply names that is about how many there were.
    pub const FIRST: usize = 100;

    /// The grants that a query asks for, of all that there are, which come in whatever order: the first by address and place.
    /// Nothing is copied but these.
    #[must_use]
    pub fn select<'a>(grants: impl IntoIterator<Item = GrantView<'a>>, query: &GrantsQuery) -> Self {
        let limit = query.limit.unwrap_or(Self::MAX).min(Self::MAX);
        let after = query.after.as_ref().map(GrantSpot::key);
        let mut page = Self::default();
        let mut first = BTreeMap::new();
        for grant in grants.into_iter().filter(|grant| query.which.means(grant)) {
            page.total += 1;
            let spot = (grant.source, grant.place);
            if after.is_some_and(|after| spot <= after) {
                continue;
            }
            if first.len() == limit {
                page.more = true;
                if first.last_key_value().is_none_or(|(last, _)| spot > *last) {
                    continue;
                }
                first.pop_last();
            }
            first.insert(spot, grant);
        }
        page.grants = first.into_values().map(GrantEntry::from).collect();
        page
    }
}

impl From<GrantView<'_>> for GrantEntry {
    fn from(view: GrantView<'_>) -> Self {
        let GrantView { source, place, user, action, left } = view;
        Self { source: source.into(), place, user: user.to_owned(), action: action.to_owned(), left }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(is: &bool) -> bool {
    !is
}

/// A service as text, or nothing.
mod service_or_none {
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    use crate::policy::Service;

    pub(super) fn serialize<S: Serializer>(service: &Option<Service>, serializer: S) -> Result<S::Ok, S::Error> {
        match service {
            Some(service) => serializer.collect_str(service),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Service>, D::Error> {
        String::deserialize(deserializer)?.parse().map(Some).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(source: &str, place: &str, user: &'static str) -> GrantView<'static> {
        let source = source.parse::<IpAddr>().unwrap().into();
        GrantView { source, place: place.parse().unwrap(), user, action: "ssh", left: 600 }
    }

    fn grants() -> Vec<GrantView<'static>> {
        vec![
            grant("192.0.2.7", "tcp/22", "bob"),
            grant("192.0.2.7", "tcp/443", "alice"),
            grant("192.0.2.7", "tcp/5432@10.0.0.5", "alice"),
            grant("2001:db8::7", "tcp/22", "bob"),
        ]
    }

    fn listed(which: GrantFilter) -> Vec<String> {
        let page = GrantPage::select(grants(), &GrantsQuery { which, ..GrantsQuery::default() });
        page.grants.iter().map(|grant| format!("{} {}", grant.user, grant.place)).collect()
    }

    #[test]
    fn all_that_is_said_about_a_grant_must_be_true() {
        assert_eq!(
            listed(GrantFilter::default()),
            ["bob tcp/22", "alice tcp/443", "alice tcp/5432@10.0.0.5", "bob tcp/22"]
        );
        let bob = GrantFilter { user: Some("bob".to_owned()), ..GrantFilter::default() };
        assert_eq!(listed(bob.clone()), ["bob tcp/22", "bob tcp/22"]);
        assert_eq!(listed(GrantFilter { source: "2001:db8::7".parse().ok(), ..bob }), ["bob tcp/22"]);
        let of = |service: &str| GrantFilter { service: service.parse().ok(), ..GrantFilter::default() };
        assert_eq!(listed(of("tcp/5432")), ["alice tcp/5432@10.0.0.5"]);
        assert_eq!(listed(GrantFilter { action: Some("db".to_owned()), ..of("tcp/5432") }), [""; 0]);
    }

    #[test]
    fn an_ipv4_address_is_the_same_in_ipv6_clothes() {
        let mapped = GrantFilter { source: "::ffff:192.0.2.7".parse().ok(), ..GrantFilter::default() };
        assert_eq!(listed(mapped).len(), 3);
    }

    #[test]
    fn pages_follow_one_another_until_there_is_no_more() {
        let mut query = GrantsQuery { limit: Some(3), ..GrantsQuery::default() };
        let first = GrantPage::select(grants(), &query);
        assert_eq!((first.total, first.more, first.grants.len()), (4, true, 3));
        query.after = first.grants.last().map(GrantEntry::spot);
        let second = GrantPage::select(grants(), &query);
        assert_eq!((second.total, second.more, &second.grants[..]), (4, false, &[grants()[3].into()][..]));
    }

    #[test]
    fn no_page_is_longer_than_a_reply_takes() {
        let many = (0..=u16::MAX).map(|n| grant(&format!("10.0.{}.{}", n >> 8, n & 255), "tcp/22", "alice"));
        let page = GrantPage::select(many, &GrantsQuery { limit: Some(usize::MAX), ..GrantsQuery::default() });
        assert_eq!((page.total, page.more, page.grants.len()), (65_536, true, GrantPage::MAX));
    }
}
