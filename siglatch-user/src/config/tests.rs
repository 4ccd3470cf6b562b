//! What a configuration says, by value: text in, settings or findings out.

mod cases;
mod changes;
mod explanations;
mod files;
mod meaning;
mod running;
mod strangers;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;
use rsa::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use siglatch_common::units::Wall;
use siglatch_common::wire::Wire;
use siglatch_common::wire::v1::{ActionId, UserId};
use zeroize::Zeroizing;

use super::*;
use crate::policy::{ActionKind, Service, SourceRule};
use files::{FILES, Table};

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
        Firewall::Table(OwnTable {
            name: "siglatch".to_owned(),
            priority: -10,
            protect,
            protect_forward: Vec::new(),
            dnat: Vec::new()
        })
    );
    assert_eq!(settings.policy.max_skew(), Duration::from_secs(60));
    assert_eq!(settings.user_keys.len(), 2);
    let ActionKind::Grant(rule) = &settings.policy.action(ActionId(1)).unwrap().kind else { panic!("ssh grants") };
    assert_eq!((rule.ttl, rule.max_ttl), (Duration::from_secs(600), Duration::from_secs(600)));
    assert_eq!((rule.source, &rule.services), (SourceRule::Packet, &services(&["tcp/22"])));
    let sequence = &settings.policy.sequences()[0];
    assert_eq!((&*sequence.steps, sequence.within), (&[ActionId(2), ActionId(3)][..], Duration::from_secs(10)));
}

#[test]
fn without_users_that_is_the_only_finding() {
    let (before, after) = SOUND.split_once("[user.alice]").unwrap();
    let (_, after) = after.split_once("[action.ssh]").unwrap();
    let (ssh, _) = after.split_once("[action.one]").unwrap();
    let text = format!("{before}[action.ssh]{ssh}").replace(", \"udp/500\"", "");
    assert_eq!(codes(&text), [Code::NoUsers]);
}

#[test]
fn a_user_without_an_action_is_idle() {
    let text = SOUND.replace("users = \"all\"", "users = [\"alice\"]").replace("[\"alice\", \"bob\"]", "[\"alice\"]");
    assert_eq!(codes(&text), [Code::IdleUser]);
    assert_eq!(codes(&text.replace("key = \"bob.key\"", "key = \"bob.key\"\nenabled = false")), []);
}

#[test]
fn a_user_who_is_never_where_an_action_may_be_asked_for_is_told_of() {
    let text = SOUND
        .replace("key = \"bob.key\"", "key = \"bob.key\"\nnetworks = [\"10.0.0.0/8\"]")
        .replace("users = \"all\"", "users = [\"alice\", \"bob\"]\nnetworks = [\"192.0.2.0/24\"]");
    assert_eq!(codes(&text), []);
    let text = text.replace("[\"alice\", \"bob\"]\ngrant", "[\"alice\"]\ngrant");
    let found = findings(&text);
    let pairs: Vec<_> = found.iter().map(|finding| (finding.code, offending(&text, finding))).collect();
    assert_eq!(pairs, [(Code::NoCommonNetwork, "bob".to_owned())]);
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
    assert_eq!(read(&text, FILE.as_ref(), &given, &*FILES).expect("sound").warnings, []);
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
    // Each table with those of its kind, up to the next header.
    let tables = |header: &str| -> String {
        let begins = |table: &&str| table.starts_with(header);
        ANNOTATED.split("\n[").filter(begins).map(|table| table.replace("# ", "\n")).collect()
    };
    for form in schema::FORMS {
        let header = form.title.trim_start_matches('[').trim_end_matches("NAME]");
        let header = if form.title.starts_with("[[") { format!("[{header}") } else { header.to_owned() };
        let tables = tables(&header);
        for key in form.keys {
            assert!(tables.contains(&format!("\n{} = ", key.name)), "{} {}", form.title, key.name);
        }
    }
}

#[test]
fn the_examples_are_sound() {
    for text in [
        include_str!("../../../config/examples/ssh.toml"),
        include_str!("../../../config/examples/own-ruleset.toml"),
        include_str!("../../../config/examples/container.toml"),
        include_str!("../../../config/examples/forward.toml"),
        include_str!("../../../config/examples/programs.toml"),
        include_str!("../../../config/examples/team.toml"),
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
    for (end, _) in ANNOTATED.match_indices("\n\n") {
        look_at(&ANNOTATED[..end]);
    }
    // Everywhere but in comments, within each paragraph by itself: in the whole, every cut would be read from the start.
    for paragraph in ANNOTATED.split_inclusive("\n\n") {
        let starts = paragraph.char_indices().map(|(end, _)| &paragraph[..end]);
        for cut in starts.filter(|cut| !cut.rsplit('\n').next().unwrap_or_default().contains('#')) {
            look_at(cut);
        }
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
    fn sizes_read_back_as_they_are_written(number in 0..=u64::from(u32::MAX), unit in 0..3_u32) {
        let size = number << (10 * (unit + 1));
        prop_assert_eq!(value::size(&value::size_text(size)), Ok(size));
    }

    #[test]
    fn hours_read_back_as_they_are_shown(days in 1..128_u8, from in 0..1440_u16, to in 1..=1440_u16) {
        let span = crate::policy::Span { days: crate::policy::Weekdays(days), from, to };
        match from == to {
            false => prop_assert_eq!(hours::span(&span.to_string()), Ok(span)),
            true => prop_assert!(hours::span(&span.to_string()).is_err()),
        }
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
    if let Err(findings) = read(text, FILE.as_ref(), &GIVEN, &Table(HashMap::new())) {
        assert!(findings.iter().any(|finding| finding.severity() == Severity::Error), "{text}");
        let report = Report::new("test", text, findings);
        assert!(!report.render(Style::Plain).is_empty() && !report.lines().is_empty());
    }
}

fn read_text(text: &str) -> Result<Sound, Vec<Finding>> {
    read(text, FILE.as_ref(), &GIVEN, &*FILES)
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

const FILE: &str = "/etc/siglatch/siglatch.toml";

const GIVEN: Given = Given {
    cores: NonZeroUsize::new(3).unwrap(),
    interfaces: false,
    addresses: None,
    // 2026-11-22T00:00:00Z.
    now: Some(Wall::from_secs(1_795_305_600)),
};
