//! The thread that writes the audit log: chains records, keeps file and head, sets files aside. Never makes anybody wait.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use siglatch_common::units::Boot;
use tracing::{error, info, warn};

use super::head::{HeadFile, head_path, read_head};
use super::log_file::{Failed, LogFile};
use super::queue::{Queue, Stamped};
use super::shelf::{Shelf, aside_seq, first_seq, names};
use super::{AuditError, LogPart};
use crate::audit::chain::Sealed;
use crate::audit::event::{Disk, Found, Rotated};
use crate::audit::line::Told;
use crate::audit::{Chain, Event, Link, Record};
use crate::causes::with_causes;
use crate::config::AuditRule;
use crate::edge::clock;

/// What the thread owns.
pub(super) struct Writer {
    rule: AuditRule,
    run: u32,
    queue: Arc<Queue>,
    head: HeadFile,
    /// What the head file said at the start.
    begun_after: Option<Link>,
    /// Nothing until the log could be opened for the first time.
    chain: Option<Chain>,
    file: Option<LogFile>,
    /// The number of the first record of the file.
    first: u64,
    /// When the file was begun.
    began: Boot,
    /// What is not chained yet.
    todo: VecDeque<Arc<Stamped>>,
    /// What is chained and not written: lines, the end of each, and what the head is then.
    lines: Vec<u8>,
    links: Vec<(usize, Link)>,
    /// The last record in the file.
    ended: Link,
    /// A file was set aside, and the next one must say so.
    rotated: Option<Rotated>,
    /// Files that are to be deleted once that was said.
    doomed: Vec<PathBuf>,
    rotate: bool,
    is_dirty: bool,
    synced: Boot,
    is_failing: bool,
    is_headless: bool,
}

/// A log that was opened, and where its chain goes on.
struct Opened {
    file: LogFile,
    last: Link,
    found: Found,
}

impl Writer {
    /// Opens the log. If the disk does not let it, and may later, it is tried again.
    pub(super) fn open(
        rule: &AuditRule,
        state_dir: &Path,
        run: u32,
        queue: Arc<Queue>,
    ) -> Result<(Self, Found), AuditError> {
        let path = head_path(state_dir);
        let said = read_head(&path).map_err(|source| AuditError::File { doing: "read", path: path.clone(), source })?;
        let now = clock::boot();
        let mut writer = Self {
            rule: rule.clone(),
            run,
            queue,
            head: HeadFile::new(path),
            begun_after: said,
            chain: None,
            file: None,
            first: 1,
            began: now,
            todo: VecDeque::new(),
            lines: Vec::new(),
            links: Vec::new(),
            ended: said.unwrap_or(Link::NONE),
            rotated: None,
            doomed: Vec::new(),
            rotate: false,
            is_dirty: false,
            synced: now,
            is_failing: false,
            is_headless: false,
        };
        let found = match writer.open_first() {
            Ok(found) => found,
            Err(error) if error.may_pass() => {
                writer.fail(&with_causes(&error));
                Found::default()
            }
            Err(error) => return Err(error),
        };
        Ok((writer, found))
    }

    /// Writes until told to finish.
    pub(super) fn run(mut self) {
        loop {
            let patience = if self.is_dirty { SYNCING } else { IDLE };
            let taken = self.queue.take(&mut self.todo, patience);
            self.rotate |= taken.rotate;
            if let Some(rule) = taken.rule {
                // Where the log is, and whether there is one, is for as long as the daemon runs.
                self.rule = AuditRule { file: std::mem::take(&mut self.rule.file), ..rule };
            }
            self.queue.at_disk(true);
            let worked = self.work();
            self.queue.at_disk(false);
            match worked {
                Ok(()) => self.recover(),
                Err(error) => {
                    self.fail(&with_causes(&error));
                    if taken.finish || self.queue.wait_for_finish(RETRY) && self.work().is_err() {
                        break;
                    }
                    continue;
                }
            }
            if taken.finish && self.todo.is_empty() {
                break;
            }
        }
        if let Err(error) = self.sync() {
            error!(%error, "the audit log's last records may not outlive a power cut");
        }
        let Link { seq, hash } = self.ended;
        info!(seq, %hash, "audit log closed");
    }

    /// Writes what there is to write.
    fn work(&mut self) -> Result<(), AuditError> {
        self.have_file()?;
        if std::mem::take(&mut self.rotate) {
            self.flush()?;
            let is_moved = self.file.as_ref().is_some_and(|file| !file.is_in_place());
            self.begin_next(if is_moved { "moved" } else { "request" })?;
        }
        loop {
            self.flush()?;
            self.delete_doomed();
            if let Some(why) = self.is_full_or_old() {
                self.begin_next(why)?;
                continue;
            }
            if self.todo.is_empty() {
                break;
            }
            self.chain_some();
        }
        self.keep_head();
        if self.is_dirty && clock::boot().since(self.synced) >= SYNCING {
            self.sync().map_err(|source| self.failed("write", source))?;
            if self.file.as_ref().is_some_and(|file| !file.is_in_place()) {
                self.begin_next("moved")?;
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Makes lines out of what waits: as many as fit into a write, and into the file.
    fn chain_some(&mut self) {
        let room = self.rule.size.saturating_sub(self.file.as_ref().map_or(0, LogFile::len));
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(WRITE);
        while let Some(Stamped { event, at }) = self.todo.pop_front().as_deref() {
            if let Some(chain) = &mut self.chain {
                chain.append(event, *at, &mut self.lines);
                self.links.push((self.lines.len(), chain.last()));
            }
            if self.lines.len() >= room {
                break;
            }
        }
    }

    /// Writes the lines that are made. What finds no room stays.
    fn flush(&mut self) -> Result<(), AuditError> {
        let Some(file) = self.file.as_mut().filter(|_| !self.lines.is_empty()) else {
            return Ok(());
        };
        let (kept, failed) = match file.add(&self.lines) {
            Ok(()) => (self.lines.len(), None),
            Err(Failed { kept, error }) => (kept, Some(error)),
        };
        let written = self.links.partition_point(|(end, _)| *end <= kept);
        if let Some((_, link)) = self.links.drain(..written).next_back() {
            self.ended = link;
            self.is_dirty = true;
        }
        self.lines.drain(..kept);
        self.links.iter_mut().for_each(|(end, _)| *end -= kept);
        match failed {
            None => Ok(()),
            Some(error) => {
                self.keep_head();
                // What makes room must not wait for room.
                self.delete_doomed();
                Err(self.failed("write", error))
            }
        }
    }

    /// Why the file must be followed by another; nothing if there is nothing to write into that.
    fn is_full_or_old(&self) -> Option<&'static str> {
        let has_records = self.ended.seq > self.first;
        if self.todo.is_empty() || !has_records {
            return None;
        }
        if self.file.as_ref().is_some_and(|file| file.len() >= self.rule.size) {
            return Some("size");
        }
        (clock::boot().since(self.began) >= self.rule.age).then_some("age")
    }

    /// Sets the file aside, unless somebody else has, and begins another, whose first record says so.
    fn begin_next(&mut self, why: &'static str) -> Result<(), AuditError> {
        self.keep_head();
        self.sync().map_err(|source| self.failed("write", source))?;
        let mut rotated = Rotated { why, first: self.first, last: self.ended.seq, ..Rotated::default() };
        if why != "moved"
            && let Some(file) = &self.file
        {
            let name = file.set_aside(self.first).map_err(|source| self.failed("set aside", source))?;
            rotated.file = Some(name.to_string_lossy().into_owned());
        }
        self.file = None;
        (self.doomed, rotated.removed_to) = self.too_old(rotated.last);
        rotated.removed = self.doomed.len() as u64;
        let Link { seq, hash } = self.ended;
        info!(why, seq, %hash, file = rotated.file, "audit log set aside");
        self.rotated = Some(rotated);
        self.have_file()
    }

    /// The files beyond those that stay, and the last record that is gone with them.
    fn too_old(&self, last: u64) -> (Vec<PathBuf>, u64) {
        let log = &self.rule.file;
        let numbered = |path: PathBuf| Some((aside_seq(log, &path)?, path));
        let mut aside: Vec<_> = names(log).unwrap_or_default().into_iter().filter_map(numbered).collect();
        aside.sort();
        let doomed = aside.len().saturating_sub(self.rule.keep as usize);
        let oldest = aside.get(doomed).map(|(first, _)| first.saturating_sub(1));
        let removed_to = if doomed == 0 { 0 } else { oldest.unwrap_or(last) };
        (aside.into_iter().take(doomed).map(|(_, path)| path).collect(), removed_to)
    }

    fn delete_doomed(&mut self) {
        for path in self.doomed.drain(..) {
            if let Err(error) = fs::remove_file(&path) {
                warn!(%error, path = %path.display(), "an old file of the audit log was not deleted");
            }
        }
    }

    /// Makes sure that there is a file to write to.
    fn have_file(&mut self) -> Result<(), AuditError> {
        if self.file.is_none() {
            if self.chain.is_none() {
                let found = self.open_first()?;
                warn!(?found, "the audit log could be opened");
            } else {
                self.file = Some(LogFile::open(&self.rule.file)?.0);
                (self.began, self.first) = (clock::boot(), self.ended.seq + 1);
            }
        }
        if let (Some(rotated), Some(chain)) = (self.rotated.take(), &mut self.chain) {
            chain.append(&Event::Rotated(rotated), clock::stamp(), &mut self.lines);
            self.links.push((self.lines.len(), chain.last()));
        }
        Ok(())
    }

    /// Opens the log for the first time, and finds where it ends.
    fn open_first(&mut self) -> Result<Found, AuditError> {
        let Opened { file, last, found } = open(&self.rule.file, self.begun_after)?;
        self.first = first_seq(&self.rule.file).unwrap_or(last.seq + 1);
        self.began = began(&self.rule.file);
        self.chain = Some(Chain::after(last, self.run));
        self.file = Some(file);
        self.ended = last;
        let Link { seq, hash } = last;
        info!(seq, %hash, path = %self.rule.file.display(), "audit log");
        if found != Found::default() {
            warn!(?found, "the audit log is not as it was left: siglatchctl audit verify");
        }
        Ok(found)
    }

    fn keep_head(&mut self) {
        match self.head.write(self.ended) {
            Ok(()) => self.is_headless = false,
            Err(error) if !self.is_headless => {
                self.is_headless = true;
                warn!(%error, "the audit log's head file cannot be written: a cut end would not be found");
            }
            Err(_) => {}
        }
    }

    /// Makes it outlive a power cut; the log before the head, which must not be ahead of it.
    fn sync(&mut self) -> io::Result<()> {
        self.synced = clock::boot();
        if let Some(file) = &self.file {
            file.sync()?;
        }
        self.is_dirty = false;
        self.head.sync()
    }

    fn fail(&mut self, error: &str) {
        if !self.is_failing {
            self.is_failing = true;
            self.queue.set_failing(true);
            error!(error, "the audit log cannot be written: trying again. Make room on its disk");
            self.queue
                .put(Event::Disk(Disk { state: "failing", what: "audit", error: Some(error.to_owned()) }), Told::ALL);
        }
    }

    fn recover(&mut self) {
        if self.is_failing {
            self.is_failing = false;
            self.queue.set_failing(false);
            info!(lost = self.queue.lost(), "the audit log is written again");
            self.queue.put(Event::Disk(Disk { state: "working", what: "audit", error: None }), Told::ALL);
        }
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> AuditError {
        AuditError::File { doing, path: self.rule.file.clone(), source }
    }
}

/// Opens a log, and finds where its chain goes on.
fn open(path: &Path, head: Option<Link>) -> Result<Opened, AuditError> {
    let failed = |doing| move |source| AuditError::File { doing, path: path.to_owned(), source };
    let (mut file, mut condition) = LogFile::open(path)?;
    let mut found = Found { torn: condition.torn, ..Found::default() };
    if condition.is_damaged {
        let name = file.set_aside(head.map_or(0, |head| head.seq)).map_err(failed("set aside"))?;
        found.damaged = Some(name.to_string_lossy().into_owned());
        drop(file);
        (file, condition) = LogFile::open(path)?;
    }
    let has_file = condition.last.is_some();
    let last = match condition.last {
        Some(last) => Some(last),
        None => last_aside(path).map_err(failed("read"))?,
    };
    let last = match (last, head) {
        (None, None) => Link::NONE,
        (Some(last), None) => {
            found.headless = true;
            last
        }
        (Some(last), Some(head)) if last.seq >= head.seq => {
            found.unlike_head = last.seq == head.seq && last.hash != head.hash;
            last
        }
        (Some(last), Some(head)) if has_file => {
            found.missing = head.seq - last.seq;
            head
        }
        (Some(_) | None, Some(head)) => {
            found.fileless = head != Link::NONE;
            head
        }
    };
    Ok(Opened { file, last, found })
}

/// The last sound record of the newest file beside the log.
fn last_aside(path: &Path) -> io::Result<Option<Link>> {
    let shelf = Shelf::open(path)?;
    let Some(newest) = shelf.parts.iter().rfind(|part: &&LogPart| !part.is_current) else {
        return Ok(None);
    };
    let (mut lines, mut last) = (newest.lines()?, None);
    while let Some((line, is_ended)) = lines.next_line()? {
        let sealed = Sealed::read(line).ok().filter(|_| is_ended);
        last = sealed.map(|sealed| sealed.link).or(last);
    }
    Ok(last)
}

/// When the file's first record was written, by the clock that nobody sets; never later than now.
fn began(path: &Path) -> Boot {
    let now = clock::stamp();
    let first = || {
        let shelf = Shelf::open(path).ok()?;
        let mut lines = shelf.parts.last().filter(|part| part.is_current)?.lines().ok()?;
        Record::parse(lines.next_line().ok()??.0)?.micros()
    };
    let age = first().map_or(0, |micros| u64::try_from(now.micros.saturating_sub(micros)).unwrap_or(0));
    Boot::from_nanos(now.boot.as_nanos().saturating_sub(age.saturating_mul(1000)))
}

/// Bytes of one write.
const WRITE: usize = 256 * 1024;
/// How often records are made to outlive a power cut.
const SYNCING: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(250);
