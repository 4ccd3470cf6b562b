//! How long it takes from the order to a program's first instruction, beside a bare spawn of the same program. Never
//! runs a daemon: the judgement before the order is measured elsewhere.

use std::env;
use std::fs::{self, Permissions};
use std::num::NonZeroUsize;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::time::{ClockId, Timespec, clock_gettime};
use siglatch_common::address::Address;
use siglatch_common::wire::v1::{ActionId, Payload, UserId};
use siglatch_tests::process::program;
use siglatch_user::edge::action::{Endings, News, Starter};
use siglatch_user::gate::{Call, Job, JobId, KnockId, Why};
use siglatch_user::policy::{Bounds, Program, ProgramId};

use crate::figures::{Figure, Target, quantile};

/// Prints the time, if this process was started for that: the program that is measured.
pub(crate) fn stamp_if_asked() -> bool {
    let now = monotonic();
    let asked = env::args_os().nth(1).is_some_and(|mode| mode == STAMP);
    if asked {
        println!("{}", now.as_nanos());
    }
    asked
}

/// Microseconds from the order to the first instruction, the middle and the tail.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    let folder = Folder::new()?;
    let clockmaker = folder.0.join("clockmaker");
    // Where it is may be others' to change; a copy is not.
    fs::copy(env::current_exe()?, &clockmaker)?;
    fs::set_permissions(&clockmaker, Permissions::from_mode(0o755))?;
    let (starter, mut endings) = Starter::begin(&program("siglatch-user")?, &[table_entry(&clockmaker)?], &[])?;
    let (mut ordered, mut spawned) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        let (order, spawn) = (order(&starter, &mut endings, JobId(round))?, spawn(&clockmaker)?);
        if round >= WARM_UP {
            ordered.push(order);
            spawned.push(spawn);
        }
    }
    starter.stop();
    endings.for_each(drop);
    let figure = |name: &str, share: f64| {
        let floor = quantile(spawned.clone(), share);
        let target = Some(Target::ValueAtMost((floor + ABOVE_MAX).round()));
        Figure { name: name.into(), value: quantile(ordered.clone(), share), unit: "us", floor, target }
    };
    Ok(vec![figure("program.first_instruction_p50", 0.5), figure("program.first_instruction_p90", 0.9)])
}

fn order(starter: &Starter, endings: &mut Endings, id: JobId) -> Result<f64> {
    let call = Call {
        knock: KnockId::new(1, 1),
        source: Address::v4([192, 0, 2, 1]),
        user: UserId(1),
        user_name: "user-1".into(),
        action: ActionId(1),
        action_name: "run".into(),
        sealed: true,
        payload: Payload::EMPTY,
    };
    let job = Job { id, program: ProgramId(0), why: Why::Knock, call };
    let begin = monotonic();
    starter.run(&job).map_err(|why| anyhow::anyhow!("the order is not taken: {}", why.label()))?;
    for news in endings {
        match news {
            News::Started(_) => {}
            News::Ended(_, ending) => {
                ensure!(ending.how.is_success(), "the program ended so: {ending:?}");
                return micros(begin, &ending.output);
            }
            News::Restarted | News::Gone(_) => bail!("the process that starts programs has died"),
        }
    }
    bail!("nobody tells how the program ended")
}

fn spawn(clockmaker: &Path) -> Result<f64> {
    let begin = monotonic();
    let child = Command::new(clockmaker).arg(STAMP).env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    micros(begin, &child.wait_with_output()?.stdout)
}

fn micros(begin: Duration, output: &[u8]) -> Result<f64> {
    let nanos = str::from_utf8(output)?.trim().parse().context("the program printed no time")?;
    let first = Duration::from_nanos(nanos);
    Ok(first.saturating_sub(begin).as_secs_f64() * 1e6)
}

fn table_entry(clockmaker: &Path) -> Result<Program> {
    let path = clockmaker.to_str().context("the folder for temporary files has no name in UTF-8")?;
    Ok(Program {
        name: "run".into(),
        command: vec![path.to_owned(), STAMP.to_owned()],
        run_as: "nobody".into(),
        run_groups: Vec::new(),
        folder: "/".into(),
        bounds: Bounds::DEFAULT,
        at_once: NonZeroUsize::MIN,
        queue: 0,
        on_failure: None,
    })
}

fn monotonic() -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    Duration::new(tv_sec.cast_unsigned(), u32::try_from(tv_nsec).unwrap_or(0))
}

/// Gone when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        let path = env::temp_dir().join(format!("siglatch-bench-{}", std::process::id()));
        fs::create_dir(&path).with_context(|| path.display().to_string())?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The hidden mode of this executable.
const STAMP: &str = "--stamp";

const WARM_UP: u64 = 20;
const ROUNDS: u64 = 300;

/// What containment may cost, in microseconds.
const ABOVE_MAX: f64 = 2000.0;
