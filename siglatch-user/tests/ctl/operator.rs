//! The operator's first five minutes, with the real command in a folder of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;

use siglatch_common::enrolment::Enrolment;
use siglatch_common::seal::{GateKey, HmacKey, ServerPublicKey};
use tempfile::TempDir;

use super::stage::{both, ctl, ready};

#[test]
fn five_minutes_lead_from_nothing_to_a_user_with_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let init = ctl(&folder, &["init", "--dir", ".", "--host", "gw.example.org", "--iface", "eth0"]);
    assert!(init.status.success(), "{}", both(&init));
    assert!(both(&init).contains("siglatchctl user add alice --config ./siglatch.toml"), "{}", both(&init));
    for (file, mode) in [("server.key", 0o600), ("server.pub.pem", 0o644), ("siglatch.toml", 0o640), ("keys", 0o700)] {
        assert_eq!(mode_of(&folder, file), mode, "{file}");
    }
    assert_eq!(mode_of(&folder, "keys/gate-0.key"), 0o600);
    assert_eq!(read(&folder, "keys/gate-0.key").len(), 33);

    let check = ctl(&folder, &["check", "siglatch.toml"]);
    assert_eq!(check.status.code(), Some(78));
    assert!(both(&check).contains("error[no-users]: nobody may knock yet"), "{}", both(&check));
    let list = ctl(&folder, &["user", "list", "--config", "siglatch.toml"]);
    assert!(list.status.success() && both(&list).contains("siglatchctl user add NAME"), "{}", both(&list));

    let add = ctl(&folder, &["user", "add", "alice", "--config", "siglatch.toml"]);
    assert!(add.status.success(), "{}", both(&add));
    assert!(both(&add).contains("siglatch import alice.siglatch"), "{}", both(&add));
    let check = ctl(&folder, &["check", "siglatch.toml"]);
    assert_eq!((check.status.code(), &*both(&check)), (Some(0), "siglatchctl: siglatch.toml is sound\n"));

    let file = enrolment(&folder, "alice.siglatch");
    assert_eq!(mode_of(&folder, "alice.siglatch"), 0o600);
    assert_eq!((&*file.gateway, &*file.host, file.port, &*file.wire), ("gateway", "gw.example.org", 62201, "stamped"));
    assert_eq!(gate_key(&file), Some((0, read(&folder, "keys/gate-0.key").trim())));
    assert_eq!((&*file.user.name, file.user.id, file.action["ssh"].id), ("alice", 1, 1));
    assert_eq!(file.server_key, read(&folder, "server.pub.pem"));
    assert!(ServerPublicKey::from_pem(&file.server_key).is_ok() && HmacKey::parse(file.user.key.as_bytes()).is_ok());
    assert_eq!(file.user.key, read(&folder, "keys/alice.key").trim());
    assert_eq!(mode_of(&folder, "keys/alice.key"), 0o600);
}

#[test]
fn init_overwrites_nothing() {
    let folder = ready();
    let before = tree(&folder);
    let again = ctl(&folder, &["init", "--dir", "."]);
    assert_eq!(again.status.code(), Some(1));
    assert!(both(&again).contains("exists already: nothing was written"), "{}", both(&again));
    assert_eq!(tree(&folder), before);

    let other = tempfile::tempdir().unwrap();
    fs::create_dir(other.path().join("keys")).unwrap();
    put(&other, "keys/gate-0.key", "somebody's");
    let init = ctl(&other, &["init", "--dir", ".", "--host", "gw.example.org", "--iface", "eth0"]);
    assert!(both(&init).contains("keys/gate-0.key exists already: nothing was written"), "{}", both(&init));
    assert_eq!(tree(&other).len(), 1);
}

#[test]
fn init_writes_nothing_that_would_not_do() {
    let folder = tempfile::tempdir().unwrap();
    let init = ctl(&folder, &["init", "--dir", ".", "--host", "not a host", "--iface", "eth0"]);
    assert_eq!(init.status.code(), Some(78));
    assert!(both(&init).contains("nothing was written") && both(&init).contains("bad-name"), "{}", both(&init));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

#[test]
fn init_closes_what_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let services = ["--protect", "tcp/443", "--protect", "tcp/8443"];
    let init =
        ctl(&folder, &[&["init", "--dir", ".", "--host", "192.0.2.1", "--iface", "eth0"], &services[..]].concat());
    assert!(init.status.success(), "{}", both(&init));
    let text = read(&folder, "siglatch.toml");
    assert!(text.contains("protect = [\"tcp/443\", \"tcp/8443\"]"), "{text}");
    assert!(text.contains("[admin]\n") && text.contains("socket = \"state/admin.sock\""), "{text}");
    assert!(text.contains("[audit]\n") && text.contains("file = \"state/audit.jsonl\""), "{text}");
    assert!(text.contains("[action.https]\nid = 1\n") && text.contains("[action.tcp-8443]\nid = 2\n"), "{text}");
}

#[test]
fn a_second_user_gets_the_next_number_and_the_actions_named() {
    let folder = ready();
    let text = read(&folder, "siglatch.toml").replacen("\nusers = \"all\"", "\nusers = [\"alice\"] # few", 1);
    put(&folder, "siglatch.toml", &text);
    let add = ctl(&folder, &["user", "add", "bob", "--actions", "ssh", "--config", "siglatch.toml", "--out", "b"]);
    assert!(add.status.success(), "{}", both(&add));
    assert!(read(&folder, "siglatch.toml").contains("users = [\"alice\", \"bob\"] # few"));
    assert_eq!(enrolment(&folder, "b").user.id, 2);

    let list = ctl(&folder, &["user", "list", "--config", "siglatch.toml"]);
    let expected = "   ID  NAME   STATE     ACTIONS\n    1  alice  enabled   ssh\n    2  bob    enabled   ssh\n";
    assert_eq!(both(&list), expected);
    let add = ctl(&folder, &["user", "add", "carol", "--config", "siglatch.toml"]);
    assert!(add.status.success() && both(&add).contains("warning[idle-user]"), "{}", both(&add));
}

#[test]
fn a_user_that_cannot_be_added_changes_nothing() {
    let folder = ready();
    for (arguments, code, reason) in [
        (&["alice"][..], 1, "there is a user alice already"),
        (&["bob", "--id", "1"], 78, "duplicate-user-id"),
        (&["b/b"], 78, "bad-name"),
        (&["bob", "--actions", "shs"], 1, "there is no action shs; there are: ssh"),
        (&["bob", "--out", "alice.siglatch"], 1, "alice.siglatch exists already"),
        (&["bob", "--wire", "sealed"], 1, "no knock port is sealed; there are: 62201 (stamped)"),
    ] {
        let before = tree(&folder);
        let add = ctl(&folder, &[&["user", "add", "--config", "siglatch.toml"], arguments].concat());
        assert_eq!(add.status.code(), Some(code), "{}", both(&add));
        assert!(both(&add).contains(reason), "{}", both(&add));
        assert_eq!(tree(&folder), before, "{reason}");
    }
}

#[test]
fn a_user_can_be_added_for_a_group_for_a_time_and_for_once() {
    let folder = ready();
    put(
        &folder,
        "siglatch.toml",
        &read(&folder, "siglatch.toml")
            .replacen("\nusers = \"all\"", "\nusers = [\"alice\"]\ngroups = [\"ops\"]", 1)
            .replace("key = \"keys/alice.key\"", "key = \"keys/alice.key\"\ngroups = [\"ops\"]"),
    );
    let bounds = ["--groups", "ops", "--until", "2030-01-01T00:00:00Z", "--uses", "1"];
    let add = ctl(&folder, &[&["user", "add", "bob"], &bounds[..], &CONFIG].concat());
    assert!(add.status.success(), "{}", both(&add));
    let table = "groups = [\"ops\"]\nuses = 1\nnot_after = 2030-01-01T00:00:00Z\n";
    assert!(read(&folder, "siglatch.toml").contains(table), "{}", read(&folder, "siglatch.toml"));
    assert!(enrolment(&folder, "bob.siglatch").action.contains_key("ssh"), "the group's action is handed over");

    let before = tree(&folder);
    for (bounds, reason) in [(["--uses", "0"], "out-of-range"), (["--until", "2030-01-01"], "bad-time")] {
        let add = ctl(&folder, &[&["user", "add", "carol"], &bounds[..], &CONFIG].concat());
        assert_eq!(add.status.code(), Some(78), "{}", both(&add));
        assert!(both(&add).contains(reason), "{}", both(&add));
    }
    assert_eq!(tree(&folder), before);
}

#[test]
fn what_no_knock_can_ask_for_is_not_handed_over() {
    let folder = ready();
    let more = "\n[action.run]\nid = 20\nusers = \"all\"\nexec = [\"/bin/true\"]\nrun_as = \"nobody\"\non_failure = \"tell\"\n\
        [action.tell]\nexec = [\"/bin/true\"]\nrun_as = \"nobody\"\n\
        [action.state]\nid = 21\nusers = \"all\"\nbuiltin = \"status\"\n\
        [user.root]\nid = 9\nkey = \"keys/root.key\"\nadmin = true\n";
    put(&folder, "siglatch.toml", &(read(&folder, "siglatch.toml") + more));
    fs::write(folder.path().join("keys/root.key"), [9; 32]).unwrap();
    fs::set_permissions(folder.path().join("keys/root.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for (user, expected) in [("alice", &["run", "ssh"][..]), ("root", &["run", "ssh", "state"])] {
        let again = ctl(&folder, &["user", "enrol", user, "--config", "siglatch.toml", "--out", user]);
        assert!(again.status.success(), "{}", both(&again));
        let file = enrolment(&folder, user);
        assert_eq!(file.action.keys().collect::<Vec<_>>(), expected, "{user}");
    }
}

#[test]
fn an_unsound_configuration_is_left_alone() {
    let folder = ready();
    let text = read(&folder, "siglatch.toml").replace("62201", "0");
    put(&folder, "siglatch.toml", &text);
    let add = ctl(&folder, &["user", "add", "bob", "--config", "siglatch.toml"]);
    assert_eq!(add.status.code(), Some(78));
    assert!(both(&add).contains("error[out-of-range]"), "{}", both(&add));
    assert_eq!(read(&folder, "siglatch.toml"), text);
}

#[test]
fn an_enrolment_file_can_be_written_again() {
    let folder = ready();
    let again = ctl(&folder, &["user", "enrol", "alice", "--config", "siglatch.toml", "--out", "again"]);
    assert!(again.status.success(), "{}", both(&again));
    assert_eq!(read(&folder, "again"), read(&folder, "alice.siglatch"));
    let nobody = ctl(&folder, &["user", "enrol", "bob", "--config", "siglatch.toml"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert!(both(&nobody).contains("there is no user bob; there are: alice"), "{}", both(&nobody));
}

#[test]
fn an_enrolment_file_is_for_the_wire_asked_for_among_those_that_there_are() {
    let folder = ready();
    put(
        &folder,
        "siglatch.toml",
        &read(&folder, "siglatch.toml").replace("# [[port]]\n# port = 62202\n# wire", MORE_PORTS),
    );
    for (wire, expected) in [
        (&[][..], ("stamped", 62201, true)),
        (&["--wire", "stamped"], ("stamped", 62201, true)),
        (&["--wire", "sealed"], ("sealed", 62202, false)),
        (&["--wire", "clear"], ("clear", 62203, false)),
    ] {
        let out = format!("alice{}", wire.concat());
        let enrol = ["user", "enrol", "alice", "--config", "siglatch.toml", "--out", &out];
        let done = ctl(&folder, &[&enrol, wire].concat());
        assert!(done.status.success(), "{}", both(&done));
        let file = enrolment(&folder, &out);
        assert_eq!((&*file.wire, file.port, gate_key(&file).is_some()), expected);
    }
    let add = ["user", "add", "bob", "--wire", "sealed", "--config", "siglatch.toml"];
    assert!(ctl(&folder, &add).status.success());
    assert_eq!(enrolment(&folder, "bob.siglatch").port, 62202);
    assert_eq!(ctl(&folder, &["user", "enrol", "bob", "--wire", "striped"]).status.code(), Some(64));

    let sealed_first = read(&folder, "siglatch.toml").replacen("wire = \"stamped\"", "wire = \"sealed\"", 1);
    put(&folder, "siglatch.toml", &sealed_first);
    let done = ctl(&folder, &["user", "enrol", "bob", "--config", "siglatch.toml", "--out", "b"]);
    assert!(done.status.success(), "{}", both(&done));
    assert_eq!((&*enrolment(&folder, "b").wire, enrolment(&folder, "b").port), ("sealed", 62201));
    let check = ctl(&folder, &["check", "siglatch.toml"]);
    assert!(check.status.success() && both(&check).contains("warning[unused-gate-key]"), "{}", both(&check));
}

#[test]
fn a_gate_key_is_changed_by_rotating_enrolling_and_dropping() {
    let folder = ready();
    let before = read(&folder, "siglatch.toml");
    let old = read(&folder, "keys/gate-0.key");

    let rotate = ctl(&folder, &["gate-key", "rotate", "--config", "siglatch.toml"]);
    assert!(rotate.status.success(), "{}", both(&rotate));
    for told in [
        "Made gate key 1.",
        "siglatchctl user enrol NAME --config siglatch.toml",
        "siglatchctl gate-key drop 0 --config siglatch.toml",
    ] {
        assert!(both(&rotate).contains(told), "{told}: {}", both(&rotate));
    }
    let table = "[[gate_key]]\nnumber = 0\nfile = \"keys/gate-0.key\"\n";
    let added = format!("{table}\n[[gate_key]]\nnumber = 1\nfile = \"keys/gate-1.key\"\n");
    assert_eq!(read(&folder, "siglatch.toml"), before.replace(table, &added));
    assert_eq!((mode_of(&folder, "keys/gate-1.key"), mode_of(&folder, "siglatch.toml")), (0o600, 0o640));
    let new = read(&folder, "keys/gate-1.key");
    assert!(GateKey::parse(new.as_bytes()).is_ok() && new != old);
    assert!(!both(&rotate).contains(new.trim()));

    let list = ctl(&folder, &["gate-key", "list", "--config", "siglatch.toml"]);
    let expected =
        "NUMBER  FILE             ENROLMENTS\n     0  keys/gate-0.key  old ones\n     1  keys/gate-1.key  new ones\n";
    assert_eq!(both(&list), expected);
    let json = ctl(&folder, &["gate-key", "list", "--json", "--config", "siglatch.toml"]);
    let expected = "{\"file\":\"keys/gate-0.key\",\"newest\":false,\"number\":0}\n\
        {\"file\":\"keys/gate-1.key\",\"newest\":true,\"number\":1}\n";
    assert_eq!(both(&json), expected);
    let enrol = ctl(&folder, &["user", "enrol", "alice", "--config", "siglatch.toml", "--out", "again"]);
    assert!(enrol.status.success(), "{}", both(&enrol));
    assert_eq!(gate_key(&enrolment(&folder, "alice.siglatch")), Some((0, old.trim())));
    assert_eq!(gate_key(&enrolment(&folder, "again")), Some((1, new.trim())));

    let drop = ctl(&folder, &["gate-key", "drop", "0", "--config", "siglatch.toml"]);
    assert!(drop.status.success() && both(&drop).contains("keys/gate-0.key is deleted"), "{}", both(&drop));
    assert_eq!(read(&folder, "siglatch.toml"), before.replace(table, &added[table.len() + 1..]));
    assert!(!folder.path().join("keys/gate-0.key").exists());
    let check = ctl(&folder, &["check", "siglatch.toml"]);
    assert_eq!(both(&check), "siglatchctl: siglatch.toml is sound\n");

    let rotate = ctl(&folder, &["gate-key", "rotate", "--config", "siglatch.toml"]);
    assert!(both(&rotate).contains("Made gate key 0.") && both(&rotate).contains("drop 1"), "{}", both(&rotate));
    let list = ctl(&folder, &["gate-key", "list", "--config", "siglatch.toml"]);
    assert!(both(&list).ends_with("     0  keys/gate-0.key  new ones\n"), "{}", both(&list));
}

#[test]
fn a_gate_key_that_cannot_be_changed_changes_nothing() {
    let folder = ready();
    let fails = |arguments: &[&str], code, reason: &str| {
        let before = tree(&folder);
        let done = ctl(&folder, &[&["gate-key"], arguments, &CONFIG].concat());
        assert_eq!(done.status.code(), Some(code), "{}", both(&done));
        assert!(both(&done).contains(reason), "{}", both(&done));
        assert_eq!(tree(&folder), before, "{reason}");
    };
    fails(&["drop", "0"], 78, "port 62201 takes stamped knocks, and there is no gate key");
    fails(&["drop", "1"], 1, "there is no gate key 1; there are: 0");
    put(&folder, "keys/gate-1.key", "somebody's");
    fails(&["rotate"], 1, "keys/gate-1.key exists already");
    fs::remove_file(folder.path().join("keys/gate-1.key")).unwrap();
    for _ in 1..4 {
        assert!(ctl(&folder, &[&["gate-key", "rotate"][..], &CONFIG].concat()).status.success());
    }
    fails(&["rotate"], 1, "there are 4 gate keys already, and a host has at most so many");
    put(&folder, "siglatch.toml", &read(&folder, "siglatch.toml").replace("62201", "0"));
    fails(&["drop", "1"], 78, "error[out-of-range]");
}

#[test]
fn the_first_gate_key_can_be_made_and_a_file_of_the_operators_own_is_left() {
    let folder = ready();
    let text = read(&folder, "siglatch.toml");
    let table = "[[gate_key]]\nnumber = 0\nfile = \"keys/gate-0.key\"\n";
    put(&folder, "siglatch.toml", &text.replace(table, ""));
    fs::rename(folder.path().join("keys/gate-0.key"), folder.path().join("keys/team.key")).unwrap();
    let check = ctl(&folder, &["check", "--lines", "siglatch.toml"]);
    assert!(
        both(&check).contains("error[no-gate-key]") && both(&check).contains("gate-key rotate"),
        "{}",
        both(&check)
    );
    let rotate = ctl(&folder, &["gate-key", "rotate", "--config", "siglatch.toml"]);
    assert!(rotate.status.success() && !both(&rotate).contains("drop"), "{}", both(&rotate));

    put(
        &folder,
        "siglatch.toml",
        &(read(&folder, "siglatch.toml") + "[[gate_key]]\nnumber = 3\nfile = \"keys/team.key\"\n"),
    );
    let drop = ctl(&folder, &["gate-key", "drop", "3", "--config", "siglatch.toml"]);
    assert!(drop.status.success() && both(&drop).contains("keys/team.key is left"), "{}", both(&drop));
    assert!(folder.path().join("keys/team.key").exists());

    let sealed = read(&folder, "siglatch.toml").replacen("wire = \"stamped\"", "wire = \"sealed\"", 1);
    put(&folder, "siglatch.toml", &sealed);
    assert!(ctl(&folder, &["gate-key", "drop", "0", "--config", "siglatch.toml"]).status.success());
    let list = ctl(&folder, &["gate-key", "list", "--config", "siglatch.toml"]);
    assert_eq!(both(&list), "There is no gate key. Make one: siglatchctl gate-key rotate --config siglatch.toml\n");
}

#[test]
fn a_key_file_that_others_may_read_is_found() {
    let folder = ready();
    fs::set_permissions(folder.path().join("keys/alice.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let check = ctl(&folder, &["check", "--lines", "siglatch.toml"]);
    assert_eq!(check.status.code(), Some(78));
    let line = both(&check);
    assert!(line.starts_with("siglatch.toml:") && line.contains("error[key-file-exposed]"), "{line}");
    assert!(line.contains("(mode 0644); chmod 600 keys/alice.key"), "{line}");
}

#[test]
fn sequences_and_sources_reach_the_enrolment_file() {
    let folder = ready();
    let more = "\n[sequence.db]\nsteps = [\"one\", \"two\"]\n[action.one]\nid = 10\nusers = \"all\"\nkind = \"step\"\n\
        [action.two]\nid = 11\nusers = \"all\"\ngrant = [\"tcp/22\"]\nsource = \"match\"\n";
    put(&folder, "siglatch.toml", &(read(&folder, "siglatch.toml") + more));
    let again = ctl(&folder, &["user", "enrol", "alice", "--config", "siglatch.toml", "--out", "again"]);
    assert!(again.status.success(), "{}", both(&again));
    let file = enrolment(&folder, "again");
    assert_eq!(file.sequence["db"], ["one", "two"]);
    assert_eq!((file.action["one"].source.as_deref(), file.action["two"].source.as_deref()), (None, Some("match")));
}

#[test]
fn each_shell_gets_completions_that_know_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let done = ctl(&folder, &["completions", shell]);
        assert!(done.status.success() && done.stderr.is_empty(), "{}", both(&done));
        for word in ["siglatchctl", "revoke", "gate-key", "disable", "end-grants", "sequence"] {
            assert!(both(&done).contains(word), "{shell}: {word}");
        }
        assert!(!both(&done).contains("--dir <FOLDER>"), "{shell}: what is hidden is shown");
    }
    assert_eq!(ctl(&folder, &["completions", "cmd"]).status.code(), Some(64));
}

#[test]
fn every_help_shows_an_example_and_wrong_usage_is_64() {
    let folder = tempfile::tempdir().unwrap();
    for command in [
        &[][..],
        &["init"],
        &["check"],
        &["user"],
        &["user", "add"],
        &["user", "list"],
        &["user", "enrol"],
        &["gate-key"],
        &["gate-key", "rotate"],
        &["gate-key", "list"],
        &["gate-key", "drop"],
        &["status"],
        &["top"],
        &["bans"],
        &["ban"],
        &["unban"],
    ] {
        let help = ctl(&folder, &[command, &["--help"]].concat());
        assert!(help.status.success() && both(&help).contains("Example"), "{command:?}: {}", both(&help));
    }
    assert_eq!(ctl(&folder, &["chekc"]).status.code(), Some(64));
    assert_eq!(ctl(&folder, &["init", "--protect", "22"]).status.code(), Some(64));
    let missing = ctl(&folder, &["check", "none.toml"]);
    assert_eq!(missing.status.code(), Some(78));
    assert!(both(&missing).contains("siglatchctl init writes one"), "{}", both(&missing));
}

#[test]
fn without_a_daemon_each_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("admin.sock");
    put(&folder, "siglatch.toml", &format!("[admin]\nsocket = \"{}\"\n", socket.display()));
    drop(UnixListener::bind(folder.path().join("stale.sock")).unwrap());
    for command in [&["status"][..], &["top"], &["bans"], &["ban", "192.0.2.7"], &["unban", "192.0.2.7"]] {
        for (place, path) in
            [(["--config", "siglatch.toml"], &*socket), (["--socket", "stale.sock"], "stale.sock".as_ref())]
        {
            let done = ctl(&folder, &[command, &place].concat());
            let said = both(&done);
            assert_eq!(done.status.code(), Some(1), "{said}");
            assert!(said.starts_with(&format!("siglatchctl: no daemon answers at {}: ", path.display())), "{said}");
            assert!(said.contains("Is siglatch-user running?"), "{said}");
        }
    }
    let missing = ctl(&folder, &["status", "--config", "none.toml"]);
    assert!(both(&missing).contains("cannot read none.toml"), "{}", both(&missing));
}

#[test]
fn who_cannot_be_banned_is_named_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, reason) in [
        (&["ban", "192.0.2.7/24"][..], "write \"192.0.2.0/24\" for the network"),
        (&["ban", "gw.example.org"], "begins with no IPv4 or IPv6 address"),
        (&["ban", "192.0.2.7", "--for", "2"], "write \"2s\" if you mean seconds"),
        (&["ban", "192.0.2.7", "--comment", "a\nb"], "one line"),
        (&["unban", "192.0.2.0/33"], "a prefix is 0 to 32"),
        (&["bans", "--reason", "spite"], "there are: operator, file, unauthentic, flood"),
        (&["bans", "--sort", "mood"], "[possible values: network, until, hits, since]"),
        (&["top", "--interval", "0"], "1..=3600"),
    ] {
        let done = ctl(&folder, arguments);
        assert_eq!(done.status.code(), Some(64), "{}", both(&done));
        assert!(both(&done).contains(reason), "{}", both(&done));
    }
}

const CONFIG: [&str; 2] = ["--config", "siglatch.toml"];

/// In place of the second port's comment, up to its wire.
const MORE_PORTS: &str = "[[port]]\nport = 62203\nwire = \"clear\"\n[[port]]\nport = 62202\nwire";

fn enrolment(folder: &TempDir, name: &str) -> Enrolment {
    toml::from_str(&read(folder, name)).unwrap()
}

/// Its number and its hex digits.
fn gate_key(enrolment: &Enrolment) -> Option<(u8, &str)> {
    enrolment.gate_key.as_ref().map(|key| (key.number, &*key.key))
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

fn put(folder: &TempDir, name: &str, text: &str) {
    fs::write(folder.path().join(name), text).unwrap();
}

fn mode_of(folder: &TempDir, name: &str) -> u32 {
    fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o7777
}

/// Every file with its contents.
fn tree(folder: &TempDir) -> Vec<(String, String)> {
    let list = |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let mut files = list(folder.path());
    files.extend(list(&folder.path().join("keys")));
    files.retain(|path| path.is_file());
    let mut tree: Vec<_> =
        files.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect();
    tree.sort();
    tree
}
