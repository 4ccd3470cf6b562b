//! A configuration that changes while programs are started: read again by the process that starts them, and by nobody else.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use siglatch_user::config::Given;
use siglatch_user::ctl::load::load;
use siglatch_user::edge::action::{News, Starter};
use siglatch_user::gate::{How, NotStarted};
use siglatch_user::policy::Program;

use crate::stage::{Folder, Stage, kill, parent, said, text};

#[test]
fn a_program_that_was_added_is_started_once_it_is_adopted_and_what_runs_goes_on() {
    let (folder, house) = (Folder::new(), House::new());
    let long = folder.script("echo $$ > FOLDER/pid; sleep 1; echo long");
    house.configure(&[("long", &long)]);
    let mut stage = house.stage();
    let running = stage.order(0);
    folder.line("pid");

    // The names are sorted, so that the first one's number becomes another.
    house.configure(&[("another", &folder.script("echo another")), ("long", &long)]);
    let digest = stage.starter.prepare(PATIENCE).unwrap();
    let programs = house.programs();
    assert_eq!(Starter::digest_of(&programs), Some(digest));
    let place = |name: &str| u16::try_from(programs.iter().position(|program| program.name == name).unwrap()).unwrap();
    stage.starter.adopt(&programs);
    let another = stage.order(place("another"));
    assert_eq!(said(&stage.end_of(another)), "another\n");
    assert_eq!(said(&stage.end_of(running)), "long\n");
    let long = stage.order(place("long"));
    assert_eq!(said(&stage.end_of(long)), "long\n");
}

#[test]
fn orders_for_a_table_that_the_other_side_has_not_read_itself_are_refused() {
    let (folder, house) = (Folder::new(), House::new());
    house.configure(&[("one", &folder.script("echo one"))]);
    let mut stage = house.stage();
    // As a daemon could that somebody else has got hold of.
    stage.starter.adopt(&[folder.program("echo forged")]);
    let ending = stage.run();
    assert_eq!(ending.how, How::NotStarted(NotStarted::System(libc::ESTALE)), "{}", text(&ending));
    // It reads what is in the file, whatever it was told.
    stage.starter.prepare(PATIENCE).unwrap();
    let ending = stage.run();
    assert_eq!(ending.how, How::NotStarted(NotStarted::System(libc::ESTALE)), "{}", text(&ending));
    stage.starter.adopt(&house.programs());
    assert_eq!(said(&stage.run()), "one\n");
}

#[test]
fn a_file_that_others_could_write_or_that_is_unsound_is_not_followed() {
    let (folder, house) = (Folder::new(), House::new());
    house.configure(&[("one", &folder.script("echo one"))]);
    let mut stage = house.stage();
    fs::set_permissions(house.config(), fs::Permissions::from_mode(0o666)).unwrap();
    let why = stage.starter.prepare(PATIENCE).unwrap_err();
    assert!(why.contains("chmod go-w"), "{why}");
    fs::set_permissions(house.config(), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(house.0.path("etc"), Some(65_534), None).unwrap();
    let why = stage.starter.prepare(PATIENCE).unwrap_err();
    assert!(why.contains("chown root"), "{why}");
    std::os::unix::fs::chown(house.0.path("etc"), Some(0), None).unwrap();
    fs::write(house.config(), "[nonsense]\n").unwrap();
    let why = stage.starter.prepare(PATIENCE).unwrap_err();
    assert!(why.contains("nonsense"), "{why}");
    assert_eq!(said(&stage.run()), "one\n");
}

#[test]
fn a_starter_that_comes_after_another_has_the_table_that_was_adopted() {
    let (folder, house) = (Folder::new(), House::new());
    house.configure(&[("one", &folder.script("echo one"))]);
    let mut stage = house.stage();
    house.configure(&[("one", &folder.script("echo $PPID > FOLDER/runner; echo changed"))]);
    stage.starter.prepare(PATIENCE).unwrap();
    stage.starter.adopt(&house.programs());
    assert_eq!(said(&stage.run()), "changed\n");

    let waits = folder.script("echo $PPID > FOLDER/runner; sleep 30");
    house.configure(&[("one", &waits)]);
    stage.starter.prepare(PATIENCE).unwrap();
    stage.starter.adopt(&house.programs());
    fs::remove_file(folder.path("runner")).unwrap();
    let lost = stage.order(0);
    let runner = folder.pids("runner")[0];
    kill(parent(runner), rustix::process::Signal::KILL);
    assert_eq!(stage.end_of(lost).how, How::Lost);
    stage.wait_for(|news| *news == News::Restarted);
    fs::remove_file(folder.path("runner")).unwrap();
    stage.order(0);
    folder.line("runner");
}

#[test]
fn processes_that_were_begun_without_a_file_read_none() {
    let folder = Folder::new();
    let mut stage = Stage::of_script(&folder, "echo one");
    let why = stage.starter.prepare(PATIENCE).unwrap_err();
    assert!(why.contains("no file"), "{why}");
    assert_eq!(said(&stage.run()), "one\n");
}

/// A folder with a configuration in it.
struct House(Folder);

impl House {
    fn new() -> Self {
        let house = Self(Folder::new());
        let (etc, out) = (house.0.path("etc"), house.0.path("ann.siglatch"));
        let ctl = |arguments: &[&std::ffi::OsStr]| {
            let output = Command::new(env!("CARGO_BIN_EXE_siglatchctl")).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let words = ["init", "--host", "192.0.2.1", "--iface", "lo", "--dir"].map(AsRef::as_ref);
        ctl(&[&words[..], &[etc.as_ref()]].concat());
        let words = ["user", "add", "ann", "--out"].map(AsRef::as_ref);
        ctl(&[&words[..], &[out.as_ref(), "--config".as_ref(), house.config().as_ref()]].concat());
        fs::copy(house.config(), house.0.path("bare.toml")).unwrap();
        house
    }

    fn config(&self) -> PathBuf {
        self.0.path("etc/siglatch.toml")
    }

    /// Writes the configuration with these programs, by name.
    fn configure(&self, programs: &[(&str, &PathBuf)]) {
        let mut text = fs::read_to_string(self.0.path("bare.toml")).unwrap();
        for (number, (name, path)) in programs.iter().enumerate() {
            let id = 100 + number;
            let path = path.display();
            text += &format!("\n[action.{name}]\nid = {id}\nusers = \"all\"\nexec = [\"{path}\"]\nrun_as = \"root\"\n");
        }
        fs::write(self.config(), text).unwrap();
    }

    /// The programs as the daemon reads them.
    fn programs(&self) -> Vec<Program> {
        match load(&self.config(), &Given::by_machine(false)) {
            Ok(loaded) => loaded.settings.policy.programs().to_vec(),
            Err(failure) => panic!("{failure}"),
        }
    }

    fn stage(&self) -> Stage {
        Stage::with(&self.programs(), &[self.config().into(), OsString::new()])
    }
}

const PATIENCE: Duration = Duration::from_secs(20);
