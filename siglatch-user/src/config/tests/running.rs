//! What the configuration says of the daemon as it runs: who may ask it, its figures, its user.

use super::*;

#[test]
fn only_root_may_ask_and_nothing_is_told_unless_the_text_says_so() {
    let settings = read_text(SOUND).expect("sound").settings;
    assert_eq!(settings.admin, AdminRule::default());
    assert_eq!(settings.admin.socket, Path::new("/run/siglatch/admin.sock"));
    assert_eq!((settings.metrics, settings.watch_file), (None, false));
    assert_eq!(settings.daemon_user, None, "this machine has no user siglatch");
}

#[test]
fn what_is_said_of_the_daemon_holds() {
    let text = "[admin]\nsocket = \"s\"\noperators = [\"carol\", \"@siglatch-admin\"]\nobservers = [\"@adm\"]\n\
                observer_socket = \"/run/o.sock\"\n[metrics]\nlisten = \"[::1]:9707\"\n\
                [daemon]\nuser = \"gate\"\nreload_on_change = true\n[keys]\n";
    let settings = read_text(&SOUND.replace("[keys]\n", text)).expect("sound").settings;
    let admin = AdminRule {
        socket: "/etc/siglatch/s".into(),
        operators: vec![Peer::User(1000), Peer::Group(108)],
        observers: vec![Peer::Group(4)],
        observer_socket: Some("/run/o.sock".into()),
    };
    assert_eq!(settings.admin, admin);
    assert_eq!(settings.metrics, Some(MetricsAddress::Tcp("[::1]:9707".parse().unwrap())));
    assert_eq!((settings.daemon_user.as_deref(), settings.watch_file), (Some("gate"), true));
    let text = SOUND.replace("[keys]\n", "[metrics]\nlisten = \"unix:m.sock\"\n[keys]\n");
    let settings = read_text(&text).expect("sound").settings;
    assert_eq!(settings.metrics, Some(MetricsAddress::Unix("/etc/siglatch/m.sock".into())));
}

#[test]
fn a_daemon_that_is_to_stay_root_has_no_user_to_become() {
    let text = SOUND.replace("[keys]\n", "[daemon]\nuser = \"root\"\n[keys]\n");
    let Sound { settings, warnings } = read_text(&text).expect("sound");
    assert_eq!(settings.daemon_user, None);
    assert_eq!(warnings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::DaemonAsRoot]);
}

#[test]
fn key_files_may_be_read_by_the_daemons_group_alone() {
    let with = |user: &str, key: &str| {
        let text = SOUND.replace("[keys]\n", &format!("[daemon]\nuser = \"{user}\"\n[keys]\n"));
        let mut codes = codes(&text.replace("\"alice.key\"", &format!("\"{key}\"")));
        // The server's key is root's alone.
        codes.retain(|code| *code != Code::KeyFileClosed);
        codes
    };
    assert_eq!(with("gate", "daemon.key"), []);
    for (user, key) in
        [("carol", "daemon.key"), ("gate", "group.key"), ("gate", "writable/daemon.key"), ("gate", "ours/daemon.key")]
    {
        assert_eq!(with(user, key), [Code::KeyFileExposed], "{user} {key}");
    }
    assert_eq!(codes(&SOUND.replace("\"alice.key\"", "\"daemon.key\"")), [Code::KeyFileExposed], "it has no user");
}

#[test]
fn keys_that_the_daemon_could_not_read_again_are_told_of_at_once() {
    let with = |keys: [&str; 3]| {
        let [server, alice, bob] = keys.map(|key| format!("\"{key}\""));
        let text = SOUND.replace("[keys]\n", "[daemon]\nuser = \"gate\"\n[keys]\n").replace("\"server.key\"", &server);
        let text = text.replace("\"alice.key\"", &alice).replace("\"bob.key\"", &bob);
        findings(&text).iter().map(|finding| (finding.code, offending(&text, finding))).collect::<Vec<_>>()
    };
    let closed = |text: &str| (Code::KeyFileClosed, format!("\"{text}\""));
    assert_eq!(with(["server/daemon.key", "daemon.key", "bob.key"]), []);
    assert_eq!(with(["server.key", "daemon.key", "bob.key"]), [closed("server.key")]);
    assert_eq!(
        with(["server/daemon.key", "root.key", "/etc/siglatch/server.key"]),
        [closed("root.key"), (Code::KeyFileMalformed, "\"/etc/siglatch/server.key\"".to_owned())]
    );
    let text = SOUND.replace("[keys]\n", "[daemon]\nuser = \"gate\"\n[keys]\n").replace("\"bob.key\"", "\"root.key\"");
    let message = findings(&text).remove(0).message;
    assert!(message.contains("2 key files"), "{message}");
}

#[test]
fn a_clear_port_is_told_of_where_everybody_can_read_along() {
    let clear = SOUND.replace("port = 62201", "port = 62201\nwire = \"clear\"");
    let at = |text: &str, addresses: &[(&str, &str)]| {
        let address = |text: &str| Address::from(text.parse::<std::net::IpAddr>().unwrap());
        let addresses = addresses.iter().map(|(name, text)| ((*name).to_owned(), address(text))).collect();
        let given = Given { addresses: Some(addresses), ..GIVEN };
        let warnings = read(text, FILE.as_ref(), &given, &*FILES).expect("sound").warnings;
        warnings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    let home = [("eth0", "10.0.0.1"), ("eth0", "fe80::1"), ("eth1", "8.8.8.8")];
    assert_eq!(at(&clear, &home), []);
    let told = |place: &str| {
        [(Code::ClearWire, format!("knocks on port 62201 can be read by everyone on the path to {place}"))]
    };
    assert_eq!(at(&clear, &[("eth0", "10.0.0.1"), ("eth0", "8.8.8.8")]), told("8.8.8.8 (eth0)"));
    assert_eq!(at(&clear.replace("gw.example.org", "2600::1"), &home), told("2600::1"));
    assert_eq!(at(&clear.replace("interfaces = [\"eth0\"]", "mode = \"socket\""), &home), told("8.8.8.8 (eth1)"));
    assert_eq!(at(SOUND, &[("eth0", "8.8.8.8")]), []);
}

#[test]
fn a_configuration_that_others_may_write_is_told_of() {
    let weak = |file: &str| {
        let warnings = read(SOUND, Path::new(file), &GIVEN, &*FILES).expect("sound").warnings;
        warnings.into_iter().map(|finding| (finding.code, finding.message)).collect::<Vec<_>>()
    };
    assert_eq!(weak(FILE), []);
    let by =
        |who: &str, file: &str| [(Code::WeakMode, format!("{who} may write {file}, and so decides who is let in"))];
    for (file, who) in [
        ("by-all.txt", "everybody on this machine"),
        ("by-group.txt", "the group 1001"),
        ("by-carol.txt", "the user 1000"),
    ] {
        let file = format!("/etc/siglatch/{file}");
        assert_eq!(weak(&file), by(who, &file));
    }
}

#[test]
fn the_path_of_a_socket_is_short() {
    for key in ["admin]\nsocket = \"", "admin]\nobserver_socket = \"", "metrics]\nlisten = \"unix:"] {
        let with = |length: usize| {
            let socket = format!("/{}", "s".repeat(length - 1));
            SOUND.replace("[keys]\n", &format!("[{key}{socket}\"\n[keys]\n"))
        };
        assert_eq!(codes(&with(107)), [], "{key}");
        assert_eq!(codes(&with(108)), [Code::OutOfRange], "{key}");
    }
}
