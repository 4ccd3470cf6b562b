//! Admitted knocks a second with the audit log and without it, in turns, by two gateways that differ in nothing else.
//! Never believes a rate whose knocks are not all in the log.

use anyhow::{Result, ensure};

use crate::bed::{Bed, Daemon, Terms};
use crate::figures::{Figure, Target, median};
use crate::knocks;
use crate::letters::Writer;

/// One of the two gateways.
struct Side {
    bed: Bed,
    daemon: Daemon,
    writer: Writer,
    rates: Vec<f64>,
}

/// The rate with the log; its floor is the rate without.
pub(crate) fn figure() -> Result<Figure> {
    let (mut with, mut without) = (Side::new(true)?, Side::new(false)?);
    for turn in 0..WARM_UP + TURNS {
        // Whoever comes second finds another machine than whoever comes first: each is it as often.
        let order = if turn % 2 == 0 { [&mut with, &mut without] } else { [&mut without, &mut with] };
        order.into_iter().try_for_each(|side| side.take(turn))?;
    }
    let (with, without) = (with.end(Some(((WARM_UP + TURNS) * RUSH) as usize))?, without.end(None)?);
    let target = Some(Target::RatioAtLeast(0.95));
    Ok(Figure { name: "knocks_per_second.audited".into(), value: with, unit: "knocks/s", floor: without, target })
}

impl Side {
    fn new(audit: bool) -> Result<Self> {
        let bed = Bed::build()?;
        let daemon = bed.start(USERS, Terms { audit, ..Terms::WITHOUT_LIMITS })?;
        Ok(Self { writer: bed.writer()?, bed, daemon, rates: Vec::new() })
    }

    fn take(&mut self, turn: u32) -> Result<()> {
        let rate = knocks::rate(&self.bed, &mut self.writer, turn * RUSH..(turn + 1) * RUSH)?;
        if turn >= WARM_UP {
            self.rates.push(rate);
        }
        Ok(())
    }

    /// The middle rate, if the log, which is whole when the daemon has ended, has as many knocks as it must.
    fn end(self, audited: Option<usize>) -> Result<f64> {
        self.daemon.stop()?;
        let told = self.bed.audited("knock").ok().map(|records| records.len());
        ensure!(told == audited, "knocks in the audit log: {told:?}, not {audited:?}");
        Ok(median(self.rates))
    }
}

const USERS: u16 = 1000;
/// Half a second's work of each, so that whatever else the machine does meanwhile slows both.
const RUSH: u32 = 1500;
const WARM_UP: u32 = 1;
const TURNS: u32 = 16;
