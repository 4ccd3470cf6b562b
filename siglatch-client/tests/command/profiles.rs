//! Profiles and keys on the disk.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use siglatch_common::seal::HmacKey;

use super::stage::{Home, KEY, Ran, enrolment};

#[test]
fn an_import_is_private_whole_and_never_overwrites_by_itself() {
    let home = Home::empty();
    let text = enrolment(|_| {});
    let file = home.write("alice.toml", text.as_bytes(), 0o600);

    let out = home.run(&["import", &file]);
    assert_eq!(out.code(), 0, "{out:?}");
    let shown = out.stdout();
    for part in [
        "imported home: 127.0.0.1:62201, sealed, as alice (user 7)",
        "claimed, matched, ssh",
        "vault: ssh → matched → claimed",
        "next: siglatch sequence home vault",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(out.stderr().contains(&format!("delete it (rm {file})")), "{out:?}");
    assert_eq!(fs::read_to_string(home.profile("home")).unwrap(), text);
    assert_eq!(home.mode("home.toml"), 0o600);
    assert_eq!(home.mode(""), 0o700);
    assert_eq!(fs::read_dir(home.profile("home").parent().unwrap()).unwrap().count(), 1, "nothing is left behind");

    home.fails(&["import", &file], &["there is a profile \"home\" already", "--force", "--name"]);
    let changed = home.write("alice.toml", text.replace("62201", "62202").as_bytes(), 0o644);
    let out = home.run(&["import", &changed, "--force"]);
    assert_eq!(out.code(), 0, "{out:?}");
    if cfg!(unix) {
        assert!(out.stderr().contains("others can read it (mode 0644)"), "{out:?}");
    }
    assert!(fs::read_to_string(home.profile("home")).unwrap().contains("62202"));

    assert_eq!(home.run(&["import", &file, "--name", "office"]).code(), 0);
    assert!(home.run(&["list"]).stdout().contains("office: 127.0.0.1:62202"));
    assert_eq!(home.run(&["import", &file, "--name", "../office"]).code(), 64);
}

#[test]
fn an_import_reads_standard_input() {
    let home = Home::empty();
    let mut child = home
        .command(&["import", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(enrolment(|_| {}).as_bytes()).unwrap();
    let out = Ran(child.wait_with_output().unwrap());
    let record: serde_json::Value = serde_json::from_str(&out.stdout()).unwrap();
    assert_eq!((&record["event"], &record["gateway"]), (&"imported".into(), &"home".into()));
    assert_eq!(out.stderr(), "");
    assert!(home.profile("home").exists());
}

#[test]
fn an_unsound_file_is_not_imported_and_every_flaw_is_named() {
    let home = Home::empty();
    let unsound = enrolment(|profile| {
        profile.port = 0;
        profile.wire = "striped".to_owned();
        profile.user.key = KEY[1..].to_owned();
    });
    let file = home.write("alice.toml", unsound.as_bytes(), 0o600);
    home.fails(
        &["import", &file],
        &["is no sound enrolment file", "line 4, column 8: a port", "this siglatch knows the wires", "64 hex digits"],
    );
    home.fails(&["import", &file, "--json"], &["column"]);
    let file = home.write("alice.toml", b"[user\n", 0o600);
    home.fails(&["import", &file], &["line 1", "not TOML"]);
    let file = home.write("alice.toml", b"\xff\xfe", 0o600);
    home.fails(&["import", &file], &["is no text"]);
    home.fails(&["import", "missing.toml"], &["cannot read missing.toml", "check the path"]);
    assert!(!home.profile("home").exists());
}

#[test]
fn one_broken_profile_does_not_hide_the_others() {
    let home = Home::with_profile(|_| {});
    assert_eq!(home.run(&["list"]).code(), 0);
    home.write("siglatch/broken.toml", b"siglatch = 1", 0o600);
    home.write("siglatch/open.toml", enrolment(|_| {}).as_bytes(), 0o640);
    home.write("siglatch/not a name.toml", b"", 0o600);
    home.write("siglatch/.hidden.toml", b"", 0o600);
    home.write("siglatch/notes.txt", b"", 0o600);

    let out = home.run(&["list"]);
    assert!(out.stdout().starts_with("home: 127.0.0.1:62201, sealed, as alice (user 7)\n"), "{out:?}");
    for part in ["broken.toml is no sound enrolment file", "not a name.toml"] {
        assert!(out.stderr().contains(part), "{part}: {out:?}");
    }
    assert!(!out.stderr().contains("hidden"), "{out:?}");
    assert_eq!(out.code(), 1);
    if cfg!(unix) {
        assert!(out.stderr().contains("chmod 600"), "{out:?}");
        home.fails(&["knock", "open", "ssh"], &["others can read it (mode 0640)", "chmod 600"]);
    }

    let out = home.run(&["list", "--json"]);
    let profile = out
        .stdout()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|record| record["event"] == "profile");
    let profile = profile.unwrap();
    assert_eq!(profile["actions"][0]["name"], "claimed");
    assert_eq!(profile["sequences"][0]["steps"][0], "ssh");
    assert!(!out.stdout().contains(&KEY[..16]));
    assert!(out.stdout().contains(r#""code":"unsound_profile""#));
    assert!(out.stdout().contains(r#""findings":[{"line":1,"#));

    let out = Home::empty().run(&["list"]);
    assert_eq!((out.stdout().as_str(), out.code()), ("", 0));
    assert!(out.stderr().contains("siglatch import FILE"), "{out:?}");
}

#[test]
fn a_new_key_is_private_and_never_takes_another_ones_place() {
    let home = Home::empty();
    let path = home.path("alice.key");
    let out = home.run(&["keygen", "--out", &path]);
    assert_eq!(out.code(), 0, "{out:?}");
    let key = fs::read(&path).unwrap();
    assert!(HmacKey::parse(&key).is_ok());
    assert_eq!(key.len(), 65);
    assert!(!out.stdout().contains(str::from_utf8(&key[..16]).unwrap()));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    home.fails(&["keygen", "--out", &path], &["exists, and keys are never overwritten"]);
    assert_eq!(fs::read(&path).unwrap(), key);
    home.fails(&["keygen", "--out", &home.path("no/such/folder")], &["cannot write", "check the path"]);

    let shown = home.run(&["keygen", "--out", "-"]).stdout();
    assert!(HmacKey::parse(shown.as_bytes()).is_ok());
    assert_ne!(shown.as_bytes(), key);
}

#[test]
fn the_profile_folder_is_below_home_unless_the_user_says_otherwise() {
    let home = Home::with_profile(|_| {});
    fs::create_dir(home.0.path().join(".config")).unwrap();
    fs::rename(home.0.path().join("siglatch"), home.0.path().join(".config/siglatch")).unwrap();
    assert_eq!(home.run(&["list"]).stdout(), "");
    for ignored in [None, Some("relative/path")] {
        let mut command = home.command(&["list"]);
        command.env_remove("XDG_CONFIG_HOME").env("HOME", home.0.path());
        if let Some(ignored) = ignored {
            command.env("XDG_CONFIG_HOME", ignored);
        }
        if cfg!(unix) {
            assert!(Ran(command.output().unwrap()).stdout().starts_with("home: "));
        }
    }
}
