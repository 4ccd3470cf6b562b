//! The scripts in `config/scripts`, started as knocks start them. `ip` is the real one, in a network namespace of its own;
//! `logger`, `wakeonlan` and `systemctl` would reach beyond the test, so tools that only record their arguments stand in.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use siglatch_common::wire::v1::Payload;
use siglatch_user::gate::{Ending, How, Job, JobId, Why};
use siglatch_user::policy::Program;

use crate::stage::{Folder, Stage, job, said, text};

#[test]
fn notify_tells_who_and_what() {
    let sample = Sample::of("notify", &[], "logger");
    let ending = sample.run(job_with(b"help; $(reboot) 'me' %s"));
    said(&ending);
    let who = "user ann (7) from 192.0.2.1, action vpn, knock 0000000100000002";
    let head = "[-t] [siglatch-notify] [-p]";
    assert_eq!(sample.recorded(), format!("{head} [auth.notice] [--] [{who}: help; $(reboot) 'me' %s]\n"));
    said(&sample.run(job_with(b"")));
    assert_eq!(sample.recorded(), format!("{head} [auth.notice] [--] [{who}]\n"));
    let mut failed = job_with(b"\xff");
    failed.why = Why::Failure(JobId(1), How::Exited(3));
    said(&sample.run(failed));
    assert_eq!(sample.recorded(), format!("{head} [auth.err] [--] [failed (exit:3): {who}]\n"));
    for payload in [&b"two\nlines"[..], b"\0", b"caf\xc3\xa9", b"end\n", b"\x1b[2J"] {
        assert_eq!(sample.run(job_with(payload)).how, How::Exited(65), "{payload:?}");
        assert_eq!(sample.recorded(), "");
    }
}

#[test]
fn wake_on_lan_wakes_what_is_in_the_list() {
    let sample = Sample::of("wake-on-lan", &["FOLDER/machines"], "wakeonlan");
    fs::write(sample.folder.path("machines"), "nas 02:00:5e:10:00:01\nprinter 02:00:5e:10:00:02 hall\n").unwrap();
    said(&sample.run(job_with(b"printer")));
    assert_eq!(sample.recorded(), "[02:00:5e:10:00:02]\n");
    for (payload, code) in
        [(&b"router"[..], 66), (b"", 65), (b"nas printer", 65), (b"n\0as", 65), (b"*", 65), (b"-i", 66)]
    {
        assert_eq!(sample.run(job_with(payload)).how, How::Exited(code), "{payload:?}");
        assert_eq!(sample.recorded(), "");
    }
}

#[test]
fn restart_service_restarts_what_it_may() {
    let sample = Sample::of("restart-service", &["nginx", "postgresql", "--"], "systemctl");
    said(&sample.run(job_with(b"postgresql")));
    assert_eq!(sample.recorded(), "[restart] [--] [postgresql]\n");
    // The user's name and others that siglatch adds are not among the services.
    for payload in [&b"ann"[..], b"--", b"sshd", b"", b"nginx postgresql", b"ng\0inx", b"nginx\n"] {
        assert_eq!(sample.run(job_with(payload)).how, How::Exited(65), "{payload:?}");
        assert_eq!(sample.recorded(), "");
    }
    let single = Sample::of("restart-service", &["nginx", "--"], "systemctl");
    said(&single.run(job_with(b"")));
    assert_eq!(single.recorded(), "[restart] [--] [nginx]\n");
}

#[test]
fn uplink_route_adds_a_route_and_removes_it() {
    let folder = Folder::new();
    let script = SCRIPTS.to_owned() + "/uplink-route";
    let stage = |what: &str| {
        folder.program(&format!(
            "exec unshare -n sh -euc '
                ip link add up0 type veth peer name up1 && ip link set up0 up && ip link set up1 up
                ip address add 198.51.100.2/24 dev up0 && ip -6 address add 2001:db8:1::2/64 dev up0 nodad
                {what}
            ' sh"
        ))
    };
    let run = |what: &str| {
        format!(
            "{script} {what} 198.51.100.1 2001:db8:1::1 \"$@\"; ip route show via 198.51.100.1; ip -6 route show via 2001:db8:1::1;"
        )
    };
    let both = stage(&format!("{} echo; {} echo; {}", run("add"), run("add"), run("remove")));
    let mut stage = Stage::of(&[both, stage(&run("remove")), stage(&run("explode"))]);
    let mut v6 = job(0);
    v6.call.source = "2001:db8::7".parse::<std::net::IpAddr>().unwrap().into();
    stage.starter.run(&v6).unwrap();
    let routes = said(&stage.end_of(v6.id));
    let [once, twice, none] = routes.split("\n\n").collect::<Vec<_>>()[..] else { panic!("{routes}") };
    assert!(once.starts_with("2001:db8::7 dev up0") && once == twice && none.is_empty(), "{routes}");
    let v4 = stage.order(0);
    let routes = said(&stage.end_of(v4));
    assert_eq!(routes.trim(), "192.0.2.1 dev up0 \n\n192.0.2.1 dev up0", "{routes}");
    let gone = stage.order(1);
    assert_eq!(said(&stage.end_of(gone)), "");
    let wrong = stage.order(2);
    assert_eq!(stage.end_of(wrong).how, How::Exited(64));
}

/// A script of the samples, and one tool that records.
struct Sample {
    folder: Folder,
    program: Program,
}

impl Sample {
    fn of(script: &str, arguments: &[&str], tool: &str) -> Self {
        let folder = Folder::new();
        let recorder = folder.script("for word; do printf '[%s] ' \"$word\"; done | sed 's/ $/\\n/' >> FOLDER/record");
        let tools = folder.path("tools");
        fs::create_dir(&tools).unwrap();
        fs::rename(recorder, tools.join(tool)).unwrap();
        fs::write(folder.path("record"), "").unwrap();
        fs::set_permissions(folder.path("record"), fs::Permissions::from_mode(0o666)).unwrap();
        let mut program = folder.program(&format!("PATH=FOLDER/tools:$PATH exec {SCRIPTS}/{script} \"$@\""));
        program.run_as = "nobody".into();
        let root = folder.path("");
        let root = root.to_str().unwrap().trim_end_matches('/');
        program.command.extend(arguments.iter().map(|argument| argument.replace("FOLDER", root)));
        assert!(Path::new(SCRIPTS).join(script).metadata().unwrap().permissions().mode() & 0o111 == 0o111);
        Self { folder, program }
    }

    fn run(&self, job: Job) -> Ending {
        let mut stage = Stage::of(std::slice::from_ref(&self.program));
        stage.starter.run(&job).unwrap();
        let ending = stage.end_of(job.id);
        assert!(!text(&ending).contains("not found"), "{}", text(&ending));
        ending
    }

    /// What the tool was told since the last time.
    fn recorded(&self) -> String {
        let path = self.folder.path("record");
        let recorded = fs::read_to_string(&path).unwrap();
        fs::write(path, "").unwrap();
        recorded
    }
}

fn job_with(payload: &[u8]) -> Job {
    let mut job = job(0);
    job.call.payload = Payload::new(payload).unwrap();
    job
}

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/scripts");
