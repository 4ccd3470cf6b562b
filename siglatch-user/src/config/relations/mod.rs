//! What must be true between the tables of a configuration: ids, names, keys, sequences. Never reads a single value.

mod actions;
mod people;
mod sequences;
mod services;

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

pub(super) use actions::actions;
pub(super) use people::people;
pub(super) use sequences::sequences;
pub(super) use services::services;

use super::deeds::{Deed, Users};
use super::finding::Span;
use super::section::Located;

/// The names of the users that the action is for, unless it is for all.
fn named<'a, 't>(action: &'a Deed<'t>) -> impl Iterator<Item = Located<&'t str>> + use<'a, 't> {
    let names = match action.users.as_ref().map(|users| &users.value) {
        Some(Users::Only(names)) => names.as_slice(),
        Some(Users::All) | None => &[],
    };
    names.iter().copied()
}

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
