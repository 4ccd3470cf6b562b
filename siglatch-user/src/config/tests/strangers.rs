//! What the configuration says of strangers: limits, lanes, bans.

use super::*;

#[test]
fn strangers_are_treated_by_the_defaults_of_the_manual() {
    let settings = read_text(SOUND).expect("sound").settings;
    assert_eq!(settings.limits, Limits { rate: 10, burst: 20, sources: 65_536, copies: 65_536 });
    let rule = |budget, share| LaneRule { budget, share, ring_kib: 256 };
    assert_eq!(settings.lanes.stamped, rule(3000, 20));
    assert_eq!(settings.lanes.known, rule(3000, 20));
    assert_eq!(settings.lanes.unknown, rule(600, 5));
    assert_eq!(settings.known, KnownRule { span: Duration::from_secs(30 * 86_400), capacity: 16_384 });
    assert_eq!(settings.ban, BanRule::default());
    assert_eq!((&*settings.allow, &*settings.blacklist), (&[][..], &[][..]));
    let annotated = read_text(ANNOTATED).expect("sound").settings;
    assert_eq!((annotated.limits, annotated.known), (settings.limits, settings.known));
    assert_eq!((annotated.lanes, annotated.ban), (settings.lanes, settings.ban));
}

#[test]
fn what_is_said_of_strangers_holds() {
    let text = "[limits]\nrate = 7\nburst = 8\nsources = 2048\ncopies = 4096\n[lane.known]\nbudget = 9\nshare = 10\n\
                [lane.unknown]\nbudget = 0\n[known]\nfor = \"1h\"\ncapacity = 99\n[allow]\nnetworks = [\"::1\"]\n\
                [ban]\nstrikes = 3\nwithin = \"2m\"\nsteps = [\"3m\", \"4m\"]\nforget = \"5m\"\nflood = 600\n\
                scope = \"host\"\ncapacity = 77\n[blacklist]\nfiles = [\"a\", \"/b\"]\n[keys]\n";
    let settings = read_text(&SOUND.replace("[keys]\n", text)).expect("sound").settings;
    assert_eq!(settings.limits, Limits { rate: 7, burst: 8, sources: 2048, copies: 4096 });
    assert_eq!(settings.lanes.known, LaneRule { budget: 9, share: 10, ring_kib: 256 });
    assert_eq!(settings.lanes.unknown, LaneRule { budget: 0, share: 5, ring_kib: 256 });
    assert_eq!(settings.known, KnownRule { span: Duration::from_secs(3600), capacity: 99 });
    assert_eq!(settings.allow, ["::1".parse().unwrap()]);
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let ban = BanRule {
        strikes: 3,
        within: minutes(2),
        steps: vec![minutes(3), minutes(4)],
        forget: minutes(5),
        flood: 600,
        scope: Scope::Host,
        capacity: 77,
    };
    assert_eq!(settings.ban, ban);
    assert_eq!(settings.blacklist, [Path::new("/etc/siglatch/a"), Path::new("/b")]);
}

#[test]
fn the_help_names_the_nearest_power_of_two() {
    for (sources, nearest) in
        [(1, 1024), (1025, 1024), (1536, 1024), (1537, 2048), (12_000_000, 8_388_608), (16_777_215, 16_777_216)]
    {
        let text = SOUND.replace("[keys]\n", &format!("[limits]\nsources = {sources}\n[keys]\n"));
        let help = findings(&text).remove(0).help;
        assert!(help.contains(&format!("sources = {nearest},")), "{sources}: {help}");
    }
}

#[test]
fn the_allow_list_has_room_for_what_the_filter_has() {
    let with = |last: u32| {
        let networks: Vec<_> = (0..last).map(|at| format!("\"10.{}.{}.0/24\"", at / 256, at % 256)).collect();
        SOUND.replace("[keys]\n", &format!("[allow]\nnetworks = [{}]\n[keys]\n", networks.join(", ")))
    };
    assert_eq!(codes(&with(1024)), []);
    assert_eq!(codes(&with(1025)), [Code::OutOfRange]);
}
