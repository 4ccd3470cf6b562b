//! How many honest knocks are honoured while a flood is at its height, by siglatch with and without XDP, and by fwknop.
//! Never lets the flood out of its namespaces.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::flood::{Flood, Junk, Limits};
use siglatch_tests::netns::{DOOR, Street};

use super::field::{Field, Ingress};
use super::fwknop::Fwknop;
use super::visitors::{Tally, Visitor, Who, visit};
use crate::bed;
use crate::figures::{Figure, Target, median};

/// What a flood is made of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    WrongLength,
    OneSource,
    Forged,
    Replay,
}

/// Which port it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Port {
    Sealed,
    Stamped,
}

/// What was measured, by name: shares, and frames a second.
#[derive(Default)]
struct Book(BTreeMap<String, Vec<f64>>);

/// Floods everybody with everything, so many times.
pub(super) fn figures(rounds: u32, with_fwknop: bool) -> Result<Vec<Figure>> {
    let mut book = Book::default();
    for _ in 0..rounds {
        for kind in Kind::ALL {
            for (ingress, whose) in [(Ingress::Xdp, "flood"), (Ingress::Socket, "flood.socket")] {
                let prefix = format!("{whose}.{}", kind.label());
                for port in [Port::Sealed, Port::Stamped] {
                    siglatch(&mut book, &prefix, ingress, kind, port)?;
                }
            }
            if with_fwknop {
                fwknop(&mut book, kind)?;
            }
        }
    }
    Ok(book.figures())
}

fn siglatch(book: &mut Book, prefix: &str, ingress: Ingress, kind: Kind, port: Port) -> Result<()> {
    let mut field = Field::new(ingress)?;
    let captured = field.captured(port == Port::Stamped)?;
    let (visitors, pace, number, length) = match port {
        Port::Sealed => {
            field.introduce(KNOCKS)?;
            (field.visitors(&[Who::Known, Who::FirstTime], KNOCKS)?, PACE / 2, bed::KNOCKS.port(), 256)
        }
        Port::Stamped => (field.visitors(&[Who::Stamped], KNOCKS)?, PACE, bed::STAMPED_KNOCKS.port(), 264),
    };
    let junk = match kind {
        Kind::WrongLength => Junk::wrong_length().at(number),
        Kind::OneSource => Junk::one_source().at(number).long(length),
        Kind::Forged => Junk::forged().at(number).long(length),
        Kind::Replay => Junk::replay(&captured).at(number),
    };
    let (tally, sent) = meanwhile(&field.bed.street, &junk, &visitors, pace).context(prefix.to_owned())?;
    for who in Who::ALL {
        if let Some(share) = tally.share(who) {
            book.note(format!("{prefix}.{}.honoured", who.label()), share);
        }
    }
    let port = if port == Port::Sealed { "sealed" } else { "stamped" };
    book.note_flood(&format!("{prefix}.{port}"), sent);
    Ok(())
}

fn fwknop(book: &mut Book, kind: Kind) -> Result<()> {
    let fwknop = Fwknop::new()?;
    let captured = fwknop.captured()?;
    let visitors = fwknop.visitors(KNOCKS)?;
    let junk = match kind {
        Kind::WrongLength => Junk::wrong_length(),
        Kind::OneSource => Junk::one_source(),
        Kind::Forged => Junk::forged(),
        Kind::Replay => Junk::replay(&captured),
    };
    let prefix = format!("flood.fwknop.{}", kind.label());
    let (tally, sent) = meanwhile(fwknop.street(), &junk, &visitors, PACE).context(prefix.clone())?;
    book.note(format!("{prefix}.honoured"), tally.share(Who::FirstTime).unwrap_or_default());
    book.note_flood(&prefix, sent);
    Ok(())
}

/// A flood as it was: frames a second, and the share of them that the cable lost.
struct Height {
    rate: f64,
    lost: f64,
}

/// Lets everybody knock during a flood; returns who got in.
fn meanwhile(street: &Street, junk: &Junk, visitors: &[Visitor], pace: Duration) -> Result<(Tally, Height)> {
    let before = street.lost()?;
    let flood = Flood::start(&street.outside, DOOR, junk, Limits::time(LONGEST))?;
    thread::sleep(RISE);
    let tally = visit(&street.outside, visitors, pace)?;
    ensure!(flood.is_under_way(), "the flood was over before the last knock");
    let sent = flood.stop()?;
    let lost = (street.lost()? - before) as f64 / sent.frames as f64;
    Ok((tally, Height { rate: sent.rate(), lost }))
}

impl Kind {
    const ALL: [Self; 4] = [Self::WrongLength, Self::OneSource, Self::Forged, Self::Replay];

    /// The name in figures.
    const fn label(self) -> &'static str {
        match self {
            Self::WrongLength => "wrong_length",
            Self::OneSource => "one_source",
            Self::Forged => "forged",
            Self::Replay => "replay",
        }
    }
}

impl Book {
    fn note(&mut self, name: String, value: f64) {
        self.0.entry(name).or_default().push(value);
    }

    fn note_flood(&mut self, prefix: &str, Height { rate, lost }: Height) {
        self.note(format!("{prefix}.rate"), rate);
        self.note(format!("{prefix}.lost"), lost);
    }

    fn of(&self, name: &str) -> Option<f64> {
        self.0.get(name).cloned().map(median)
    }

    fn figures(&self) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (name, values) in &self.0 {
            let value = median(values.clone());
            if name.ends_with(".rate") {
                figures.push(Figure { name: name.clone(), value, unit: "packets/s", floor: value, target: None });
            } else if name.ends_with(".lost") {
                figures.push(Figure { name: name.clone(), value, unit: "share", floor: 1.0, target: None });
            } else {
                let target = promised(name).then_some(Target::RatioAtLeast(1.0));
                figures.push(Figure { name: name.clone(), value, unit: "share", floor: 1.0, target });
            }
        }
        for kind in Kind::ALL.map(Kind::label) {
            let ours = self.of(&format!("flood.{kind}.known.honoured"));
            if let (Some(value), Some(theirs)) = (ours, self.of(&format!("flood.fwknop.{kind}.honoured"))) {
                let name = format!("flood.{kind}.known.fwknop");
                // None of a hundred stands for less than one.
                let (floor, target) = (theirs.max(0.5 / f64::from(KNOCKS)), Some(Target::RatioAtLeast(20.0)));
                figures.push(Figure { name, value, unit: "share", floor, target });
            }
        }
        figures
    }
}

/// Whether everybody gets in: whoever is known or has a stamp in every flood, others where none forges his address.
fn promised(name: &str) -> bool {
    let others = ["flood.wrong_length.first_time.", "flood.one_source.first_time."];
    let is_ours = Kind::ALL.iter().any(|kind| name.starts_with(&format!("flood.{}.", kind.label())));
    is_ours
        && (name.contains(".known.") || name.contains(".stamped.") || others.iter().any(|other| name.contains(other)))
}

/// Of each kind of visitor, in each flood.
const KNOCKS: u32 = 100;
/// Between two visitors of the same kind.
const PACE: Duration = Duration::from_millis(100);
/// Before the first visitor, so that queues and tables are as full as they become.
const RISE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
