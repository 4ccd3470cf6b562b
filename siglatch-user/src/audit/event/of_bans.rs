//! Events out of what becomes of bans. Never decides about one.

use siglatch_common::address::Network;
use siglatch_common::units::Boot;

use super::{Ban, By, Event};
use crate::admin::{Banned, Lifted};
use crate::bans::{Change, ChangeKind, Sentence};

impl Event {
    /// A source has earned a ban.
    #[must_use]
    pub fn sentenced(sentence: &Sentence) -> Self {
        let Sentence { source, reason, step, span } = sentence;
        Self::Ban(Ban {
            source: Network::of(*source),
            by: By::Daemon,
            reason: Some(reason.label()),
            seconds: Some(span.as_secs()),
            step: Some(*step),
            comment: None,
        })
    }

    /// An operator has banned somebody.
    #[must_use]
    pub fn banned(banned: &Banned) -> Self {
        let entry = &banned.entry;
        let comment = (!entry.comment.is_empty()).then(|| entry.comment.to_string());
        let reason = Some(entry.reason.label());
        Self::Ban(Ban { source: entry.network, by: By::Operator, reason, seconds: entry.left, step: None, comment })
    }

    /// An operator has lifted a ban.
    #[must_use]
    pub fn lifted(lifted: &Lifted) -> Self {
        Self::Unban(Ban { reason: Some(lifted.entry.reason.label()), ..Ban::bare(lifted.entry.network, By::Operator) })
    }

    /// A ban ended because an authentic knock came from its source.
    #[must_use]
    pub fn cleared(source: Network) -> Self {
        Self::Unban(Ban::bare(source, By::Knock))
    }

    /// Somebody has changed a ban in the filter's lists, without siglatch.
    #[must_use]
    pub fn changed_by_hand(change: &Change, now: Boot) -> Self {
        let bare = Ban::bare(change.network, By::Hand);
        match change.kind {
            ChangeKind::Set(until) | ChangeKind::Altered(until) => {
                Self::Ban(Ban { seconds: until.map(|until| until.since(now).as_secs()), ..bare })
            }
            ChangeKind::Lifted => Self::Unban(bare),
        }
    }
}

impl Ban {
    const fn bare(source: Network, by: By) -> Self {
        Self { source, by, reason: None, seconds: None, step: None, comment: None }
    }
}
