use proptest::collection::vec;
use proptest::prelude::*;
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Reason;

use super::*;
use crate::admin::{
    BanEntry, Comment, Count, Frames, GrantEntry, GrantFilter, GrantSpot, LastKnock, Sort, SwitchKind, UserEntry,
};

fn network(text: &str) -> Network {
    text.parse().unwrap()
}

fn requests() -> Vec<(Request, &'static str)> {
    let ban = |seconds: u64, comment: &str| {
        let (network, comment) = (network("192.0.2.0/24"), comment.parse().unwrap());
        Request::Ban(BanOrder { network, seconds: seconds.try_into().ok(), comment })
    };
    let query = BansQuery {
        reason: Some(Reason::Flood),
        net: Some(network("2001:db8::/32")),
        sort: Sort::Hits,
        limit: Some(20),
        after: Some(network("2001:db8::7")),
    };
    vec![
        (Request::Status {}, r#"{"siglatch":1,"do":"status"}"#),
        (Request::Bans(BansQuery::default()), r#"{"siglatch":1,"do":"bans","sort":"network"}"#),
        (
            Request::Bans(query),
            r#"{"siglatch":1,"do":"bans","reason":"flood","net":"2001:db8::/32","sort":"hits","limit":20,"after":"2001:db8::7"}"#,
        ),
        (ban(0, ""), r#"{"siglatch":1,"do":"ban","network":"192.0.2.0/24"}"#),
        (ban(7200, "a \"b\""), r#"{"siglatch":1,"do":"ban","network":"192.0.2.0/24","for":7200,"comment":"a \"b\""}"#),
        (
            Request::Unban(UnbanOrder { network: network("192.0.2.7") }),
            r#"{"siglatch":1,"do":"unban","network":"192.0.2.7"}"#,
        ),
        (Request::Debug {}, r#"{"siglatch":1,"do":"debug"}"#),
        (
            Request::DebugOn(DebugOrder {
                target: DebugTarget { user: Some("alice".to_owned()), source: None },
                seconds: 600.try_into().unwrap(),
            }),
            r#"{"siglatch":1,"do":"debug_on","target":{"user":"alice"},"for":600}"#,
        ),
        (
            Request::DebugOff(DebugTarget { user: None, source: Some([192, 0, 2, 7].into()) }),
            r#"{"siglatch":1,"do":"debug_off","source":"192.0.2.7"}"#,
        ),
        (Request::Known(KnownQuery::default()), r#"{"siglatch":1,"do":"known"}"#),
        (Request::Grants(GrantsQuery::default()), r#"{"siglatch":1,"do":"grants"}"#),
        (
            Request::Grants(GrantsQuery { which: of_alice(), limit: Some(5), after: Some(spot()) }),
            r#"{"siglatch":1,"do":"grants","which":{"source":"192.0.2.7","user":"alice","action":"db","service":"tcp/5432"},"limit":5,"after":{"source":"192.0.2.7","place":"tcp/5432@10.0.0.5"}}"#,
        ),
        (
            Request::Revoke(RevokeOrder { all: true, cut: true, ..RevokeOrder::default() }),
            r#"{"siglatch":1,"do":"revoke","all":true,"cut":true}"#,
        ),
        (
            Request::Extend(ExtendOrder {
                which: GrantFilter { user: Some("alice".to_owned()), ..GrantFilter::default() },
                seconds: 600.try_into().unwrap(),
            }),
            r#"{"siglatch":1,"do":"extend","which":{"user":"alice"},"for":600}"#,
        ),
        (
            Request::Users(UsersQuery { name: None, limit: Some(9), after: Some(7) }),
            r#"{"siglatch":1,"do":"users","limit":9,"after":7}"#,
        ),
        (Request::Actions {}, r#"{"siglatch":1,"do":"actions"}"#),
        (Request::Sequences {}, r#"{"siglatch":1,"do":"sequences"}"#),
        (
            Request::Debts(DebtsQuery { limit: None, after: Some(u64::MAX) }),
            r#"{"siglatch":1,"do":"debts","after":18446744073709551615}"#,
        ),
        (Request::Reload {}, r#"{"siglatch":1,"do":"reload"}"#),
        (Request::Check {}, r#"{"siglatch":1,"do":"check"}"#),
        (Request::Enable(port()), r#"{"siglatch":1,"do":"enable","kind":"port","name":"62201"}"#),
        (
            Request::Disable(DisableOrder {
                target: port(),
                seconds: 60.try_into().ok(),
                until: None,
                end_grants: true,
                cut: true,
            }),
            r#"{"siglatch":1,"do":"disable","target":{"kind":"port","name":"62201"},"for":60,"end_grants":true,"cut":true}"#,
        ),
    ]
}

fn of_alice() -> GrantFilter {
    GrantFilter {
        source: Some([192, 0, 2, 7].into()),
        user: Some("alice".to_owned()),
        action: Some("db".to_owned()),
        service: "tcp/5432".parse().ok(),
    }
}

fn spot() -> GrantSpot {
    GrantSpot { source: [192, 0, 2, 7].into(), place: "tcp/5432@10.0.0.5".parse().unwrap() }
}

fn port() -> SwitchTarget {
    SwitchTarget { kind: SwitchKind::Port, name: "62201".to_owned() }
}

fn entry() -> BanEntry {
    BanEntry {
        network: network("192.0.2.7"),
        reason: Reason::Unauthentic,
        until: Some(1_900_000_600),
        left: Some(600),
        since: Some(1_900_000_000),
        step: 1,
        hits: 12,
        comment: Comment::default(),
    }
}

fn refusal(line: &str) -> Problem {
    Request::from_line(line.as_bytes()).unwrap_err()
}

#[test]
fn each_request_is_the_line_it_should_be_and_reads_back() {
    for (request, line) in requests() {
        assert_eq!(request.to_line(), format!("{line}\n"));
        assert_eq!(Request::from_line(request.to_line().as_bytes()), Ok(request.clone()), "{line}");
        assert!(Request::NAMES.contains(&request.name()) && line.contains(&format!("\"do\":\"{}\"", request.name())));
    }
}

#[test]
fn a_request_cut_anywhere_is_refused() {
    for (_, line) in requests() {
        for end in 0..line.len() {
            assert_eq!(
                Request::from_line(&line.as_bytes()[..end]).unwrap_err().code,
                Code::Malformed,
                "{}",
                &line[..end]
            );
        }
    }
}

#[test]
fn a_request_that_asks_for_more_than_is_known_is_refused() {
    for line in [
        r#"{"siglatch":1,"do":"status","verbose":true}"#,
        r#"{"siglatch":1,"do":"bans","colour":"red"}"#,
        r#"{"siglatch":1,"do":"ban","network":"192.0.2.7","scope":"host"}"#,
        r#"{"siglatch":1,"do":"unban","network":"192.0.2.7","for":1}"#,
        r#"{"siglatch":1,"do":"grants","user":"alice"}"#,
        r#"{"siglatch":1,"do":"grants","which":{"colour":"red"}}"#,
        r#"{"siglatch":1,"do":"grants","after":{"source":"192.0.2.7","place":"tcp/22","x":1}}"#,
        r#"{"siglatch":1,"do":"revoke","all":true,"user":"alice"}"#,
        r#"{"siglatch":1,"do":"reload","file":"/tmp/x"}"#,
        r#"{"siglatch":1,"do":"enable","kind":"user","name":"alice","for":1}"#,
        r#"{"siglatch":1,"do":"disable","target":{"kind":"user","name":"alice","x":1}}"#,
        r#"{"siglatch":1,"do":"disable","target":{"kind":"user","name":"alice"},"x":1}"#,
    ] {
        let problem = refusal(line);
        assert_eq!(problem.code, Code::Malformed);
        assert!(problem.message.contains("unknown field"), "{problem}");
    }
}

#[test]
fn each_flaw_of_a_request_is_named() {
    for (line, code, text) in [
        ("", Code::Malformed, "no JSON object"),
        ("[1]", Code::Malformed, "no JSON object"),
        ("{\"do\":\"status\"}", Code::Malformed, "lacks its version"),
        (r#"{"siglatch":"1","do":"status"}"#, Code::Malformed, "lacks its version"),
        (r#"{"siglatch":2,"do":"status"}"#, Code::Version, "version 1 of the admin protocol, not 2"),
        (r#"{"siglatch":1}"#, Code::Malformed, "what to do"),
        (r#"{"siglatch":1,"do":"dance\u001b[2J"}"#, Code::UnknownRequest, r"dance\u{1b}[2J"),
        (r#"{"siglatch":1,"do":"ban"}"#, Code::Malformed, "missing field `network`"),
        (r#"{"siglatch":1,"do":"ban","network":"x"}"#, Code::Malformed, "no IPv4 or IPv6 address"),
        (r#"{"siglatch":1,"do":"ban","network":"192.0.2.7/24"}"#, Code::Malformed, "behind the prefix"),
        (r#"{"siglatch":1,"do":"ban","network":"192.0.2.0/33"}"#, Code::Malformed, "no prefix length"),
        (r#"{"siglatch":1,"do":"ban","network":"192.0.2.7","for":0}"#, Code::Malformed, "nonzero"),
        (r#"{"siglatch":1,"do":"ban","network":"192.0.2.7","for":-1}"#, Code::Malformed, "nonzero"),
        (r#"{"siglatch":1,"do":"ban","network":"192.0.2.7","comment":"a\nb"}"#, Code::Malformed, "one line"),
        (r#"{"siglatch":1,"do":"bans","reason":"spite"}"#, Code::Malformed, "operator, file, unauthentic, flood"),
        (r#"{"siglatch":1,"do":"bans","limit":-1}"#, Code::Malformed, "invalid value"),
        (r#"{"siglatch":1,"do":"grants","which":{"service":"22"}}"#, Code::Malformed, "tcp/PORT"),
        (r#"{"siglatch":1,"do":"grants","which":{"source":"x"}}"#, Code::Malformed, "IP address"),
        (r#"{"siglatch":1,"do":"users","after":65536}"#, Code::Malformed, "u16"),
        (r#"{"siglatch":1,"do":"extend","which":{"user":"a"}}"#, Code::Malformed, "missing field `for`"),
        (r#"{"siglatch":1,"do":"disable","target":{"kind":"door","name":"x"}}"#, Code::Malformed, "unknown variant"),
    ] {
        let problem = refusal(line);
        assert_eq!(problem.code, code, "{line}: {problem}");
        assert!(problem.to_string().contains(text), "{line}: {problem}");
    }
    let deep = format!("{{\"siglatch\":1,\"do\":{}1", "[".repeat(2000));
    assert_eq!(refusal(&deep).code, Code::Malformed);
    let long = format!("{{\"siglatch\":1,\"do\":\"{}\"}}", "x".repeat(REQUEST_MAX));
    assert!(refusal(&long).message.contains("longer than 4096 bytes"));
}

#[test]
fn a_reply_reads_back_and_one_cut_anywhere_does_not() {
    let banned = Banned { entry: entry(), replaced: true, note: None };
    let line = Reply::Banned(banned.clone()).to_line();
    assert_eq!(
        line,
        "{\"siglatch\":1,\"ok\":{\"entry\":{\"network\":\"192.0.2.7\",\"reason\":\"unauthentic\",\"until\":1900000600,\
         \"left\":600,\"since\":1900000000,\"step\":1,\"hits\":12,\"comment\":\"\"},\"replaced\":true}}\n"
    );
    assert_eq!(reply_from_line::<Banned>(line.as_bytes()).unwrap(), banned);
    for end in 0..line.len() - 1 {
        assert!(matches!(reply_from_line::<Banned>(&line.as_bytes()[..end]), Err(ReplyFlaw::Malformed(_))), "{end}");
    }
}

#[test]
fn a_reply_may_say_more_than_its_reader_knows_and_a_status_less() {
    let line = r#"{"siglatch":1,"new":0,"ok":{"version":"9.0.0","mood":"good","lanes":[{"lane":"stamped"}]}}"#;
    let status: Status = reply_from_line(line.as_bytes()).unwrap();
    assert_eq!((&*status.version, &*status.lanes[0].lane, status.uptime), ("9.0.0", "stamped", 0));
}

#[test]
fn a_problem_and_another_version_are_told_apart() {
    let problem = Problem::new(Code::Full, "no room").with_help("lift some bans");
    assert_eq!(problem.to_string(), "no room: lift some bans");
    match reply_from_line::<Lifted>(problem.to_line().as_bytes()) {
        Err(ReplyFlaw::Refused(heard)) => assert_eq!(heard, problem),
        other => panic!("{other:?}"),
    }
    match reply_from_line::<Lifted>(br#"{"siglatch":1,"error":{"code":"moonphase","message":"later"}}"#) {
        Err(ReplyFlaw::Refused(heard)) => assert_eq!(heard, Problem::new(Code::Unknown, "later")),
        other => panic!("{other:?}"),
    }
    for (line, text) in [
        (r#"{"siglatch":2,"ok":{}}"#, "version 2"),
        (r#"{"siglatch":1}"#, "neither ok nor error"),
        (r#"{"siglatch":1,"ok":{}}"#, "missing field"),
        ("SSH-2.0-OpenSSH\n", "no reply"),
    ] {
        let flaw = reply_from_line::<Lifted>(line.as_bytes()).unwrap_err();
        assert!(flaw.to_string().contains(text), "{flaw}");
    }
}

#[test]
fn the_longest_page_fits_into_a_reply() {
    let comment: Comment = "\"".repeat(Comment::MAX).parse().unwrap();
    let network = Network::with_bits(Address::v6([0xff; 16]), 127);
    let (number, reason) = (Some(u64::MAX), Reason::Unauthentic);
    let (step, hits) = (u32::MAX, u64::MAX);
    let longest = BanEntry { network, reason, until: number, left: number, since: number, step, hits, comment };
    let page = BanPage { total: usize::MAX, more: false, bans: vec![longest; BanPage::MAX] };
    let line = Reply::Bans(page).to_line();
    assert!(line.len() < REPLY_MAX, "{}", line.len());
}

#[test]
fn the_longest_lists_fit_into_a_reply() {
    let (address, name) = (std::net::IpAddr::from([0xff; 16]), "\"".repeat(32));
    let grant = GrantEntry {
        source: address,
        place: "tcp/65535@ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe".parse().unwrap_or_else(|_| spot().place),
        user: name.clone(),
        action: name.clone(),
        left: u64::MAX,
    };
    let page = GrantPage { total: usize::MAX, more: false, grants: vec![grant; GrantPage::MAX] };
    let user = UserEntry {
        name: name.clone(),
        id: u16::MAX,
        off_until: Some(u64::MAX),
        uses: Some(u32::MAX),
        uses_left: Some(u32::MAX),
        grants: usize::MAX,
        last: Some(LastKnock { at: u64::MAX, source: address, action: name }),
        ..UserEntry::default()
    };
    let users = UserPage { total: usize::MAX, more: false, users: vec![user; UserPage::MAX] };
    for line in [Reply::Grants(page).to_line(), Reply::Users(users).to_line()] {
        assert!(line.len() < REPLY_MAX / 2, "{}", line.len());
    }
}

#[test]
fn who_may_only_look_changes_nothing() {
    for (request, line) in requests() {
        assert!(!request.is_order() || request.role() == Role::Operate, "{line}");
    }
    assert_eq!(Request::Check {}.role(), Role::Operate);
    assert_eq!(Request::Grants(GrantsQuery::default()).role(), Role::Observe);
    assert!(Role::Observe < Role::Operate);
}

#[test]
fn the_longest_request_fits_into_a_line() {
    let (network, comment) = (Network::of(Address::v6([0xff; 16])), "\"".repeat(Comment::MAX).parse().unwrap());
    let longest = Request::Ban(BanOrder { network, seconds: u64::MAX.try_into().ok(), comment });
    assert!(longest.to_line().len() < REQUEST_MAX / 4);
}

#[test]
fn a_count_stands_beside_its_name() {
    let count = Count { total: 7, per_second: 0.5 };
    let frames = Frames { outcome: "copy".to_owned(), passed: false, count };
    let status = Status { frames: vec![frames], ..Status::default() };
    let line = Reply::Status(Box::new(status.clone())).to_line();
    assert!(line.contains(r#""frames":[{"outcome":"copy","passed":false,"total":7,"per_second":0.5}]"#), "{line}");
    assert_eq!(reply_from_line::<Status>(line.as_bytes()).unwrap(), status);
}

fn any_network() -> impl Strategy<Value = Network> {
    (any::<[u8; 16]>(), 0_u8..=128, any::<bool>()).prop_map(|(mut octets, bits, v4)| {
        if v4 {
            octets[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
        }
        Network::with_bits(Address::v6(octets), bits)
    })
}

fn any_filter() -> impl Strategy<Value = GrantFilter> {
    let name = || prop::option::of("[ -~é]{0,40}");
    let service = prop::option::of(1..=u16::MAX);
    (prop::option::of(any::<std::net::IpAddr>()), name(), name(), service).prop_map(|(source, user, action, port)| {
        GrantFilter { source, user, action, service: port.map(|port| format!("udp/{port}").parse().unwrap()) }
    })
}

fn any_target() -> impl Strategy<Value = SwitchTarget> {
    let kind = prop::sample::select(SwitchKind::ALL.to_vec());
    (kind, "[ -~é]{0,40}").prop_map(|(kind, name)| SwitchTarget { kind, name })
}

fn any_request() -> impl Strategy<Value = Request> {
    let reason = prop::option::of(prop::sample::select(Reason::ALL.to_vec()));
    let sort = prop::sample::select(vec![Sort::Network, Sort::Until, Sort::Hits, Sort::Since]);
    let net = || prop::option::of(any_network());
    prop_oneof![
        Just(Request::Status {}),
        (reason, net(), sort, prop::option::of(any::<usize>()), net())
            .prop_map(|(reason, net, sort, limit, after)| Request::Bans(BansQuery { reason, net, sort, limit, after })),
        (any_network(), any::<u64>(), "[ -~é€😀]{0,60}").prop_map(|(network, seconds, comment)| {
            let (seconds, comment) = (seconds.try_into().ok(), comment.parse().unwrap());
            Request::Ban(BanOrder { network, seconds, comment })
        }),
        any_network().prop_map(|network| Request::Unban(UnbanOrder { network })),
        Just(Request::Debug {}),
        ("[ -~é€😀]{0,60}", 1..=u64::MAX).prop_map(|(user, seconds)| {
            let target = DebugTarget { user: Some(user), source: None };
            Request::DebugOn(DebugOrder { target, seconds: seconds.try_into().unwrap() })
        }),
        (any_filter(), prop::option::of(any::<usize>())).prop_map(|(which, limit)| Request::Grants(GrantsQuery {
            which,
            limit,
            after: limit.map(|_| spot())
        })),
        (any_filter(), any::<bool>(), any::<bool>()).prop_map(|(which, all, cut)| Request::Revoke(RevokeOrder {
            which,
            all,
            cut
        })),
        (any_filter(), 1..=u64::MAX).prop_map(|(which, seconds)| {
            Request::Extend(ExtendOrder { which, seconds: seconds.try_into().unwrap() })
        }),
        (prop::option::of("[ -~]{0,40}"), prop::option::of(any::<u16>()))
            .prop_map(|(name, after)| Request::Users(UsersQuery { name, limit: None, after })),
        prop::option::of(any::<std::net::IpAddr>()).prop_map(|after| Request::Known(KnownQuery { limit: None, after })),
        (any_target(), any::<u64>(), prop::option::of(any::<u64>()), any::<bool>()).prop_map(
            |(target, seconds, until, end_grants)| {
                let (seconds, cut) = (seconds.try_into().ok(), end_grants);
                Request::Disable(DisableOrder { target, seconds, until, end_grants, cut })
            }
        ),
        any_target().prop_map(Request::Enable),
        any::<std::net::IpAddr>()
            .prop_map(|source| Request::DebugOff(DebugTarget { user: None, source: Some(source) })),
    ]
}

proptest! {
    #[test]
    fn every_request_reads_back(request in any_request()) {
        let line = request.to_line();
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        prop_assert!(line.len() <= REQUEST_MAX + 1);
        prop_assert_eq!(Request::from_line(line.as_bytes()), Ok(request));
    }

    #[test]
    fn no_line_is_too_strange(bytes in vec(any::<u8>(), 0..200)) {
        prop_assert!(Request::from_line(&bytes).is_err());
        prop_assert!(reply_from_line::<Status>(&bytes).is_err());
    }

    #[test]
    fn no_change_of_a_line_is_too_strange(request in any_request(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut line = request.to_line().into_bytes();
        let at = at.index(line.len());
        line[at] = byte;
        // Whatever it says then, it says it in one way only.
        if let Ok(heard) = Request::from_line(&line) {
            prop_assert_eq!(Request::from_line(heard.to_line().as_bytes()), Ok(heard));
        }
        let _ = reply_from_line::<BanPage>(&line);
    }
}
