//! Programs that are not started, and the cure that is told for each.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::Path;

use siglatch_user::edge::action::survey;
use siglatch_user::gate::{How, NotStarted};
use siglatch_user::policy::Program;

use crate::stage::{Folder, Stage, program, said, text};

#[test]
fn a_program_that_is_not_there_is_missing() {
    let folder = Folder::new();
    assert_unfit(&program(&folder.path("none")), NotStarted::Missing, "/none is not there: install it");
    let script = folder.script("true");
    assert_unfit(&program(&script.join("x")), NotStarted::Missing, "is not there");
    symlink(folder.path("loop"), folder.path("loop")).unwrap();
    assert_unfit(&program(&folder.path("loop")), NotStarted::Missing, "is not there");
}

#[test]
fn a_program_that_may_not_be_executed_is_not() {
    let folder = Folder::new();
    let script = folder.script("true");
    mode(&script, 0o644);
    assert_unfit(&program(&script), NotStarted::NotExecutable, "run `chmod a+rx ");
    assert_unfit(&program(&folder.path("")), NotStarted::NotExecutable, "is not a file");

    let mut others = folder.program("true");
    others.run_as = "nobody".into();
    mode(others.command[0].as_ref(), 0o700);
    assert_unfit(&others, NotStarted::NotExecutable, "nobody may not execute");
    mode(others.command[0].as_ref(), 0o711);
    assert_unfit(&others, NotStarted::NotExecutable, "nobody may not read the script");
    mode(others.command[0].as_ref(), 0o755);
    mode(&folder.path(""), 0o700);
    assert_unfit(&others, NotStarted::NotExecutable, "run `chmod a+rx ");
    mode(&folder.path(""), 0o711);
    said(&Stage::of(&[others]).run());
}

#[test]
fn a_script_without_its_interpreter_is_not_executed() {
    let folder = Folder::new();
    let script = folder.script("true");
    fs::write(&script, "#!/no/such/shell -e\n").unwrap();
    assert_unfit(&program(&script), NotStarted::NotExecutable, "\"/no/such/shell\", is not there");
    fs::write(&script, "echo no first line\n").unwrap();
    let ending = Stage::of(&[program(&script)]).run();
    assert_eq!(ending.how, How::NotStarted(NotStarted::NotExecutable));
}

#[test]
fn a_program_that_others_could_change_is_not_executed() {
    let folder = Folder::new();
    let script = folder.script("true");
    for changeable in [0o757, 0o775] {
        mode(&script, changeable);
        assert_unfit(&program(&script), NotStarted::WritableByOthers, "run `chmod go-w ");
    }
    mode(&script, 0o755);
    chown(&script, Some(65534), None).unwrap();
    let mut own = program(&script);
    own.run_as = "nobody".into();
    assert_unfit(&own, NotStarted::WritableByOthers, "run `chown root ");
    chown(&script, Some(0), None).unwrap();
    said(&Stage::of(&[own]).run());
}

#[test]
fn a_folder_that_others_could_change_is_as_bad() {
    let folder = Folder::new();
    let (inner, script) = (folder.path("inner"), folder.script("true"));
    fs::create_dir(&inner).unwrap();
    let moved = inner.join("script");
    fs::rename(script, &moved).unwrap();
    mode(&inner, 0o777);
    assert_unfit(&program(&moved), NotStarted::WritableByOthers, "/inner can be changed by others");
    symlink(&moved, folder.path("link")).unwrap();
    assert_unfit(&program(&folder.path("link")), NotStarted::WritableByOthers, "/inner can be changed by others");
    // Nobody can replace root's files in it.
    mode(&inner, 0o1777);
    said(&Stage::of(&[program(&moved), program(&folder.path("link"))]).run());
    chown(&inner, Some(65534), None).unwrap();
    assert_unfit(&program(&moved), NotStarted::WritableByOthers, "run `chown root ");
}

#[test]
fn nobody_runs_as_nobody_in_particular() {
    let folder = Folder::new();
    let mut stranger = folder.program("true");
    stranger.run_as = "no-such-user".into();
    assert_unfit(&stranger, NotStarted::NoSuchUser, "there is no user \"no-such-user\"");
    stranger.run_as = "nobody".into();
    stranger.run_groups = vec!["no-such-group".into()];
    assert_unfit(&stranger, NotStarted::NoSuchUser, "there is no group \"no-such-group\"");
}

#[test]
fn a_program_begins_in_its_folder_or_not_at_all() {
    let folder = Folder::new();
    let mut lost = folder.program("true");
    lost.folder = folder.path("none");
    assert_unfit(&lost, NotStarted::NoFolder, "there is no folder ");
    lost.folder = lost.command[0].clone().into();
    assert_unfit(&lost, NotStarted::NoFolder, "there is no folder ");
    let closed = folder.path("closed");
    fs::create_dir(&closed).unwrap();
    mode(&closed, 0o700);
    (lost.folder, lost.run_as) = (closed, "nobody".into());
    assert_unfit(&lost, NotStarted::NoFolder, "nobody may not enter ");
}

/// Asserts that the survey says so, and that a run ends so, with the cure.
fn assert_unfit(program: &Program, why: NotStarted, cure: &str) {
    let unfit = survey(program).unwrap_err();
    assert_eq!(unfit.why(), why);
    assert!(unfit.to_string().contains(cure), "{unfit}");
    let ending = Stage::of(std::slice::from_ref(program)).run();
    assert_eq!((ending.how, ending.written), (How::NotStarted(why), 0));
    assert!(text(&ending).contains(cure), "{}", text(&ending));
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}
