//! The workspace's test programs: which ones cargo has built, and in what order they run best.
//!
//! It reads what cargo says and decides; it never runs one.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// One test program.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Suite {
    /// The package that it belongs to.
    pub(crate) package: String,
    /// What cargo calls it: a library, a program, or a file of tests.
    pub(crate) target: Target,
    /// The program.
    pub(crate) executable: PathBuf,
    /// The package's folder: the program expects to be started there.
    pub(crate) folder: PathBuf,
}

/// What of a package a suite tests.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Target {
    /// The unit tests of the library.
    Library,
    /// The unit tests of a program.
    Program(String),
    /// A suite of its own.
    Suite(String),
}

/// The order in which suites run.
#[derive(Debug, Default)]
pub(crate) struct Order {
    /// Side by side, the longest first.
    pub(crate) together: VecDeque<Suite>,
    /// One after the other, with nothing beside them.
    pub(crate) alone: VecDeque<Suite>,
}

impl Suite {
    /// The test programs among what `cargo test --no-run --message-format=json` says that it has built.
    ///
    /// # Errors
    /// If a line is not as cargo documents it.
    pub(crate) fn all_in(messages: &str) -> Result<Vec<Self>> {
        let mut suites = Vec::new();
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Value = serde_json::from_str(line).context("a message of cargo's is no JSON")?;
            let is_test = message["reason"] == "compiler-artifact" && message["profile"]["test"] == true;
            if let Some(executable) = message["executable"].as_str().filter(|_| is_test) {
                suites.push(
                    Self::of(&message, executable)
                        .with_context(|| format!("cargo does not say what {executable} is"))?,
                );
            }
        }
        Ok(suites)
    }

    fn of(message: &Value, executable: &str) -> Option<Self> {
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
        let name = message["target"]["name"].as_str()?.to_owned();
        let target = match message["target"]["kind"][0].as_str()? {
            "bin" => Target::Program(name),
            "test" => Target::Suite(name),
            _ => Target::Library,
        };
        let package = package_name(message["package_id"].as_str()?)?.to_owned();
        Some(Self { package, target, executable: executable.into(), folder })
    }

    /// What it is called in a list.
    pub(crate) fn name(&self) -> String {
        match &self.target {
            Target::Library => format!("{} (library)", self.package),
            Target::Program(name) => format!("{name} (program)"),
            Target::Suite(name) => name.clone(),
        }
    }

    /// How to run it and nothing else.
    pub(crate) fn command_line(&self) -> String {
        let which = match &self.target {
            Target::Library => "--lib".to_owned(),
            Target::Program(name) => format!("--bin {name}"),
            Target::Suite(name) => format!("--test {name}"),
        };
        format!("cargo test -p {} {which}", self.package)
    }

    /// Its place in a list of names.
    fn place(&self, names: impl IntoIterator<Item = &'static str>) -> Option<usize> {
        let own = match &self.target {
            Target::Library => &self.package,
            Target::Program(name) | Target::Suite(name) => name,
        };
        names.into_iter().position(|name| name == own)
    }
}

impl Order {
    /// Sorts out what must be alone, and puts the longest first.
    pub(crate) fn of(suites: Vec<Suite>) -> Self {
        let names = || ALONE.iter().map(|(name, _)| *name);
        let (mut alone, mut together): (Vec<_>, Vec<_>) =
            suites.into_iter().partition(|suite| suite.place(names()).is_some());
        alone.sort_by_key(|suite| suite.place(names()));
        together.sort_by_key(|suite| suite.place(LONG).unwrap_or(LONG.len()));
        Self { together: together.into(), alone: alone.into() }
    }
}

/// The name in a package ID: `path+file:///folder/NAME#VERSION`, or `…#NAME@VERSION` where the folder has another name.
fn package_name(id: &str) -> Option<&str> {
    let (place, last) = id.rsplit_once('#')?;
    Some(last.split_once('@').map_or_else(|| place.rsplit('/').next().unwrap_or(place), |(name, _)| name))
}

/// Nothing runs beside these; each with the reason.
const ALONE: [(&str, &str); 4] = [
    ("flood_honest", "sends all that the machine can, and wants a hundred knocks of a hundred honoured meanwhile"),
    ("flood_attacks", "sends all that the machine can, and wants to see how soon somebody gets in"),
    ("programs", "fork bombs take every processor for seconds, and ends are wanted within their bounds meanwhile"),
    ("siglatch-tests", "the flood's own tests want so many frames in half a second"),
];

/// These take longest, the longest first: whatever begins last ends last. A name that is missing costs some seconds.
const LONG: [&str; 15] = [
    "package",
    "e2e_survival",
    "e2e_takeover",
    "siglatch-user",
    "e2e_bans",
    "e2e_reload",
    "e2e_interfaces",
    "e2e_metrics",
    "e2e_disk",
    "xdp_rules",
    "e2e_operate",
    "firewall",
    "e2e_programs",
    "e2e_admin",
    "e2e_refusals",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn message(package: &str, kind: &str, name: &str, test: bool) -> String {
        let executable = if kind == "lib" && !test { "null".to_owned() } else { format!("\"/target/{name}-1\"") };
        format!(
            r#"{{"reason":"compiler-artifact","package_id":"path+file:///w/{package}#0.1.0","manifest_path":"/w/{package}/Cargo.toml","target":{{"kind":["{kind}"],"name":"{name}"}},"profile":{{"test":{test}}},"executable":{executable}}}"#
        )
    }

    fn suites(messages: &[String]) -> Vec<Suite> {
        Suite::all_in(&messages.join("\n")).unwrap()
    }

    #[test]
    fn test_programs_are_found_among_everything_that_was_built() {
        let found = suites(&[
            message("a", "lib", "a", false),
            message("a", "lib", "a", true),
            message("a", "bin", "tool", false),
            message("a", "bin", "tool", true),
            message("b", "test", "walk", true),
            r#"{"reason":"build-finished","success":true}"#.to_owned(),
            "not of cargo".to_owned(),
        ]);
        let lines: Vec<_> = found.iter().map(Suite::command_line).collect();
        assert_eq!(lines, ["cargo test -p a --lib", "cargo test -p a --bin tool", "cargo test -p b --test walk"]);
        assert_eq!(found[2].folder, Path::new("/w/b"));
        assert_eq!(found[2].executable, Path::new("/target/walk-1"));
    }

    #[test]
    fn a_package_is_told_by_its_name_and_not_by_its_folder() {
        assert_eq!(package_name("path+file:///src/tests#siglatch-tests@0.1.0"), Some("siglatch-tests"));
        assert_eq!(package_name("path+file:///src/xtask#0.1.0"), Some("xtask"));
    }

    #[test]
    fn a_message_without_a_name_is_told() {
        let nameless = message("a", "test", "walk", true).replace("\"name\":\"walk\"", "\"title\":1");
        assert!(Suite::all_in(&nameless).unwrap_err().to_string().contains("walk-1"));
    }

    #[test]
    fn the_longest_begin_first_and_floods_are_alone() {
        let names = ["frames", "flood_attacks", "e2e_reload", "package", "flood_honest", "vectors"];
        let order = Order::of(suites(&names.map(|name| message("t", "test", name, true))));
        let names = |suites: &VecDeque<Suite>| suites.iter().map(Suite::name).collect::<Vec<_>>();
        assert_eq!(names(&order.together), ["package", "e2e_reload", "frames", "vectors"]);
        assert_eq!(names(&order.alone), ["flood_honest", "flood_attacks"]);
    }
}
