use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::audit::event::samples;
use crate::audit::verify::{Kind, Report, Verifier};
use crate::audit::{Link, Record};

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

    fn names(&self) -> Vec<String> {
        let folder = self.rule.file.parent().unwrap();
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let until = Instant::now() + Duration::from_secs(10);
        while !is_so(self) {
            assert!(Instant::now() < until, "{what}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(bytes).unwrap();
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

#[test]
fn a_torn_tail_is_cut_and_told() {
    let place = Place::new();
    place.run(3);
    let whole = fs::read(&place.rule.file).unwrap();
    for tail in [&b"{\"v\":1,\"seq\":6,"[..], &[0; 4096], b"x"] {
        fs::write(&place.rule.file, &whole).unwrap();
        append(&place.rule.file, tail);
        fs::write(head_path(&place.state), last(&whole).to_string()).unwrap();
        place.run(1);
        assert_eq!(place.is_sound(), 8);
        assert_eq!(place.of("start")[1].number("torn"), Some(tail.len() as u64));
    }
    // A first record that was torn leaves nothing.
    fs::write(&place.rule.file, b"{\"v\":").unwrap();
    fs::remove_file(head_path(&place.state)).unwrap();
    place.run(1);
    assert_eq!((place.is_sound(), place.of("start")[0].number("torn")), (3, Some(5)));
}

#[test]
fn a_cut_end_stays_told_after_the_next_start() {
    let place = Place::new();
    place.run(3);
    let text = fs::read_to_string(&place.rule.file).unwrap();
    let cut: String = text.split_inclusive('\n').take(3).collect();
    fs::write(&place.rule.file, cut).unwrap();
    let kinds = |report: Report| report.findings.into_iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(place.verify()), [Kind::CutEnd { from: 4, to: 5 }]);
    place.run(1);
    assert_eq!(kinds(place.verify()), [Kind::Gap { from: 4, to: 5 }]);
    assert_eq!(place.of("start")[1].number("missing"), Some(2));
    // Whoever puts the lines back has a sound log.
    let after = fs::read_to_string(&place.rule.file).unwrap();
    let after: String = after.split_inclusive('\n').skip(3).collect();
    fs::write(&place.rule.file, text + &after).unwrap();
    assert_eq!(place.is_sound(), 8);
}

#[test]
fn a_lost_head_or_log_is_told_and_the_chain_goes_on() {
    let place = Place::new();
    place.run(1);
    fs::remove_file(head_path(&place.state)).unwrap();
    place.run(1);
    assert_eq!(place.of("start")[1].field("headless"), Some(&true.into()));
    assert_eq!(place.is_sound(), 6);
    fs::remove_file(&place.rule.file).unwrap();
    place.run(1);
    assert_eq!(place.of("start")[0].field("fileless"), Some(&true.into()));
    let report = place.verify();
    assert_eq!(report.findings[0].kind, Kind::NoBeginning { first: 7 });
}

#[test]
fn a_file_that_makes_no_sense_is_set_aside_and_not_lost() {
    let place = Place::new();
    place.run(1);
    append(&place.rule.file, b"hello\n");
    place.run(1);
    let damaged = "audit.jsonl.000000000001";
    assert_eq!(place.names(), ["audit.jsonl", damaged]);
    let report = place.verify();
    let found: Vec<_> = report.findings.iter().map(|finding| (finding.line, &finding.kind)).collect();
    assert_eq!(found, [(4, &Kind::NotARecord)]);
    assert!(report.findings[0].file.ends_with(damaged));
    assert_eq!((report.first, report.last), (Some(1), Some(6)));
}

#[test]
fn a_full_file_is_followed_by_another_and_so_many_stay() {
    let mut place = Place::new();
    place.rule.size = 2000;
    place.rule.keep = 3;
    place.run(40);
    let names = place.names();
    assert_eq!((names.len(), &*names[0]), (4, "audit.jsonl"));
    let sizes = names.iter().map(|name| fs::metadata(place.rule.file.with_file_name(name)).unwrap().len());
    assert!(sizes.skip(1).all(|size| (2000..3000).contains(&size)));
    let report = place.verify();
    let first = report.first.unwrap();
    assert!(report.sound && first > 1, "{report:?}");
    assert_eq!(report.findings.last().unwrap().kind, Kind::Removed { to: first - 1 });
    // Nothing but what the log itself has removed may lack.
    fs::remove_file(place.rule.file.with_file_name(&names[1])).unwrap();
    assert!(!place.verify().sound);
}

#[test]
fn an_old_file_is_followed_by_another_once_there_is_something_to_write() {
    let mut place = Place::new();
    place.run(1);
    place.rule.age = Duration::from_millis(1);
    thread::sleep(Duration::from_millis(10));
    place.run(0);
    assert_eq!(place.of("rotated")[0].text("why"), Some("age"));
    place.is_sound();
}

#[test]
fn another_rule_holds_from_then_on_and_the_log_stays_where_it_is() {
    let place = Place::new();
    let (recorder, log) = place.begin();
    (1..=10).for_each(|number| recorder.record(samples::admitted(number)));
    let elsewhere = place.state.join("elsewhere.jsonl");
    recorder.set_rule(AuditRule { file: elsewhere.clone(), size: 2000, keep: 2, ..place.rule.clone() });
    for number in 11..=200 {
        recorder.record(samples::admitted(number));
    }
    log.close("SIGTERM");
    assert!(!elsewhere.exists());
    assert!(place.is_sound() > 0);
    assert_eq!(place.names().len(), 3, "the one that is written to, and two before it: {:?}", place.names());
}

#[test]
fn two_rotations_in_one_moment_overwrite_nothing() {
    let place = Place::new();
    let (recorder, log) = place.begin();
    for number in 1..=3 {
        recorder.record(samples::admitted(number));
        recorder.rotate();
        place.wait_until("the rotation", |place| place.names().len() == 1 + number as usize);
    }
    log.close("SIGTERM");
    let names = place.names();
    assert_eq!(names.len(), 4);
    assert_eq!(place.is_sound(), 3 + 3 + 2);
    assert!(place.of("rotated").iter().all(|rotated| rotated.text("why") == Some("request")));
}

#[test]
fn a_name_that_is_taken_is_left_alone() {
    let place = Place::new();
    let (recorder, log) = place.begin();
    let taken = place.rule.file.with_file_name("audit.jsonl.000000000001");
    fs::write(&taken, "").unwrap();
    recorder.rotate();
    place.wait_until("the rotation", |place| place.names().len() == 3);
    log.close("SIGTERM");
    assert_eq!(fs::read(taken).unwrap(), b"");
    assert_eq!(place.names()[2], "audit.jsonl.000000000001-1");
    place.is_sound();
}

#[test]
fn a_file_that_somebody_has_moved_away_is_followed_by_a_new_one() {
    let place = Place::new();
    let (recorder, log) = place.begin();
    recorder.record(samples::admitted(1));
    place.wait_until("two records", |place| place.records().len() == 2);
    fs::rename(&place.rule.file, place.rule.file.with_file_name("audit.jsonl.1")).unwrap();
    // logrotate's `create`.
    fs::write(&place.rule.file, "").unwrap();
    recorder.rotate();
    recorder.record(samples::admitted(2));
    place.wait_until("a new file", |place| fs::metadata(&place.rule.file).is_ok_and(|file| file.len() > 0));
    log.close("SIGTERM");
    assert_eq!(place.is_sound(), 5);
    assert_eq!(place.of("rotated")[0].text("why"), Some("moved"));
    fs::remove_file(place.rule.file.with_file_name("audit.jsonl.1")).unwrap();
    let report = place.verify();
    assert_eq!((report.sound, &report.findings[0].kind), (true, &Kind::MovedAway { to: 2 }));
}

#[test]
fn one_process_writes_it() {
    let place = Place::new();
    let (_recorder, log) = place.begin();
    assert!(matches!(place.try_begin(), Err(AuditError::Locked { .. })));
    log.close("SIGTERM");
    place.run(1);
    place.is_sound();
}

#[test]
fn what_the_operator_must_mend_keeps_the_daemon_from_starting() {
    let mut place = Place::new();
    place.rule.file = place.state.join("folder");
    fs::create_dir_all(&place.rule.file).unwrap();
    let error = place.try_begin().unwrap_err().to_string();
    assert!(error.contains("`file` under [audit]"), "{error}");
    place.rule.file = PathBuf::from("/proc/version/audit.jsonl");
    assert!(place.try_begin().is_err());
    place.rule.enabled = false;
    place.run(3);
    assert!(!place.rule.file.exists());
}

#[test]
fn nobody_waits_for_a_writer_that_does_not_come() {
    let queue = Queue::new(true);
    let began = Instant::now();
    for number in 0..50_000 {
        queue.put(samples::admitted(number), Told { record: true, line: false });
    }
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(queue.lost(), 50_000 - Queue::CAPACITY as u64);
    // What waited is handed out in order, and then what was lost is told.
    let (mut all, mut batches) = (std::collections::VecDeque::new(), 0);
    while batches < 100 && all.back().is_none_or(|last: &Arc<Stamped>| last.event.name() != "lost") {
        let mut batch = std::collections::VecDeque::new();
        let _ = queue.take(&mut batch, Duration::ZERO);
        assert!(batch.len() <= Queue::BATCH + 1);
        all.extend(batch);
        batches += 1;
    }
    assert_eq!(all.len(), Queue::CAPACITY + 1);
    assert!(all.iter().map(|stamped| stamped.at.boot).is_sorted());
    let Some(Event::Lost(lost)) = all.back().map(|last| &last.event) else { panic!("{:?}", all.back()) };
    assert_eq!((lost.records, lost.admitted), (queue.lost(), queue.lost()));
}

#[test]
fn whoever_follows_sees_every_record_once_across_rotations() {
    let mut place = Place::new();
    place.rule.size = 3000;
    place.rule.keep = 100;
    let (recorder, log) = place.begin();
    let mut tail = Tail::after(&place.rule.file, 0);
    let mut seen = Vec::new();
    for number in 1..=200 {
        recorder.record(samples::admitted(number));
        if number % 40 == 0 {
            seen.extend(tail.read().unwrap());
        }
    }
    log.close("SIGTERM");
    seen.extend(tail.read().unwrap());
    let seqs: Vec<_> = seen.iter().map(|line| Record::parse(line).unwrap().number("seq").unwrap()).collect();
    assert_eq!(seqs, (1..=place.is_sound()).collect::<Vec<_>>());
    assert!(place.names().len() > 10);
    assert_eq!(tail.read().unwrap(), Vec::<Vec<u8>>::new());
}

/// The last record of a log.
fn last(text: &[u8]) -> Link {
    let line = text.strip_suffix(b"\n").unwrap().rsplit(|byte| *byte == b'\n').next().unwrap();
    crate::audit::chain::Sealed::read(line).unwrap().link
}
