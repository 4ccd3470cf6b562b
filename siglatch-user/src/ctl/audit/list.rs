//! Finds the records that an operator asks for, and goes on finding them. Never decides how they look.

use std::collections::VecDeque;
use std::path::Path;

use clap::Args;
use siglatch_common::address::Network;

use super::place::Place;
use super::rows::Rows;
use super::time::{Moment, moment};
use crate::audit::event::Event;
use crate::audit::{Query, Record};
use crate::config;
use crate::ctl::load::Failure;
use crate::ctl::show;
use crate::edge::audit::{Shelf, Tail, seq_at_start};
use crate::edge::clock;
use crate::gate::KnockId;

/// Which records are shown, and how.
#[derive(Args, Debug)]
pub(super) struct List {
    /// Only of this user: name or number
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only about this address, or a network that holds or meets it
    #[arg(long, value_name = "ADDRESS|NETWORK", value_parser = config::network)]
    source: Option<Network>,
    /// Only for this action: name or number
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// Only this event; may be repeated: knock, grant, exec, undo, ban, reload, admin, start, …
    #[arg(long = "event", value_name = "EVENT", value_parser = event)]
    events: Vec<String>,
    /// Only with this reason, decision or result: replay, refused, admitted, failed, …
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Only of this knock, and what came of it
    #[arg(long, value_name = "ID")]
    knock: Option<KnockId>,
    /// Not before: 2h (ago), 2026-11-20, 2026-11-20T14:30:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Moment>,
    /// Before: as for --since
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<Moment>,
    /// Only the last so many [default: all; 10 with --follow]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on as records are written
    #[arg(long, short)]
    follow: bool,
    /// The records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(self, place: &Place) -> Result<(), Failure> {
        let found = place.find()?;
        let query = self.query();
        let limit = self.limit.or(self.follow.then_some(LAST_BEFORE_FOLLOWING));
        let mut out = Out { rows: (!self.json).then(Rows::new), is_read: true };
        let last = search(found.open()?, &query, limit, &mut out)?;
        out.flush()?;
        if self.follow {
            follow(&found.log, last, &query, &mut out)?;
        }
        Ok(())
    }

    fn query(&self) -> Query {
        let now = clock::stamp().micros;
        Query {
            user: self.user.clone(),
            action: self.action.clone(),
            source: self.source,
            events: self.events.clone(),
            knock: self.knock.map(|knock| knock.to_string()),
            reason: self.reason.clone(),
            since: self.since.map(|since| since.micros(now)),
            until: self.until.map(|until| until.micros(now)),
        }
    }
}

/// Where what is found goes.
struct Out {
    /// Nothing: as it is.
    rows: Option<Rows>,
    /// Whether anybody still reads.
    is_read: bool,
}

impl Out {
    fn put(&mut self, line: &[u8], record: &Record) -> Result<(), Failure> {
        let text = match &mut self.rows {
            Some(rows) => rows.push(record),
            None => Some(format!("{}\n", String::from_utf8_lossy(line))),
        };
        self.print(text)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let text = self.rows.as_mut().map(Rows::take);
        self.print(text)
    }

    fn print(&mut self, text: Option<String>) -> Result<(), Failure> {
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            self.is_read = self.is_read && show::print_to_reader(&text)?;
        }
        Ok(())
    }
}

/// Puts out what is asked for, and says the number of the last record of the log.
fn search(shelf: Shelf, query: &Query, limit: Option<usize>, out: &mut Out) -> Result<u64, Failure> {
    let (mut kept, mut last) = (VecDeque::new(), 0);
    for part in &shelf.parts {
        let mut lines = part.lines()?;
        while let Some((line, is_ended)) = lines.next_line()? {
            // What is being written is read when it is whole.
            if !is_ended {
                continue;
            }
            last = seq_at_start(line).map_or(last, |seq| seq.max(last));
            let Some(record) = wanted(line, query) else { continue };
            match limit {
                None => out.put(line, &record)?,
                Some(limit) => {
                    kept.push_back((line.to_vec(), record));
                    if kept.len() > limit {
                        kept.pop_front();
                    }
                }
            }
            if !out.is_read {
                return Ok(last);
            }
        }
    }
    for (line, record) in kept {
        out.put(&line, &record)?;
    }
    Ok(last)
}

fn follow(log: &Path, last: u64, query: &Query, out: &mut Out) -> Result<(), Failure> {
    let mut tail = Tail::after(log, last);
    while out.is_read {
        for line in tail.wait()? {
            if let Some(record) = wanted(&line, query) {
                out.put(&line, &record)?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

fn wanted(line: &[u8], query: &Query) -> Option<Record> {
    let record = query.may_ask_for(line).then(|| Record::parse(line))??;
    query.asks_for(&record).then_some(record)
}

fn event(name: &str) -> Result<String, String> {
    let is_known = Event::NAMES
        .iter()
        .any(|known| known.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('_')));
    match is_known && !name.is_empty() {
        true => Ok(name.to_owned()),
        false => Err(format!("there are: {}", Event::NAMES.join(", "))),
    }
}

const LAST_BEFORE_FOLLOWING: usize = 10;
