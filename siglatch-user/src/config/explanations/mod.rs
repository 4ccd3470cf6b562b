//! What each kind of finding means, why it matters, and an example of wrong and right. Never looks for one.

mod actions;
mod host;
mod keys;
mod people;
mod sequences;
mod strangers;
mod values;

use super::finding::Code;
use super::nearest::nearest;

/// What there is to say about one kind of finding.
#[derive(Clone, Copy, Debug)]
pub struct Explanation {
    /// Which one.
    pub code: Code,
    /// A paragraph: what it means, and why it matters. One line.
    pub meaning: &'static str,
    /// A piece of a configuration that has it.
    pub wrong: &'static str,
    /// The same piece without it.
    pub right: &'static str,
}

impl Code {
    /// The code with that name.
    #[must_use]
    pub fn named(label: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.label() == label)
    }

    /// The name of a code that somebody probably meant, who wrote that.
    #[must_use]
    pub fn nearest(label: &str) -> Option<&'static str> {
        nearest(label, Self::ALL.iter().map(|code| code.label()))
    }

    /// What there is to say about it.
    ///
    /// # Panics
    /// Never: a test goes through all codes.
    #[must_use]
    pub fn explanation(self) -> &'static Explanation {
        let all = ALL.iter().copied().flatten();
        all.clone().find(|explanation| explanation.code == self).expect("every code has an explanation")
    }
}

impl Explanation {
    /// The first sentence of what it means.
    #[must_use]
    pub fn in_short(&self) -> &'static str {
        self.meaning.split_once(". ").map_or(self.meaning.trim_end_matches('.'), |(first, _)| first)
    }
}

/// All of them, by what they are about.
const ALL: &[&[Explanation]] = &[
    values::EXPLANATIONS,
    host::EXPLANATIONS,
    strangers::EXPLANATIONS,
    keys::EXPLANATIONS,
    people::EXPLANATIONS,
    actions::EXPLANATIONS,
    sequences::EXPLANATIONS,
];

const fn of(code: Code, meaning: &'static str, wrong: &'static str, right: &'static str) -> Explanation {
    Explanation { code, meaning, wrong, right }
}
