//! What the keys of users, actions and records mean: text in, policy and rules out.

use super::*;
use crate::policy::{
    Allowed, Bounds, Builtin, Hours, PayloadRule, Period, Program, ProgramId, RevokeRule, Span, Undo, Weekdays,
};

#[test]
fn users_have_groups_periods_uses_and_a_rank() {
    let text = SOUND.replace("key = \"bob.key\"\n", "key = \"bob.key\"\nadmin = true\ngroups = [\"ops\"]\nuses = 1\nnot_before = 1970-01-01T00:01:00Z\nnot_after = 1970-01-01T00:02:00Z\n");
    let policy = read_text(&text).expect("sound").settings.policy;
    let (alice, bob) = (policy.user(UserId(1)).unwrap(), policy.user(UserId(2)).unwrap());
    assert!(bob.admin && !alice.admin);
    assert_eq!((bob.uses.map(std::num::NonZero::get), alice.uses), (Some(1), None));
    assert_eq!(bob.period, Period { not_before: Some(Wall::from_secs(60)), not_after: Some(Wall::from_secs(120)) });
    assert_eq!(alice.period, Period::default());
}

#[test]
fn groups_are_for_their_members_beside_the_users_named() {
    let text = SOUND.replace("key = \"bob.key\"\n", "key = \"bob.key\"\ngroups = [\"ops\", \"web\"]\n");
    let allowed = |askers: &str| {
        let text = text.replace("users = \"all\"", askers);
        let policy = read_text(&text).expect("sound").settings.policy;
        policy.action(ActionId(1)).unwrap().allowed.clone()
    };
    let only = |ids: &[u16]| Allowed::Only(ids.iter().map(|id| UserId(*id)).collect());
    assert_eq!(allowed("groups = [\"web\"]"), only(&[2]));
    assert_eq!(allowed("users = [\"alice\"]\ngroups = [\"web\"]"), only(&[1, 2]));
    assert_eq!(allowed("users = [\"bob\"]\ngroups = [\"ops\", \"web\"]"), only(&[2]));
    assert_eq!(allowed("users = \"all\"\ngroups = [\"web\"]"), Allowed::All);
}

#[test]
fn hours_are_those_of_the_gateways_time_zone() {
    let text = SOUND
        .replace("users = \"all\"", "users = \"all\"\nhours = [\"mon-fri 08:00-18:00\", \"sat-mon,wed 22:00-00:00\"]");
    let hours = |text: &str| read_text(text).expect("sound").settings.policy.action(ActionId(1)).unwrap().hours.clone();
    let utc = hours(&text).expect("it has hours");
    let spans = vec![
        Span { days: Weekdays(0b1_1111), from: 480, to: 1080 },
        Span { days: Weekdays(0b110_0101), from: 1320, to: 1440 },
    ];
    assert_eq!(utc, Hours { zone: jiff::tz::TimeZone::UTC, spans });
    let berlin =
        hours(&text.replace("[gateway]\n", "[gateway]\ntime_zone = \"Europe/Berlin\"\n")).expect("it has hours");
    // 2027-07-05 and 2027-01-04 are Mondays; 06:30 UTC is 08:30 in summer and 07:30 in winter.
    let at = |text: &str| Wall::from_secs(text.parse::<jiff::Timestamp>().unwrap().as_second().try_into().unwrap());
    let moments = ["2027-07-05T06:30:00Z", "2027-01-04T06:30:00Z"].map(at);
    assert_eq!(moments.map(|moment| berlin.contain(moment)), [true, false]);
    assert_eq!(moments.map(|moment| utc.contain(moment)), [false, false]);
    assert_eq!(hours(SOUND), None);
}

#[test]
fn a_grant_has_hosts_and_a_program_that_undoes_it() {
    let text = SOUND
        .replace("protect = ", "protect_forward = [\"tcp/22@10.0.0.5\", \"tcp/22@::5\"]\nprotect = ")
        .replace("grant = [\"tcp/22\"]", "grant = [\"tcp/22\"]\nto = [\"10.0.0.5\", \"::5\"]\nundo = \"off\"\nuses = 3\ndry_run = true\n[action.off]\nexec = [\"/off\"]\nrun_as = \"x\"");
    let settings = read_text(&text).expect("sound").settings;
    let action = settings.policy.action(ActionId(1)).unwrap();
    assert_eq!((action.uses.map(std::num::NonZero::get), action.dry_run), (Some(3), true));
    let ActionKind::Grant(rule) = &action.kind else { panic!("ssh grants") };
    let hosts = ["10.0.0.5", "::5"].map(|host| host.parse::<std::net::IpAddr>().unwrap().into());
    assert_eq!((&*rule.destinations, rule.undo), (&hosts[..], Some(ProgramId(0))));
    let Firewall::Table(table) = settings.firewall else { panic!("a table of our own") };
    assert_eq!(table.protect_forward, ["tcp/22@10.0.0.5", "tcp/22@::5"].map(|door| door.parse().unwrap()));
}

#[test]
fn sets_have_places_for_grants_to_hosts_behind() {
    let text = SOUND.replace(
        "protect = [\"tcp/22\", \"udp/500\"]",
        "mode = \"sets\"\ntable = \"t\"\nset_v4 = \"a\"\nset_forward_v4 = \"b\"\nset_forward_v6 = \"c\"",
    );
    let Firewall::Sets(sets) = read_text(&text).expect("sound").settings.firewall else {
        panic!("the operator's sets")
    };
    assert_eq!((sets.v4.as_deref(), sets.v6), (Some("a"), None));
    assert_eq!((sets.forward_v4.as_deref(), sets.forward_v6.as_deref()), (Some("b"), Some("c")));
}

#[test]
fn a_program_has_the_defaults_of_the_manual() {
    let text = SOUND.replace(
        "[sequence.db]",
        "[action.run]\nid = 4\nusers = \"all\"\nexec = [\"/run\"]\nrun_as = \"nobody\"\n[sequence.db]",
    );
    let policy = read_text(&text).expect("sound").settings.policy;
    let program = Program {
        name: "run".to_owned(),
        command: vec!["/run".to_owned()],
        run_as: "nobody".to_owned(),
        run_groups: Vec::new(),
        folder: "/".into(),
        bounds: Bounds::DEFAULT,
        at_once: NonZeroUsize::new(4).unwrap(),
        queue: 16,
        on_failure: None,
    };
    assert_eq!(policy.programs(), [program]);
    let ActionKind::Exec(rule) = &policy.action(ActionId(4)).unwrap().kind else { panic!("it starts a program") };
    assert_eq!((rule.program, &rule.payload, rule.undo), (ProgramId(0), &PayloadRule::default(), None));
    let annotated = read_text(ANNOTATED).expect("sound").settings.policy;
    let vpn = annotated.program(annotated.program_named("vpn").unwrap()).unwrap();
    assert_eq!((vpn.bounds, vpn.at_once.get(), vpn.queue, &*vpn.folder), (Bounds::DEFAULT, 4, 16, Path::new("/")));
}

#[test]
fn what_is_said_of_a_program_holds() {
    let text = SOUND.replace(
        "[sequence.db]",
        "[action.alarm]\nexec = [\"/alarm\"]\nrun_as = \"7\"\n\
         [action.run]\nid = 4\nusers = \"all\"\nexec = [\"/run\", \"-a\", \"\"]\nrun_as = \"nobody\"\n\
         run_groups = [\"adm\", \"5\"]\nfolder = \"/tmp\"\ntime = \"2s\"\ncpu = \"3s\"\nmemory = \"32M\"\nprocesses = 5\n\
         output = \"6K\"\nat_once = 7\nqueue = 8\non_failure = \"alarm\"\nrequire_ascii = true\nstarts_with = \"a b\"\n\
         undo = \"alarm\"\nttl = \"9s\"\n[sequence.db]",
    );
    let policy = read_text(&text).expect("sound").settings.policy;
    let (alarm, run) = (policy.program_named("alarm").unwrap(), policy.program_named("run").unwrap());
    let seconds = Duration::from_secs;
    let program = Program {
        name: "run".to_owned(),
        command: ["/run", "-a", ""].map(str::to_owned).to_vec(),
        run_as: "nobody".to_owned(),
        run_groups: vec!["adm".to_owned(), "5".to_owned()],
        folder: "/tmp".into(),
        bounds: Bounds { time: seconds(2), cpu: seconds(3), memory: 32 << 20, processes: 5, output: 6 << 10 },
        at_once: NonZeroUsize::new(7).unwrap(),
        queue: 8,
        on_failure: Some(alarm),
    };
    assert_eq!(policy.program(run), Some(&program));
    let ActionKind::Exec(rule) = &policy.action(ActionId(4)).unwrap().kind else { panic!("it starts a program") };
    assert_eq!(rule.payload, PayloadRule { require_ascii: true, starts_with: b"a b".to_vec() });
    assert_eq!((rule.program, rule.undo), (run, Some(Undo { program: alarm, after: seconds(9) })));
    assert!(policy.actions().all(|action| action.name != "alarm"), "no knock can ask for it");
}

#[test]
fn what_is_revoked_and_asked_of_the_daemon_is_named() {
    let text = SOUND.replace("key = \"bob.key\"\n", "key = \"bob.key\"\nadmin = true\n");
    let kind = |rule: &str| {
        let text =
            text.replace("[sequence.db]", &format!("[action.x]\nid = 4\nusers = \"all\"\n{rule}\n[sequence.db]"));
        read_text(&text).expect("sound").settings.policy.action(ActionId(4)).unwrap().kind.clone()
    };
    let actions = [ActionId(1), ActionId(3)].into();
    let rule = RevokeRule { actions, source: SourceRule::Claimed };
    assert_eq!(kind("revoke = [\"two\", \"ssh\"]\nsource = \"claimed\""), ActionKind::Revoke(rule));
    for (word, builtin) in
        [("reload", Builtin::Reload), ("status", Builtin::Status), ("list-actions", Builtin::ListActions)]
    {
        assert_eq!(kind(&format!("builtin = \"{word}\"")), ActionKind::Builtin(builtin));
    }
}

#[test]
fn records_are_kept_by_the_defaults_of_the_manual_and_otherwise_as_is_said() {
    let settings = read_text(SOUND).expect("sound").settings;
    assert_eq!((&settings.audit, &settings.debug), (&AuditRule::default(), &DebugRule::default()));
    assert_eq!(settings.programs_at_once, 16);
    let annotated = read_text(ANNOTATED).expect("sound").settings;
    assert_eq!((annotated.audit, annotated.debug), (settings.audit, settings.debug));
    assert_eq!(annotated.programs_at_once, 16);

    let text = "[audit]\nenabled = false\nfile = \"a.jsonl\"\nsize = \"32K\"\nage = \"2h\"\nkeep = 3\n\
                when_failing = \"refuse\"\n[debug]\nsources = [\"10.0.0.5\"]\nfor = \"4m\"\n[exec]\nat_once = 5\n[keys]\n";
    let text = SOUND.replace("[keys]\n", text).replace("key = \"bob.key\"\n", "key = \"bob.key\"\ndebug = true\n");
    let settings = read_text(&text).expect("sound").settings;
    let audit = AuditRule {
        enabled: false,
        file: "/etc/siglatch/a.jsonl".into(),
        size: 32 * 1024,
        age: Duration::from_secs(7200),
        keep: 3,
        when_failing: WhenFailing::Refuse,
    };
    assert_eq!(settings.audit, audit);
    let source = Address::v4([10, 0, 0, 5]);
    let debug = DebugRule { users: vec![UserId(2)], sources: vec![source], span: Duration::from_secs(240) };
    assert_eq!(settings.debug, debug);
    assert_eq!(settings.programs_at_once, 5);
}

#[test]
fn a_circle_of_failures_is_shown_once_and_in_whole() {
    let program =
        |name: &str, next: &str| format!("[action.{name}]\nexec = [\"/x\"]\nrun_as = \"x\"\non_failure = \"{next}\"\n");
    let text = |last: &str| {
        let programs = program("a", "b") + &program("b", "c") + &program("c", last);
        SOUND.replace("grant = [\"tcp/22\"]", &format!("grant = [\"tcp/22\"]\nundo = \"a\"\n{programs}"))
    };
    let found = findings(&text("a"));
    assert_eq!(found.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::FailureCircle]);
    assert!(found[0].message.ends_with("a → b → c → a"), "{}", found[0].message);
    assert_eq!(codes(&text("b")), [Code::FailureCircle], "a leads into a circle that it is no part of");
}

#[test]
fn programs_are_at_most_a_thousand() {
    let with = |last: usize| {
        let programs = (0..last).map(|number| {
            format!(
                "[action.p{number}]\nexec = [\"/x\"]\nrun_as = \"x\"\non_failure = \"p{}\"\n",
                (number + 1).min(last - 1)
            )
        });
        let ssh = "grant = [\"tcp/22\"]\nundo = \"p0\"\n".to_owned() + &programs.collect::<String>();
        SOUND.replace("grant = [\"tcp/22\"]", &ssh)
    };
    assert_eq!(codes(&with(1024)), [Code::FailureCircle], "the last one follows itself");
    assert_eq!(codes(&with(1025)), [Code::OutOfRange]);
    assert_eq!(codes(&with(70_000)), [Code::OutOfRange], "there are no such numbers");
}

#[test]
fn names_that_are_slips_come_with_what_was_meant() {
    let text = SOUND.replace("key = \"bob.key\"\n", "key = \"bob.key\"\ngroups = [\"operators\"]\n");
    for (put, meant) in [
        ("groups = [\"operator\"]", "did you mean \"operators\"?"),
        ("users = \"all\"\nundo = \"wipes\"", "did you mean \"wipe\"?"),
        ("users = \"all\"\nundo = \"xyz\"", "write [action.xyz] with exec"),
    ] {
        let wipe = "[action.wipe]\nid = 4\nusers = \"all\"\nexec = [\"/wipe\"]\nrun_as = \"x\"\n[sequence.db]";
        let text = text.replace("users = \"all\"", put).replace("[sequence.db]", wipe);
        let found = findings(&text);
        assert_eq!(found.len(), 1, "{put}");
        assert!(found[0].help.contains(meant), "{put}: {}", found[0].help);
    }
}
