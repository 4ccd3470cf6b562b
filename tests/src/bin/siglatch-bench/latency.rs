//! From a knock to an open port, beside the three operations that nothing can do without, one after the other each
//! time. Never counts a knock whose port was not closed before.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use siglatch_common::wire::v1::SEALED_LEN;
use siglatch_tests::probe::{self, Probe};
use siglatch_user::keys::ServerKey;

use crate::bed::{Bed, KNOCKS, PROTECTED};
use crate::figures::{Figure, Target, median, quantile};
use crate::floor::{SetWriter, key_operation};
use crate::letters::server_key;

/// All measurements of one kind, in microseconds.
#[derive(Default)]
struct Samples {
    opening: Vec<f64>,
    key: Vec<f64>,
    write: Vec<f64>,
    connect: Vec<f64>,
}

/// How long a knock takes to open the port to an address that it was closed to. For a thread of the neighbour's.
pub(crate) fn opening(from: IpAddr, letter: &[u8; SEALED_LEN]) -> Result<Duration> {
    let socket = UdpSocket::bind(SocketAddr::new(from, 0))?;
    socket.connect(KNOCKS)?;
    ensure!(!Probe::new(from, PROTECTED).opens_within(CLOSED_FOR)?, "the port was open to {from} before the knock");
    thread::sleep(REST);

    let mut probe = Probe::new(from, PROTECTED);
    let begin = Instant::now();
    socket.send(letter)?;
    let opened = probe.opens_within(PATIENCE)?;
    let took = begin.elapsed();
    ensure!(opened, "the port did not open to {from} within {PATIENCE:?}");
    Ok(took)
}

/// Knocks so many times, each time from another address, beginning with number `first`.
pub(crate) fn figures(bed: &Bed, first: u32, knocks: u32) -> Result<Vec<Figure>> {
    let key = server_key(&bed.server_key_file())?;
    let mut writer = bed.writer()?;
    let letters = writer.knocks(knocks as usize)?;
    let mut set = SetWriter::open()?;
    let samples = bed.street.outside.within(|| -> Result<Samples> {
        rustix::thread::set_current_timer_slack(std::num::NonZero::new(1))?;
        // The first operation of a thread and the first write are dearer than all that follow.
        key_operation(&key, &letters[0])?;
        set.write()?;
        let mut samples = Samples::default();
        for (number, letter) in (first..).zip(&letters) {
            samples.take(Bed::source(number), letter, &key, &mut set)?;
        }
        Ok(samples)
    })??;
    Ok(samples.figures())
}

impl Samples {
    fn take(&mut self, from: IpAddr, letter: &[u8; SEALED_LEN], key: &ServerKey, set: &mut SetWriter) -> Result<()> {
        self.opening.push(micros(opening(from, letter)?));

        for (samples, operation) in [
            (&mut self.key, &mut || key_operation(key, letter) as Result<Duration>),
            (&mut self.write, &mut || set.write()),
            (&mut self.connect, &mut || probe::connect(from, PROTECTED)),
        ] as [(&mut Vec<f64>, &mut dyn FnMut() -> Result<Duration>); 3]
        {
            samples.push(micros(operation()?));
        }
        Ok(())
    }

    fn figures(self) -> Vec<Figure> {
        let Self { opening, key, write, connect } = self;
        let parts = [key, write, connect].map(median);
        let floor = parts.iter().sum();
        let figure = |name: &str, value, target| Figure { name: name.into(), value, unit: "us", floor, target };
        let [key, write, connect] = parts;
        vec![
            figure("knock_to_open_p50", median(opening.clone()), Some(Target::RatioAtMost(3.0))),
            figure("knock_to_open_p90", quantile(opening, 0.9), None),
            figure("knock_to_open.key_operation", key, None),
            figure("knock_to_open.set_write", write, None),
            figure("knock_to_open.tcp_connect", connect, None),
        ]
    }
}

pub(crate) fn micros(span: Duration) -> f64 {
    span.as_secs_f64() * 1e6
}

/// Some probes find the port closed before each knock.
const CLOSED_FOR: Duration = Duration::from_millis(1);
/// Before each knock, so that the attempts before it are over.
const REST: Duration = Duration::from_millis(3);
const PATIENCE: Duration = Duration::from_millis(500);
