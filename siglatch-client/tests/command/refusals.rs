//! What is not done, and what the user is told to do.

use super::stage::{Home, KEY, server_pem};

#[test]
fn what_is_not_known_is_said_with_what_is() {
    let home = Home::with_profile(|_| {});
    home.fails(&["knock", "hme", "ssh"], &["no profile \"hme\"", "did you mean home?", "siglatch import FILE"]);
    home.fails(&["knock", "home", "shs"], &["no action \"shs\"", "did you mean ssh?", "claimed, matched, ssh"]);
    home.fails(&["sequence", "home", "valt"], &["no sequence \"valt\"", "did you mean vault?", "--steps"]);
    home.fails(&["sequence", "home", "--steps", "ssh,nothing"], &["no action \"nothing\""]);
    Home::empty()
        .fails(&["knock", "home", "ssh"], &["no profile \"home\"", "there are no profiles", "siglatch import FILE"]);
}

#[test]
fn what_cannot_be_sent_is_said_with_the_way_out() {
    let home = Home::with_profile(|_| {});
    let long = "x".repeat(200);
    home.fails(&["knock", "home", "ssh", "--payload", &long], &["1 bytes too long", "199", "shorten --payload"]);
    home.fails(&["knock", "home", "ssh", "--ttl", "1m", "--payload", "ttl=2m"], &["already has the word ttl="]);
    home.fails(&["knock", "home", "ssh", "-6"], &["no IPv6 address, only 127.0.0.1", "drop -6"]);
    home.fails(&["knock", "home", "ssh", "--bind", "::1"], &["no IPv6 address, only 127.0.0.1", "--bind"]);
    home.fails(
        &["knock", "home", "ssh", "--host", "gw.invalid"],
        &["\"gw.invalid\" cannot be found", "--host 192.0.2.1"],
    );
    home.fails(
        &["knock", "home", "ssh", "--bind", "192.0.2.7"],
        &["cannot send from 192.0.2.7", "address of this machine"],
    );
}

#[test]
fn a_command_line_that_is_wrong_ends_in_64() {
    let home = Home::empty();
    for line in [
        &["knock"][..],
        &["knock", "home"],
        &["knock", "--host", "h"],
        &["knock", "../home", "ssh"],
        &["knock", "home", "ssh", "--ttl", "soon"],
        &["sequence", "home"],
        &["sequence", "home", "vault", "--gap", "1h"],
        &["import"],
        &["keygen"],
        &[],
    ] {
        assert_eq!(home.run(line).code(), 64, "{line:?}");
    }
    for line in [&["--help"][..], &["knock", "--help"], &["--version"]] {
        assert_eq!(home.run(line).code(), 0, "{line:?}");
    }
    let out = home.run(&["knock"]).stderr();
    for option in ["--host", "--hmac-key", "--server-key", "--user-id", "--action-id", "siglatch knock"] {
        assert!(out.contains(option), "{option}: {out}");
    }
}

#[test]
fn keys_that_others_can_read_are_refused_and_unsound_ones_named() {
    let home = Home::empty();
    let key = home.write("alice.key", KEY.as_bytes(), 0o644);
    let line = |hmac_key: &str, server_key: &str| -> Vec<String> {
        [
            "knock",
            "--host",
            "127.0.0.1",
            "--user-id",
            "7",
            "--action-id",
            "1",
            "--hmac-key",
            hmac_key,
            "--server-key",
            server_key,
        ]
        .map(str::to_owned)
        .into()
    };
    let server_key = home.write("server.pub.pem", server_pem(), 0o644);
    if cfg!(unix) {
        home.fails(&line(&key, &server_key), &["others can read it (mode 0644)", &format!("chmod 600 {key}")]);
    }
    let zero = home.write("zero.key", [0; 32], 0o600);
    home.fails(&line(&zero, &server_key), &["is no HMAC key: all zero", "siglatch keygen"]);
    let short = home.write("short.key", [1; 31], 0o600);
    home.fails(&line(&short, &server_key), &["neither 32 raw bytes nor 64 hex digits"]);
    let sound = home.write("sound.key", KEY.as_bytes(), 0o600);
    home.fails(&line(&sound, &sound), &["is no server key", "BEGIN PUBLIC KEY"]);
    home.fails(&line(&sound, "missing.pem"), &["cannot read missing.pem", "check the path"]);
    let stamped = |gate_key: &str| -> Vec<String> {
        let more = ["--wire", "stamped", "--gate-key-number", "0", "--gate-key", gate_key].map(str::to_owned);
        line(&sound, &server_key).into_iter().chain(more).collect()
    };
    home.fails(&stamped(&sound), &["is no gate key: neither 16 raw bytes nor 32 hex digits", "gateway's operator"]);
    home.fails(&stamped(&zero[..]), &["is no gate key"]);
    if cfg!(unix) {
        let open = home.write("open.key", [1; 16], 0o644);
        home.fails(&stamped(&open), &["others can read it (mode 0644)"]);
    }
}
