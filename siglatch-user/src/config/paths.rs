//! The configuration's `[sequence.NAME]` tables. Never looks at the actions that they name.

use std::time::Duration;

use super::finding::{Findings, Span};
use super::schema;
use super::section::{Located, Section};

/// A sequence as far as the text goes; what is missing was reported.
pub(super) struct Path<'t> {
    pub(super) name: Located<&'t str>,
    /// Names of actions; where the list stands.
    pub(super) steps: Option<Located<Vec<Located<&'t str>>>>,
    pub(super) within: Duration,
}

pub(super) fn read<'t>(root: &Section<'t>, findings: &mut Findings) -> Vec<Path<'t>> {
    let sections = root.named("sequence", &schema::SEQUENCE, findings);
    let read = |(name, section): (_, Section<'t>)| Path {
        name,
        steps: section
            .texts("steps", findings)
            .map(|steps| Located { value: steps, span: section.value_place("steps") }),
        within: section
            .duration("within", SECOND..=MOST_WITHIN, findings)
            .map_or(DEFAULT_WITHIN, |within| within.value),
    };
    sections.into_iter().map(read).collect()
}

impl Path<'_> {
    /// Where to point when the list of steps is not to blame alone.
    pub(super) const fn span(&self) -> Span {
        self.name.span
    }
}

const DEFAULT_WITHIN: Duration = Duration::from_secs(10);

const SECOND: Duration = Duration::from_secs(1);

/// Steps are remembered for that long.
const MOST_WITHIN: Duration = Duration::from_secs(3_600);
