//! From a knock to an open port while another action's programs hang, all that may run and all that may wait, beside a
//! gateway where none was asked for; and beside a third like the second, which shows what is noise. Never believes
//! that they hang: before and after, one more is refused.

use std::net::{IpAddr, UdpSocket};
use std::num::NonZero;

use anyhow::{Result, ensure};
use siglatch_common::wire::v1::ActionId;
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::script::Scripts;

use crate::bed::{Bed, Daemon, KNOCKS, Terms};
use crate::figures::{Figure, Target, median, quantile};
use crate::latency::{micros, opening};
use crate::letters::Writer;

/// One gateway, and what each turn there has come to.
struct Side {
    bed: Bed,
    daemon: Daemon,
    writer: Writer,
    medians: Vec<f64>,
    tails: Vec<f64>,
    /// Addresses that have knocked.
    used: u32,
}

/// The middle turn's p50 and p99, and what the same differ by where nothing hangs.
pub(crate) fn figures() -> Result<Vec<Figure>> {
    let scripts = Scripts::new()?;
    let hang = scripts.write("hang", "trap '' TERM; while :; do sleep 60; done")?;
    let mut sides = [Side::new(&hang)?, Side::new(&hang)?, Side::new(&hang)?];
    sides[HANGING].fill()?;
    for turn in 0..TURNS {
        for place in 0..sides.len() {
            let order = (turn + place) % sides.len();
            sides[order].take()?;
        }
    }
    sides[HANGING].is_full(2)?;
    let [hanging, calm, other] = sides.map(Side::end);
    let ((p50, p99), (calm_p50, calm_p99), (other_p50, other_p99)) = (hanging?, calm?, other?);
    let noise = NOISE_LEAST.max(other_p99 / calm_p99).max(calm_p99 / other_p99);
    let target = Some(Target::RatioAtMost((noise * 100.0).ceil() / 100.0));
    let figure = |name: &str, value, floor, target| Figure { name: name.into(), value, unit: "us", floor, target };
    Ok(vec![
        figure("hanging.knock_to_open_p50", p50, calm_p50, None),
        figure("hanging.knock_to_open_p99", p99, calm_p99, target),
        figure("hanging.noise_p50", other_p50, calm_p50, None),
        figure("hanging.noise_p99", other_p99, calm_p99, None),
    ])
}

impl Side {
    fn new(hang: &str) -> Result<Self> {
        let bed = Bed::build()?;
        let more = format!(
            "{}\n[action.hang]\nid = {}\nusers = \"all\"\nexec = [\"{hang}\"]\nrun_as = \"nobody\"\ntime = \"1h\"\nat_once = \
             {AT_ONCE}\nqueue = {QUEUE}\n",
            Terms::WITHOUT_LIMITS.more,
            HANG.0
        );
        let daemon = bed.start(USERS, Terms { more: &more, ..Terms::WITHOUT_LIMITS })?;
        let writer = bed.writer()?;
        Ok(Self { bed, daemon, writer, medians: Vec::new(), tails: Vec::new(), used: 0 })
    }

    /// Asks for as many as may run and may wait, and for one more.
    fn fill(&mut self) -> Result<()> {
        for _ in 0..AT_ONCE + QUEUE {
            self.ask_to_hang()?;
        }
        let is_running = || self.bed.audited("exec_started").is_ok_and(|started| started.len() == AT_ONCE as usize);
        ensure!(wait_until(PATIENCE, is_running), "{AT_ONCE} programs do not hang: {}", self.bed.log()?);
        self.is_full(1)
    }

    /// Whether one more is refused, for the nth time.
    fn is_full(&mut self, refused: usize) -> Result<()> {
        self.ask_to_hang()?;
        let busy = || {
            Ok::<_, anyhow::Error>(self.bed.audited("knock")?.iter().filter(|knock| knock["reason"] == "busy").count())
        };
        ensure!(wait_until(PATIENCE, || busy().is_ok_and(|busy| busy == refused)), "refused as busy: {}", busy()?);
        Ok(())
    }

    fn ask_to_hang(&mut self) -> Result<()> {
        let (from, letter) = (self.newcomer(), self.writer.knock_for(HANG)?);
        self.bed.street.outside.within(|| UdpSocket::bind((from, 0))?.send_to(&letter, KNOCKS))??;
        Ok(())
    }

    fn take(&mut self) -> Result<()> {
        let letters = self.writer.knocks(KNOCKS_A_TURN)?;
        let visits: Vec<_> = letters.iter().map(|letter| (self.newcomer(), letter)).collect();
        let took = self.bed.street.outside.within(|| -> Result<Vec<f64>> {
            rustix::thread::set_current_timer_slack(NonZero::new(1))?;
            visits.into_iter().map(|(from, letter)| Ok(micros(opening(from, letter)?))).collect()
        })??;
        self.medians.push(median(took.clone()));
        self.tails.push(quantile(took, 0.99));
        Ok(())
    }

    fn newcomer(&mut self) -> IpAddr {
        self.used += 1;
        Bed::source(self.used)
    }

    fn end(self) -> Result<(f64, f64)> {
        self.daemon.stop()?;
        Ok((median(self.medians), median(self.tails)))
    }
}

const HANGING: usize = 0;
const HANG: ActionId = ActionId(30);
const AT_ONCE: u32 = 4;
const QUEUE: u32 = 16;
const USERS: u16 = 10;
const TURNS: usize = 12;
const KNOCKS_A_TURN: usize = 200;
/// Two gateways alike differ by so much on a quiet machine.
const NOISE_LEAST: f64 = 1.1;
