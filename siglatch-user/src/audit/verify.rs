//! Whether a log is as it was written: lines of files in, findings out. Never opens a file.
//!
//! Finds an edit, a gap, lines in another order, a line that was replaced together with its hash, a torn line, and, with
//! the head, a cut end. What files were removed by the log itself is told in its records.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::chain::{Flaw, Link, Sealed};

/// Reads a log, oldest file first, line by line.
#[derive(Debug)]
pub struct Verifier {
    head: Option<Link>,
    file: String,
    line: u64,
    /// The record with the highest number so far; its hash, if it is sure.
    last: Option<(u64, Option<super::Hash>)>,
    first: Option<u64>,
    /// Numbers that were left out, and have not turned up yet: the place where each run of them was noticed.
    lacking: Vec<Lacking>,
    /// How the first file begins, and what records say was taken away.
    beginning: Beginning,
    report: Report,
}

/// What was found.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Report {
    /// Whether nothing speaks against the log.
    pub sound: bool,
    /// Records that are as they were written.
    pub records: u64,
    /// Number of the first record.
    pub first: Option<u64>,
    /// Number of the last.
    pub last: Option<u64>,
    /// Records that were never written, as the log itself says.
    pub lost: u64,
    /// What was found; at most [`Report::MAX`].
    pub findings: Vec<Finding>,
    /// What was found beyond that.
    pub more: u64,
}

/// One thing that was found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The file; empty if it is about all of them.
    pub file: String,
    /// The line there, from 1; 0 if it is about none.
    pub line: u64,
    /// Whether it speaks against the log, or is only to be known.
    pub is_error: bool,
    /// What.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What can be found.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Kind {
    /// A record was changed.
    Edited {
        /// The number that it says it has.
        seq: u64,
    },
    /// A record was changed together with its hash: that, or the one after it.
    Replaced {
        /// The first of both.
        seq: u64,
    },
    /// A line is no record.
    NotARecord,
    /// A record is of a version that this program does not know.
    Version {
        /// Which.
        version: u32,
    },
    /// Records are not there.
    Gap {
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A record stands behind a later one, or twice.
    OutOfOrder {
        /// Its number.
        seq: u64,
        /// The number of the one before.
        after: u64,
    },
    /// A line has no end, though others follow.
    Torn,
    /// The last line has no end: the daemon was killed, or is writing it.
    TornEnd,
    /// Records were written, as the head says, and are not there.
    CutEnd {
        /// The first of them.
        from: u64,
        /// The last.
        to: u64,
    },
    /// The head says another hash for this record.
    NotTheHead {
        /// Which.
        seq: u64,
    },
    /// There is no head: a cut end is not found.
    NoHead,
    /// The oldest records are not there, and no record says that they were removed.
    NoBeginning {
        /// The first that is there.
        first: u64,
    },
    /// The log itself has removed its oldest files.
    Removed {
        /// The last record of those.
        to: u64,
    },
    /// Somebody else has moved the oldest files away: logrotate, for example.
    MovedAway {
        /// The last record of those.
        to: u64,
    },
    /// Records were lost before they were written: there was no room for them, or the disk took none.
    Lost {
        /// How many.
        records: u64,
    },
}

#[derive(Debug)]
struct Lacking {
    file: String,
    line: u64,
    from: u64,
    to: u64,
}

#[derive(Debug, Default)]
struct Beginning {
    /// The log's first record says that the one before was moved away.
    moved: Option<u64>,
    /// No record up to this one is kept any more, as records say.
    removed: u64,
}

/// The fields of records that say something about the log itself.
#[derive(Deserialize)]
struct Told<'a> {
    event: &'a str,
    #[serde(default)]
    why: Option<&'a str>,
    #[serde(default)]
    last: u64,
    #[serde(default)]
    removed_to: u64,
    #[serde(default)]
    records: u64,
}

impl Verifier {
    /// Begins with the head, which must be read before any line is.
    #[must_use]
    pub fn new(head: Option<Link>) -> Self {
        Self {
            head,
            file: String::new(),
            line: 0,
            last: None,
            first: None,
            lacking: Vec::new(),
            beginning: Beginning::default(),
            report: Report::default(),
        }
    }

    /// The lines that follow are of this file.
    pub fn begin_file(&mut self, name: &str) {
        name.clone_into(&mut self.file);
        self.line = 0;
    }

    /// Takes a line, without its end. `is_ended` says whether it has one; `is_last`, whether no other follows in the
    /// newest file.
    pub fn take(&mut self, line: &[u8], is_ended: bool, is_last: bool) {
        self.line += 1;
        if !is_ended {
            return self.find(if is_last { Kind::TornEnd } else { Kind::Torn });
        }
        match Sealed::read(line) {
            Ok(sealed) => {
                self.report.records += 1;
                self.follow(sealed);
                self.heed(line, sealed.link.seq);
            }
            Err(Flaw::Hash { seq }) => {
                self.find(Kind::Edited { seq });
                // What it says of itself may be the edit: the next line shows where it stood.
                let expected = self.expected();
                self.first.get_or_insert(expected.unwrap_or(seq));
                self.last = Some((expected.unwrap_or(seq), None));
            }
            Err(Flaw::Form) => {
                self.find(Kind::NotARecord);
                if let Some((_, hash)) = &mut self.last {
                    *hash = None;
                }
            }
            Err(Flaw::Version(version)) => {
                self.find(Kind::Version { version });
                let expected = self.expected();
                self.last = expected.map(|seq| (seq, None));
            }
        }
    }

    /// What was found, after the last line.
    #[must_use]
    pub fn finish(mut self) -> Report {
        for Lacking { file, line, from, to } in std::mem::take(&mut self.lacking) {
            self.push(Finding { file, line, is_error: true, kind: Kind::Gap { from, to } });
        }
        (self.file, self.line) = (String::new(), 0);
        if let Some(first) = self.first.filter(|first| *first > 1) {
            let before = first - 1;
            let kind = match self.beginning {
                Beginning { removed, .. } if removed >= before => Kind::Removed { to: before },
                Beginning { moved: Some(last), .. } if last == before => Kind::MovedAway { to: before },
                Beginning { .. } => Kind::NoBeginning { first },
            };
            self.find(kind);
        }
        let last = self.last.map_or(0, |(seq, _)| seq);
        match self.head {
            Some(head) if head.seq > last => self.find(Kind::CutEnd { from: last + 1, to: head.seq }),
            Some(_) => {}
            None => self.find(Kind::NoHead),
        }
        let mut report = self.report;
        report.findings.sort_by_key(|finding| !finding.is_error);
        report.sound = report.more == 0 && !report.findings.iter().any(|finding| finding.is_error);
        (report.first, report.last) = (self.first, self.last.map(|(seq, _)| seq));
        report
    }

    /// Puts a record, which is as it was written, behind the others.
    fn follow(&mut self, Sealed { link: Link { seq, hash }, prev }: Sealed) {
        if self.head.is_some_and(|head| head.seq == seq && head.hash != hash) {
            self.find(Kind::NotTheHead { seq });
        }
        self.first.get_or_insert(seq);
        let Some((last, last_hash)) = self.last else {
            self.last = Some((seq, Some(hash)));
            return;
        };
        match seq.cmp(&(last + 1)) {
            std::cmp::Ordering::Equal => {
                if last_hash.is_some_and(|last_hash| last_hash != prev) {
                    self.find(Kind::Replaced { seq: last });
                }
            }
            std::cmp::Ordering::Greater => {
                let (file, line) = (self.file.clone(), self.line);
                self.lacking.push(Lacking { file, line, from: last + 1, to: seq - 1 });
            }
            std::cmp::Ordering::Less => {
                self.find(Kind::OutOfOrder { seq, after: last });
                self.turned_up(seq);
                return;
            }
        }
        self.last = Some((seq, Some(hash)));
    }

    /// A record that was lacking is there after all.
    fn turned_up(&mut self, seq: u64) {
        let Some(place) = self.lacking.iter().position(|lacking| (lacking.from..=lacking.to).contains(&seq)) else {
            return;
        };
        let Lacking { file, line, from, to } = self.lacking.remove(place);
        let halves = [(from, seq.saturating_sub(1)), (seq + 1, to)].into_iter().filter(|(from, to)| from <= to);
        for (from, to) in halves {
            self.lacking.push(Lacking { file: file.clone(), line, from, to });
        }
    }

    /// What a record says about the log.
    fn heed(&mut self, line: &[u8], seq: u64) {
        let Ok(told) = serde_json::from_slice::<Told<'_>>(line) else {
            return;
        };
        if told.event == "rotated" {
            self.beginning.removed = self.beginning.removed.max(told.removed_to);
            if told.why == Some("moved") && self.first == Some(seq) {
                self.beginning.moved = Some(told.last);
            }
        }
        if told.event == "lost" {
            self.report.lost += told.records;
            self.find(Kind::Lost { records: told.records });
        }
    }

    fn expected(&self) -> Option<u64> {
        self.last.map(|(last, _)| last + 1)
    }

    fn find(&mut self, kind: Kind) {
        let finding = Finding { file: self.file.clone(), line: self.line, is_error: kind.is_error(), kind };
        self.push(finding);
    }

    fn push(&mut self, finding: Finding) {
        if self.report.findings.len() < Report::MAX {
            self.report.findings.push(finding);
        } else {
            self.report.more += u64::from(finding.is_error);
        }
    }
}

impl Report {
    /// More are counted only.
    pub const MAX: usize = 1000;
}

impl Kind {
    /// Whether it speaks against the log.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        match self {
            Self::Edited { .. }
            | Self::Replaced { .. }
            | Self::NotARecord
            | Self::Version { .. }
            | Self::Gap { .. }
            | Self::OutOfOrder { .. }
            | Self::Torn
            | Self::CutEnd { .. }
            | Self::NotTheHead { .. }
            | Self::NoBeginning { .. } => true,
            Self::TornEnd | Self::NoHead | Self::Removed { .. } | Self::MovedAway { .. } | Self::Lost { .. } => false,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Edited { seq } => write!(f, "record {seq} was changed"),
            Self::Replaced { seq } => write!(f, "record {seq} or the one after it was replaced, hash and all"),
            Self::NotARecord => write!(f, "this is no record"),
            Self::Version { version } => write!(f, "a record of version {version}, which this program does not know"),
            Self::Gap { from, to } => write!(f, "{} not there", records(*from, *to)),
            Self::OutOfOrder { seq, after } => write!(f, "record {seq} stands behind record {after}"),
            Self::Torn => write!(f, "a line without an end"),
            Self::TornEnd => write!(f, "the last line has no end: the daemon was killed, or is writing it"),
            Self::CutEnd { from, to } => {
                write!(f, "the end was cut: {} not there, and the head says that they were", records(*from, *to))
            }
            Self::NotTheHead { seq } => write!(f, "record {seq} is not the one whose hash the head has"),
            Self::NoHead => write!(f, "there is no head file: a cut end would not be found"),
            Self::NoBeginning { first } => {
                write!(f, "{} not there, and no record says that they were removed", records(1, first - 1))
            }
            Self::Removed { to } => write!(f, "records up to {to} were removed by the log's own rotation"),
            Self::MovedAway { to } => write!(f, "records up to {to} were moved away by somebody else (logrotate?)"),
            Self::Lost { records } => write!(f, "{records} records were lost before they were written, and it says so"),
        }
    }
}

fn records(from: u64, to: u64) -> String {
    if from == to { format!("record {from} is") } else { format!("records {from} to {to} are") }
}

#[cfg(test)]
mod tests;
