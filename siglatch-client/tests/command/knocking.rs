//! What leaves the machine, and what is told of it.

use std::time::{SystemTime, UNIX_EPOCH};

use siglatch_common::wire::v1::{ActionId, UserId};

use super::stage::{GATE_KEY, Gateway, Home, KEY, assert_authentic, server_pem, stamped};

#[test]
fn a_sealed_knock_arrives_authentic_and_fresh() {
    let home = Home::with_profile(|_| {});
    let gateway = Gateway::listen("127.0.0.1:0");

    let out = home.run(&["knock", "home", "ssh", "--ttl", "600s", "--port", &gateway.port()]);

    let (packet, len) = gateway.opened();
    assert_eq!(len, 256);
    assert_authentic(&packet);
    assert_eq!((packet.user, packet.action), (UserId(7), ActionId(1)));
    assert_eq!(packet.payload.as_bytes(), b"ttl=10m");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(now.abs_diff(packet.timestamp.into()) <= 5);
    let expected =
        format!("sent 256 bytes to 127.0.0.1:{} (the gateway never answers; try the service now)\n", gateway.port());
    assert_eq!(out.stdout(), expected);
    assert_eq!((out.stderr().as_str(), out.code()), ("", 0));
}

#[test]
fn a_stamped_knock_has_a_stamp_of_its_own_moment() {
    let home = Home::with_profile(|profile| stamped(profile, 2));
    let gateway = Gateway::listen("127.0.0.1:0");
    let port = gateway.port();
    let out = home.run(&["knock", "home", "ssh", "--port", &port]);
    assert_eq!(out.code(), 0, "{out:?}");
    assert!(out.stdout().starts_with("sent 264 bytes to "), "{out:?}");
    let (packet, len) = gateway.stamped(2);
    assert_eq!(len, 264);
    assert_authentic(&packet);

    let out = home.run(&["sequence", "home", "vault", "--gap", "1ms", "--json", "--port", &port]);
    let record: serde_json::Value = serde_json::from_str(out.stdout().lines().next().unwrap()).unwrap();
    assert_eq!((&record["wire"], &record["gate_key"]), (&"stamped".into(), &2.into()));
    assert_eq!([gateway.stamped(2).0.action, gateway.stamped(2).0.action], [ActionId(1), ActionId(2)]);
    assert_eq!(gateway.stamped(2).0.action, ActionId(3));

    let out = home.run(&["knock", "home", "ssh", "--dry-run", "--port", &port]);
    assert!(out.stdout().starts_with("would send 264 bytes, stamped (gate key 2), from 127.0.0.1 to"), "{out:?}");
    assert_eq!(gateway.waiting(), 0);
    let out = home.run(&["list"]);
    assert!(out.stdout().starts_with("home: 127.0.0.1:62201, stamped (gate key 2), as alice (user 7)\n"), "{out:?}");
}

#[test]
fn a_clear_knock_arrives_over_ipv6_too() {
    let home = Home::with_profile(|profile| {
        profile.wire = "clear".to_owned();
        profile.host = "::1".to_owned();
    });
    let gateway = Gateway::listen("[::1]:0");
    let out = home.run(&["knock", "home", "ssh", "--payload", "hello", "-6", "--port", &gateway.port()]);
    assert_eq!(out.code(), 0, "{out:?}");
    let (packet, len) = gateway.clear();
    assert_eq!(len, 245);
    assert_authentic(&packet);
    assert_eq!(packet.payload.as_bytes(), b"hello");
}

#[test]
fn two_knocks_are_never_the_same() {
    let home = Home::with_profile(|profile| profile.wire = "clear".to_owned());
    let gateway = Gateway::listen("127.0.0.1:0");
    for _ in 0..2 {
        assert_eq!(home.run(&["knock", "home", "ssh", "--port", &gateway.port(), "-q"]).stdout(), "");
    }
    assert_ne!(gateway.clear().0.challenge, gateway.clear().0.challenge);
}

#[test]
fn an_action_that_must_name_an_address_names_the_one_it_leaves_from() {
    let home = Home::with_profile(|profile| profile.wire = "clear".to_owned());
    let gateway = Gateway::listen("127.0.0.1:0");
    let knock = |action, more: &[&str]| {
        let out = home.run(&[&["knock", "home", action, "--port", &gateway.port()], more].concat());
        assert_eq!(out.code(), 0, "{out:?}");
        let (packet, _) = gateway.clear();
        (String::from_utf8(packet.payload.as_bytes().to_vec()).unwrap(), out.stderr())
    };

    let (payload, remark) = knock("claimed", &["--ttl", "1h30m"]);
    assert_eq!(payload, "source=127.0.0.1 ttl=90m");
    assert!(remark.contains("asking for 127.0.0.1, the address that the knock leaves from"), "{remark}");

    assert_eq!(knock("matched", &["--bind", "127.0.0.2"]).0, "source=127.0.0.2");
    assert_eq!(knock("claimed", &["--source", "2001:DB8::7"]), ("source=2001:db8::7".to_owned(), String::new()));
    assert_eq!(knock("claimed", &["--payload", "source=192.0.2.7 x"]).0, "source=192.0.2.7 x");
    assert_eq!(knock("ssh", &["--source", "192.0.2.7"]).0, "source=192.0.2.7");
}

#[test]
fn a_sequence_arrives_in_order_from_one_address() {
    let home = Home::with_profile(|profile| profile.wire = "clear".to_owned());
    let gateway = Gateway::listen("127.0.0.1:0");
    let port = gateway.port();
    for steps in [&["vault"][..], &["--steps", "ssh,matched,claimed"]] {
        let line = [&["sequence", "home", "--gap", "20ms", "--ttl", "5m", "--port", &port], steps].concat();
        let out = home.run(&line);
        assert_eq!(out.code(), 0, "{out:?}");
        let (first, second, third) = (gateway.clear().0, gateway.clear().0, gateway.clear().0);
        assert_eq!([first.action, second.action, third.action], [ActionId(1), ActionId(2), ActionId(3)]);
        assert_eq!(first.payload.as_bytes(), b"");
        assert_eq!(second.payload.as_bytes(), b"source=127.0.0.1");
        assert_eq!(third.payload.as_bytes(), b"source=127.0.0.1 ttl=5m");
        assert!(out.stdout().starts_with("step 1 of 3, ssh: sent 245 bytes"), "{out:?}");
        assert_eq!(out.stdout().lines().count(), 3);
    }
}

#[test]
fn key_files_are_enough() {
    let home = Home::empty();
    let server_key = home.write("server.pub.pem", server_pem(), 0o644);
    let raw: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&KEY[2 * at..2 * at + 2], 16).unwrap()).collect();
    let spaced = format!("{}\n {}\n", &KEY[..20], &KEY[20..]);
    for (name, contents) in [("raw", &raw[..]), ("hex", KEY.as_bytes()), ("spaced", spaced.as_bytes())] {
        let hmac_key = home.write(name, contents, 0o600);
        let gateway = Gateway::listen("127.0.0.1:0");
        let port = gateway.port();
        let line = ["--host", "127.0.0.1", "--port", &port, "--user-id", "7", "--hmac-key", &hmac_key];
        let out = home.run(&[&["knock", "--action-id", "9", "--server-key", &server_key], &line[..]].concat());
        assert_eq!(out.code(), 0, "{out:?}");
        let (packet, _) = gateway.opened();
        assert_authentic(&packet);
        assert_eq!(packet.action, ActionId(9));

        let out = home.run(&[&["sequence", "--steps", "4,5", "--gap", "1ms", "--wire", "clear"], &line[..]].concat());
        assert_eq!(out.code(), 0, "{out:?}");
        assert_eq!([gateway.clear().0.action, gateway.clear().0.action], [ActionId(4), ActionId(5)]);
    }
}

#[test]
fn key_files_are_enough_for_a_stamped_port_too() {
    let home = Home::empty();
    let server_key = home.write("server.pub.pem", server_pem(), 0o644);
    let hmac_key = home.write("hmac", KEY.as_bytes(), 0o600);
    let raw: Vec<u8> = (0..16).map(|at| u8::from_str_radix(&GATE_KEY[2 * at..2 * at + 2], 16).unwrap()).collect();
    for (name, contents) in [("raw", &raw[..]), ("hex", format!("{GATE_KEY}\n").as_bytes())] {
        let gate_key = home.write(name, contents, 0o600);
        let gateway = Gateway::listen("127.0.0.1:0");
        let port = gateway.port();
        let line = ["--host", "127.0.0.1", "--port", &port, "--user-id", "7", "--hmac-key", &hmac_key];
        let stamp = ["--wire", "stamped", "--gate-key", &gate_key, "--gate-key-number", "1"];
        let key = ["--server-key", &server_key];
        let out = home.run(&[&["knock", "--action-id", "9"], &line[..], &stamp, &key].concat());
        assert_eq!(out.code(), 0, "{out:?}");
        let (packet, _) = gateway.stamped(1);
        assert_authentic(&packet);
        assert_eq!(packet.action, ActionId(9));
    }
}

#[test]
fn a_dry_run_shows_everything_but_secrets_and_sends_nothing() {
    let home = Home::with_profile(|profile| profile.wire = "clear".to_owned());
    let gateway = Gateway::listen("127.0.0.1:0");
    let port = gateway.port();
    let line = ["knock", "home", "ssh", "--dry-run", "--payload", "a\u{1b}b\u{fc}", "--port", &port];

    let out = home.run(&line);
    let shown = out.stdout();
    for part in [
        "would send 245 bytes, clear, from 127.0.0.1 to 127.0.0.1:",
        "nothing was sent",
        "version    1",
        "user       7 (alice)",
        "action     1 (ssh)",
        "hmac       present",
        r#"payload    5 bytes: "a\x1bb\xc3\xbc""#,
        "padding    194 zero bytes",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let out = home.run(&[&line[..], &["--json"]].concat());
    let record: serde_json::Value = serde_json::from_str(&out.stdout()).unwrap();
    assert_eq!(record["event"], "dry_run");
    assert_eq!(record["packet"]["hmac"], "present");
    assert_eq!(record["packet"]["payload_len"], 5);
    assert_eq!(gateway.waiting(), 0);
}

#[test]
fn json_is_one_object_a_line_failures_too() {
    let home = Home::with_profile(|_| {});
    let gateway = Gateway::listen("127.0.0.1:0");
    let out = home.run(&["sequence", "home", "vault", "--gap", "1ms", "--json", "--port", &gateway.port()]);
    let records: Vec<serde_json::Value> =
        out.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), 3);
    assert_eq!(records[2]["event"], "sent");
    assert_eq!(records[2]["gateway"], "home");
    assert_eq!(records[2]["action"], "claimed");
    assert_eq!(records[2]["action_id"], 3);
    assert_eq!(records[2]["user"], "alice");
    assert_eq!(records[2]["to"], format!("127.0.0.1:{}", gateway.port()));
    assert_eq!(records[2]["wire"], "sealed");
    assert_eq!(records[2]["bytes"], 256);
    assert_eq!(records[2]["source"], "127.0.0.1");
    assert_eq!((&records[2]["step"], &records[2]["steps"]), (&3.into(), &3.into()));

    let out = home.run(&["knock", "home", "shs", "--json"]);
    let record: serde_json::Value = serde_json::from_str(&out.stdout()).unwrap();
    assert_eq!((&record["event"], &record["code"]), (&"error".into(), &"no_action".into()));
    assert_eq!(record["error"], "home has no action \"shs\"");
    assert!(record["fix"].as_str().unwrap().starts_with("did you mean ssh?"));
    assert_eq!(out.code(), 1);
}
