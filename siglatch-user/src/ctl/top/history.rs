//! What the rates have been, look after look. Never longer than the widest screen.

use std::collections::{HashMap, VecDeque};

use crate::admin::Status;

/// Rates by name, the newest last.
#[derive(Debug, Default)]
pub(super) struct History {
    rates: HashMap<String, VecDeque<f64>>,
}

impl History {
    /// Takes the rates of a status down.
    pub(super) fn note(&mut self, status: &Status) {
        let frames = status.frames.iter().filter(|frames| !frames.passed);
        for frames in frames {
            self.push(&frames.outcome, frames.count.per_second);
        }
        self.push(Self::PASSED, status.passed().per_second);
        for lane in &status.lanes {
            self.push(&Self::lane(&lane.lane), lane.operations.per_second);
        }
    }

    /// The rates under a name.
    pub(super) fn of(&self, name: &str) -> impl DoubleEndedIterator<Item = f64> + Clone {
        self.rates.get(name).into_iter().flatten().copied()
    }

    /// The name of a lane's key operations.
    pub(super) fn lane(lane: &str) -> String {
        format!("operations {lane}")
    }

    /// The name of all frames that are passed on.
    pub(super) const PASSED: &str = "passed on";

    fn push(&mut self, name: &str, rate: f64) {
        let rates = self.rates.entry(name.to_owned()).or_default();
        if rates.len() == LONGEST {
            rates.pop_front();
        }
        rates.push_back(rate);
    }
}

/// Wider than any curve.
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ctl::status::tests::flooded;

    #[test]
    fn only_so_much_is_remembered() {
        let mut history = History::default();
        for _ in 0..LONGEST + 10 {
            history.note(&flooded());
        }
        assert_eq!(history.of("wrong_length").count(), LONGEST);
        assert_eq!(history.of(History::PASSED).next_back(), Some(312.4));
        assert_eq!(history.of(&History::lane("unknown")).next_back(), Some(400.0));
        assert_eq!(history.of("nothing").count(), 0);
    }
}
