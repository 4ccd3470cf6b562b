//! `siglatchctl sequences`: what must be knocked for in order, and how many are at it. Never changes anything.

use clap::Args;
use siglatch_common::units::Wall;

use super::load::Failure;
use super::reach::Reach;
use super::show::{self, Side, Table};
use crate::admin::SequenceList;
use crate::admin::protocol::Request;
use crate::edge::clock;

/// Show what must be knocked for in order, and how many have begun.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  siglatchctl sequences\n  siglatchctl sequences --json")]
pub(super) struct Sequences {
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    daemon: Reach,
}

impl Sequences {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { json, daemon } = self;
        let list: SequenceList = daemon.connect()?.ask(&Request::Sequences {})?;
        if json {
            return show::json(&list);
        }
        if list.sequences.is_empty() {
            return show::print("no sequences\n");
        }
        show::print(&table(&list, clock::now().wall).text())
    }
}

fn table(list: &SequenceList, now: Wall) -> Table<5> {
    let mut table = Table::new([
        ("SEQUENCE", Side::Left),
        ("STATE", Side::Left),
        ("WITHIN", Side::Right),
        ("UNDER WAY", Side::Right),
        ("STEPS", Side::Left),
    ]);
    for sequence in &list.sequences {
        table.push([
            sequence.name.clone(),
            show::state(sequence.enabled, sequence.off_until, now),
            show::span(sequence.within),
            sequence.under_way.to_string(),
            sequence.steps.join(", "),
        ]);
    }
    table
}
