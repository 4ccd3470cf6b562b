//! Explanations of findings about sequences. Never looks for one.

use super::{Explanation, of};
use crate::config::finding::Code;

pub(super) const EXPLANATIONS: &[Explanation] = &[
    of(
        Code::OrphanStep,
        "A step is in no sequence, so that asking for it sets nothing off.",
        "[action.three]\nid = 4\nusers = \"all\"\nkind = \"step\"\n",
        "[action.three]\nid = 4\nusers = \"all\"\nkind = \"step\"\n[sequence.db]\nsteps = [\"one\", \"three\", \"two\"]\n",
    ),
    of(
        Code::ShortSequence,
        "A sequence has less than two steps. One knock is no sequence.",
        "[sequence.db]\nsteps = [\"two\"]\n[action.one]\nid = 2\nusers = \"all\"\ngrant = [\"tcp/22\"]\n",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n",
    ),
    of(
        Code::RepeatedStep,
        "An action stands in one sequence twice. The daemon could not tell which of the two places a knock is for.",
        "[sequence.db]\nsteps = [\"one\", \"one\", \"two\"]\n",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n",
    ),
    of(
        Code::SharedStep,
        "An action stands in two sequences. The daemon could not tell which of the two a knock is for.",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n[sequence.again]\nsteps = [\"one\", \"ssh\"]\n",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n",
    ),
    of(
        Code::EffectBeforeEnd,
        "An action with an effect stands before the last step. It comes to an effect only at the end, so this one never \
         does.",
        "[sequence.db]\nsteps = [\"ssh\", \"two\"]\n",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n",
    ),
    of(
        Code::NoEffect,
        "The last action of a sequence is a step: going through it to the end sets nothing off.",
        "[action.three]\nid = 4\nusers = \"all\"\nkind = \"step\"\n[sequence.db]\nsteps = [\"one\", \"three\"]\n",
        "[sequence.db]\nsteps = [\"one\", \"two\"]\n",
    ),
    of(
        Code::UnusableSequence,
        "Nobody can go through the sequence to its end: no user may use every step, or there is no place or no time at \
         which all of them may be asked for one after the other.",
        "[action.one]\nid = 2\nusers = [\"alice\"]\nkind = \"step\"\n[action.two]\nid = 3\nusers = [\"bob\"]\ngrant = \
         [\"udp/500\"]\n",
        "[action.one]\nid = 2\nusers = [\"alice\"]\nkind = \"step\"\n[action.two]\nid = 3\nusers = [\"alice\", \
         \"bob\"]\ngrant = [\"udp/500\"]\n",
    ),
];
