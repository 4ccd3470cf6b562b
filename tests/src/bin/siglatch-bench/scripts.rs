//! From a knock to the first instruction of the program that it starts, beside the judgement of the same knock and a bare
//! spawn of the same program. Never counts what the program does then.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use siglatch_common::wire::v1::{ActionId, SEALED_LEN};
use siglatch_user::edge::clock;

use crate::bed::{Bed, KNOCKS, Terms};
use crate::clockmaker::Clockmaker;
use crate::figures::{Figure, Target, median, quantile};
use crate::latency::micros;

/// All measurements of one kind, in microseconds.
#[derive(Default)]
struct Samples {
    whole: Vec<f64>,
    judgement: Vec<f64>,
    start: Vec<f64>,
    spawn: Vec<f64>,
}

/// One knock, by the clock that counts from boot.
struct Visit {
    source: IpAddr,
    sent: Duration,
    began: Duration,
    spawn: Duration,
}

/// The whole and its parts; nothing on machines that the program is not written for.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    if !Clockmaker::RUNS_HERE {
        return Ok(Vec::new());
    }
    let clockmaker = Clockmaker::new()?;
    let bed = Bed::build()?;
    let more = format!(
        "{}\n[action.tell]\nid = {}\nusers = \"all\"\nexec = {:?}\nrun_as = \"nobody\"\n",
        Terms::WITHOUT_LIMITS.more,
        TELL.0,
        clockmaker.command()
    );
    let daemon = bed.start(USERS, Terms { more: &more, ..Terms::WITHOUT_LIMITS })?;
    let mut writer = bed.writer()?;
    let letters = (0..WARM_UP + ROUNDS).map(|_| writer.knock_for(TELL)).collect::<Result<Vec<_>>>()?;
    let visits = bed.street.outside.within(|| -> Result<Vec<Visit>> {
        (0..).map(Bed::source).zip(&letters).map(|(from, letter)| visit(from, letter, &clockmaker)).collect()
    })??;
    daemon.stop()?;
    Ok(Samples::of(&visits[WARM_UP..], &judged(&bed)?)?.figures())
}

fn visit(source: IpAddr, letter: &[u8; SEALED_LEN], clockmaker: &Clockmaker) -> Result<Visit> {
    let socket = UdpSocket::bind((source, 0))?;
    socket.connect(KNOCKS)?;
    let sent = clock::boot();
    socket.send(letter)?;
    let began = clockmaker.told().with_context(|| format!("after the knock of {source}"))?;
    // The daemon writes down how it ended.
    thread::sleep(REST);
    let spawn = clockmaker.spawn()?;
    thread::sleep(REST);
    Ok(Visit { source, sent: Duration::from_nanos(sent.as_nanos()), began, spawn })
}

/// When each knock was judged: its record in the audit log is stamped before anything comes of it.
fn judged(bed: &Bed) -> Result<HashMap<String, Duration>> {
    let stamp = |record: serde_json::Value| {
        let (source, boot) = (record["source"].as_str()?.to_owned(), record["boot"].as_u64()?);
        Some((source, Duration::from_nanos(boot)))
    };
    bed.audited("knock")?.into_iter().map(|record| stamp(record).context("a record has no source or time")).collect()
}

impl Samples {
    fn of(visits: &[Visit], judged: &HashMap<String, Duration>) -> Result<Self> {
        let mut samples = Self::default();
        for Visit { source, sent, began, spawn } in visits {
            let judged = judged.get(&source.to_string()).with_context(|| format!("no record of {source}"))?;
            samples.whole.push(micros(began.saturating_sub(*sent)));
            samples.judgement.push(micros(judged.saturating_sub(*sent)));
            samples.start.push(micros(began.saturating_sub(*judged)));
            samples.spawn.push(micros(*spawn));
        }
        Ok(samples)
    }

    fn figures(self) -> Vec<Figure> {
        let Self { whole, judgement, start, spawn } = self;
        let (judgement, spawn_p50, spawn_p90) = (median(judgement), median(spawn.clone()), quantile(spawn, 0.9));
        let floor = judgement + spawn_p50;
        let figure = |name: &str, value, floor, target| Figure { name: name.into(), value, unit: "us", floor, target };
        vec![
            figure("knock_to_script_p50", median(whole.clone()), floor, None),
            figure("knock_to_script_p90", quantile(whole, 0.9), floor, None),
            figure("knock_to_script.judgement", judgement, floor, None),
            figure("knock_to_script.start_p50", median(start.clone()), spawn_p50, Some(Target::ValueAtMost(ABOVE_MAX))),
            figure("knock_to_script.start_p90", quantile(start, 0.9), spawn_p90, None),
        ]
    }
}

const TELL: ActionId = ActionId(30);
const USERS: u16 = 1000;
const WARM_UP: usize = 10;
const ROUNDS: usize = 300;
const REST: Duration = Duration::from_millis(5);
/// What may lie between the judgement and the first instruction, in microseconds.
const ABOVE_MAX: f64 = 2000.0;
