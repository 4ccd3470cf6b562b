//! Changes what is closed: the elements of sets that `nft` made and that never end, in one transaction and without it. Never
//! changes anything else of the table.
//!
//! `nft` would do the same, but the kernel makes everybody who writes elements wait for some 10 ms when it ends: a socket
//! that closes waits for what was deleted, with the lock on all tables (`nft_rcv_nl_event`, `net/netfilter/nf_tables_api.c`).

use std::io;

use super::elements::{self, A_MESSAGE};
use super::netlink::Netlink;
use super::skeleton::Skeleton;
use super::target::Target;

/// What a set gains and loses.
#[derive(Debug, Eq, PartialEq)]
struct Change {
    set: &'static str,
    gained: Vec<Vec<u8>>,
    lost: Vec<Vec<u8>>,
}

/// Turns `before` into `after`, if [`Skeleton::has_sets_of`] says that this is enough.
///
/// # Errors
/// The kernel's answer; nothing has changed then.
pub(super) fn change(netlink: &mut Netlink, target: &Target, before: &Skeleton, after: &Skeleton) -> io::Result<()> {
    let changes = changes(before, after);
    netlink.transact(|chain| {
        for Change { set, gained, lost } in &changes {
            for keys in gained.chunks(A_MESSAGE) {
                elements::add_fixed(chain, target, set, keys);
            }
            for keys in lost.chunks(A_MESSAGE) {
                // What has been added in the same transaction can be deleted for certain.
                elements::add_fixed(chain, target, set, keys);
                elements::delete(chain, target, set, keys.iter());
            }
        }
    })
}

fn changes(before: &Skeleton, after: &Skeleton) -> Vec<Change> {
    let mut changes = Vec::new();
    for ((_, before), (set, after)) in before.fixed_sets().into_iter().zip(after.fixed_sets()) {
        let [gained, lost] = [(&after, &before), (&before, &after)].map(|(these, those)| {
            let is_new = |key: &&Vec<u8>| those.binary_search(key).is_err();
            these.iter().filter(is_new).cloned().collect::<Vec<_>>()
        });
        if !gained.is_empty() || !lost.is_empty() {
            changes.push(Change { set, gained, lost });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::OwnTable;

    #[test]
    fn only_what_is_gained_and_lost_is_named() {
        let before = skeleton(&["tcp/22", "tcp/443"], &["udp/53@10.0.0.5"], &[62_201]);
        assert_eq!(changes(&before, &before), []);
        let after = skeleton(&["tcp/443", "udp/53"], &["udp/53@10.0.0.6"], &[62_201]);
        assert!(after.has_sets_of(&before));
        let of = |set, gained: &[u8], lost: &[u8]| Change { set, gained: vec![gained.into()], lost: vec![lost.into()] };
        let doors = [[10, 0, 0, 6, 17, 0, 0, 0, 0, 53, 0, 0], [10, 0, 0, 5, 17, 0, 0, 0, 0, 53, 0, 0]];
        assert_eq!(
            changes(&before, &after),
            [
                of("protected", &[17, 0, 0, 0, 0, 53, 0, 0], &[6, 0, 0, 0, 0, 22, 0, 0]),
                of("protected_forward_v4", &doors[0], &doors[1]),
            ]
        );
    }

    #[test]
    fn what_has_other_rules_is_more_than_its_sets() {
        let before = skeleton(&["tcp/22"], &[], &[62_201]);
        assert!(skeleton(&[], &[], &[62_201, 62_202]).has_sets_of(&before));
        assert!(!skeleton(&["tcp/22"], &["udp/53@10.0.0.5"], &[62_201]).has_sets_of(&before), "a chain more");
        assert!(!skeleton(&["tcp/22"], &[], &[]).has_sets_of(&before), "a set less");
        let other = OwnTable { priority: 7, protect: vec!["tcp/22".parse().unwrap()], ..OwnTable::default() };
        assert!(!Skeleton::new(&other, &[62_201]).has_sets_of(&before), "another place");
        let led_on = OwnTable { dnat: vec!["tcp/22 -> 10.0.0.5:22".parse().unwrap()], ..OwnTable::default() };
        assert!(!Skeleton::new(&led_on, &[62_201]).has_sets_of(&before), "another rule");
    }

    fn skeleton(protect: &[&str], doors: &[&str], knock_ports: &[u16]) -> Skeleton {
        let own = OwnTable {
            protect: protect.iter().map(|service| service.parse().unwrap()).collect(),
            protect_forward: doors.iter().map(|door| door.parse().unwrap()).collect(),
            ..OwnTable::default()
        };
        Skeleton::new(&own, knock_ports)
    }
}
