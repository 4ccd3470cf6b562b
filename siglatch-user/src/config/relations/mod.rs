//! What must be true between the tables of a configuration: ids, names, keys, sequences. Never reads a single value.

mod actions;
mod crowd;
mod networks;
mod people;
mod periods;
mod programs;
mod sequences;
mod services;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

pub(super) use actions::actions;
pub(super) use crowd::Crowd;
pub(super) use networks::networks;
pub(super) use people::people;
pub(super) use periods::periods;
pub(super) use programs::programs;
pub(super) use sequences::sequences;
pub(super) use services::services;

use super::finding::Span;
use super::nearest::nearest;
use super::section::Located;

/// Each value that was there before: its place, the first one's place, and the first one's name.
fn repeated<'t, T: Copy + Eq + Hash>(
    values: impl Iterator<Item = (&'t str, Located<T>)>,
) -> Vec<(Span, Span, &'t str)> {
    let mut seen: HashMap<T, (Span, &str)> = HashMap::new();
    let mut repeated = Vec::new();
    for (name, value) in values {
        match seen.get(&value.value) {
            Some((first, first_name)) => repeated.push((value.span, *first, *first_name)),
            None => {
                seen.insert(value.value, (value.span, name));
            }
        }
    }
    repeated
}

/// The least number from 1 that is not taken.
fn free_id(taken: impl Iterator<Item = u32>) -> u32 {
    let taken: HashSet<u32> = taken.collect();
    (1..).find(|id| !taken.contains(id)).unwrap_or(1)
}

/// Help for a name that nobody has.
fn did_you_mean<'a>(meant: &str, known: impl IntoIterator<Item = &'a str>, otherwise: impl Into<String>) -> String {
    match nearest(meant, known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => otherwise.into(),
    }
}
