//! How runs end by themselves, and what is kept of their output.

use std::time::Duration;

use siglatch_user::edge::action::News;
use siglatch_user::gate::{Ending, How};

use crate::stage::{Folder, Stage, is_alive, said};

#[test]
fn exit_codes_and_signals_are_told() {
    let folder = Folder::new();
    let scripts = ["echo fine", "echo out; echo err >&2; exit 7", "kill -KILL $$", "kill -TERM $$", "exit 255"];
    let mut stage = Stage::of(&scripts.map(|script| folder.program(script)));
    let jobs: Vec<_> = (0..5).map(|index| stage.order(index)).collect();
    let ends: Vec<Ending> = jobs.into_iter().map(|job| stage.end_of(job)).collect();
    let hows: Vec<How> = ends.iter().map(|end| end.how).collect();
    assert_eq!(hows, [How::Exited(0), How::Exited(7), How::Killed(9), How::Killed(15), How::Exited(255)]);
    assert_eq!((said(&ends[0]), ends[0].written), ("fine\n".into(), 5));
    assert_eq!((&*ends[1].output, ends[1].written), (&b"out\nerr\n"[..], 8));
    assert!(ends.iter().all(|end| end.took > Duration::ZERO && end.took < Duration::from_secs(5)), "{ends:?}");
}

#[test]
fn the_beginning_is_told_before_the_end() {
    let folder = Folder::new();
    let mut stage = Stage::of_script(&folder, "exec sleep 0.2");
    let job = stage.order(0);
    assert_eq!(stage.wait_for(|_| true), News::Started(job));
    assert_eq!(stage.end_of(job).how, How::Exited(0));
}

#[test]
fn a_closed_output_is_no_end() {
    let folder = Folder::new();
    let ending = Stage::of_script(&folder, "echo last; exec >&- 2>&-; sleep 0.3; exit 5").run();
    assert_eq!((ending.how, &*ending.output), (How::Exited(5), &b"last\n"[..]));
    assert!(ending.took >= Duration::from_millis(300), "{ending:?}");
}

#[test]
fn a_program_may_open_its_own_output_anew() {
    let folder = Folder::new();
    let mut program = folder.program("echo one > /dev/stderr; echo two > /dev/stdout");
    program.run_as = "nobody".into();
    assert_eq!(said(&Stage::of(&[program]).run()), "one\ntwo\n");
}

#[test]
fn a_gigabyte_of_output_is_counted_and_a_kilobyte_of_it_kept() {
    let folder = Folder::new();
    let mut program = folder.program("echo begin; head -c 1073741818 /dev/zero");
    program.bounds.output = 1 << 30;
    let ending = Stage::of(&[program]).run();
    assert_eq!((ending.how, ending.written, ending.output.len()), (How::Exited(0), 1 << 30, Ending::OUTPUT_MAX));
    assert!(ending.output.starts_with(b"begin\n\0\0"));
}

#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let folder = Folder::new();
    let script = "
        setsid sh -c 'trap \"\" TERM HUP INT; (trap \"\" TERM; sleep 1000 & echo $! >> FOLDER/a; wait) & echo $! >> FOLDER/a'
        (setsid sh -c 'echo $$ >> FOLDER/b; exec sleep 1000' &)
        while [ ! -s FOLDER/b ]; do sleep 0.01; done
        while [ $(wc -l < FOLDER/a) -lt 2 ]; do sleep 0.01; done
        exit 4";
    let ending = Stage::of_script(&folder, script).run();
    assert_eq!(ending.how, How::Exited(4));
    let left: Vec<u32> = [folder.pids("a"), folder.pids("b")].concat();
    assert_eq!(left.len(), 3);
    assert!(!left.iter().any(|pid| is_alive(*pid)), "{left:?}");
}

#[test]
fn fifty_run_at_once() {
    let folder = Folder::new();
    let mut program = folder.program("echo $$ > FOLDER/in-$$; while [ ! -e FOLDER/go ]; do sleep 0.02; done; echo $6");
    program.run_as = "nobody".into();
    program.at_once = std::num::NonZeroUsize::new(50).unwrap();
    std::fs::set_permissions(folder.path(""), std::os::unix::fs::PermissionsExt::from_mode(0o1777)).unwrap();
    let mut stage = Stage::of(&[program]);
    let jobs: Vec<_> = (0..50).map(|_| stage.order(0)).collect();
    let begun = || std::fs::read_dir(folder.path("")).unwrap().flatten().count() - 1;
    crate::stage::wait_until("all are there at once", || begun() == 50);
    std::fs::write(folder.path("go"), "").unwrap();
    for job in jobs {
        assert_eq!(said(&stage.end_of(job)), "1\n");
    }
}
