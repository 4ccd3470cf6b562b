//! What the daemon and the process that starts programs say to each other, as bytes. Never sends or starts anything.
//!
//! One message a datagram. There is no message that could carry a command line once the table is complete: an order
//! names a program by its index, and what it is told has the types of a judged knock.

mod bytes;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use siglatch_common::address::Address;
use siglatch_common::wire::v1::{ActionId, PAYLOAD_MAX, Payload, UserId};

use crate::gate::{Bound, Call, DebtId, Ending, How, Job, JobId, KnockId, NotStarted, Why};
use crate::policy::{Bounds, Program, ProgramId};

use bytes::{Reader, Writer};

/// The daemon's first words; so many programs follow, one a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Opening {
    /// The generation of the first process that starts programs.
    pub(super) generation: u32,
    /// How many programs follow.
    pub(super) programs: u16,
}

/// Which table of programs is meant: the beginning of a hash of all of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Digest(pub(super) u64);

/// What the daemon wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Request {
    /// A run.
    Order(Box<Order>),
    /// That the configuration is read again; the number comes back with the answer.
    Read(u32),
    /// That from here on orders name programs of the table that was read.
    Adopt(Digest),
}

/// A run that the daemon wants.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Order {
    /// Whom it is for; another generation lets it lie.
    pub(super) generation: u32,
    /// The table that its program is in.
    pub(super) table: Digest,
    /// What is wanted.
    pub(super) job: Job,
}

/// What the daemon is told.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Report {
    /// A new process takes orders; all runs of earlier ones are over.
    Hello {
        /// Its generation.
        generation: u32,
        /// Its table.
        table: Digest,
    },
    /// The configuration was read again: what programs that makes, or why none.
    Read(u32, Result<Digest, String>),
    /// A program has begun.
    Started(JobId),
    /// It is over, and so is everything that it started.
    Ended(JobId, Ending),
}

impl Opening {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.u8(OPENING).u32(self.generation).u16(self.programs);
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = begin(bytes, OPENING)?;
        let opening = Self { generation: reader.u32()?, programs: reader.u16()? };
        reader.end(opening)
    }
}

impl Digest {
    /// That of a table, as messages.
    pub(super) fn of_messages(messages: &[Vec<u8>]) -> Self {
        use sha2::Digest as _;
        let mut hash = sha2::Sha256::new();
        for message in messages {
            hash.update(u64::try_from(message.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(message);
        }
        let hash: [u8; 32] = hash.finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = hash;
        Self(u64::from_le_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl Request {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Order(order) => return order.encode(),
            Self::Read(number) => writer.u8(READ).u32(*number),
            Self::Adopt(Digest(table)) => writer.u8(ADOPT).u64(*table),
        };
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let request = match reader.u8()? {
            READ => Self::Read(reader.u32()?),
            ADOPT => Self::Adopt(Digest(reader.u64()?)),
            _ => return Order::decode(bytes).map(|order| Self::Order(Box::new(order))),
        };
        reader.end(request)
    }
}

/// All programs, one a message.
///
/// # Errors
/// The name of the first that cannot be told whole.
pub(super) fn encode_table(programs: &[Program]) -> Result<Vec<Vec<u8>>, String> {
    programs.iter().map(|program| encode_program(program).ok_or_else(|| program.name.clone())).collect()
}

/// A line of the table; nothing if it is longer than [`MESSAGE_MAX`] or cannot be read back as it is.
pub(super) fn encode_program(program: &Program) -> Option<Vec<u8>> {
    let Program { name, command, run_as, run_groups, folder, bounds, at_once, queue, on_failure } = program;
    let mut writer = Writer::default();
    writer.u8(PROGRAM).bytes(name.as_bytes()).texts(command).bytes(run_as.as_bytes()).texts(run_groups);
    writer.bytes(folder.to_str()?.as_bytes());
    writer.span(bounds.time).span(bounds.cpu).u64(bounds.memory).u32(bounds.processes).u64(bounds.output);
    writer.u64(u64::try_from(at_once.get()).ok()?).u64(u64::try_from(*queue).ok()?);
    match on_failure {
        None => writer.u8(0),
        Some(ProgramId(index)) => writer.u8(1).u16(*index),
    };
    Some(writer.0).filter(|bytes| bytes.len() <= MESSAGE_MAX && decode_program(bytes).as_ref() == Some(program))
}

pub(super) fn decode_program(bytes: &[u8]) -> Option<Program> {
    let mut reader = begin(bytes, PROGRAM)?;
    let program = Program {
        name: reader.text(MESSAGE_MAX)?,
        command: reader.texts(MESSAGE_MAX)?,
        run_as: reader.text(MESSAGE_MAX)?,
        run_groups: reader.texts(MESSAGE_MAX)?,
        folder: PathBuf::from(reader.text(MESSAGE_MAX)?),
        bounds: Bounds {
            time: reader.span()?,
            cpu: reader.span()?,
            memory: reader.u64()?,
            processes: reader.u32()?,
            output: reader.u64()?,
        },
        at_once: NonZeroUsize::new(usize::try_from(reader.u64()?).ok()?)?,
        queue: usize::try_from(reader.u64()?).ok()?,
        on_failure: if reader.flag()? { Some(ProgramId(reader.u16()?)) } else { None },
    };
    let sound = program.command.first().is_some_and(|path| path.starts_with('/'));
    reader.end(program).filter(|_| sound)
}

impl Order {
    pub(super) fn encode(&self) -> Vec<u8> {
        let Job { id, program, why, call } = &self.job;
        let mut writer = Writer::default();
        writer.u8(ORDER).u32(self.generation).u64(id.0).u64(self.table.0).u16(program.0);
        match why {
            Why::Knock => writer.u8(0),
            Why::Undo(DebtId(debt)) => writer.u8(1).u64(*debt),
            Why::Failure(JobId(job), how) => write_how(writer.u8(2).u64(*job), *how),
        };
        let Call { knock, source, user, user_name, action, action_name, sealed, payload } = call;
        writer.bytes(knock.to_string().as_bytes()).fixed(source.octets);
        writer.u16(user.0).bytes(user_name.as_bytes()).u8(action.0).bytes(action_name.as_bytes());
        writer.u8((*sealed).into()).bytes(payload.as_bytes());
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = begin(bytes, ORDER)?;
        let (generation, id) = (reader.u32()?, JobId(reader.u64()?));
        let order = Self {
            generation,
            table: Digest(reader.u64()?),
            job: Job {
                id,
                program: ProgramId(reader.u16()?),
                why: match reader.u8()? {
                    0 => Why::Knock,
                    1 => Why::Undo(DebtId(reader.u64()?)),
                    2 => Why::Failure(JobId(reader.u64()?), read_how(&mut reader)?),
                    _ => return None,
                },
                call: Call {
                    knock: read_knock(&mut reader)?,
                    source: Address { octets: reader.fixed()? },
                    user: UserId(reader.u16()?),
                    user_name: reader.text(NAME_MAX)?,
                    action: ActionId(reader.u8()?),
                    action_name: reader.text(NAME_MAX)?,
                    sealed: reader.flag()?,
                    payload: Payload::new(reader.bytes(PAYLOAD_MAX)?)?,
                },
            },
        };
        reader.end(order)
    }

    /// Generation and number of an order whose rest may make no sense, so that whoever waits for it can be told.
    pub(super) fn decode_head(bytes: &[u8]) -> Option<(u32, JobId)> {
        let mut reader = begin(bytes, ORDER)?;
        Some((reader.u32()?, JobId(reader.u64()?)))
    }
}

impl Report {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        match self {
            Self::Hello { generation, table: Digest(table) } => writer.u8(HELLO).u32(*generation).u64(*table),
            Self::Read(number, Ok(Digest(table))) => writer.u8(HAS_READ).u32(*number).u8(1).u64(*table),
            Self::Read(number, Err(why)) => {
                let end = why.floor_char_boundary(WHY_MAX);
                writer.u8(HAS_READ).u32(*number).u8(0).bytes(why.as_bytes().get(..end).unwrap_or(&[]))
            }
            Self::Started(JobId(job)) => writer.u8(STARTED).u64(*job),
            Self::Ended(JobId(job), Ending { how, took, output, written }) => {
                write_how(writer.u8(ENDED).u64(*job), *how).span(*took).u64(*written).bytes(output)
            }
        };
        writer.0
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let report = match reader.u8()? {
            HELLO => Self::Hello { generation: reader.u32()?, table: Digest(reader.u64()?) },
            HAS_READ => {
                let number = reader.u32()?;
                let is_sound = reader.flag()?;
                Self::Read(number, if is_sound { Ok(Digest(reader.u64()?)) } else { Err(reader.text(WHY_MAX)?) })
            }
            STARTED => Self::Started(JobId(reader.u64()?)),
            ENDED => {
                let job = JobId(reader.u64()?);
                let (how, took, written) = (read_how(&mut reader)?, reader.span()?, reader.u64()?);
                let output = reader.bytes(Ending::OUTPUT_MAX)?.to_vec();
                Self::Ended(job, Ending { how, took, output, written })
            }
            _ => return None,
        };
        reader.end(report)
    }
}

fn begin(bytes: &[u8], kind: u8) -> Option<Reader<'_>> {
    let mut reader = Reader::new(bytes);
    (reader.u8()? == kind).then_some(reader)
}

/// The one form in which a knock's number is written.
fn read_knock(reader: &mut Reader<'_>) -> Option<KnockId> {
    let text = reader.text(16)?;
    let knock: KnockId = text.parse().ok()?;
    (knock.to_string() == text).then_some(knock)
}

fn write_how(writer: &mut Writer, how: How) -> &mut Writer {
    let (kind, number) = match how {
        How::Exited(code) => (0, code.into()),
        How::Killed(signal) => (1, signal),
        How::Bounded(bound) => {
            let number = match bound {
                Bound::Time => 0,
                Bound::Cpu => 1,
                Bound::Output => 2,
                Bound::Processes => 3,
                Bound::Stop => 4,
            };
            (2, number)
        }
        How::NotStarted(NotStarted::System(number)) => (3, number),
        How::NotStarted(NotStarted::Missing) => (4, 0),
        How::NotStarted(NotStarted::NotExecutable) => (4, 1),
        How::NotStarted(NotStarted::WritableByOthers) => (4, 2),
        How::NotStarted(NotStarted::NoSuchUser) => (4, 3),
        How::NotStarted(NotStarted::NoFolder) => (4, 4),
        How::NotStarted(NotStarted::NoStarter) => (4, 5),
        How::NotStarted(NotStarted::Gone) => (4, 6),
        How::NotStarted(NotStarted::OtherUser) => (4, 7),
        How::Lost => (5, 0),
    };
    writer.u8(kind).i32(number)
}

fn read_how(reader: &mut Reader<'_>) -> Option<How> {
    let (kind, number) = (reader.u8()?, reader.i32()?);
    Some(match (kind, number) {
        (0, code) => How::Exited(u8::try_from(code).ok()?),
        (1, signal) => How::Killed(signal),
        (2, 0) => How::Bounded(Bound::Time),
        (2, 1) => How::Bounded(Bound::Cpu),
        (2, 2) => How::Bounded(Bound::Output),
        (2, 3) => How::Bounded(Bound::Processes),
        (2, 4) => How::Bounded(Bound::Stop),
        (3, number) => How::NotStarted(NotStarted::System(number)),
        (4, 0) => How::NotStarted(NotStarted::Missing),
        (4, 1) => How::NotStarted(NotStarted::NotExecutable),
        (4, 2) => How::NotStarted(NotStarted::WritableByOthers),
        (4, 3) => How::NotStarted(NotStarted::NoSuchUser),
        (4, 4) => How::NotStarted(NotStarted::NoFolder),
        (4, 5) => How::NotStarted(NotStarted::NoStarter),
        (4, 6) => How::NotStarted(NotStarted::Gone),
        (4, 7) => How::NotStarted(NotStarted::OtherUser),
        (5, 0) => How::Lost,
        _ => return None,
    })
}

/// The longest message, in bytes: a command with all its arguments fits.
pub(super) const MESSAGE_MAX: usize = 64 * 1024;

/// The longest name of a user or an action, in bytes; the configuration allows fewer.
const NAME_MAX: usize = 255;

/// The longest reason why a configuration is not followed, in bytes.
const WHY_MAX: usize = 32 * 1024;

const OPENING: u8 = 1;
const PROGRAM: u8 = 2;
const ORDER: u8 = 3;
const READ: u8 = 4;
const ADOPT: u8 = 5;
const HELLO: u8 = 16;
const STARTED: u8 = 17;
const ENDED: u8 = 18;
const HAS_READ: u8 = 19;

#[cfg(test)]
mod tests;
