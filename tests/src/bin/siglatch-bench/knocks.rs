//! How many knocks a second one gateway admits without losing any, beside what the bare private-key operations of as
//! many threads would allow, in turns. Never believes the sender: every grant is counted in the kernel's set.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use siglatch_tests::packet::Frame;
use siglatch_tests::probe::Probe;
use siglatch_user::edge::xdp::Gauge;
use socket2::{Domain, Protocol, Socket, Type};

use crate::bed::{Bed, KNOCKS, PROTECTED};
use crate::figures::{Figure, Target, median};
use crate::floor::key_operations_a_second;
use crate::letters::{Writer, server_key};

/// Sends `rounds` times `count` knocks, each from another address, beginning with number `first`.
pub(crate) fn figure(bed: &Bed, first: u32, count: u32, rounds: u32) -> Result<Figure> {
    let key = server_key(&bed.server_key_file())?;
    let threads = thread::available_parallelism()?.get();
    let mut writer = bed.writer()?;
    let (mut rates, mut floors) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let sample = writer.knock()?;
        floors.push(key_operations_a_second(&key, &sample, threads, FLOOR_SPAN)?);

        rates.push(rate(bed, &mut writer, first + round * count..first + (round + 1) * count)?);
    }
    Ok(Figure {
        name: "knocks_per_second".into(),
        value: median(rates),
        unit: "knocks/s",
        floor: median(floors),
        target: Some(Target::RatioAtLeast(0.85)),
    })
}

/// Knocks admitted in a second, one from each of these addresses. None may be lost.
pub(crate) fn rate(bed: &Bed, writer: &mut Writer, numbers: Range<u32>) -> Result<f64> {
    let letters = writer.knocks(numbers.len())?;
    let packets: Vec<Vec<u8>> =
        numbers.clone().zip(&letters).map(|(number, letter)| packet(Bed::source(number), letter)).collect();
    let before = bed.grants()?;
    let last = Bed::source(numbers.end - 1);
    let took = bed.street.outside.within(|| send_all(&packets, last, &bed.pin("lane_unknown")))??;
    thread::sleep(SETTLE);
    let (admitted, count) = (bed.grants()? - before, packets.len());
    ensure!(admitted == count, "{admitted} of {count} knocks were admitted");
    Ok(count as f64 / took.as_secs_f64())
}

/// Keeps the daemon's ring from running empty and from running over. Ends when the last knock has opened the port.
fn send_all(packets: &[Vec<u8>], last: IpAddr, ring: &Path) -> Result<Duration> {
    let ring = MapData::from_pin(ring).with_context(|| ring.display().to_string())?;
    let gauge = Gauge::new(ring.fd().as_fd())?;
    let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)))?;
    let to = SocketAddr::new(KNOCKS.ip(), 0).into();
    let begin = Instant::now();
    for batch in packets.chunks(BATCH) {
        while gauge.waiting() > ENOUGH {
            thread::sleep(PACE);
        }
        for packet in batch {
            socket.send_to(packet, &to).context("cannot send")?;
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while gauge.waiting() > 0 {
        ensure!(Instant::now() < deadline, "{} knocks still wait in the ring", gauge.waiting());
        thread::sleep(Duration::from_millis(1));
    }
    let opened = Probe::new(last, PROTECTED).opens_within(PATIENCE)?;
    let took = begin.elapsed();
    ensure!(opened, "the last of {} knocks has opened nothing", packets.len());
    Ok(took)
}

/// The IP packet that carries a knock.
fn packet(from: IpAddr, letter: &[u8]) -> Vec<u8> {
    let built = Frame::udp(SocketAddr::new(from, SOURCE_PORT), KNOCKS, letter).build();
    built.bytes[built.ip_at..].to_vec()
}

const SOURCE_PORT: u16 = 40_000;
const FLOOR_SPAN: Duration = Duration::from_millis(500);
const BATCH: usize = 32;
/// Of some 860 places in the ring: a tenth of a second's work.
const ENOUGH: usize = 300;
const PACE: Duration = Duration::from_millis(5);
const PATIENCE: Duration = Duration::from_secs(2);
/// For those that two threads have finished in another order than they came.
const SETTLE: Duration = Duration::from_millis(50);
