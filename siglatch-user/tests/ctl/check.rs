//! `siglatchctl check` and `explain`, with the real command and real files.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::process::Output;

use serde_json::Value;
use siglatch_user::config::{Code, KeyFiles as _};
use siglatch_user::edge::files::Disk;
use tempfile::TempDir;

use super::stage::{ctl, ready};

#[test]
fn a_sound_configuration_is_one_json_object_without_errors() {
    let folder = ready();
    let check = ctl(&folder, &["check", "--json", "siglatch.toml"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let answer = json(&check);
    assert_eq!(
        (&answer["version"], &answer["file"], &answer["sound"]),
        (&1.into(), &"siglatch.toml".into(), &true.into())
    );
    assert_eq!((&answer["errors"], &answer["findings"].as_array().unwrap().len()), (&0.into(), &0), "{answer}");
}

#[test]
fn every_finding_has_its_place_in_json() {
    let folder = ready();
    let text = fs::read_to_string(folder.path().join("siglatch.toml")).unwrap();
    let text = text.replacen("\nusers = \"all\"", "\nusers = [\"é\", \"alise\"]", 1)
        + "[ban]\nscope = \"host\"\n[user.bob]\nid = 1\nkey = \"bob.key\"\n";
    fs::write(folder.path().join("siglatch.toml"), &text).unwrap();
    let check = ctl(&folder, &["check", "--json", "siglatch.toml"]);
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    let answer = json(&check);
    let finding = |code: &str| {
        let found = answer["findings"].as_array().unwrap().iter().rfind(|finding| finding["code"] == code);
        found.unwrap_or_else(|| panic!("{code}: {answer}")).clone()
    };
    let line_of = |text_of: &str| text.lines().position(|line| line.contains(text_of)).unwrap() + 1;
    let unknown = finding("unknown-user");
    let place = |value: &Value| ["line", "column", "end_line", "end_column"].map(|key| value[key].as_u64().unwrap());
    // Columns count characters: the first name has one, in two bytes.
    let line = line_of("alise") as u64;
    assert_eq!(place(&unknown), [line, 15, line, 22], "{unknown}");
    assert_eq!((&unknown["severity"], &unknown["note"]), (&"error".into(), &Value::Null));
    assert!(unknown["help"].as_str().unwrap().contains("alice"), "{unknown}");
    let twice = finding("duplicate-user-id");
    assert_eq!(twice["note"]["label"], "alice", "{twice}");
    assert!(place(&twice["note"])[0] < place(&twice)[0], "{twice}");
    assert_eq!(finding("host-scope")["severity"], "warning");
    // The same findings as lines.
    let lines = ctl(&folder, &["check", "--lines", "siglatch.toml"]);
    let lines = String::from_utf8(lines.stdout).unwrap();
    assert_eq!(lines.lines().count(), answer["findings"].as_array().unwrap().len(), "{lines}");
    assert_eq!(answer["errors"].as_u64().unwrap() + answer["warnings"].as_u64().unwrap(), lines.lines().count() as u64);
}

#[test]
fn what_cannot_be_read_is_json_too() {
    let folder = tempfile::tempdir().unwrap();
    let check = ctl(&folder, &["check", "--json", "none.toml"]);
    assert_eq!(check.status.code(), Some(78), "{check:?}");
    assert!(json(&check)["error"].as_str().unwrap().contains("cannot read none.toml"), "{check:?}");
    fs::create_dir(folder.path().join("folder.toml")).unwrap();
    let check = ctl(&folder, &["check", "--json", "folder.toml"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(json(&check)["error"].as_str().unwrap().contains("it is not a file"), "{check:?}");
}

#[test]
fn a_program_that_would_not_be_started_is_a_finding() {
    let folder = ready();
    let path = folder.path().join("siglatch.toml");
    let text = fs::read_to_string(&path).unwrap();
    let program = "[action.run]\nid = 9\nusers = \"all\"\nexec = [\"/no/such/program\"]\nrun_as = \"nobody\"\n";
    fs::write(&path, format!("{text}\n{program}")).unwrap();
    let check = ctl(&folder, &["check", "--json", "siglatch.toml"]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let finding = &json(&check)["findings"][0];
    assert_eq!((&finding["code"], &finding["severity"]), (&"unfit-program".into(), &"warning".into()));
    assert_eq!(finding["line"].as_u64().unwrap() as usize, text.lines().count() + 2, "{finding}");
    assert!(finding["message"].as_str().unwrap().contains("/no/such/program is not there"), "{finding}");
    fs::write(&path, format!("{text}\n{}", program.replace("/no/such/program", "/bin/true"))).unwrap();
    assert_eq!(json(&ctl(&folder, &["check", "--json", "siglatch.toml"]))["findings"], Value::Array(Vec::new()));
}

#[test]
fn files_that_others_may_write_are_found_on_a_real_disk() {
    let folder = ready();
    let found = |code: &str| {
        let check = ctl(&folder, &["check", "--json", "siglatch.toml"]);
        let codes = json(&check)["findings"]
            .as_array()
            .unwrap()
            .iter()
            .map(|finding| finding["code"].clone())
            .collect::<Vec<_>>();
        codes.iter().filter(|found| **found == code).count()
    };
    let set = |path: &str, mode| {
        fs::set_permissions(folder.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    assert_eq!(found("weak-mode"), 0);
    set("siglatch.toml", 0o646);
    assert_eq!(found("weak-mode"), 1);
    set("keys", 0o777);
    assert_eq!(found("weak-mode"), 2);
    set("siglatch.toml", 0o644);
    set("keys", 0o1777);
    assert_eq!(found("weak-mode"), 0);
    set("keys/alice.key", 0o644);
    assert_eq!(found("key-file-exposed"), 1);
}

#[test]
fn explain_tells_of_each_code_and_what_was_meant_by_another() {
    let folder = tempfile::tempdir().unwrap();
    let list = ctl(&folder, &["explain"]);
    assert!(list.status.success());
    let list = String::from_utf8(list.stdout).unwrap();
    assert!(Code::ALL.iter().all(|code| list.contains(&format!("\n{} ", code.label()))), "{list}");
    for spelling in ["host-scope", "[host-scope]", "Host-Scope"] {
        let one = ctl(&folder, &["explain", spelling]);
        let text = String::from_utf8(one.stdout).unwrap();
        assert!(
            one.status.success()
                && text.starts_with("warning[host-scope]\n")
                && text.contains("    scope = \"host\"\n"),
            "{text}"
        );
    }
    let all = json(&ctl(&folder, &["explain", "--json"]));
    assert_eq!(all.as_array().unwrap().len(), Code::ALL.len());
    assert_eq!(json(&ctl(&folder, &["explain", "--json", "no-rate"]))["severity"], "warning");
    let unknown = ctl(&folder, &["explain", "host-scop"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("did you mean host-scope?"));
}

#[test]
fn keys_are_made_so_that_the_daemons_own_user_can_read_them_again() {
    let folder = ready();
    let path = folder.path().join("siglatch.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{text}\n[daemon]\nuser = \"nobody\"\n")).unwrap();
    let closed = |folder: &TempDir| json(&ctl(folder, &["check", "--json", "siglatch.toml"]))["findings"].clone();
    let told = closed(&folder);
    assert_eq!(told[0]["code"], "key-file-closed");
    assert!(told[0]["message"].as_str().unwrap().contains("3 key files"), "{told}");
    let add = ctl(&folder, &["user", "add", "bob", "--config", "siglatch.toml"]);
    assert!(add.status.success(), "{add:?}");
    assert!(closed(&folder)[0]["message"].as_str().unwrap().contains("3 key files"), "bob's is none of them");
    let group = group_of("nobody");
    let key = fs::metadata(folder.path().join("keys/bob.key")).unwrap();
    assert_eq!((key.mode() & 0o7777, key.uid(), key.gid()), (0o640, 0, group), "this test needs root");
    for file in ["server.key", "keys/alice.key", "keys/gate-0.key"] {
        let file = folder.path().join(file);
        chown(&file, None, Some(group)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    }
    assert_eq!(closed(&folder), Value::Array(Vec::new()));
}

/// The own group of a user of this machine.
fn group_of(user: &str) -> u32 {
    Disk.user(user).unwrap().gid
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}
