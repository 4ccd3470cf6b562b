//! What programs find themselves with, seen from inside.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;

use rustix::io::{FdFlags, fcntl_setfd};
use siglatch_user::policy::Program;

use crate::stage::{Folder, Stage, said};

#[test]
fn no_descriptor_is_inherited() {
    let folder = Folder::new();
    let open = File::open("/dev/zero").unwrap();
    // As careless as can be: whatever this process executes has it open.
    fcntl_setfd(&open, FdFlags::empty()).unwrap();
    let script = "ls -l /proc/$PPID/fd; echo; exec ls -l /proc/self/fd";
    let seen = said(&Stage::of_script(&folder, script).run());
    drop(open);
    let lists: Vec<Vec<&str>> = seen.split("\n\n").map(targets).collect();
    let [runners, own] = &lists[..] else { panic!("{seen}") };
    // The last is the folder that is being listed.
    assert!(own.len() == 4 && own[3].ends_with("/fd"), "{seen}");
    assert!(own[0] == "/dev/null" && own[1].starts_with("pipe:") && own[1] == own[2], "{seen}");
    // Nor do the processes around it have any: the daemon's socket and the keeper's, its standard error, signals and the program's
    // output.
    let errors = std::fs::read_link("/proc/self/fd/2").unwrap();
    let named = ["/dev/null", "pipe:", "socket:", "anon_inode:[signalfd]", errors.to_str().unwrap()];
    assert!(runners.iter().all(|target| named.iter().any(|name| target.starts_with(name))), "{seen}");
    let sockets = runners.iter().filter(|target| target.starts_with("socket:") && Some(**target) != errors.to_str());
    assert_eq!(sockets.count(), 2, "{seen}");
}

#[test]
fn session_mask_folder_and_signals_are_fresh() {
    let folder = Folder::new();
    let script = "umask; pwd; echo pid $$; cut -d' ' -f 5,6,19 /proc/$$/stat
        grep -E '^(Sig|NoNew)' /proc/self/status; cat /proc/self/oom_score_adj";
    let mut program = folder.program(script);
    program.folder = "/usr".into();
    let seen = said(&Stage::of(&[program]).run());
    let mut lines = seen.lines();
    assert_eq!((lines.next(), lines.next()), (Some("0077"), Some("/usr")));
    let pid = lines.next().unwrap().strip_prefix("pid ").unwrap();
    let nice = rustix::process::getpriority_process(None).unwrap();
    assert_eq!(lines.next(), Some(&*format!("{pid} {pid} {nice}")), "a session and a group of its own");
    let status = status(&seen);
    assert_eq!((status["SigBlk"], status["SigIgn"]), ("0000000000000000", "0000000000000000"));
    assert_eq!(status["NoNewPrivs"], "1");
    assert!(seen.ends_with("\n500\n"), "{seen}");
}

#[test]
fn a_user_has_its_groups_and_no_capability() {
    let folder = Folder::new();
    let mut program = folder.program("cat /proc/self/status | grep -E '^(Uid|Gid|Groups|Cap|NoNew)'");
    (program.run_as, program.run_groups) = ("nobody".into(), vec!["adm".into(), "61204".into()]);
    let seen = said(&Stage::of(&[program]).run());
    let status = status(&seen);
    assert_eq!((status["Uid"], status["Gid"]), ("65534\t65534\t65534\t65534", "65534\t65534\t65534\t65534"));
    assert_eq!(status["Groups"], "4 61204");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(status[set], "0000000000000000", "{set}");
    }
}

#[test]
fn root_is_root_but_without_the_daemons_groups() {
    let folder = Folder::new();
    let seen = said(&Stage::of_script(&folder, "grep -E '^(Uid|Gid|Groups|CapAmb|NoNew)' /proc/self/status").run());
    let status = status(&seen);
    assert_eq!((status["Uid"], status["Gid"], status["Groups"]), ("0\t0\t0\t0", "0\t0\t0\t0", ""));
    assert_eq!((status["CapAmb"], status["NoNewPrivs"]), ("0000000000000000", "1"));
}

#[test]
fn a_number_without_a_name_will_do() {
    let folder = Folder::new();
    let mut program = folder.program("id -u; id -g; id -G");
    program.run_as = "61205".into();
    assert_eq!(said(&Stage::of(&[program]).run()), "61205\n61205\n61205\n");
}

#[test]
fn limits_are_those_of_the_table() {
    let folder = Folder::new();
    let mut program = folder.program("ulimit -Ht; ulimit -St; ulimit -Hv; ulimit -Hp; ulimit -Hc; ulimit -Hn");
    program.run_as = "61206".into();
    program.bounds.cpu = std::time::Duration::from_millis(2500);
    (program.bounds.memory, program.bounds.processes) = (64 << 20, 5);
    program.at_once = 3.try_into().unwrap();
    let other = Program { at_once: 2.try_into().unwrap(), ..program.clone() };
    // Soft and hard of the processor's seconds; all runs of that user's programs share the number of processes.
    assert_eq!(said(&Stage::of(&[program, other]).run()), "4\n3\n65536\n25\n0\n256\n");
}

#[test]
fn a_set_uid_program_gives_nothing_back() {
    let folder = Folder::new();
    let id = folder.path("id");
    std::fs::copy("/usr/bin/id", &id).unwrap();
    std::fs::set_permissions(&id, PermissionsExt::from_mode(0o4755)).unwrap();
    let mut program = folder.program("FOLDER/id -u");
    program.run_as = "nobody".into();
    assert_eq!(said(&Stage::of(&[program]).run()), "65534\n");
}

/// What the links of a listed folder lead to.
fn targets(list: &str) -> Vec<&str> {
    list.lines().filter_map(|line| line.split_once(" -> ")).map(|(_, target)| target).collect()
}

/// The lines of a status file.
fn status(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(':')).map(|(key, value)| (key, value.trim())).collect()
}
