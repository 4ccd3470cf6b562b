//! Who is banned and who is not, by value: what happens and time in, effects out.

mod scene;

use std::collections::BTreeMap;

use proptest::prelude::*;
use siglatch_common::units::Wall;

use super::*;
use crate::config::Scope;
use scene::{DAY, HOUR, KEY, MINUTE, Scene, WALL, address, boot, network, secs};

#[test]
fn the_fifth_datagram_of_nobodys_in_ten_minutes_earns_ten_minutes() {
    let mut scene = Scene::new();
    for secs in [0, 60, 60, 478] {
        scene.secs += secs;
        assert_eq!(scene.strike("192.0.2.7"), None);
    }
    assert!(scene.lists.is_empty());
    scene.secs += 1;
    let sentence = scene.strike("192.0.2.7").expect("a fifth");
    assert_eq!((sentence.reason, sentence.step, sentence.span), (Reason::Unauthentic, 1, secs(10 * MINUTE)));
    assert_eq!(scene.list(), [("192.0.2.7/32".to_owned(), scene.secs + 10 * MINUTE, Reason::Unauthentic)]);
    assert_eq!(scene.kept, Some(Urgency::Soon));
}

#[test]
fn the_fifth_does_not_count_if_it_comes_too_late() {
    let mut scene = Scene::new();
    for later in [0, 60, 60, 60, 420] {
        scene.secs += later;
        assert_eq!(scene.strike("192.0.2.7"), None);
    }
}

#[test]
fn strikes_of_two_sources_are_not_added_up() {
    let mut scene = Scene::new();
    for _ in 0..4 {
        assert_eq!((scene.strike("192.0.2.7"), scene.strike("192.0.2.8")), (None, None));
    }
}

#[test]
fn bans_grow_with_repetition_and_are_forgotten_after_good_behaviour() {
    let mut scene = Scene::new();
    let spans: Vec<_> = (0..5).map(|_| scene.is_banned_again("192.0.2.7")).collect();
    assert_eq!(spans, [(1, 10 * MINUTE), (2, HOUR), (3, DAY), (4, DAY), (5, DAY)]);
    // A day after its end less a moment, and then a day.
    scene.secs += DAY - 2;
    assert_eq!(scene.is_banned_again("192.0.2.7"), (6, DAY));
    scene.secs += DAY;
    assert_eq!(scene.is_banned_again("192.0.2.7"), (1, 10 * MINUTE));
}

#[test]
fn another_rule_holds_for_what_comes_and_leaves_what_is() {
    let mut scene = Scene::new();
    assert_eq!((0..2).filter_map(|_| scene.strike("192.0.2.7")).count(), 0);
    let sentence = scene.flood("192.0.2.8", 1000, false).expect("a flood");
    let before = scene.list();
    scene.bans.set_rule(BanRule { strikes: 3, flood: 0, steps: vec![secs(7)], capacity: 1, ..BanRule::default() });
    scene.carry_out();
    assert_eq!(scene.list(), before, "what holds stays, for as long as it was said: {sentence:?}");
    let sentence = scene.strike("192.0.2.7").expect("two were counted before");
    assert_eq!(sentence.span, secs(7));
    assert_eq!(scene.flood("192.0.2.9", u64::MAX, false), None);
    assert_eq!(scene.list().len(), 2, "there is as much room as before");
}

#[test]
fn a_flood_earns_a_ban_at_once_and_one_frame_less_does_not() {
    let mut scene = Scene::new();
    assert_eq!(scene.flood("192.0.2.7", 999, false), None);
    assert_eq!(scene.flood("192.0.2.7", 1000, false).map(|sentence| sentence.reason), Some(Reason::Flood));
    assert_eq!(scene.flood("192.0.2.7", 100_000, false), None, "it is banned already");
}

#[test]
fn without_strikes_or_floods_in_the_rule_nobody_is_banned() {
    let mut scene = Scene::with(BanRule { strikes: 0, flood: 0, ..BanRule::default() });
    for _ in 0..100 {
        assert_eq!((scene.strike("192.0.2.7"), scene.flood("192.0.2.7", u64::MAX, false)), (None, None));
    }
}

#[test]
fn whoever_is_protected_collects_no_strikes_either() {
    let mut scene = Scene::new();
    for _ in 0..100 {
        assert_eq!(scene.bans.strike(address("192.0.2.7"), true, scene.now()), None);
        assert_eq!(scene.flood("192.0.2.7", u64::MAX, true), None);
    }
    for _ in 0..4 {
        assert_eq!(scene.strike("192.0.2.7"), None);
    }
}

#[test]
fn an_authentic_knock_clears_strikes_and_lifts_what_the_daemon_has_set() {
    let mut scene = Scene::new();
    for _ in 0..4 {
        scene.strike("192.0.2.7");
    }
    assert!(!scene.authentic("192.0.2.7"));
    assert_eq!(scene.strike("192.0.2.7"), None);
    assert_eq!(scene.is_banned_again("192.0.2.8").0, 1);
    scene.flood("192.0.2.8", 1000, false);
    assert!(scene.authentic("192.0.2.8") && scene.lists.is_empty());
    assert_eq!(scene.is_banned_again("192.0.2.8").0, 1, "what was lifted is not counted");
    scene.order("192.0.2.9", None).unwrap();
    assert!(!scene.authentic("192.0.2.9"));
    assert_eq!(scene.lists.len(), 1);
}

#[test]
fn the_operator_bans_networks_for_good_and_addresses_for_a_time() {
    let mut scene = Scene::new();
    assert!(!scene.order("2001:db8::/32", None).unwrap().replaced);
    let banned = scene.order("192.0.2.7", Some(90)).unwrap();
    assert_eq!((banned.entry.left, banned.entry.until), (Some(90), Some(WALL + scene.secs + 90)));
    assert_eq!((banned.entry.comment.as_str(), banned.note), ("a comment", None));
    assert_eq!(scene.kept, Some(Urgency::Now));
    assert_eq!(scene.lists[&network("2001:db8::/32")].until, 0);
    scene.secs += 89;
    scene.expire();
    assert_eq!(scene.lists.len(), 2);
    scene.secs += 1;
    scene.expire();
    assert_eq!(scene.lists.keys().copied().collect::<Vec<_>>(), [network("2001:db8::/32")]);
}

#[test]
fn the_operators_ban_stands_in_place_of_the_daemons_and_is_not_moved_by_it() {
    let mut scene = Scene::new();
    scene.flood("192.0.2.7", 1000, false);
    assert!(scene.order("192.0.2.7", Some(5)).unwrap().replaced);
    assert_eq!(scene.flood("192.0.2.7", 1000, false), None);
    assert_eq!(scene.lists[&network("192.0.2.7")].reason, Reason::Operator.number());
}

#[test]
fn lifting_says_what_still_stands() {
    let mut scene = Scene::new();
    scene.order("192.0.2.0/24", None).unwrap();
    scene.order("192.0.2.7", None).unwrap();
    let lifted = scene.lift("192.0.2.7").unwrap();
    assert_eq!(lifted.note.as_deref(), Some("192.0.2.0/24 around it is still banned"));
    assert_eq!(scene.lift("192.0.2.7"), Err(NotLifted::NotBanned(Some(network("192.0.2.0/24")))));
    assert_eq!(scene.lift("192.0.2.0/24").unwrap().note, None);
    assert_eq!(scene.lift("192.0.2.0/24"), Err(NotLifted::NotBanned(None)));
    assert!(scene.lists.is_empty());
}

#[test]
fn lifting_forgets_the_earlier_bans() {
    let mut scene = Scene::new();
    scene.is_banned_again("192.0.2.7");
    scene.flood("192.0.2.7", 1000, false);
    scene.lift("192.0.2.7").unwrap();
    assert_eq!(scene.is_banned_again("192.0.2.7").0, 1);
}

#[test]
fn files_are_followed_line_by_line() {
    let mut scene = Scene::new();
    let turn = scene.read(&["192.0.2.0/24", "2001:db8::1"]);
    assert_eq!(turn, Turn { added: 2, removed: 0, left_out: 0 });
    assert_eq!(scene.list()[0].2, Reason::File);
    assert_eq!(scene.bans.entries(scene.now()).next().unwrap().comment.as_str(), "list.txt");
    assert_eq!(scene.lift("192.0.2.0/24"), Err(NotLifted::FromFile("list.txt".parse().unwrap())));
    let turn = scene.read(&["2001:db8::1", "198.51.100.0/24"]);
    assert_eq!(turn, Turn { added: 1, removed: 1, left_out: 0 });
    assert_eq!(scene.lists.len(), 2);
    assert_eq!(scene.read(&["2001:db8::1", "198.51.100.0/24"]), Turn::default());
}

#[test]
fn what_the_operator_says_stands_above_what_files_say() {
    let mut scene = Scene::new();
    scene.order("192.0.2.0/24", None).unwrap();
    scene.read(&["192.0.2.0/24", "192.0.2.7"]);
    assert_eq!(scene.lists[&network("192.0.2.0/24")].reason, Reason::Operator.number());
    scene.read(&["192.0.2.7"]);
    assert_eq!(scene.lists.len(), 2, "the operator's is not the file's to lift");
    // A short ban over one for good: afterwards the one for good holds again.
    assert!(scene.order("192.0.2.7", Some(10)).unwrap().replaced);
    scene.secs += 10;
    scene.expire();
    assert_eq!(scene.lists[&network("192.0.2.7")].reason, Reason::File.number());
    scene.order("192.0.2.7", Some(10)).unwrap();
    assert!(scene.lift("192.0.2.7").unwrap().note.is_some_and(|note| note.contains("file")));
    assert_eq!(scene.lists[&network("192.0.2.7")].until, 0);
}

#[test]
fn a_file_that_cannot_be_read_yet_lifts_nothing() {
    let mut scene = Scene::new();
    scene.read(&["192.0.2.0/24"]);
    scene.restart(true);
    let unread = Listed { is_complete: false, ..Listed::default() };
    assert_eq!(scene.bans.set_listed(unread, scene.now()), Turn::default());
    scene.carry_out();
    assert_eq!(scene.lists.len(), 1);
    assert_eq!(scene.read(&[]).removed, 1);
    assert!(scene.lists.is_empty());
}

#[test]
fn the_daemon_leaves_a_quarter_to_the_operator_and_evicts_nobody() {
    let mut scene = Scene::with(BanRule { capacity: 16, ..BanRule::default() });
    for last in 0..20 {
        scene.flood(&format!("192.0.2.{last}"), 1000, false);
    }
    assert_eq!((scene.lists.len(), scene.bans.take_turned_away()), (12, 8));
    assert_eq!(scene.bans.take_turned_away(), 0);
    for last in 100..104 {
        scene.order(&format!("192.0.2.{last}"), None).unwrap();
    }
    assert_eq!(scene.order("192.0.2.104", None), Err(Full { capacity: 16 }));
    assert!(scene.order("192.0.2.100", Some(9)).unwrap().replaced);
    assert!(scene.order("198.51.100.0/24", None).is_ok(), "networks have a list of their own");
    assert_eq!(scene.read(&["192.0.2.200", "203.0.113.0/24"]), Turn { added: 1, removed: 0, left_out: 1 });
    assert!((0..12).all(|last| scene.lists.contains_key(&network(&format!("192.0.2.{last}")))));
}

#[test]
fn bans_outlive_a_restart_with_the_lists() {
    let mut scene = Scene::of_all_kinds();
    let before = scene.lists.clone();
    scene.secs += 5;
    assert_eq!(scene.restart(true), []);
    assert_eq!(scene.lists, before);
    assert_eq!(scene.read(&["198.51.100.0/24"]), Turn::default());
    let entry = scene.bans.entries(scene.now()).find(|entry| entry.network == network("192.0.2.9")).unwrap();
    assert_eq!((entry.comment.as_str(), entry.since), ("a comment", Some(WALL + scene.secs - 5)));
}

#[test]
fn bans_outlive_the_lists_and_the_clock_of_the_lists() {
    let mut scene = Scene::of_all_kinds();
    let ends = scene.list();
    assert_eq!(scene.restart(false), []);
    // Only the file's is not there before the files are read.
    assert_eq!(scene.lists.len(), 2);
    scene.read(&["198.51.100.0/24"]);
    assert_eq!(scene.list(), ends);

    // The machine starts anew an hour later: its clock begins at nothing.
    let left =
        |scene: &Scene| scene.list().iter().map(|(_, until, _)| until.saturating_sub(scene.secs)).collect::<Vec<_>>();
    let before = left(&scene);
    scene.reboot(300);
    let after = left(&scene);
    assert_eq!(after, before.iter().map(|left| left.saturating_sub(300)).collect::<Vec<_>>());
    assert_eq!(scene.is_banned_again("192.0.2.7").0, 2, "steps outlive it, too");
}

#[test]
fn a_clock_that_is_wrong_after_the_reboot_makes_no_ban_longer() {
    let mut scene = Scene::new();
    scene.flood("192.0.2.7", 1000, false);
    let records = scene.bans.records(scene.now());
    let mut bans = Bans::new(BanRule::default(), KEY);
    let early = Now { boot: boot(1), wall: Wall::from_secs(5) };
    bans.restore(records, true, early);
    let left = bans.entries(early).next().unwrap().left.unwrap();
    assert_eq!(left, 10 * MINUTE);
}

#[test]
fn what_the_daemon_had_no_time_to_keep_is_still_its_own() {
    let mut scene = Scene::new();
    scene.flood("192.0.2.7", 1000, false);
    scene.read(&["198.51.100.0/24"]);
    let before = scene.lists.clone();
    scene.bans = Bans::new(BanRule::default(), KEY);
    // Nor does it know any more that they are its own lists.
    assert_eq!(scene.begin(false), []);
    assert_eq!(scene.lists, before);
    assert_eq!(scene.read(&[]).removed, 1);
    assert_eq!(scene.is_banned_again("192.0.2.7").0, 2);
}

#[test]
fn what_is_changed_by_hand_holds_and_is_the_operators() {
    let mut scene = Scene::of_all_kinds();
    // Set.
    let until = (scene.secs + 50) * 1_000_000_000;
    scene.lists.insert(network("203.0.113.5"), Ban { until, hits: 3, reason: 0, step: 0 });
    let set = Change { network: network("203.0.113.5"), kind: ChangeKind::Set(Some(boot(scene.secs + 50))) };
    assert_eq!(scene.reconcile(), [set]);
    assert_eq!(scene.kept, Some(Urgency::Now));
    let entry = scene.bans.entries(scene.now()).find(|entry| entry.network == network("203.0.113.5")).unwrap();
    assert_eq!((entry.comment.as_str(), entry.hits, entry.left), ("by hand", 3, Some(50)));
    // Altered: the daemon's own, for good.
    scene.lists.get_mut(&network("192.0.2.7")).unwrap().until = 0;
    let altered = Change { network: network("192.0.2.7"), kind: ChangeKind::Altered(None) };
    assert_eq!(scene.reconcile(), [altered]);
    assert_eq!(scene.lists[&network("192.0.2.7")], Ban { until: 0, hits: 0, reason: 0, step: 0 });
    assert!(!scene.authentic("192.0.2.7"));
    // Lifted: whoever's it was, and its history.
    for text in ["192.0.2.7", "192.0.2.9", "198.51.100.0/24"] {
        scene.lists.remove(&network(text));
        assert_eq!(scene.reconcile(), [Change { network: network(text), kind: ChangeKind::Lifted }]);
    }
    assert_eq!(scene.read(&["198.51.100.0/24"]), Turn::default(), "not before the file says something new");
    assert_eq!(scene.is_banned_again("192.0.2.7").0, 1);
    assert_eq!(scene.reconcile(), []);
}

#[test]
fn hits_are_taken_over_and_are_no_change() {
    let mut scene = Scene::of_all_kinds();
    scene.kept = None;
    scene.lists.get_mut(&network("192.0.2.9")).unwrap().hits = 7;
    assert_eq!((scene.reconcile(), scene.kept), (vec![], None));
    let entry = scene.bans.entries(scene.now()).find(|entry| entry.network == network("192.0.2.9")).unwrap();
    assert_eq!(entry.hits, 7);
    assert_eq!(scene.order("192.0.2.9", None).unwrap().entry.hits, 7);
}

#[test]
fn a_ban_set_by_hand_that_is_over_is_taken_out() {
    let mut scene = Scene::of_all_kinds();
    let over = Ban { until: 1, hits: 0, reason: 0, step: 0 };
    scene.lists.insert(network("203.0.113.5"), over);
    scene.lists.insert(network("192.0.2.9"), over);
    assert_eq!(scene.reconcile(), [Change { network: network("192.0.2.9"), kind: ChangeKind::Lifted }]);
    assert_eq!(scene.lists.len(), 2);
}

#[test]
fn changes_made_by_hand_without_a_daemon_hold() {
    let mut scene = Scene::of_all_kinds();
    scene.lists.remove(&network("192.0.2.9"));
    scene.lists.insert(network("203.0.113.0/24"), Ban::default());
    let change = |text, kind| Change { network: network(text), kind };
    let expected = [change("192.0.2.9", ChangeKind::Lifted), change("203.0.113.0/24", ChangeKind::Set(None))];
    assert_eq!(scene.restart(true), expected);
    assert_eq!(scene.restart(false), []);
    assert!(scene.lists.contains_key(&network("203.0.113.0/24")) && !scene.lists.contains_key(&network("192.0.2.9")));
}

#[test]
fn what_the_lists_do_not_take_is_not_listed() {
    let mut scene = Scene::new();
    scene.bans.flood(address("192.0.2.7"), 1000, false, scene.now());
    scene.bans.could_not_set(network("192.0.2.7"));
    assert!(scene.bans.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Strike(u8, bool),
    Flood(u8, u64, bool),
    Authentic(u8),
    Order(u8, Option<u64>),
    Lift(u8),
    Read(Vec<u8>),
    Wait(u64),
    Restart(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..24_u8;
    prop_oneof![
        6 => (who(), any::<bool>()).prop_map(|(who, free)| Step::Strike(who, free)),
        2 => (who(), 900..1100_u64, any::<bool>()).prop_map(|(who, over, free)| Step::Flood(who, over, free)),
        1 => who().prop_map(Step::Authentic),
        1 => (who(), prop::option::of(1..5000_u64)).prop_map(|(who, span)| Step::Order(who, span)),
        1 => who().prop_map(Step::Lift),
        1 => prop::collection::vec(who(), 0..8).prop_map(Step::Read),
        2 => prop_oneof![0..60_u64, 0..100_000_u64].prop_map(Step::Wait),
        1 => any::<bool>().prop_map(Step::Restart),
    ]
}

proptest! {
    /// Sources below 4 are protected, and nobody but the operator bans them; the lists are what the bans are; nothing
    /// that siglatch has written itself looks like a change made by hand; there is never more than there is room for,
    /// nor an earlier end than the one promised; a source's bans in a row grow.
    #[test]
    fn whatever_happens(steps in prop::collection::vec(step(), 0..200)) {
        let rule = BanRule { strikes: 3, capacity: 16, scope: Scope::Knock, ..BanRule::default() };
        let steps_of_rule = rule.steps.clone();
        let mut scene = Scene::with(rule);
        let mut last: BTreeMap<Address, Sentence> = BTreeMap::new();
        let name = |who: u8| format!("192.0.2.{who}");
        for step in steps {
            let before = scene.lists.clone();
            let sentence = match step {
                Step::Strike(who, free) => {
                    let is_protected = free || who < 4;
                    let sentence = scene.bans.strike(address(&name(who)), is_protected, scene.now());
                    prop_assert!(!(is_protected && sentence.is_some()));
                    sentence
                }
                Step::Flood(who, over, free) => {
                    let is_protected = free || who < 4;
                    let sentence = scene.bans.flood(address(&name(who)), over, is_protected, scene.now());
                    prop_assert!(!(is_protected && sentence.is_some()));
                    sentence
                }
                Step::Authentic(who) => {
                    if scene.authentic(&name(who)) { last.remove(&address(&name(who))); }
                    None
                }
                Step::Order(who, span) => { let _ = scene.order(&name(who), span); None }
                Step::Lift(who) => {
                    if scene.lift(&name(who)).is_ok() { last.remove(&address(&name(who))); }
                    None
                }
                Step::Read(who) => {
                    let lines: Vec<_> = who.into_iter().map(name).collect();
                    scene.read(&lines.iter().map(String::as_str).collect::<Vec<_>>());
                    None
                }
                Step::Wait(span) => { scene.secs += span; scene.expire(); None }
                Step::Restart(survived) => {
                    prop_assert_eq!(scene.restart(survived), []);
                    None
                }
            };
            scene.carry_out();
            if let Some(sentence) = sentence {
                prop_assert!(!before.contains_key(&Network::of(sentence.source)));
                let place = (sentence.step as usize - 1).min(steps_of_rule.len() - 1);
                prop_assert_eq!(sentence.span, steps_of_rule[place]);
                if let Some(last) = last.insert(sentence.source, sentence) {
                    prop_assert!(sentence.step == last.step + 1 || sentence.step == 1);
                }
            }
            for (network, ban) in &scene.lists {
                let who = network.address().octets[15];
                prop_assert!(who >= 4 || ban.reason < 2, "{} is protected", who);
            }
            prop_assert!(scene.lists.len() <= 16);
            prop_assert!(scene.lists.values().filter(|ban| ban.reason >= 2).count() <= 12);
            prop_assert_eq!(scene.reconcile(), []);
            let entries: Vec<_> = scene.bans.entries(scene.now()).map(|entry| entry.network).collect();
            let holding = scene.lists.iter().filter(|(_, ban)| ban.holds(scene.now().boot.as_nanos()));
            prop_assert_eq!(entries, holding.map(|(network, _)| *network).collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_kept_comes_back(steps in prop::collection::vec((0..24_u8, prop::option::of(1..5000_u64)), 0..40)) {
        let mut scene = Scene::new();
        for (who, span) in steps {
            let _ = scene.order(&format!("192.0.2.{who}"), span);
            scene.flood(&format!("198.51.100.{who}"), 1000, false);
            scene.secs += 7;
        }
        scene.expire();
        let records = scene.bans.records(scene.now());
        let mut bans = Bans::new(BanRule::default(), KEY);
        bans.restore(records.clone(), false, scene.now());
        prop_assert_eq!(bans.records(scene.now()), records);
    }
}
