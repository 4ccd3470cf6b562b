//! Bans as an operator asks for them and sees them. Never decides whom to ban.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use siglatch_common::address::Network;
use siglatch_common::ban::Reason;
use thiserror::Error;

/// A ban that stands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct BanEntry {
    /// Who is banned.
    #[serde(with = "text")]
    pub network: Network,
    /// Why.
    #[serde(with = "reason")]
    pub reason: Reason,
    /// When it ends, in Unix time; nothing if it is for good.
    pub until: Option<u64>,
    /// Seconds until it ends; nothing if it is for good.
    pub left: Option<u64>,
    /// When it began, in Unix time, as far as the daemon knows.
    pub since: Option<u64>,
    /// The how manieth ban in a row; 0 if it was not earned.
    pub step: u32,
    /// Frames that it has dropped.
    pub hits: u64,
    /// What the operator says about it.
    #[serde(default)]
    pub comment: Comment,
}

/// Which bans to list: all, unless it says less.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BansQuery {
    /// Only those for this reason.
    #[serde(default, with = "reason_or_none", skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Only those inside this network, and those that it is inside of.
    #[serde(default, with = "text_or_none", skip_serializing_if = "Option::is_none")]
    pub net: Option<Network>,
    /// In which order.
    #[serde(default)]
    pub sort: Sort,
    /// At most so many; [`BanPage::MAX`], if it is more, or if it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those whose network sorts behind this one: where the last page ended.
    #[serde(default, with = "text_or_none", skip_serializing_if = "Option::is_none")]
    pub after: Option<Network>,
}

/// The order of a list of bans.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sort {
    /// By address.
    #[default]
    Network,
    /// What ends soonest first, what is for good last.
    Until,
    /// What drops most first.
    Hits,
    /// The latest first.
    Since,
}

/// Bans, as many as a reply takes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct BanPage {
    /// How many there are that were asked for, `after` aside.
    pub total: usize,
    /// Whether there are more behind these.
    pub more: bool,
    /// The bans.
    pub bans: Vec<BanEntry>,
}

/// Somebody to be banned.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BanOrder {
    /// Who.
    #[serde(with = "text")]
    pub network: Network,
    /// For how many seconds; for good, if it says nothing.
    #[serde(rename = "for", default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<NonZeroU64>,
    /// What the operator says about it.
    #[serde(default, skip_serializing_if = "Comment::is_empty")]
    pub comment: Comment,
}

/// What has become of a [`BanOrder`].
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Banned {
    /// The ban as it stands.
    pub entry: BanEntry,
    /// Whether it stands in place of an earlier one.
    pub replaced: bool,
    /// What the operator should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A ban to be lifted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct UnbanOrder {
    /// Whose.
    #[serde(with = "text")]
    pub network: Network,
}

/// A ban that was lifted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Lifted {
    /// The ban as it stood.
    pub entry: BanEntry,
    /// What the operator should know about it: a wider ban that still stands, for example.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A remark of the operator's, on one line of at most [`Comment::MAX`] bytes.
#[derive(Clone, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Comment(String);

/// Why a text is no [`Comment`].
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CommentFlaw {
    /// It is too long.
    #[error("a comment has at most {} bytes", Comment::MAX)]
    Length,
    /// It is not one line of plain text.
    #[error("a comment is one line, without control characters")]
    Control,
}

impl BanPage {
    /// The most bans of one reply.
    pub const MAX: usize = 1000;

    /// The bans that a query asks for, in its order, of all that there are.
    #[must_use]
    pub fn select(bans: impl IntoIterator<Item = BanEntry>, query: &BansQuery) -> Self {
        let mut bans: Vec<_> = bans.into_iter().filter(|ban| query.asks_for(ban)).collect();
        let total = bans.len();
        if let Some(after) = query.after {
            bans.retain(|ban| ban.network > after);
        }
        query.sort.sort(&mut bans);
        let limit = query.limit.unwrap_or(Self::MAX).min(Self::MAX);
        let more = bans.len() > limit;
        bans.truncate(limit);
        Self { total, more, bans }
    }
}

impl BansQuery {
    fn asks_for(&self, ban: &BanEntry) -> bool {
        let near = |net: Network| net.contains(ban.network.address()) || ban.network.contains(net.address());
        self.reason.is_none_or(|reason| reason == ban.reason) && self.net.is_none_or(near)
    }
}

impl Sort {
    /// Puts bans in this order; those that are equal in it, by address.
    pub fn sort(self, bans: &mut [BanEntry]) {
        bans.sort_by_key(|ban| ban.network);
        match self {
            Self::Network => {}
            Self::Until => bans.sort_by_key(|ban| ban.until.unwrap_or(u64::MAX)),
            Self::Hits => bans.sort_by_key(|ban| std::cmp::Reverse(ban.hits)),
            Self::Since => bans.sort_by_key(|ban| std::cmp::Reverse(ban.since)),
        }
    }
}

impl Comment {
    /// The most bytes.
    pub const MAX: usize = 200;

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromStr for Comment {
    type Err = CommentFlaw;

    fn from_str(text: &str) -> Result<Self, CommentFlaw> {
        let text = text.trim();
        if text.len() > Self::MAX {
            return Err(CommentFlaw::Length);
        }
        if text.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}')) {
            return Err(CommentFlaw::Control);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Comment {
    type Error = CommentFlaw;

    fn try_from(text: String) -> Result<Self, CommentFlaw> {
        text.parse()
    }
}

impl From<Comment> for String {
    fn from(comment: Comment) -> Self {
        comment.0
    }
}

impl fmt::Display for Comment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A network as operators write it: one address stands for itself.
#[must_use]
pub fn network_text(network: Network) -> String {
    network.as_single().map_or_else(|| network.to_string(), |address| address.to_string())
}

/// A network as text.
mod text {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use siglatch_common::address::{Network, NetworkFlaw};

    pub(super) fn serialize<S: Serializer>(network: &Network, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::network_text(*network))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|flaw| match flaw {
            NetworkFlaw::Address => de::Error::custom("network: no IPv4 or IPv6 address"),
            NetworkFlaw::Prefix => de::Error::custom("network: no prefix length behind the slash"),
            NetworkFlaw::HostBits => de::Error::custom("network: bits are set behind the prefix"),
        })
    }
}

/// A network as text, or nothing.
mod text_or_none {
    use serde::{Deserializer, Serializer};
    use siglatch_common::address::Network;

    pub(super) fn serialize<S: Serializer>(network: &Option<Network>, serializer: S) -> Result<S::Ok, S::Error> {
        match network {
            Some(network) => super::text::serialize(network, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Network>, D::Error> {
        super::text::deserialize(deserializer).map(Some)
    }
}

/// A reason by its label.
mod reason {
    use serde::{Deserialize as _, Deserializer, Serializer, de};
    use siglatch_common::ban::Reason;

    pub(super) fn serialize<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(reason.label())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Reason, D::Error> {
        let label = String::deserialize(deserializer)?;
        let known = Reason::ALL.map(Reason::label).join(", ");
        Reason::from_label(&label).ok_or_else(|| de::Error::custom(format!("no such reason; there are: {known}")))
    }
}

/// A reason by its label, or nothing.
mod reason_or_none {
    use serde::{Deserializer, Serializer};
    use siglatch_common::ban::Reason;

    pub(super) fn serialize<S: Serializer>(reason: &Option<Reason>, serializer: S) -> Result<S::Ok, S::Error> {
        match reason {
            Some(reason) => super::reason::serialize(reason, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Reason>, D::Error> {
        super::reason::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ban(network: &str, reason: Reason, until: Option<u64>, hits: u64) -> BanEntry {
        let network = network.parse().unwrap();
        let comment = Comment::default();
        BanEntry { network, reason, until, left: until, since: Some(hits * 10), step: 0, hits, comment }
    }

    fn bans() -> Vec<BanEntry> {
        vec![
            ban("2001:db8::/32", Reason::Operator, None, 2),
            ban("192.0.2.7", Reason::Flood, Some(50), 9),
            ban("192.0.2.0/24", Reason::File, None, 0),
            ban("198.51.100.1", Reason::Flood, Some(40), 4),
        ]
    }

    fn listed(query: &BansQuery) -> Vec<String> {
        BanPage::select(bans(), query).bans.iter().map(|ban| network_text(ban.network)).collect()
    }

    #[test]
    fn each_order_is_what_it_says() {
        let by = |sort| listed(&BansQuery { sort, ..BansQuery::default() });
        assert_eq!(by(Sort::Network), ["192.0.2.0/24", "192.0.2.7", "198.51.100.1", "2001:db8::/32"]);
        assert_eq!(by(Sort::Until), ["198.51.100.1", "192.0.2.7", "192.0.2.0/24", "2001:db8::/32"]);
        assert_eq!(by(Sort::Hits), ["192.0.2.7", "198.51.100.1", "2001:db8::/32", "192.0.2.0/24"]);
        assert_eq!(by(Sort::Since), ["192.0.2.7", "198.51.100.1", "2001:db8::/32", "192.0.2.0/24"]);
    }

    #[test]
    fn a_reason_and_a_network_leave_the_others_out() {
        let flood = BansQuery { reason: Some(Reason::Flood), ..BansQuery::default() };
        assert_eq!(listed(&flood), ["192.0.2.7", "198.51.100.1"]);
        let net = |text: &str| BansQuery { net: Some(text.parse().unwrap()), ..BansQuery::default() };
        assert_eq!(listed(&net("192.0.2.0/25")), ["192.0.2.0/24", "192.0.2.7"]);
        assert_eq!(listed(&net("192.0.2.200")), ["192.0.2.0/24"]);
        assert_eq!(listed(&net("::/0")), ["2001:db8::/32"]);
        assert!(listed(&net("203.0.113.0/24")).is_empty());
    }

    #[test]
    fn pages_follow_one_another_until_there_is_no_more() {
        let mut query = BansQuery { limit: Some(3), ..BansQuery::default() };
        let first = BanPage::select(bans(), &query);
        assert_eq!((first.total, first.more, first.bans.len()), (4, true, 3));
        query.after = first.bans.last().map(|ban| ban.network);
        let second = BanPage::select(bans(), &query);
        assert_eq!((second.total, second.more, second.bans.len()), (4, false, 1));
    }

    #[test]
    fn no_page_is_longer_than_a_reply_takes() {
        let many = (0..=u16::MAX).map(|n| ban(&format!("10.0.{}.{}", n >> 8, n & 255), Reason::File, None, 0));
        let page = BanPage::select(many, &BansQuery { limit: Some(usize::MAX), ..BansQuery::default() });
        assert_eq!((page.total, page.more, page.bans.len()), (65_536, true, BanPage::MAX));
    }

    #[test]
    fn a_comment_is_one_short_line() {
        assert_eq!("  seen in the log ".parse::<Comment>().unwrap().as_str(), "seen in the log");
        assert!("é".repeat(100).parse::<Comment>().is_ok());
        assert_eq!("é".repeat(101).parse::<Comment>(), Err(CommentFlaw::Length));
        for text in ["a\nb", "a\x1b[2Jb", "a\0b", "a\u{202e}b"] {
            assert_eq!(text.parse::<Comment>(), Err(CommentFlaw::Control), "{text:?}");
        }
    }
}
