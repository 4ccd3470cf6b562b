use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use siglatch_common::ban::Reason;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::admin::protocol::{Code, Problem, REQUEST_MAX, Reply, ReplyFlaw, Request};
use crate::admin::{BanEntry, BanOrder, BanPage, Banned, BansQuery, Comment, DebugState, Roles, Status, UnbanOrder};
use crate::audit::Event;
use crate::config::AuditRule;
use crate::edge::audit::{AuditLog, Origin, Recorder};

struct Daemon {
    folder: TempDir,
    runtime: Option<Runtime>,
}

impl Daemon {
    fn start() -> Self {
        Self::with(Bounds::default(), answer)
    }

    fn with(bounds: Bounds, ask: impl Fn(Asked) + Clone + Send + Sync + 'static) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = runtime.block_on(async { AdminSocket::bind(&folder.path().join("run/admin.sock")).unwrap() });
        let doorkeeper = doorkeeper();
        runtime.spawn(async move { socket.serve(bounds, doorkeeper, ask).await });
        Self { folder, runtime: Some(runtime) }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("run/admin.sock")
    }

    fn client(&self) -> AdminClient {
        AdminClient::connect(&self.path()).unwrap()
    }

    fn stream(&self) -> UnixStream {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn stop(&mut self) {
        self.runtime.take().unwrap().shutdown_timeout(Duration::from_secs(5));
    }
}

fn answer(asked: Asked) {
    let answer = match &asked.request {
        Request::Status {} => Ok(Reply::Status(Box::new(Status { version: "1.2.3".to_owned(), ..Status::default() }))),
        Request::Bans(_) => Ok(Reply::Bans(BanPage { total: 1000, more: false, bans: vec![entry(); 1000] })),
        Request::Ban(order) => {
            let entry = BanEntry { network: order.network, comment: order.comment.clone(), ..entry() };
            Ok(Reply::Banned(Banned { entry, replaced: false, note: None }))
        }
        Request::Unban(_) => Err(Problem::new(Code::NotBanned, "it is not banned")),
        Request::Debug {} | Request::DebugOn(_) | Request::DebugOff(_) => Ok(Reply::Debug(DebugState::default())),
        other => Err(Problem::new(Code::Failed, other.name())),
    };
    asked.answer(answer);
}

fn entry() -> BanEntry {
    let (network, comment) = ("192.0.2.7".parse().unwrap(), "x".repeat(Comment::MAX).parse().unwrap());
    BanEntry { network, reason: Reason::Operator, until: None, left: None, since: None, step: 0, hits: 0, comment }
}

/// Root and ourselves may do everything.
fn doorkeeper() -> Doorkeeper {
    Doorkeeper { roles: tokio::sync::watch::channel(Roles::default()).1, forbidden: Arc::default() }
}

fn said(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

fn line(stream: &mut BufReader<UnixStream>) -> String {
    let mut line = String::new();
    // Hung up on with something unread: that is the end as well.
    let _ = stream.read_line(&mut line);
    line
}

fn bind(path: &Path) -> Result<AdminSocket, AdminSocketError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { AdminSocket::bind(path) })
}

#[test]
fn one_connection_takes_one_request_after_the_other() {
    let daemon = Daemon::start();
    let mut client = daemon.client();
    let status: Status = client.ask(&Request::Status {}).unwrap();
    assert_eq!(status.version, "1.2.3");
    let order = BanOrder { network: "2001:db8::/32".parse().unwrap(), seconds: None, comment: "é".parse().unwrap() };
    let banned: Banned = client.ask(&Request::Ban(order.clone())).unwrap();
    assert_eq!((banned.entry.network, banned.entry.comment), (order.network, order.comment));
    // More than the socket's buffer holds at once.
    let page: BanPage = client.ask(&Request::Bans(BansQuery::default())).unwrap();
    assert_eq!(page.bans.len(), 1000);
    let unban = Request::Unban(UnbanOrder { network: "192.0.2.7".parse().unwrap() });
    match client.ask::<Banned>(&unban) {
        Err(AskError::Reply(ReplyFlaw::Refused(problem))) => assert_eq!(problem.code, Code::NotBanned),
        other => panic!("{other:?}"),
    }
    assert!(client.ask::<Status>(&Request::Status {}).is_ok());
}

#[test]
fn requests_that_come_together_or_in_pieces_are_told_apart() {
    let daemon = Daemon::start();
    let mut stream = daemon.stream();
    let line = Request::Status {}.to_line();
    stream.write_all(format!("{line}nonsense\n{}", &line[..9]).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(20));
    stream.write_all(&line.as_bytes()[9..]).unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains("1.2.3"));
    assert!(lines.next().unwrap().contains("\"code\":\"malformed\""));
    assert!(lines.next().unwrap().contains("1.2.3"));
}

#[test]
fn what_is_too_long_for_a_request_is_not_read_to_its_end() {
    let daemon = Daemon::start();
    let mut stream = daemon.stream();
    stream.write_all(&[b' '; REQUEST_MAX]).unwrap();
    stream.write_all(b"  ").unwrap();
    assert!(said(&stream).contains("longer than 4096 bytes"));
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

#[test]
fn a_silent_connection_and_one_that_takes_nothing_are_closed() {
    let daemon = Daemon::with(Bounds { idle: Duration::from_millis(50), ..Bounds::default() }, answer);
    assert_eq!(daemon.stream().read(&mut [0]).unwrap(), 0);
    let mut deaf = daemon.stream();
    let bans = Request::Bans(BansQuery::default()).to_line();
    deaf.write_all(bans.repeat(8).as_bytes()).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let mut heard = Vec::new();
    let _ = deaf.read_to_end(&mut heard);
    assert!(heard.len() < 1_000_000, "{}", heard.len());
}

#[test]
fn nobody_waits_for_an_answer_for_ever() {
    let kept = Arc::new(std::sync::Mutex::new(Vec::new()));
    let keep = Arc::clone(&kept);
    let bounds = Bounds { answer: Duration::from_millis(50), ..Bounds::default() };
    let daemon = Daemon::with(bounds, move |asked| keep.lock().unwrap().push(asked));
    let flaw = daemon.client().ask::<Status>(&Request::Status {}).unwrap_err();
    assert!(matches!(&flaw, AskError::Reply(ReplyFlaw::Refused(problem)) if problem.code == Code::Late), "{flaw}");
    // An answer that comes too late does no harm.
    kept.lock().unwrap().drain(..).for_each(|asked| asked.answer(Err(Problem::new(Code::Failed, "late"))));
    let daemon = Daemon::with(Bounds::default(), drop);
    let flaw = daemon.client().ask::<Status>(&Request::Status {}).unwrap_err();
    assert!(matches!(&flaw, AskError::Reply(ReplyFlaw::Refused(problem)) if problem.code == Code::Busy), "{flaw}");
}

#[test]
fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    let daemon = Daemon::with(Bounds { connections: 2, ..Bounds::default() }, answer);
    let mut clients = [daemon.client(), daemon.client()];
    for client in &mut clients {
        assert!(client.ask::<Status>(&Request::Status {}).is_ok());
    }
    let flaw = daemon.client().ask::<Status>(&Request::Status {}).unwrap_err();
    assert!(matches!(&flaw, AskError::Reply(ReplyFlaw::Refused(problem)) if problem.code == Code::Busy), "{flaw}");
    let [mut first, second] = clients;
    drop(second);
    assert!(first.ask::<Status>(&Request::Status {}).is_ok());
    let free = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        daemon.client().ask::<Status>(&Request::Status {}).is_ok()
    });
    assert!(free);
}

#[test]
fn the_socket_is_for_its_group_and_goes_with_the_daemon() {
    let mut daemon = Daemon::start();
    let path = daemon.path();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o660);
    daemon.stop();
    assert!(!path.exists());
    let error = AdminClient::connect(&path).unwrap_err().to_string();
    assert!(error.contains("Is siglatch-user running?") && error.contains("--socket"), "{error}");
}

#[test]
fn the_socket_of_a_dead_daemon_is_replaced_and_that_of_a_live_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    drop(UnixListener::bind(&path).unwrap());
    let error = AdminClient::connect(&path).unwrap_err();
    assert!(error.is_passing() && error.to_string().contains("no daemon answers"), "{error}");
    let first = bind(&path).unwrap();
    let error = bind(&path).unwrap_err().to_string();
    assert!(error.contains("another daemon answers there"), "{error}");
    // One that somebody else has put there stays when the first goes.
    fs::remove_file(&path).unwrap();
    let _second = bind(&path).unwrap();
    drop(first);
    assert!(path.exists());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    fs::write(&path, "precious").unwrap();
    let error = bind(&path).unwrap_err().to_string();
    assert!(error.contains("no socket"), "{error}");
    assert_eq!(fs::read(&path).unwrap(), b"precious");
    let long = folder.path().join("x".repeat(108));
    assert!(bind(&long).is_err());
}

#[test]
fn a_daemon_that_hangs_up_or_talks_nonsense_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let daemon = std::thread::spawn(move || {
        for reply in ["", "{\"siglatch\":", "HTTP/1.1 400 Bad Request\r\n"] {
            let (mut stream, _) = listener.accept().unwrap();
            assert_eq!(said(&stream), Request::Status {}.to_line());
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let ask = || AdminClient::connect(&path).unwrap().ask::<Status>(&Request::Status {}).unwrap_err();
    assert!(matches!(ask(), AskError::Broken { .. }));
    assert!(matches!(ask(), AskError::Broken { .. }));
    assert!(matches!(ask(), AskError::Reply(ReplyFlaw::Malformed(_))));
    daemon.join().unwrap();
}

#[test]
fn observers_are_told_what_is_recorded_and_heard_by_nobody() {
    let told = Told::start();
    let (first, second) = (told.observer(), told.observer());
    let (mut first, mut second) = (BufReader::new(first), BufReader::new(second));
    for observer in [&mut first, &mut second] {
        assert!(line(observer).starts_with("{\"v\":1,\"event\":\"watching\",\"version\":"), "a greeting");
    }
    told.record(1);
    for observer in [&mut first, &mut second] {
        let line = line(observer);
        assert!(
            line.starts_with("{\"v\":1,\"time\":\"") && line.contains("\"event\":\"exec_dropped\",\"runs\":1}"),
            "{line}"
        );
    }
    first.get_mut().write_all(b"{\"siglatch\":1,\"do\":\"status\"}\n").unwrap();
    assert_eq!(line(&mut first), "");
    told.record(2);
    assert!(line(&mut second).contains("\"runs\":2"));
}

#[test]
fn an_observer_too_slow_is_told_what_it_missed_and_holds_up_nobody() {
    let told = Told::start();
    let (slow, quick) = (told.observer(), told.observer());
    let (mut slow, mut quick) = (BufReader::new(slow), BufReader::new(quick));
    assert!(line(&mut slow).contains("watching") && line(&mut quick).contains("watching"));
    let begun = std::time::Instant::now();
    for number in 0..EVENTS {
        told.record(number);
    }
    assert!(begun.elapsed() < Duration::from_secs(10));
    drop(quick);
    let (mut heard, mut missed) = (0, 0);
    for line in slow.lines().map(Result::unwrap) {
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        match line["events"].as_u64() {
            Some(events) => missed += events,
            None => heard += 1,
        }
        if line["runs"] == EVENTS - 1 {
            break;
        }
    }
    assert_eq!(heard + missed, EVENTS, "every event is heard, or counted as missed");
    assert!(missed > 0);
    assert!(told.missed.load(Ordering::Relaxed) >= missed);
}

#[test]
fn there_are_only_so_many_observers() {
    let told = Told::start();
    let all: Vec<_> = (0..ObserverSocket::OBSERVERS).map(|_| told.observer()).collect();
    assert!(all.iter().all(|observer| said(observer).contains("watching")));
    let one_more = told.observer();
    let mut one_more = BufReader::new(one_more);
    assert!(line(&mut one_more).contains("\"code\":\"busy\""));
    assert_eq!(line(&mut one_more), "");
    drop(all);
    let free = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        said(&told.observer()).contains("watching")
    });
    assert!(free);
}

/// A daemon that only tells.
struct Told {
    folder: TempDir,
    recorder: Recorder,
    missed: Arc<AtomicU64>,
    _log: AuditLog,
    _runtime: Runtime,
}

impl Told {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let socket = runtime.block_on(async { ObserverSocket::bind(&folder.path().join("observe.sock")).unwrap() });
        let rule = AuditRule { enabled: false, ..AuditRule::default() };
        let origin = Origin { version: String::new(), run: 1, dry_run: false, state_dir: folder.path().to_owned() };
        let (recorder, log) = AuditLog::begin(&rule, origin).unwrap();
        let missed = Arc::new(AtomicU64::new(0));
        let (events, count) = (recorder.clone(), Arc::clone(&missed));
        runtime.spawn(async move { socket.serve(doorkeeper(), events, count).await });
        Self { folder, recorder, missed, _log: log, _runtime: runtime }
    }

    fn observer(&self) -> UnixStream {
        let stream = UnixStream::connect(self.folder.path().join("observe.sock")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn record(&self, runs: u64) {
        self.recorder.record(Event::ExecDropped { runs });
    }
}

/// More than the socket's buffer holds, and the queue.
const EVENTS: u64 = 20_000;
