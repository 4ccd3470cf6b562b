use proptest::collection::vec;
use proptest::prelude::*;
use siglatch_common::address::{Address, Network};
use siglatch_common::ban::Reason;

use super::*;
use crate::admin::{BanEntry, Comment, Count, Frames, Sort};

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
    ]
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
