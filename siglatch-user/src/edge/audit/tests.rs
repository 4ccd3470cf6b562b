use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;
use crate::audit::Record;
use crate::audit::event::samples;
use crate::audit::verify::{Report, Verifier};

/// A folder for a log and its head.
struct Place {
    _folder: tempfile::TempDir,
    rule: AuditRule,
    state: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rule = AuditRule { file: folder.path().join("log/audit.jsonl"), ..AuditRule::default() };
        let state = folder.path().join("state");
        Self { _folder: folder, rule, state }
    }

    fn begin(&self) -> (Recorder, AuditLog) {
        self.try_begin().unwrap()
    }

    fn try_begin(&self) -> Result<(Recorder, AuditLog), AuditError> {
        let origin = Origin { version: "0.1.0".to_owned(), run: 7, dry_run: false, state_dir: self.state.clone() };
        AuditLog::begin(&self.rule, origin)
    }

    /// A run that records so many knocks.
    fn run(&self, knocks: u32) {
        let (recorder, log) = self.begin();
        (1..=knocks).for_each(|number| recorder.record(samples::admitted(number)));
        log.close("SIGTERM");
    }

    fn verify(&self) -> Report {
        let head = read_head(&head_path(&self.state)).unwrap();
        let shelf = Shelf::open(&self.rule.file).unwrap();
        let mut verifier = Verifier::new(head);
        for part in &shelf.parts {
            verifier.begin_file(&part.path.display().to_string());
            let mut lines = part.lines().unwrap();
            while let Some((line, is_ended)) = lines.next_line().unwrap() {
                verifier.take(line, is_ended, part.is_current);
            }
        }
        verifier.finish()
    }

    /// Fails unless nothing speaks against the log; how many records it has.
    #[track_caller]
    fn is_sound(&self) -> u64 {
        let report = self.verify();
        assert!(report.sound, "{report:?}");
        report.records
    }

    fn records(&self) -> Vec<Record> {
        let shelf = Shelf::open(&self.rule.file).unwrap();
        let text = shelf.parts.iter().map(|part| fs::read_to_string(&part.path).unwrap()).collect::<String>();
        text.lines().map(|line| Record::parse(line.as_bytes()).unwrap()).collect()
    }

    fn of(&self, event: &str) -> Vec<Record> {
        self.records().into_iter().filter(|record| record.text("event") == Some(event)).collect()
    }
}

#[test]
fn one_run_is_start_knocks_and_stop() {
    let place = Place::new();
    place.run(3);
    let events: Vec<_> = place.records().iter().map(|record| record.text("event").unwrap().to_owned()).collect();
    assert_eq!(events, ["start", "knock", "knock", "knock", "stop"]);
    assert_eq!(place.is_sound(), 5);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let log = &place.rule.file;
    assert_eq!((mode(log), mode(log.parent().unwrap()), mode(&head_path(&place.state))), (0o600, 0o750, 0o600));
}

#[test]
fn the_next_run_goes_on_where_the_first_ended() {
    let place = Place::new();
    (1..=4).for_each(|_| place.run(2));
    assert_eq!(place.is_sound(), 16);
    let starts = place.of("start");
    assert!(starts.iter().all(|start| start.field("torn").is_none() && start.field("missing").is_none()), "{starts:?}");
}
