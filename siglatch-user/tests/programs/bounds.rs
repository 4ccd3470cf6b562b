//! What programs may not go beyond.

use std::time::Duration;

use siglatch_user::gate::{Bound, How};

use crate::stage::{Folder, Stage, is_alive, processes_of, text};

#[test]
fn a_program_that_hangs_is_asked_to_end() {
    let folder = Folder::new();
    let mut program = folder.program("trap 'echo asked; exit 0' TERM; while :; do sleep 0.02; done");
    program.bounds.time = Duration::from_millis(300);
    let ending = Stage::of(&[program]).run();
    assert_eq!(ending.how, How::Bounded(Bound::Time));
    assert!(text(&ending).ends_with("asked\n"), "{}", text(&ending));
    assert!(ending.took >= Duration::from_millis(300) && ending.took < Duration::from_millis(1900), "{ending:?}");
}

#[test]
fn a_program_that_does_not_want_to_end_is_killed_with_all_it_started() {
    let folder = Folder::new();
    let mut program = folder.program(
        "trap '' TERM HUP
        setsid sh -c 'trap \"\" TERM; echo $$ >> FOLDER/pids; while :; do sleep 1; done' &
        sh -c 'sleep 1000 & echo $! >> FOLDER/pids; wait' &
        echo $$ >> FOLDER/pids
        while :; do sleep 1; done",
    );
    program.bounds.time = Duration::from_millis(300);
    let ending = Stage::of(&[program]).run();
    assert_eq!(ending.how, How::Bounded(Bound::Time));
    assert!(ending.took >= Duration::from_millis(2300) && ending.took < Duration::from_secs(5), "{ending:?}");
    let pids = folder.pids("pids");
    assert!(pids.len() == 3 && !pids.iter().any(|pid| is_alive(*pid)), "{pids:?}");
}

#[test]
fn a_fork_bomb_ends() {
    let folder = Folder::new();
    let bomb = |text: &str, uid: &str, at_once| {
        let mut program =
            folder.program(&format!("exec perl -MPOSIX -e '$SIG{{TERM}} = $SIG{{HUP}} = \"IGNORE\"; {text}'"));
        (program.run_as, program.at_once) = (uid.into(), at_once);
        (program.bounds.processes, program.bounds.time) = (40, Duration::from_millis(500));
        program
    };
    let (one, four) = (1.try_into().unwrap(), 4.try_into().unwrap());
    // Time enough to be counted in, whatever the other bombs do to the machine.
    let mut crowd = bomb("fork while 1", "61213", four);
    crowd.bounds.time = Duration::from_secs(6);
    let mut stage = Stage::of(&[
        bomb("fork while 1", "61201", one),
        bomb("while (1) { setsid if defined($_ = fork) && !$_ }", "61211", one),
        // Never the same process for long.
        bomb(
            "unless (fork) { fork for 1..4; while (1) { $_ = fork; exit if $_; setsid if defined $_ } } sleep 100",
            "61212",
            one,
        ),
        // The kernel allows the user as many as four of them may have together.
        crowd,
        folder.program("echo here"),
    ]);
    let bombs: Vec<_> = (0..4).map(|program| stage.order(program)).collect();
    let other = stage.order(4);
    assert_eq!(text(&stage.end_of(other)), "here\n");
    let ends: Vec<_> = bombs.into_iter().map(|job| stage.end_of(job)).collect();
    for (ending, bound) in ends.iter().zip([Bound::Time, Bound::Time, Bound::Time, Bound::Processes]) {
        assert!(ending.took < Duration::from_secs(8), "{ending:?}");
        assert_eq!(ending.how, How::Bounded(bound));
    }
    for uid in [61201, 61211, 61212, 61213] {
        assert_eq!(processes_of(uid), 0);
    }
}

#[test]
fn processes_are_counted_also_where_the_kernel_does_not() {
    let folder = Folder::new();
    let mut program = folder.program("while :; do setsid sleep 1000 & echo $! >> FOLDER/pids; done");
    program.bounds.processes = 10;
    let ending = Stage::of(&[program]).run();
    assert_eq!(ending.how, How::Bounded(Bound::Processes));
    let pids = folder.pids("pids");
    assert!(pids.len() > 10 && !pids.iter().any(|pid| is_alive(*pid)), "{}", pids.len());
}

#[test]
fn as_many_processes_as_allowed_are_no_reason_to_end() {
    let folder = Folder::new();
    let mut program = folder.program("for i in 1 2 3; do sleep 0.3 & done; wait; exit 3");
    (program.run_as, program.bounds.processes) = ("61202".into(), 4);
    assert_eq!(Stage::of(&[program]).run().how, How::Exited(3));
}

#[test]
fn other_processes_of_the_same_user_do_not_count() {
    let folder = Folder::new();
    let [mut others, mut program] =
        ["for i in 1 2 3 4 5; do sleep 1000 & done; echo > FOLDER/there; wait", "sh -c 'echo fine; true'"]
            .map(|script| folder.program(script));
    (others.run_as, others.bounds.processes) = ("61203".into(), 6);
    (program.run_as, program.bounds.processes) = ("61203".into(), 2);
    std::fs::set_permissions(folder.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let busy = Stage::of(&[others]);
    busy.order(0);
    folder.line("there");
    assert_eq!(crate::stage::said(&Stage::of(&[program]).run()), "fine\n");
}

#[test]
fn too_much_output_ends_it() {
    let folder = Folder::new();
    let mut program = folder.program("exec head -c 1073741824 /dev/zero");
    program.bounds.output = 100_000;
    let ending = Stage::of(&[program]).run();
    assert_eq!((ending.how, ending.output.len()), (How::Bounded(Bound::Output), 1024));
    assert!(ending.written > 100_000 && ending.written < 2 << 20, "{}", ending.written);
}

#[test]
fn as_much_output_as_allowed_does_not() {
    let folder = Folder::new();
    let mut program = folder.program("head -c 100000 /dev/zero");
    program.bounds.output = 100_000;
    let ending = Stage::of(&[program]).run();
    assert_eq!((ending.how, ending.written), (How::Exited(0), 100_000));
}

#[test]
fn a_program_that_only_computes_is_ended() {
    let folder = Folder::new();
    let mut program = folder.program("while :; do :; done");
    program.bounds.cpu = Duration::from_millis(400);
    let ending = Stage::of(&[program]).run();
    assert_eq!(ending.how, How::Bounded(Bound::Cpu));
    assert!(ending.took >= Duration::from_millis(900), "{ending:?}");
}

#[test]
fn memory_is_bounded() {
    let folder = Folder::new();
    let script = "head -c 100000000 /dev/zero | tail -c 90000000 | wc -c";
    let [mut enough, mut little] = [folder.program(script), folder.program(script)];
    (enough.bounds.memory, little.bounds.memory) = (256 << 20, 32 << 20);
    let mut stage = Stage::of(&[enough, little]);
    let (enough, little) = (stage.order(0), stage.order(1));
    assert_eq!(text(&stage.end_of(enough)), "90000000\n");
    assert!(text(&stage.end_of(little)).ends_with("0\n"));
}
