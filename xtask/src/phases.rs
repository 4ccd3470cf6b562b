//! A run of several checks: each announced, timed, and remembered, the failed ones too.
//!
//! One failed check does not hide what the next ones would say. It knows nothing about the checks themselves.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::progress::{bad, good, strong, took};

/// The checks of one run, in the order in which they ran.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    done: Vec<Phase>,
}

#[derive(Debug)]
struct Phase {
    name: &'static str,
    took: Duration,
    passed: bool,
}

impl Phases {
    /// Runs one check; an error counts as failure and is printed here.
    pub(crate) fn run(&mut self, name: &'static str, check: impl FnOnce() -> Result<bool>) -> bool {
        println!("\n{}", strong(&format!("── {name}")));
        let started = Instant::now();
        let passed = check().unwrap_or_else(|error| {
            eprintln!("{} {error:#}", bad("error:"));
            false
        });
        self.done.push(Phase { name, took: started.elapsed(), passed });
        passed
    }

    /// Runs one check that is a command.
    pub(crate) fn run_command(&mut self, name: &'static str, command: &mut Command) -> bool {
        self.run(name, || {
            let status = command.status().with_context(|| format!("cannot run {}", command.get_program().display()))?;
            Ok(status.success())
        })
    }

    /// Whether every check passed.
    pub(crate) fn all_passed(&self) -> bool {
        self.done.iter().all(|phase| phase.passed)
    }

    /// Prints what each check came to and how long it took.
    pub(crate) fn print(&self) {
        println!();
        for phase in &self.done {
            let verdict = if phase.passed { good("ok    ") } else { bad("FAILED") };
            println!("{verdict}  {:<22}{:>12}", phase.name, took(phase.took));
        }
        let total = self.done.iter().map(|phase| phase.took).sum();
        println!("        {:<22}{:>12}", "together", took(total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_fails_the_run_but_stops_nothing() {
        let mut phases = Phases::default();
        assert!(!phases.run("first", || anyhow::bail!("broken")));
        assert!(phases.run("second", || Ok(true)));
        assert!(!phases.all_passed());
        assert_eq!(phases.done.len(), 2);
    }
}
