//! How records hang together: each carries the SHA-256 over the one before, and its own. Never reads or writes a file.
//!
//! ```text
//! {"v":1,"seq":7,"time":"…","boot":…,"run":"…","event":"…",…,"prev":"<hash of record 6>","hash":"<hash of this>"}
//! ```
//!
//! A record's hash is over the bytes of its line before `,"hash":`. So whoever changes one must change all that follow,
//! and the head (`docs/audit.md`).

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use siglatch_common::units::Boot;
use thiserror::Error;

use super::Event;

/// The version of the schema.
pub const VERSION: u32 = 1;

/// A SHA-256 hash; 64 hex digits as a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Hash([u8; 32]);

/// A record's place in the chain, and its hash: all that the next one must know.
///
/// As a text, the contents of a head file: of one length, so that a new one always covers an old one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Link {
    /// Its number, from 1.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// When something happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Stamp {
    /// Microseconds since the Unix epoch.
    pub micros: i64,
    /// By the clock that nobody sets.
    pub boot: Boot,
}

/// The end of a chain, where records are added.
#[derive(Clone, Debug)]
pub struct Chain {
    last: Link,
    run: u32,
    event: Vec<u8>,
}

/// A line that is a record, as far as it says itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sealed {
    /// Its number and hash.
    pub link: Link,
    /// The hash of the one before.
    pub prev: Hash,
}

/// Why a line is no record, or not the one that was written.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Flaw {
    /// It does not look like one.
    #[error("it is no record")]
    Form,
    /// It is of another version of the schema.
    #[error("it is of version {0} of the schema; this program knows {VERSION}")]
    Version(u32),
    /// Its hash is another.
    #[error("it was changed: its hash is not that of its contents")]
    Hash {
        /// The number that it says it has.
        seq: u64,
    },
}

impl Hash {
    /// What the first record has before it.
    pub const NONE: Self = Self([0; 32]);

    fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl Link {
    /// Before the first record.
    pub const NONE: Self = Self { seq: 0, hash: Hash::NONE };
}

impl Chain {
    /// A chain that goes on behind a record, in a run of the daemon.
    #[must_use]
    pub const fn after(last: Link, run: u32) -> Self {
        Self { last, run, event: Vec::new() }
    }

    /// The last record.
    #[must_use]
    pub const fn last(&self) -> Link {
        self.last
    }

    /// Adds a record: its line, with its end, goes behind what is there.
    pub fn append(&mut self, event: &Event, at: Stamp, to: &mut Vec<u8>) {
        let start = to.len();
        let seq = self.last.seq + 1;
        let (time, boot, run) = (Time(at.micros), at.boot.as_nanos(), self.run);
        self.event.clear();
        serde_json::to_writer(&mut self.event, event).expect("events are made of texts and numbers");
        let fields = self.event.get(1..self.event.len().saturating_sub(1)).unwrap_or_default();
        put(
            to,
            format_args!("{{\"v\":{VERSION},\"seq\":{seq},\"time\":\"{time}\",\"boot\":{boot},\"run\":\"{run:08x}\","),
        );
        to.extend_from_slice(fields);
        put(to, format_args!(",\"prev\":\"{}\"", self.last.hash));
        let hash = Hash::of(to.get(start..).unwrap_or_default());
        put(to, format_args!("{HASH}{hash}\"}}\n"));
        self.last = Link { seq, hash };
    }
}

/// An event as observers are told it: a record's fields without those that chain it. One line, with its end.
#[must_use]
pub fn unchained(event: &Event, at: Stamp) -> String {
    let event = serde_json::to_string(event).expect("events are made of texts and numbers");
    let fields = event.get(1..).unwrap_or_default();
    format!("{{\"v\":{VERSION},\"time\":\"{}\",{fields}\n", Time(at.micros))
}

impl Sealed {
    /// What a line says, without its end, if it is what was written.
    ///
    /// # Errors
    /// [`Flaw`], if it is not.
    pub fn read(line: &[u8]) -> Result<Self, Flaw> {
        let claim: Claim<'_> = serde_json::from_slice(line).map_err(|_| Flaw::Form)?;
        if claim.v != VERSION {
            return Err(Flaw::Version(claim.v));
        }
        let changed = Flaw::Hash { seq: claim.seq };
        let prev = claim.prev.parse().map_err(|_| changed)?;
        let hash: Hash = claim.hash.parse().map_err(|_| changed)?;
        let end = line.len().checked_sub(HASH.len() + Hash::DIGITS + 2).ok_or(changed)?;
        let (contents, rest) = line.split_at_checked(end).ok_or(changed)?;
        // One record, one line: nothing may stand behind the hash, or in another way than it was written.
        let is_as_written = rest.starts_with(HASH.as_bytes()) && rest.ends_with(b"\"}");
        match is_as_written && Hash::of(contents) == hash {
            true => Ok(Self { link: Link { seq: claim.seq, hash }, prev }),
            false => Err(changed),
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; Self::DIGITS];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            let digit = |half: u8| if half < 10 { b'0' + half } else { b'a' + half - 10 };
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        f.write_str(str::from_utf8(&digits).unwrap_or_default())
    }
}

impl Hash {
    const DIGITS: usize = 64;
}

impl FromStr for Hash {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        let digits: &[u8; Self::DIGITS] = text.as_bytes().try_into().map_err(|_| Flaw::Form)?;
        let digit = |digit: u8| match digit {
            b'0'..=b'9' => Ok(digit - b'0'),
            b'a'..=b'f' => Ok(digit - b'a' + 10),
            _ => Err(Flaw::Form),
        };
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD} {:020} {}", self.seq, self.hash)
    }
}

impl FromStr for Link {
    type Err = Flaw;

    fn from_str(text: &str) -> Result<Self, Flaw> {
        let (seq, hash) = text
            .strip_prefix(HEAD)
            .and_then(|rest| rest.strip_prefix(' ')?.strip_suffix('\n')?.split_once(' '))
            .ok_or(Flaw::Form)?;
        Ok(Self { seq: seq.parse().map_err(|_| Flaw::Form)?, hash: hash.parse()? })
    }
}

/// A time as records tell it: RFC 3339, UTC, microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub i64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = Timestamp::from_microsecond(self.0).unwrap_or(Timestamp::UNIX_EPOCH);
        write!(f, "{time:.6}")
    }
}

/// What a line says that anybody could say.
#[derive(Deserialize)]
struct Claim<'a> {
    v: u32,
    seq: u64,
    prev: &'a str,
    hash: &'a str,
}

fn put(to: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    use std::io::Write as _;
    to.write_fmt(text).expect("memory takes everything");
}

const HASH: &str = ",\"hash\":\"";
const HEAD: &str = "siglatch-audit 1";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::samples;

    fn at(micros: i64) -> Stamp {
        Stamp { micros, boot: Boot::from_nanos(5) }
    }

    #[test]
    fn every_event_becomes_one_line_that_reads_back() {
        let mut chain = Chain::after(Link::NONE, 0xc0ff_ee00);
        let mut prev = Link::NONE;
        for event in samples::every() {
            let mut line = Vec::new();
            chain.append(&event, at(1_795_000_000_123_456), &mut line);
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'));
            let sealed = Sealed::read(&line).unwrap();
            assert_eq!((sealed.prev, sealed.link.seq), (prev.hash, prev.seq + 1));
            assert_eq!(sealed.link, chain.last());
            prev = sealed.link;
        }
    }

    #[test]
    fn a_record_looks_like_this() {
        let mut line = Vec::new();
        let mut chain = Chain::after(Link::NONE, 7);
        chain.append(&Event::Stop { why: "SIGTERM".to_owned() }, at(1_795_000_000_000_006), &mut line);
        let contents = "{\"v\":1,\"seq\":1,\"time\":\"2026-11-18T11:06:40.000006Z\",\"boot\":5,\"run\":\"00000007\",\
             \"event\":\"stop\",\"why\":\"SIGTERM\",\
             \"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"";
        let hash = Hash::of(contents.as_bytes());
        assert_eq!(String::from_utf8(line).unwrap(), format!("{contents},\"hash\":\"{hash}\"}}\n"));
    }

    #[test]
    fn no_byte_of_a_record_can_be_another() {
        let mut line = Vec::new();
        Chain::after(Link::NONE, 7).append(&samples::admitted(1), at(0), &mut line);
        line.pop();
        assert!(Sealed::read(&line).is_ok());
        for place in 0..line.len() {
            for other in [line[place] ^ 1, line[place] ^ 0x20, b' ', b'\t'] {
                let mut changed = line.clone();
                changed[place] = other;
                assert_eq!(Sealed::read(&changed).is_ok(), changed == line, "byte {place}");
            }
            assert!(Sealed::read(&line[..place]).is_err(), "cut at {place}");
        }
        for tail in [" ", "}", "{}"] {
            assert!(Sealed::read(&[&line, tail.as_bytes()].concat()).is_err());
        }
    }

    #[test]
    fn links_read_back_and_are_of_one_length() {
        let link = Link { seq: 42, hash: Hash::of(b"x") };
        assert_eq!(link.to_string().parse(), Ok(link));
        let longest = Link { seq: u64::MAX, hash: Hash::NONE };
        assert_eq!(longest.to_string().len(), link.to_string().len());
        for end in 0..link.to_string().len() {
            assert!(link.to_string()[..end].parse::<Link>().is_err(), "cut at {end}");
        }
        assert!(link.to_string().to_uppercase().parse::<Link>().is_err());
    }

    #[test]
    fn a_clock_before_the_epoch_or_set_back_still_gives_a_time() {
        assert_eq!(Time(-1).to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(Time(i64::MAX).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}
