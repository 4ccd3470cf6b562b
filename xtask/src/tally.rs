//! Adds up the result lines of cargo's test suites. It reads text and does no IO.

use std::ops::AddAssign;

/// Tests over all suites.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Tests that held.
    pub(crate) passed: u64,
    /// Tests that did not.
    pub(crate) failed: u64,
    /// Tests that were not run because they say so themselves.
    pub(crate) ignored: u64,
    /// Suites that told their result.
    pub(crate) suites: u64,
}

impl Tally {
    /// Counts one line of output, if it is a suite's result.
    pub(crate) fn count(&mut self, line: &str) {
        let plain = without_colour(line);
        let Some((_, counts)) = plain.split_once("test result: ").and_then(|(_, rest)| rest.split_once(". ")) else {
            return;
        };
        self.suites += 1;
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(Ok(number)), Some(what)) = (words.next().map(str::parse::<u64>), words.next()) else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    /// Counts suites that were not built, or ended without telling their result, as one failed test.
    pub(crate) fn settle(&mut self, passed: bool) {
        if !passed && self.failed == 0 {
            self.failed = 1;
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.passed += more.passed;
        self.failed += more.failed;
        self.ignored += more.ignored;
        self.suites += more.suites;
    }
}

fn without_colour(line: &str) -> String {
    let mut pieces = line.split('\x1b');
    let mut plain = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        plain.push_str(piece.split_once('m').map_or("", |(_, text)| text));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> Tally {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.count(line));
        tally
    }

    #[test]
    fn suites_add_up() {
        let sum = tally(&[
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: \x1b[31mFAILED\x1b[0m. 2 passed; 1 failed; 4 ignored; 0 measured; 9 filtered out; finished in 1s",
        ]);
        assert_eq!(sum, Tally { passed: 5, failed: 1, ignored: 4, suites: 2 });
    }

    #[test]
    fn the_sums_of_suites_add_up() {
        let mut sum = Tally { passed: 5, failed: 1, ignored: 4, suites: 2 };
        sum += Tally { passed: 1, failed: 2, ignored: 3, suites: 4 };
        assert_eq!(sum, Tally { passed: 6, failed: 3, ignored: 7, suites: 6 });
    }

    #[test]
    fn other_lines_count_nothing() {
        assert_eq!(tally(&["3 passed; 0 failed", "test result: ", "", "test result: ok"]), Tally::default());
    }

    #[test]
    fn a_suite_that_died_is_a_failure() {
        let mut sum = Tally { passed: 5, ..Tally::default() };
        sum.settle(false);
        assert_eq!(sum.failed, 1);
        sum.settle(false);
        assert_eq!(sum.failed, 1);
    }
}
