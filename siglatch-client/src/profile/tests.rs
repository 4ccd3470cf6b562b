use proptest::prelude::*;
use rsa::RsaPrivateKey;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::rand_core::OsRng;
use siglatch_common::enrolment::{EnrolledAction, EnrolledGateKey, EnrolledUser, Enrolment};

use super::*;

const KEY: &str = "00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210";

const GATE_KEY: &str = "ffeeddccbbaa99887766554433221100";

fn pem(bits: usize) -> String {
    RsaPrivateKey::new(&mut OsRng, bits).unwrap().to_public_key().to_public_key_pem(LineEnding::LF).unwrap()
}

fn enrolment() -> Enrolment {
    let action = |id, source: Option<&str>| EnrolledAction { id, source: source.map(str::to_owned) };
    Enrolment {
        siglatch: 1,
        gateway: "home".to_owned(),
        host: "gw.example.net".to_owned(),
        port: 62201,
        wire: "sealed".to_owned(),
        server_key: pem(2048),
        gate_key: None,
        user: EnrolledUser { name: "alice".to_owned(), id: 7, key: KEY.to_owned() },
        action: [
            ("ssh", action(1, None)),
            ("first", action(2, Some("packet"))),
            ("second", action(3, Some("match"))),
            ("web", action(4, Some("claimed"))),
        ]
        .map(|(name, action)| (name.to_owned(), action))
        .into(),
        sequence: [("vault".to_owned(), vec!["first".to_owned(), "second".to_owned()])].into(),
    }
}

/// A clear profile of one line for each field, so that places are known.
fn clear(changes: &[(&str, &str)]) -> String {
    let mut text = format!(
        "siglatch = 1\ngateway = \"home\"\nhost = \"::1\"\nport = 62201\nwire = \"clear\"\nserver_key = \"\"\n\
         [user]\nname = \"alice\"\nid = 7\nkey = \"{KEY}\"\n[action.ssh]\nid = 1\n"
    );
    for (old, new) in changes {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    text
}

fn findings(changes: &[(&str, &str)]) -> Vec<String> {
    let findings = Profile::parse(&clear(changes)).unwrap_err();
    let shown = findings.to_string();
    assert!(!shown.contains(&KEY[..16]) && !shown.contains(&GATE_KEY[..8]), "a key was printed: {shown}");
    findings.as_slice().iter().map(Finding::to_string).collect()
}

#[test]
fn what_the_operator_hands_over_is_a_profile() {
    let profile = Profile::parse(&toml::to_string(&enrolment()).unwrap()).unwrap();
    assert_eq!(profile.gateway.as_str(), "home");
    assert_eq!((profile.host.as_str(), profile.port), ("gw.example.net", 62201));
    assert_eq!(profile.keys.wire(), Wire::Sealed);
    assert_eq!(profile.user, User { name: "alice".to_owned(), id: UserId(7) });
    assert_eq!(profile.actions["ssh"], Action { id: ActionId(1), source: SourceRule::Packet });
    assert_eq!(profile.actions["second"].source, SourceRule::Match);
    assert_eq!(profile.actions["web"].source, SourceRule::Claimed);
    assert_eq!(profile.sequences["vault"], ["first", "second"]);
    assert_eq!(profile.first_try(), Some(FirstTry::Knock("ssh")));
    assert!(!format!("{profile:?}").contains("112233"), "a key was printed");
}

#[test]
fn a_clear_profile_needs_no_server_key_in_it() {
    let profile = Profile::parse(&clear(&[])).unwrap();
    assert_eq!(profile.keys.wire(), Wire::Clear);
    assert_eq!(findings(&[("\"clear\"", "\"sealed\"")]).len(), 1);
}

#[test]
fn a_stamped_profile_has_a_gate_key_and_no_other_has() {
    let gate_key = || Some(EnrolledGateKey { number: 3, key: GATE_KEY.to_owned() });
    let file = |wire: &str, gate_key| {
        let enrolment = Enrolment { wire: wire.to_owned(), gate_key, ..enrolment() };
        assert!(!format!("{:?} {enrolment:?}", enrolment.gate_key).contains(&GATE_KEY[..8]), "a key was printed");
        Profile::parse(&toml::to_string(&enrolment).unwrap())
    };
    let profile = file("stamped", gate_key()).unwrap();
    assert_eq!((profile.keys.wire(), profile.keys.gate_key()), (Wire::Stamped, Some(3)));
    assert!(!format!("{profile:?}").contains("ffeedd"), "a key was printed");
    let missing = file("stamped", None).unwrap_err().to_string();
    assert_eq!(
        missing,
        "line 5, column 8: the wire \"stamped\" needs a table [gate_key] with the gate key's number and key"
    );
    for wire in ["sealed", "clear"] {
        let unused = file(wire, gate_key()).unwrap_err().to_string();
        let expected = format!("[gate_key] is for the wire \"stamped\"; this file's wire is {wire:?}");
        assert!(unused.ends_with(&expected), "{unused}");
    }
}

#[test]
fn a_flaw_of_a_gate_key_is_found_in_its_place() {
    let found = |table: &str| {
        let text = format!("\"\"\n{table}[user]");
        let changes = [("\"clear\"", "\"stamped\""), ("server_key = \"\"\n[user]", &format!("server_key = {text}"))];
        let found = findings(&changes);
        // The wire needs a server key, too, and the text has none.
        found.into_iter().filter(|found| !found.contains("RSA public key")).collect::<Vec<_>>()
    };
    let zero = "0".repeat(32);
    for (table, expected) in [
        (format!("[gate_key]\nnumber = 0\nkey = \"{GATE_KEY}\"\n"), &[][..]),
        (
            format!("[gate_key]\nnumber = 4\nkey = \"{zero}\"\n"),
            &[
                "line 8, column 10: a gate key's number is 0 to 3",
                "line 9, column 7: all zero: a key that was never made",
            ],
        ),
        (
            format!("[gate_key]\nnumber = \"0\"\nkey = \"{}\"\n", &GATE_KEY[1..]),
            &["line 8, column 10: number must be a number", "line 9, column 7: a gate key is 32 hex digits"],
        ),
        (
            format!("[gate_key]\nnumber = 0\nkey = \"{}\"\n", &GATE_KEY[..16]),
            &["line 9, column 7: a gate key is 32 hex digits"],
        ),
        (
            format!("[gate_key]\nnumbr = 0\nkey = \"x{}\"\n", &GATE_KEY[1..]),
            &[
                "line 7, column 1: \"number\" is missing in [gate_key]",
                "line 8, column 1: unknown key \"numbr\"; did you mean \"number\"?",
                "line 9, column 7: a gate key is 32 hex digits",
            ],
        ),
        ("gate_key = 1\n".to_owned(), &["line 7, column 12: [gate_key] must be a table"]),
    ] {
        assert_eq!(found(&table), expected, "{table}");
    }
}

#[test]
fn every_flaw_is_found_at_once_and_in_its_place() {
    let found = findings(&[
        ("siglatch = 1", "siglatch = 2"),
        ("\"home\"", "\"../home\""),
        ("\"::1\"", "\"http://gw\""),
        ("62201", "65536"),
        ("\"clear\"", "\"striped\""),
        ("name = \"alice\"\n", ""),
        ("id = 7", "id = 65536"),
        ("key = \"00", "key = \""),
        ("id = 1\n", "id = 256\nsource = \"any\"\nttl = 1\n[sequence]\na = [\"ssh\", \"shs\"]\nb = [\"ssh\"]\n"),
    ]);
    let starts = [
        "line 1, column 12: form 2 of enrolment files; this siglatch reads form 1: update it",
        "line 2, column 11: a gateway's name is",
        "line 3, column 8: a host is a name or an address alone",
        "line 4, column 8: a port is a number from 1 to 65535",
        "line 5, column 8: this siglatch knows the wires \"sealed\", \"stamped\" or \"clear\"",
        "line 6, column 14: no RSA public key in PEM form",
        "line 7, column 1: \"name\" is missing in [user]",
        "line 8, column 6: a user's id is a number from 0 to 65535",
        "line 9, column 7: a user's key is 64 hex digits",
        "line 11, column 6: an action's id is a number from 0 to 255",
        "line 12, column 10: an action's source is \"packet\", \"match\" or \"claimed\"",
        "line 13, column 1: unknown key \"ttl\"; known here: id, source",
        "line 15, column 13: the step \"shs\" is no action of this file; did you mean \"ssh\"?",
        "line 16, column 5: a sequence has at least two steps",
    ];
    for (found, start) in found.iter().zip(starts) {
        assert!(found.starts_with(start), "{found}\n{start}");
    }
    assert_eq!(found.len(), starts.len(), "{found:#?}");
}

#[test]
fn wrong_types_are_found() {
    assert_eq!(findings(&[("62201", "\"62201\"")]), ["line 4, column 8: port must be a number"]);
    assert_eq!(findings(&[("62201", "-1")]), ["line 4, column 8: port is negative or far too large"]);
    assert_eq!(findings(&[("62201", "0")]), ["line 4, column 8: a port is a number from 1 to 65535"]);
    assert_eq!(findings(&[("\"home\"", "1")]), ["line 2, column 11: gateway must be a string, in quotes"]);
    assert_eq!(
        findings(&[("[action.ssh]\nid = 1", "action = 1")])[..1],
        ["line 11, column 1: unknown key \"action\"; known here: name, id, key"]
    );
    assert_eq!(findings(&[("[action.ssh]\nid", "[action]\nssh")]), ["line 12, column 7: [action.ssh] must be a table"]);
    assert_eq!(findings(&[("gateway =", "gatway =")]).len(), 2, "unknown, and missing");
    assert_eq!(findings(&[("[action.ssh]", "[action.\"s sh\"]")]).len(), 1);
    assert_eq!(findings(&[("alice", "al\\u001b[2Jice")]).len(), 1);
}

#[test]
fn a_key_is_never_part_of_a_finding() {
    let quoted = format!("\"{KEY}\"");
    for changed in [
        KEY.to_owned(),
        format!("\"{KEY}"),
        format!("{KEY}\""),
        format!("'{KEY}\""),
        format!("[\"{KEY}\"]"),
        format!("\"{KEY}\" \"{KEY}\""),
        format!("\"\\x{KEY}\""),
        format!("\"{KEY}00\""),
        KEY.replace(char::is_alphabetic, "1"),
    ] {
        assert!(!findings(&[(&quoted, &changed)]).is_empty(), "{changed}");
    }
    assert_eq!(findings(&[(KEY, &KEY[..32])]).len(), 1, "32 characters are no raw key here");
    assert!(findings(&[(KEY, &"0".repeat(64))])[0].contains("all zero"));
}

#[test]
fn a_server_key_of_another_size_is_refused() {
    let found =
        Profile::parse(&toml::to_string(&Enrolment { server_key: pem(1024), ..enrolment() }).unwrap()).unwrap_err();
    assert!(found.to_string().contains("1024 bits"), "{found}");
}

#[test]
fn no_cut_of_a_profile_breaks_the_reader() {
    let text = toml::to_string(&enrolment()).unwrap();
    for (at, _) in text.char_indices() {
        let _ = Profile::parse(&text[..at]);
    }
    let gate_key = Some(EnrolledGateKey { number: 3, key: GATE_KEY.to_owned() });
    let stamped = Enrolment { wire: "stamped".to_owned(), gate_key, ..enrolment() };
    let stamped = toml::to_string(&stamped).unwrap();
    for (at, _) in stamped.char_indices() {
        let shown = Profile::parse(&stamped[..at]).err().map(|found| found.to_string()).unwrap_or_default();
        assert!(!shown.contains(&GATE_KEY[..8]), "a key was printed: {shown}");
    }
    let needed = text.find("[action").unwrap();
    for (at, _) in text[..needed].trim_end().trim_end_matches('"').char_indices() {
        assert!(Profile::parse(&text[..at]).is_err(), "{at}");
    }
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "[a-z=\"\\[\\]\\.0-9\n ü\\\\]{0,80}") {
        let found = Profile::parse(&text).unwrap_err();
        prop_assert!(!found.as_slice().is_empty());
    }
}
