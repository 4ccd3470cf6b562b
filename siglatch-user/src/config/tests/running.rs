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
        codes(&text.replace("\"alice.key\"", &format!("\"{key}\"")))
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
