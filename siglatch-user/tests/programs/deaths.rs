//! What happens when one of the processes around programs dies, or the daemon itself.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use siglatch_user::edge::action::News;
use siglatch_user::gate::{Bound, How, NotStarted};

use crate::stage::{Folder, Stage, is_alive, job, kill, name, parent, said, wait_until};

#[test]
fn a_killed_starter_is_replaced_and_what_ran_is_lost() {
    let folder = Folder::new();
    let mut stage = Stage::of(&[folder.program(STUBBORN), folder.program("echo fine")]);
    for round in 0..3 {
        let scene = Scene::play(&stage, &folder);
        kill(scene.starter, Signal::KILL);
        assert_eq!(stage.end_of(scene.job).how, How::Lost, "round {round}");
        assert_eq!(stage.wait_for(|news| !matches!(news, News::Started(_))), News::Restarted);
        scene.assert_gone();
        assert!(is_alive(scene.keeper));
        let next = stage.order(1);
        assert_eq!(said(&stage.end_of(next)), "fine\n");
    }
}

#[test]
fn a_killed_runner_costs_its_own_run_alone() {
    let folder = Folder::new();
    let mut stage = Stage::of(&[folder.program(STUBBORN), folder.program("sleep 0.5; echo fine")]);
    let scene = Scene::play(&stage, &folder);
    let other = stage.order(1);
    kill(scene.runner, Signal::KILL);
    assert_eq!(stage.end_of(scene.job).how, How::Lost);
    scene.assert_gone();
    assert!(is_alive(scene.starter));
    assert_eq!(said(&stage.end_of(other)), "fine\n");
}

#[test]
fn a_killed_keeper_is_replaced_and_what_ran_is_lost() {
    let folder = Folder::new();
    let mut stage = Stage::of(&[folder.program(STUBBORN), folder.program("echo fine")]);
    for with_its_starter in [false, true] {
        let scene = Scene::play(&stage, &folder);
        // The other way round would be too late: it does not outlive the keeper for long.
        if with_its_starter {
            kill(scene.starter, Signal::KILL);
        }
        kill(scene.keeper, Signal::KILL);
        assert_eq!(stage.end_of(scene.job).how, How::Lost);
        let gone = stage.wait_for(|news| !matches!(news, News::Started(_)));
        assert!(matches!(&gone, News::Gone(why) if why.contains("signal: 9")), "{gone:?}");
        scene.assert_gone();
        stage.wait_for(|news| *news == News::Restarted);
        let next = stage.order(1);
        assert_eq!(said(&stage.end_of(next)), "fine\n");
    }
}

#[test]
fn a_stop_ends_everything_and_tells_every_end() {
    let folder = Folder::new();
    let mut stage = Stage::of(&[folder.program(STUBBORN), folder.program("exec sleep 1000")]);
    let scene = Scene::play(&stage, &folder);
    let polite = stage.order(1);
    stage.wait_for(|news| *news == News::Started(polite));
    let began = Instant::now();
    stage.starter.stop();
    assert_eq!(stage.starter.run(&job(1)), Err(NotStarted::NoStarter));
    assert_eq!(stage.end_of(polite).how, How::Bounded(Bound::Stop));
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
    assert_eq!(stage.end_of(scene.job).how, How::Bounded(Bound::Stop));
    assert!(stage.rest().iter().all(|news| matches!(news, News::Started(_))));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    scene.assert_gone();
    wait_until("nobody is left", || ![scene.starter, scene.keeper].into_iter().any(is_alive));
}

#[test]
fn nothing_outlives_the_daemon() {
    const DAEMON: &str = "SIGLATCH_TEST_IS_DAEMON";
    if let Some(script) = std::env::var_os(DAEMON) {
        // The daemon: this very test, in a process of its own that is killed.
        let stage = Stage::of(&[crate::stage::program(script.as_ref())]);
        stage.order(0);
        println!("ordered");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    let folder = Folder::new();
    let mut daemon = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture", "deaths::nothing_outlives_the_daemon"])
        .env(DAEMON, folder.script(STUBBORN))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(daemon.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("ordered")));
    let pids = folder.pids("pids");
    let runner = parent(pids[0]);
    let (starter, keeper) = (parent(runner), parent(parent(runner)));
    assert_eq!(parent(keeper), daemon.id());
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    let began = Instant::now();
    let all = [pids, vec![runner, starter, keeper]].concat();
    wait_until("nothing is left", || !all.iter().any(|pid| is_alive(*pid)));
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[test]
fn an_order_never_waits() {
    let folder = Folder::new();
    let mut stage = Stage::of(&[folder.program("true"), folder.program(PATIENT)]);
    let scene = Scene::play_at(&stage, &folder, 1);
    kill(scene.starter, Signal::STOP);
    let began = Instant::now();
    let mut ordered = Vec::new();
    let refused = loop {
        let job = job(0);
        match stage.starter.run(&job) {
            Ok(()) => ordered.push(job.id),
            Err(why) => break why,
        }
    };
    assert_eq!(refused, NotStarted::System(libc::EAGAIN));
    assert!(ordered.len() >= 64 && began.elapsed() < Duration::from_secs(1), "{} {:?}", ordered.len(), began.elapsed());
    kill(scene.starter, Signal::CONT);
    for job in ordered {
        assert_eq!(stage.end_of(job).how, How::Exited(0));
    }
}

#[test]
fn each_kind_of_process_has_a_name() {
    let folder = Folder::new();
    let stage = Stage::of_script(&folder, PATIENT);
    let scene = Scene::play(&stage, &folder);
    let names = [scene.keeper, scene.starter, scene.runner].map(name);
    assert_eq!(names, ["siglatch-keeper", "siglatch-start", "siglatch-runner"]);
}

#[test]
fn the_hidden_mode_is_nobody_elses() {
    let daemon = env!("CARGO_BIN_EXE_siglatch-user");
    let by_hand = Command::new(daemon).arg("--start-programs").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8(by_hand.stderr).unwrap();
    assert!(by_hand.status.code() == Some(1) && said.contains("the daemon's own"), "{said}");
    let help = Command::new(daemon).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("start-programs"));
    let mut other = Command::new(daemon).args(["--check", "--start-programs"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    other.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(other.wait().unwrap().code() == Some(64) && said.contains("unexpected argument"), "{said}");
}

/// A run under way, and the processes around it.
struct Scene {
    job: siglatch_user::gate::JobId,
    /// The program and what it has started.
    program: Vec<u32>,
    runner: u32,
    starter: u32,
    keeper: u32,
}

impl Scene {
    fn play(stage: &Stage, folder: &Folder) -> Self {
        Self::play_at(stage, folder, 0)
    }

    fn play_at(stage: &Stage, folder: &Folder, program: u16) -> Self {
        let _ = std::fs::remove_file(folder.path("pids"));
        let job = stage.order(program);
        let program = folder.pids("pids");
        let runner = parent(program[0]);
        let starter = parent(runner);
        Self { job, program, runner, starter, keeper: parent(starter) }
    }

    fn assert_gone(&self) {
        assert!(self.program.len() == 3 && !self.program.iter().any(|pid| is_alive(*pid)), "{:?}", self.program);
        // It lets go of the socket a moment before it is gone itself.
        wait_until("the runner is gone", || !is_alive(self.runner));
    }
}

/// Does not end on its own, nor when asked to; neither does what it starts, in sessions of their own and orphaned.
/// Tells all their numbers, its own first.
const STUBBORN: &str = "trap '' TERM HUP INT
one=$(setsid sh -c 'sleep 1000 > /dev/null 2>&1 & echo $!')
two=$(setsid sh -c 'trap \"\" TERM; (while :; do sleep 1; done) > /dev/null 2>&1 & echo $!')
echo $$ $one $two > FOLDER/new
mv FOLDER/new FOLDER/pids
while :; do sleep 1; done";

/// Ends when asked to.
const PATIENT: &str = "echo $$ > FOLDER/pids; exec sleep 1000";
