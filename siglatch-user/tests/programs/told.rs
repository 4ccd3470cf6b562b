//! What programs are told, and in which form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use siglatch_common::wire::v1::Payload;
use siglatch_user::gate::{Bound, DebtId, How, JobId, Why};
use siglatch_user::policy::Program;

use crate::stage::{Folder, Stage, job, said};

#[test]
fn arguments_and_environment_are_the_fixed_ones_and_nothing_else() {
    let folder = Folder::new();
    let mut program = folder.program("printf '%s\\n' \"$@\"; echo; env -0 | tr '\\0' '\\n' | sort");
    program.command.extend(["--add".into(), "$HOME `id` *".into(), String::new()]);
    let mut stage = Stage::of(&[program]);
    let mut job = job(0);
    (job.call.source, job.call.sealed) = ("2001:db8::1".parse::<std::net::IpAddr>().unwrap().into(), false);
    job.call.payload = Payload::new(b"a b").unwrap();
    stage.starter.run(&job).unwrap();
    let said = said(&stage.end_of(job.id));
    let (arguments, environment) = said.split_once("\n\n2001").map(|(a, b)| (a, format!("2001{b}"))).unwrap();
    assert_eq!(arguments, "--add\n$HOME `id` *");
    let (rest, environment) = environment.split_once("\n\n").unwrap();
    assert_eq!(rest, "2001:db8::1\n7\nann\n9\nvpn\n0\nYSBi");
    // The shell sets the last of its own accord.
    let expected = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
PWD=/
SIGLATCH_ACTION=vpn
SIGLATCH_ACTION_ID=9
SIGLATCH_KNOCK=0000000100000002
SIGLATCH_PAYLOAD=YSBi
SIGLATCH_SEALED=0
SIGLATCH_SOURCE=2001:db8::1
SIGLATCH_USER=ann
SIGLATCH_USER_ID=7
SIGLATCH_WHY=knock
";
    assert_eq!(environment, expected);
}

#[test]
fn every_byte_of_a_payload_arrives() {
    let folder = Folder::new();
    let mut stage = Stage::of_script(&folder, "[ \"$7\" = \"$SIGLATCH_PAYLOAD\" ] && printf %s \"$7\" | base64 -d");
    let first: Vec<u8> = (0..199).collect();
    let second: Vec<u8> = (57..=255).rev().collect();
    for bytes in [first, second, b"';\n$(reboot) `reboot` \" \\ %n & | > /".to_vec(), Vec::new()] {
        let mut job = job(0);
        job.call.payload = Payload::new(&bytes).unwrap();
        stage.starter.run(&job).unwrap();
        let ending = stage.end_of(job.id);
        assert_eq!((ending.how, ending.output), (How::Exited(0), bytes));
    }
}

#[test]
fn a_payload_is_base64_as_the_standard_has_it() {
    let folder = Folder::new();
    let mut stage = Stage::of_script(&folder, "printf %s \"$7\"");
    let mut job = job(0);
    let bytes = [0xfb, 0xff, 0xfe, 0x01];
    job.call.payload = Payload::new(&bytes).unwrap();
    stage.starter.run(&job).unwrap();
    let said = said(&stage.end_of(job.id));
    assert_eq!((&*said, STANDARD.decode(&said).unwrap()), ("+//+AQ==", bytes.to_vec()));
}

#[test]
fn why_it_runs_is_told() {
    let folder = Folder::new();
    let mut stage = Stage::of_script(&folder, "echo $SIGLATCH_WHY ${SIGLATCH_FAILED-none}");
    for (why, text) in [
        (Why::Knock, "knock none\n"),
        (Why::Undo(DebtId(3)), "undo none\n"),
        (Why::Failure(JobId(3), How::Exited(7)), "failure exit:7\n"),
        (Why::Failure(JobId(3), How::Bounded(Bound::Time)), "failure bound:time\n"),
    ] {
        let mut job = job(0);
        job.why = why;
        stage.starter.run(&job).unwrap();
        assert_eq!(said(&stage.end_of(job.id)), text);
    }
}

#[test]
fn a_command_that_is_too_long_is_refused_at_the_beginning() {
    let folder = Folder::new();
    let fits = |length: usize| {
        let program = folder.program("true");
        let command = [program.command.clone(), vec!["x".repeat(length)]].concat();
        let executable = std::path::Path::new(env!("CARGO_BIN_EXE_siglatch-user"));
        siglatch_user::edge::action::Starter::begin(executable, &[Program { command, ..program }], &[])
    };
    let error = fits(70_000).unwrap_err().to_string();
    assert!(error.contains("\"test\"") && error.contains("shorten its command"), "{error}");
}
