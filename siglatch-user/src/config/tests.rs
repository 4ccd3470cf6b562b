//! Every finding once, by value, beside a text that just does not have it.

mod strangers;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use siglatch_common::units::Wall;
use siglatch_common::wire::Wire;
use zeroize::Zeroizing;

use super::*;
use crate::policy::{ActionKind, Service, SourceRule};

/// A sound text; tests change one thing in it.
const SOUND: &str = r#"[gateway]
host = "gw.example.org"
[ingress]
interfaces = ["eth0"]
[[port]]
port = 62201
[keys]
server = "server.key"
[firewall]
protect = ["tcp/22", "udp/500"]
[user.alice]
id = 1
key = "alice.key"
[user.bob]
id = 2
key = "bob.key"
[action.ssh]
id = 1
users = "all"
grant = ["tcp/22"]
[action.one]
id = 2
users = ["alice"]
kind = "step"
[action.two]
id = 3
users = ["alice", "bob"]
grant = ["udp/500"]
[sequence.db]
steps = ["one", "two"]
"#;

#[test]
fn a_sound_text_has_no_finding_and_the_defaults_of_the_manual() {
    let Sound { settings, warnings } = read_text(SOUND).expect("the text is sound");
    assert_eq!(warnings, []);
    assert_eq!(settings.gateway, Gateway { name: "gateway".to_owned(), host: "gw.example.org".to_owned() });
    let xdp = Xdp { interfaces: vec!["eth0".to_owned()], ..Xdp::default() };
    assert_eq!(settings.ingress, Ingress::Xdp(xdp));
    assert_eq!(settings.ports, [KnockPort { port: 62201, wire: Wire::Sealed }]);
    assert_eq!(settings.state_dir, Path::new("/var/lib/siglatch"));
    assert_eq!((settings.key_threads, settings.nonce_capacity), (3, 1_000_000));
    let protect = services(&["tcp/22", "udp/500"]);
    assert_eq!(
        settings.firewall,
        Firewall::Table(OwnTable { name: "siglatch".to_owned(), priority: -10, protect, protect_forward: Vec::new() })
    );
    assert_eq!(settings.policy.max_skew(), Duration::from_secs(60));
    assert_eq!(settings.user_keys.len(), 2);
    let ActionKind::Grant(rule) = &settings.policy.action(ActionId(1)).unwrap().kind else { panic!("ssh grants") };
    assert_eq!((rule.ttl, rule.max_ttl), (Duration::from_secs(600), Duration::from_secs(600)));
    assert_eq!((rule.source, &rule.services), (SourceRule::Packet, &services(&["tcp/22"])));
    let sequence = &settings.policy.sequences()[0];
    assert_eq!((&*sequence.steps, sequence.within), (&[ActionId(2), ActionId(3)][..], Duration::from_secs(10)));
}

/// A stamped port, and gate keys: the number and the file of each.
macro_rules! stamped {
    ($($number:literal $file:literal),*) => {
        concat!(
            "port = 62201\nwire = \"stamped\"",
            $("\n[[gate_key]]\nnumber = ", $number, "\nfile = \"", $file, "\""),*
        )
    };
}

/// What is taken out of the sound text, what is put there, and the code and text of each finding then; none: the near
/// miss.
type Case = (&'static str, &'static str, &'static [(Code, &'static str)]);

const CASES: &[Case] = &[
    // Syntax, keys and types.
    ("id = 2\nkey", "id = \nkey", &[(Code::Syntax, "")]),
    ("[gateway]\n", "[gateway]\nhots = 1\n", &[(Code::UnknownKey, "hots")]),
    ("[gateway]\n", "[gatway]\nx = 1\n[gateway]\n", &[(Code::UnknownKey, "gatway")]),
    ("port = 62201", "port = \"62201\"", &[(Code::WrongType, "\"62201\"")]),
    ("port = 62201", "port = 62201.0", &[(Code::WrongType, "62201.0")]),
    ("port = 62201", "port = 0xf2f9", &[]),
    ("interfaces = [\"eth0\"]", "interfaces = \"eth0\"", &[(Code::WrongType, "\"eth0\"")]),
    ("[\"eth0\"]", "[\"eth0\", 1]", &[(Code::WrongType, "1")]),
    ("[[port]]", "[port]", &[(Code::WrongType, "port")]),
    ("[sequence.db]\nsteps", "[sequence]\ndb", &[(Code::OrphanStep, "one"), (Code::WrongType, "db")]),
    ("users = \"all\"", "users = \"alice\"", &[(Code::WrongType, "\"alice\"")]),
    ("users = \"all\"", "users = 1", &[(Code::WrongType, "1")]),
    ("id = 2\nkey", "enabled = \"yes\"\nid = 2\nkey", &[(Code::WrongType, "\"yes\"")]),
    ("id = 2\nkey", "enabled = true\nid = 2\nkey", &[]),
    ("host = \"gw.example.org\"", "", &[(Code::MissingKey, "gateway")]),
    ("[gateway]\nhost = \"gw.example.org\"", "", &[(Code::MissingKey, "")]),
    ("[keys]\nserver = \"server.key\"", "", &[(Code::MissingKey, "")]),
    ("id = 1\nkey = \"alice.key\"", "", &[(Code::MissingKey, "alice"), (Code::MissingKey, "alice")]),
    ("grant = [\"tcp/22\"]", "", &[(Code::MissingKey, "ssh")]),
    ("grant = [\"tcp/22\"]", "kind = \"grant\"", &[(Code::MissingKey, "ssh")]),
    ("kind = \"step\"", "kind = \"step\"\nttl = \"1m\"", &[(Code::MisplacedKey, "ttl")]),
    ("kind = \"step\"", "kind = \"stop\"", &[(Code::UnknownChoice, "\"stop\"")]),
    ("port = 62201", "port = 62201\nwire = \"Sealed\"", &[(Code::UnknownChoice, "\"Sealed\"")]),
    // Single values.
    ("port = 62201", "port = 0", &[(Code::OutOfRange, "0")]),
    ("port = 62201", "port = 65536", &[(Code::OutOfRange, "65536")]),
    ("port = 62201", "port = 99999999999999999999", &[(Code::OutOfRange, "99999999999999999999")]),
    ("port = 62201", "port = 65535", &[]),
    ("id = 2\nkey", "id = -1\nkey", &[(Code::OutOfRange, "-1")]),
    ("id = 2\nkey", "id = 65535\nkey", &[]),
    ("id = 3", "id = 256", &[(Code::OutOfRange, "256")]),
    ("id = 3", "id = 255", &[]),
    ("grant = [\"tcp/22\"]", "grant = []", &[(Code::OutOfRange, "[]")]),
    ("[keys]\n", "[keys]\nthreads = 0\n", &[(Code::OutOfRange, "0")]),
    ("[keys]\n", "[knock]\nmax_skew = \"4s\"\n[keys]\n", &[(Code::OutOfRange, "\"4s\"")]),
    ("[keys]\n", "[knock]\nmax_skew = \"5s\"\n[keys]\n", &[]),
    ("[keys]\n", "[knock]\nmax_skew = \"301s\"\n[keys]\n", &[(Code::OutOfRange, "\"301s\"")]),
    ("[keys]\n", "[knock]\nmax_skew = \"5m\"\n[keys]\n", &[]),
    ("[keys]\n", "[knock]\nmax_skew = 60\n[keys]\n", &[(Code::WrongType, "60")]),
    ("[keys]\n", "[knock]\nmax_skew = \"60\"\n[keys]\n", &[(Code::BadDuration, "\"60\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"0s\"", &[(Code::BadDuration, "\"0s\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"1s\"", &[]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"366d\"", &[(Code::OutOfRange, "\"366d\"")]),
    ("steps = [\"one\"", "within = \"0s\"\nsteps = [\"one\"", &[(Code::BadDuration, "\"0s\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"2h\"\nmax_ttl = \"1h\"", &[(Code::TtlOverMax, "\"2h\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nmax_ttl = \"1m\"", &[(Code::TtlOverMax, "\"1m\"")]),
    ("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nttl = \"1h\"\nmax_ttl = \"1h\"", &[]),
    ("[\"tcp/22\", \"udp", "[\"22\", \"tcp/22\", \"udp", &[(Code::BadService, "\"22\"")]),
    ("[\"tcp/22\", \"udp", "[\"tcp/0\", \"tcp/22\", \"udp", &[(Code::BadService, "\"tcp/0\"")]),
    ("[\"tcp/22\", \"udp", "[\"tcp/22\", \"tcp/22\", \"udp", &[(Code::DuplicateEntry, "\"tcp/22\"")]),
    ("id = 2\nkey", "networks = [\"192.0.2.7/24\"]\nid = 2\nkey", &[(Code::BadNetwork, "\"192.0.2.7/24\"")]),
    ("id = 2\nkey", "networks = [\"192.0.2/24\"]\nid = 2\nkey", &[(Code::BadNetwork, "\"192.0.2/24\"")]),
    ("id = 2\nkey", "networks = [\"192.0.2.0/33\"]\nid = 2\nkey", &[(Code::BadNetwork, "\"192.0.2.0/33\"")]),
    ("id = 2\nkey", "networks = [\"192.0.2.0/24\", \"::1\"]\nid = 2\nkey", &[]),
    ("id = 2\nkey", "not_after = \"2030-01-01\"\nid = 2\nkey", &[(Code::WrongType, "\"2030-01-01\"")]),
    ("id = 2\nkey", "not_after = 2030-01-01\nid = 2\nkey", &[(Code::BadTime, "2030-01-01")]),
    ("id = 2\nkey", "not_after = 2030-01-01T00:00:00Z\nid = 2\nkey", &[]),
    ("[gateway]\n", "[gateway]\nname = \"a b\"\n", &[(Code::BadName, "\"a b\"")]),
    ("[gateway]\n", "[gateway]\nname = \"..\"\n", &[(Code::BadName, "\"..\"")]),
    ("\"gw.example.org\"", "\"gw.example.org:62201\"", &[(Code::BadName, "\"gw.example.org:62201\"")]),
    ("\"gw.example.org\"", "\"2001:db8::1\"", &[]),
    ("\"eth0\"", "\"eth0/1\"", &[(Code::BadName, "\"eth0/1\"")]),
    ("\"eth0\"", "\"fifteen-letters\"", &[]),
    ("\"eth0\"", "\"sixteen-letters!\"", &[(Code::BadName, "\"sixteen-letters!\"")]),
    ("[user.bob]", "[user.\"Bob Roe\"]", &[(Code::BadName, "\"Bob Roe\""), (Code::UnknownUser, "\"bob\"")]),
    // Gate keys.
    ("port = 62201", stamped!(3 "gate-0.key"), &[]),
    ("port = 62201", stamped!(), &[(Code::NoGateKey, "62201")]),
    (
        "port = 62201",
        "port = 62201\n[[gate_key]]\nnumber = 3\nfile = \"gate-0.key\"",
        &[(Code::UnusedGateKey, "[[gate_key]]")],
    ),
    ("port = 62201", stamped!(1 "gate-0.key", 0 "gate-1.key"), &[]),
    ("port = 62201", stamped!(1 "gate-0.key", 1 "gate-1.key"), &[(Code::DuplicateGateKey, "1")]),
    ("port = 62201", stamped!(0 "gate-0.key", 1 "gate-0.hex"), &[(Code::SharedGateKey, "\"gate-0.hex\"")]),
    ("port = 62201", stamped!(4 "gate-0.key"), &[(Code::OutOfRange, "4")]),
    (
        "port = 62201",
        "port = 62201\nwire = \"stamped\"\n[[gate_key]]\n",
        &[(Code::MissingKey, "[[gate_key]]"), (Code::MissingKey, "[[gate_key]]")],
    ),
    ("port = 62201", stamped!(0 "alice.key"), &[(Code::KeyFileMalformed, "\"alice.key\"")]),
    ("port = 62201", stamped!(0 "none.key"), &[(Code::KeyFileMissing, "\"none.key\"")]),
    ("port = 62201", stamped!(0 "gate-zero.key"), &[(Code::KeyFileMalformed, "\"gate-zero.key\"")]),
    ("port = 62201", stamped!(0 "gate-world.key"), &[(Code::KeyFileExposed, "\"gate-world.key\"")]),
    ("[gateway]\n", "gate_key = 1\n[gateway]\n", &[(Code::WrongType, "gate_key")]),
    // Host.
    ("[[port]]\nport = 62201", "", &[(Code::NoPort, "")]),
    ("[gateway]\n", "port = []\n[gateway]\n", &[(Code::Syntax, "port")]),
    ("port = 62201", "port = 62201\n[[port]]\nport = 62201", &[(Code::DuplicatePort, "62201")]),
    ("port = 62201", "port = 62201\n[[port]]\nport = 62202", &[]),
    ("port = 62201", "port = 62201\nwire = \"clear\"", &[(Code::ClearWire, "wire")]),
    ("[\"eth0\"]", "[]", &[(Code::NoInterface, "interfaces")]),
    ("interfaces = [\"eth0\"]", "", &[(Code::NoInterface, "ingress")]),
    ("interfaces = [\"eth0\"]", "mode = \"socket\"", &[]),
    ("port = 62201", "port = 500", &[(Code::ProtectedKnockPort, "\"udp/500\"")]),
    ("port = 62201", "port = 22", &[]),
    ("\"tcp/22\", \"udp/500\"", "\"udp/500\"", &[(Code::UnprotectedService, "\"tcp/22\"")]),
    ("protect = [\"tcp/22\", \"udp/500\"]", "mode = \"sets\"\ntable = \"filter\"\nset_v4 = \"s\"", &[]),
    ("protect = [\"tcp/22\", \"udp/500\"]", "mode = \"sets\"\nset_v4 = \"s\"", &[(Code::MissingKey, "firewall")]),
    ("protect = [\"tcp/22\", \"udp/500\"]", "mode = \"sets\"\ntable = \"filter\"", &[(Code::MissingKey, "firewall")]),
    ("protect = ", "mode = \"sets\"\ntable = \"t\"\nset_v6 = \"s\"\nprotect = ", &[(Code::MisplacedKey, "protect")]),
    ("protect = ", "set_v6 = \"s\"\nprotect = ", &[(Code::MisplacedKey, "set_v6")]),
    ("protect = ", "priority = -200\nprotect = ", &[(Code::OutOfRange, "-200")]),
    ("protect = ", "priority = -199\nprotect = ", &[]),
    // Strangers.
    ("[keys]\n", "[limits]\nrate = 0\n[keys]\n", &[(Code::NoRate, "0")]),
    ("[keys]\n", "[limits]\nrate = 1\n[keys]\n", &[]),
    ("[keys]\n", "[limits]\nrate = 10_000_001\n[keys]\n", &[(Code::OutOfRange, "10_000_001")]),
    ("[keys]\n", "[limits]\nburst = 0\n[keys]\n", &[(Code::OutOfRange, "0")]),
    ("[keys]\n", "[limits]\nburst = 1\n[keys]\n", &[]),
    ("[keys]\n", "[lane.known]\nring = 100\n[keys]\n", &[(Code::NotPowerOfTwo, "100")]),
    ("[keys]\n", "[lane.known]\nring = 128\n[keys]\n", &[]),
    ("[keys]\n", "[limits]\nsources = 65535\n[keys]\n", &[(Code::NotPowerOfTwo, "65535")]),
    ("[keys]\n", "[limits]\nsources = 1024\ncopies = 0x1000000\n[keys]\n", &[]),
    ("[keys]\n", "[limits]\nsources = 0\n[keys]\n", &[(Code::OutOfRange, "0")]),
    ("[keys]\n", "[limits]\nsources = 512\n[keys]\n", &[(Code::NotPowerOfTwo, "512")]),
    ("[keys]\n", "[limits]\ncopies = 0\n[keys]\n", &[]),
    ("[keys]\n", "[lane.stamped]\nshare = 76\n[keys]\n", &[(Code::SharesOverAll, "76")]),
    ("[keys]\n", "[lane.stamped]\nshare = 75\n[keys]\n", &[]),
    ("[keys]\n", "[lane]\nstamped = { share = 40 }\nunknown.share = 41\n[keys]\n", &[(Code::SharesOverAll, "41")]),
    ("[keys]\n", "[lane.others]\nshare = 1\n[keys]\n", &[(Code::UnknownKey, "others")]),
    ("[keys]\n", "[lane.known]\nbudget = -1\n[keys]\n", &[(Code::OutOfRange, "-1")]),
    ("[keys]\n", "[lane.known]\nbudget = 0\n[keys]\n", &[]),
    ("[keys]\n", "[known]\nfor = \"59s\"\n[keys]\n", &[(Code::OutOfRange, "\"59s\"")]),
    ("[keys]\n", "[known]\nfor = \"60s\"\ncapacity = 16\n[keys]\n", &[]),
    ("[keys]\n", "[known]\ncapacity = 15\n[keys]\n", &[(Code::OutOfRange, "15")]),
    ("[keys]\n", "[allow]\nnetworks = [\"::/0\"]\n[keys]\n", &[(Code::BadNetwork, "\"::/0\"")]),
    ("[keys]\n", "[allow]\nnetworks = [\"0.0.0.0/0\"]\n[keys]\n", &[(Code::EverybodyAllowed, "\"0.0.0.0/0\"")]),
    ("[keys]\n", "[allow]\nnetworks = [\"10.0.0.0/8\", \"8000::/1\"]\n[keys]\n", &[]),
    ("[keys]\n", "[allow]\nnetworks = [\"::1\", \"::1/128\"]\n[keys]\n", &[(Code::DuplicateEntry, "\"::1/128\"")]),
    ("[keys]\n", "[ban]\nstrikes = 1\n[keys]\n", &[(Code::OutOfRange, "1")]),
    ("[keys]\n", "[ban]\nstrikes = 2\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nstrikes = 0\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nsteps = []\n[keys]\n", &[(Code::OutOfRange, "[]")]),
    ("[keys]\n", "[ban]\nsteps = [\"1h\"]\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nsteps = [\"1h\", \"60m\"]\n[keys]\n", &[(Code::StepsNotRising, "\"60m\"")]),
    ("[keys]\n", "[ban]\nsteps = [\"1h\", \"61m\"]\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nsteps = [\"1h\", \"366d\"]\n[keys]\n", &[(Code::OutOfRange, "\"366d\"")]),
    ("[keys]\n", "[ban]\nsteps = [\"1h\", \"x\"]\n[keys]\n", &[(Code::BadDuration, "\"x\"")]),
    ("[keys]\n", "[ban]\nflood = 99\n[keys]\n", &[(Code::OutOfRange, "99")]),
    ("[keys]\n", "[ban]\nflood = 100\n[keys]\n", &[]),
    (
        "[keys]\n",
        "[limits]\nrate = 0\n[ban]\nflood = 100\n[keys]\n",
        &[(Code::NoRate, "0"), (Code::FloodWithoutRate, "100")],
    ),
    ("[keys]\n", "[ban]\nflood = 0\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nscope = \"host\"\n[keys]\n", &[(Code::HostScope, "scope")]),
    ("[keys]\n", "[ban]\nscope = \"host\"\n[allow]\nnetworks = [\"10.0.0.0/8\"]\n[keys]\n", &[]),
    ("[keys]\n", "[ban]\nscope = \"all\"\n[keys]\n", &[(Code::UnknownChoice, "\"all\"")]),
    ("[keys]\n", "[blacklist]\nfiles = [\"a\", \"a\"]\n[keys]\n", &[(Code::DuplicateEntry, "\"a\"")]),
    ("[keys]\n", "[blacklist]\nfiles = [\"\"]\n[keys]\n", &[(Code::BadName, "\"\"")]),
    ("[keys]\n", "[admin]\nsocket = \"\"\n[keys]\n", &[(Code::BadName, "\"\"")]),
    // Key files.
    ("\"alice.key\"", "\"none.key\"", &[(Code::KeyFileMissing, "\"none.key\"")]),
    ("\"alice.key\"", "\"forbidden.key\"", &[(Code::KeyFileUnreadable, "\"forbidden.key\"")]),
    ("\"alice.key\"", "\"world.key\"", &[(Code::KeyFileExposed, "\"world.key\"")]),
    ("\"alice.key\"", "\"group.key\"", &[(Code::KeyFileExposed, "\"group.key\"")]),
    ("\"alice.key\"", "\"read-only.key\"", &[]),
    ("\"alice.key\"", "\"stranger.key\"", &[(Code::KeyFileOwner, "\"stranger.key\"")]),
    ("\"alice.key\"", "\"/etc/siglatch/root.key\"", &[]),
    ("\"alice.key\"", "\"zero.key\"", &[(Code::KeyFileMalformed, "\"zero.key\"")]),
    ("\"alice.key\"", "\"empty.key\"", &[(Code::KeyFileMalformed, "\"empty.key\"")]),
    ("\"alice.key\"", "\"server.key\"", &[(Code::KeyFileMalformed, "\"server.key\"")]),
    ("\"alice.key\"", "\"\"", &[(Code::BadName, "\"\"")]),
    ("\"server.key\"", "\"alice.key\"", &[(Code::KeyFileMalformed, "\"alice.key\"")]),
    ("\"server.key\"", "\"server.pub.pem\"", &[(Code::KeyFileMalformed, "\"server.pub.pem\"")]),
    ("\"server.key\"", "\"empty.key\"", &[(Code::KeyFileMalformed, "\"empty.key\"")]),
    ("\"server.key\"", "\"short.key\"", &[(Code::KeyFileMalformed, "\"short.key\"")]),
    ("\"bob.key\"", "\"alice.hex\"", &[(Code::SharedKey, "\"alice.hex\"")]),
    // People.
    ("[user.bob]\nid = 2", "[user.bob]\nid = 1", &[(Code::DuplicateUserId, "1")]),
    ("users = \"all\"", "users = [\"alise\", \"bob\"]", &[(Code::UnknownUser, "\"alise\"")]),
    ("users = \"all\"", "users = [\"alice\", \"alice\"]", &[(Code::DuplicateEntry, "\"alice\"")]),
    ("users = \"all\"", "users = []", &[(Code::UnusableAction, "[]")]),
    ("key = \"bob.key\"", "key = \"bob.key\"\nenabled = false", &[]),
    (
        "key = \"alice.key\"",
        "key = \"alice.key\"\nenabled = false",
        &[(Code::UnusableAction, "[\"alice\"]"), (Code::UnusableSequence, "db")],
    ),
    ("[user.bob]", "[user.carol]\nid = 3\nkey = \"root.key\"\n[user.bob]", &[]),
    // Actions and sequences.
    ("id = 3", "id = 2", &[(Code::DuplicateActionId, "2")]),
    ("[\"one\", \"two\"]", "[\"one\"]", &[(Code::ShortSequence, "[\"one\"]")]),
    ("[\"one\", \"two\"]", "[\"one\", \"tow\"]", &[(Code::UnknownAction, "\"tow\"")]),
    ("[\"one\", \"two\"]", "[\"one\", \"one\", \"two\"]", &[(Code::RepeatedStep, "\"one\"")]),
    (
        "[\"one\", \"two\"]",
        "[\"one\", \"two\"]\n[sequence.again]\nsteps = [\"one\", \"ssh\"]",
        &[(Code::SharedStep, "\"one\"")],
    ),
    ("[\"one\", \"two\"]", "[\"ssh\", \"two\"]", &[(Code::OrphanStep, "one"), (Code::EffectBeforeEnd, "\"ssh\"")]),
    ("[\"one\", \"two\"]", "[\"two\", \"one\"]", &[(Code::EffectBeforeEnd, "\"two\""), (Code::NoEffect, "\"one\"")]),
    ("users = [\"alice\", \"bob\"]", "users = [\"bob\"]", &[(Code::UnusableSequence, "db")]),
    ("[sequence.db]\nsteps = [\"one\", \"two\"]", "", &[(Code::OrphanStep, "one")]),
];

#[test]
fn new_clients_get_the_gate_key_that_stands_last() {
    let settings = read_text(&SOUND.replacen("port = 62201", stamped!(1 "gate-0.key", 0 "gate-1.key"), 1))
        .expect("the text is sound")
        .settings;
    assert_eq!(settings.gate_keys.iter().map(|(number, _)| number).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(settings.gate_keys.newest().map(|(number, _)| number), Some(0));
}

#[test]
fn each_finding_comes_once_and_its_near_miss_does_not() {
    let mut wrong = String::new();
    for (taken, put, expected) in CASES {
        assert!(SOUND.contains(taken), "{taken}");
        let text = SOUND.replacen(taken, put, 1);
        let found = findings(&text);
        let pairs: Vec<_> = found.iter().map(|finding| (finding.code, offending(&text, finding))).collect();
        let expected: Vec<_> = expected.iter().map(|(code, text)| (*code, (*text).to_owned())).collect();
        if pairs != expected {
            wrong += &format!("{taken} -> {put}\n{expected:?}\n{}\n", Report::new("test", &*text, found).lines());
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_code_has_a_case() {
    let others = [Code::NoUsers, Code::IdleUser, Code::TooManyPorts];
    for code in Code::ALL {
        let has_case = CASES.iter().any(|(_, _, expected)| expected.iter().any(|(found, _)| found == code));
        assert!(has_case || others.contains(code), "{code:?}");
    }
}

#[test]
fn without_users_that_is_the_only_finding() {
    let (before, after) = SOUND.split_once("[user.alice]").unwrap();
    let (_, after) = after.split_once("[action.ssh]").unwrap();
    let (ssh, _) = after.split_once("[action.one]").unwrap();
    let text = format!("{before}[action.ssh]{ssh}");
    assert_eq!(codes(&text), [Code::NoUsers]);
}

#[test]
fn a_user_without_an_action_is_idle() {
    let text = SOUND.replace("users = \"all\"", "users = [\"alice\"]").replace("[\"alice\", \"bob\"]", "[\"alice\"]");
    assert_eq!(codes(&text), [Code::IdleUser]);
    assert_eq!(codes(&text.replace("key = \"bob.key\"", "key = \"bob.key\"\nenabled = false")), []);
}

#[test]
fn sixteen_ports_are_the_most() {
    let more = |last: u16| (1..=last).map(|port| format!("\n[[port]]\nport = {port}")).collect::<String>();
    let with = |last| SOUND.replace("port = 62201", &format!("port = 62201{}", more(last)));
    assert_eq!(codes(&with(15)), []);
    assert_eq!(codes(&with(16)), [Code::TooManyPorts]);
}

#[test]
fn all_findings_come_at_once_and_in_the_order_of_the_text() {
    let text = SOUND
        .replace("host = ", "hots = 1\nhost = ")
        .replace("port = 62201", "port = \"x\"")
        .replace("\"alice.key\"", "\"world.key\"")
        .replace("id = 2\nkey", "id = 1\nkey")
        .replace("[\"one\", \"two\"]", "[\"one\", \"three\"]");
    let expected =
        [Code::UnknownKey, Code::WrongType, Code::KeyFileExposed, Code::DuplicateUserId, Code::UnknownAction];
    assert_eq!(codes(&text), expected);
}

#[test]
fn interfaces_from_the_command_line_are_enough() {
    let text = SOUND.replace("interfaces = [\"eth0\"]", "");
    let given = Given { interfaces: true, ..GIVEN };
    assert_eq!(read(&text, FOLDER.as_ref(), &given, &*FILES).expect("sound").warnings, []);
}

#[test]
fn the_days_are_counted_right() {
    for (text, seconds) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T12:00:00Z", 951_825_600),
        ("2027-01-01T00:00:00+01:00", 1_798_758_000),
        ("2100-03-01T00:00:00-00:30", 4_107_544_200),
    ] {
        let text = SOUND.replace("id = 2\nkey", &format!("not_after = {text}\nid = 2\nkey"));
        let settings = read_text(&text).expect("sound").settings;
        assert_eq!(settings.policy.user(UserId(2)).unwrap().period.not_after, Some(Wall::from_secs(seconds)), "{text}");
    }
}

#[test]
fn the_annotated_file_is_sound_and_names_every_key() {
    assert_eq!(codes(ANNOTATED), []);
    for form in schema::FORMS {
        for key in form.keys {
            assert!(ANNOTATED.contains(&format!("{} = ", key.name)), "{} {}", form.title, key.name);
        }
    }
}

#[test]
fn the_examples_are_sound() {
    for text in [
        include_str!("../../../config/examples/ssh.toml"),
        include_str!("../../../config/examples/own-ruleset.toml"),
        include_str!("../../../config/examples/container.toml"),
    ] {
        assert_eq!(codes(text), [], "{text}");
    }
}

#[test]
fn a_report_shows_the_place_and_the_cure() {
    let text = SOUND.replace("host = ", "hots = 1\nhost = ").replace("id = 2\nkey", "id = 1\nkey");
    let report = Report::new("siglatch.toml", &*text, findings(&text));
    assert_eq!(report.summary(), "2 errors");
    let rendered = "\
error[unknown-key]: [gateway] has no key `hots`
 --> siglatch.toml:2:1
  |
2 | hots = 1
  | ^^^^
  |
  = help: did you mean `host`?

error[duplicate-user-id]: this id is alice's already
  --> siglatch.toml:16:6
   |
13 | id = 1
   |      - alice
...
16 | id = 1
   |      ^
   |
   = help: write a number that nobody has, for example: id = 2

";
    assert_eq!(report.render(Style::Plain), rendered);
    let lines = "\
siglatch.toml:2:1: error[unknown-key]: [gateway] has no key `hots`; did you mean `host`?
siglatch.toml:16:6: error[duplicate-user-id]: this id is alice's already; write a number that nobody has, for example: id = 2
";
    assert_eq!(report.lines(), lines);
}

#[test]
fn a_cut_file_is_reported_and_never_panics() {
    for end in (0..ANNOTATED.len()).filter(|end| ANNOTATED.is_char_boundary(*end)) {
        look_at(&ANNOTATED[..end]);
    }
}

proptest! {
    #[test]
    fn no_text_breaks_it(text in "\\PC{0,64}|[\\[\\]a-z0-9.=\"{},\\n\\t \u{0}é#-]{0,200}") {
        look_at(&text);
    }

    #[test]
    fn no_changed_line_breaks_it(line in 0..30_usize, put in "[\\[\\]a-z0-9.=\"{},\\n é_-]{0,40}") {
        let mut lines: Vec<&str> = SOUND.lines().collect();
        lines[line % SOUND.lines().count()] = &put;
        look_at(&lines.join("\n"));
    }

    #[test]
    fn durations_read_back_as_they_are_written(seconds in 1..=u64::from(u32::MAX)) {
        let duration = Duration::from_secs(seconds);
        prop_assert_eq!(value::duration(&value::duration_text(duration)), Ok(duration));
    }
}

/// Reads and renders; keeps the promise that an error has a finding. Without key files: parsing an RSA key each time
/// would take most of the time.
fn look_at(text: &str) {
    if let Err(findings) = read(text, FOLDER.as_ref(), &GIVEN, &Table(HashMap::new())) {
        assert!(findings.iter().any(|finding| finding.severity() == Severity::Error), "{text}");
        let report = Report::new("test", text, findings);
        assert!(!report.render(Style::Plain).is_empty() && !report.lines().is_empty());
    }
}

fn read_text(text: &str) -> Result<Sound, Vec<Finding>> {
    read(text, FOLDER.as_ref(), &GIVEN, &*FILES)
}

fn findings(text: &str) -> Vec<Finding> {
    match read_text(text) {
        Ok(sound) => sound.warnings,
        Err(findings) => findings,
    }
}

fn codes(text: &str) -> Vec<Code> {
    findings(text).into_iter().map(|finding| finding.code).collect()
}

fn offending(text: &str, finding: &Finding) -> String {
    finding.span.map_or_else(String::new, |span| text[span.start..span.end].to_owned())
}

fn services(texts: &[&str]) -> Vec<Service> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

const ANNOTATED: &str = include_str!("../../../config/siglatch.toml");

const FOLDER: &str = "/etc/siglatch";

const GIVEN: Given = Given { cores: NonZeroUsize::new(3).unwrap(), interfaces: false };

/// Key files by path; made once, as an RSA key takes its time.
static FILES: LazyLock<Table> = LazyLock::new(|| {
    let private = |bits| rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, bits).unwrap();
    let pem = |key: &rsa::RsaPrivateKey| key.to_pkcs8_pem(LineEnding::LF).unwrap().as_bytes().to_vec();
    let server = private(2048);
    let public = server.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
    let mut table = HashMap::new();
    let mut put = |name: &str, mode, owner, contents: &[u8]| {
        table.insert(Path::new(FOLDER).join(name), (mode, owner, contents.to_vec()));
    };
    put("server.key", 0o600, Owner::Root, &pem(&server));
    put("server.pub.pem", 0o600, Owner::Root, public.as_bytes());
    put("short.key", 0o600, Owner::Root, &pem(&private(1024)));
    put("alice.key", 0o600, Owner::Us, &[1; 32]);
    put("alice.hex", 0o600, Owner::Us, "01".repeat(32).as_bytes());
    put("bob.key", 0o600, Owner::Us, &[2; 32]);
    put("keys/alice.key", 0o600, Owner::Us, &[1; 32]);
    put("keys/bob.key", 0o600, Owner::Us, &[2; 32]);
    for name in ["gate-0.key", "keys/gate-0.key"] {
        put(name, 0o600, Owner::Us, &[1; 16]);
    }
    put("gate-0.hex", 0o600, Owner::Us, "01".repeat(16).as_bytes());
    put("gate-1.key", 0o600, Owner::Us, &[2; 16]);
    put("gate-zero.key", 0o600, Owner::Us, &[0; 16]);
    put("gate-world.key", 0o604, Owner::Us, &[3; 16]);
    put("root.key", 0o600, Owner::Root, &[3; 32]);
    put("stranger.key", 0o600, Owner::Stranger { uid: 1000 }, &[4; 32]);
    put("world.key", 0o604, Owner::Us, &[5; 32]);
    put("group.key", 0o640, Owner::Us, &[6; 32]);
    put("read-only.key", 0o400, Owner::Us, &[7; 32]);
    put("zero.key", 0o600, Owner::Us, &[0; 32]);
    put("empty.key", 0o600, Owner::Us, &[]);
    Table(table)
});

struct Table(HashMap<PathBuf, (u32, Owner, Vec<u8>)>);

impl KeyFiles for Table {
    fn read(&self, path: &Path) -> Result<KeyFile, Unreadable> {
        if path.ends_with("forbidden.key") {
            return Err(Unreadable::Forbidden);
        }
        let (mode, owner, contents) = self.0.get(path).ok_or(Unreadable::Missing)?;
        Ok(KeyFile { contents: Zeroizing::new(contents.clone()), mode: *mode, owner: *owner })
    }
}
