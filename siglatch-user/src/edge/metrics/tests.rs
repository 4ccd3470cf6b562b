use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use siglatch_common::lane::PerLane;
use siglatch_common::outcome::Counters;
use siglatch_common::units::Wall;

use super::*;
use crate::config::MetricsAddress;
use crate::metrics::{Audit, Programs, Reloads, Snapshot};

/// A server, and how often its numbers were read.
struct Scene {
    at: SocketAddr,
    reads: Arc<AtomicU64>,
}

impl Scene {
    fn new(bounds: Bounds) -> Self {
        let listener = MetricsListener::bind(&MetricsAddress::Tcp((Ipv4Addr::LOCALHOST, 0).into())).unwrap();
        let at = listener.tcp_address().unwrap();
        let reads = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&reads);
        serve(listener, bounds, move || snapshot(counted.fetch_add(1, Ordering::Relaxed))).unwrap();
        Self { at, reads }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.at).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(format!("{request}\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes()).unwrap();
        rest(&mut stream)
    }
}

fn snapshot(admitted: u64) -> Snapshot {
    Snapshot {
        version: "0",
        ingress: "socket",
        started: Wall::from_secs(1),
        process: Own::open().read(),
        interfaces: Vec::new(),
        frames: Counters::default(),
        lanes: PerLane::default(),
        places: 0,
        places_taken: 0,
        admitted,
        refused: std::array::from_fn(|_| 0),
        latency: Default::default(),
        key_operations: Default::default(),
        debts: 0,
        grants: 0,
        bans: Vec::new(),
        known: 0,
        programs: Programs::default(),
        audit: Audit::default(),
        unheard: 0,
        reloads: Reloads { done: 0, failed: 0, last_failed: false, last_success: Wall::from_secs(1) },
        firewall_fails: false,
        state_fails: false,
    }
}

fn rest(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[test]
fn a_scrape_gets_open_metrics_and_whoever_asks_for_it_the_older_text() {
    let scene = Scene::new(Bounds::default());
    let answer = scene.ask("GET /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{answer}"
    );
    assert!(
        answer.contains("\nsiglatch_knocks_total{result=\"admitted\"} 0\n") && answer.ends_with("# EOF\n"),
        "{answer}"
    );
    let answer = scene.ask("GET /metrics HTTP/1.1\r\nAccept: text/plain;version=0.0.4");
    assert!(answer.contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"), "{answer}");
    assert!(answer.contains("\n# TYPE siglatch_knocks_total counter\n"), "{answer}");
}

#[test]
fn a_head_has_no_body_and_nothing_else_is_there() {
    let scene = Scene::new(Bounds::default());
    let answer = scene.ask("HEAD /metrics HTTP/1.1");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    for path in ["/", "/metrics/", "/metric", "/favicon.ico", "*"] {
        assert!(scene.ask(&format!("GET {path} HTTP/1.1")).starts_with("HTTP/1.1 404 "), "{path}");
    }
    let answer = scene.ask("POST /metrics HTTP/1.1\r\nContent-Length: 0");
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nallow: GET, HEAD\r\n"), "{answer}");
    assert_eq!(scene.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn what_is_no_request_or_too_much_of_one_is_refused() {
    let scene = Scene::new(Bounds::default());
    let long = "x".repeat(20_000);
    let many: String = (0..100).map(|number| format!("\r\nX-{number}: 1")).collect();
    for request in ["\u{0}\u{1}garbage", &format!("GET /{long} HTTP/1.1"), &format!("GET /metrics HTTP/1.1{many}")] {
        let answer = scene.ask(request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(scene.ask("GET /metrics HTTP/1.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn strangers_who_connect_and_say_nothing_keep_nobody_out() {
    let bounds = Bounds { connections: 4, ..Bounds::default() };
    let scene = Scene::new(bounds);
    let mut silent: Vec<_> = (0..50).map(|_| scene.connect()).collect();
    for stream in &mut silent {
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX-Slow: ");
    }
    assert!(scene.ask("GET /metrics HTTP/1.1").starts_with("HTTP/1.1 200"));
    // All but the last few of them were hung up on, without waiting for their time to be over.
    let began = Instant::now();
    for stream in silent.iter_mut().take(46) {
        assert_eq!(rest(stream), "");
    }
    assert!(began.elapsed() < bounds.request);
}

#[test]
fn a_request_that_does_not_come_ends_the_connection() {
    let scene = Scene::new(Bounds { request: Duration::from_millis(100), ..Bounds::default() });
    let mut stream = scene.connect();
    stream.write_all(b"GET /metrics HT").unwrap();
    let answer = rest(&mut stream);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    let scene = Scene::new(Bounds { connection: Duration::from_millis(100), ..Bounds::default() });
    assert_eq!(rest(&mut scene.connect()), "");
}

#[test]
fn numbers_are_read_no_more_often_than_wanted() {
    let scene = Scene::new(Bounds { age: Duration::from_secs(3600), ..Bounds::default() });
    for _ in 0..20 {
        assert!(scene.ask("GET /metrics HTTP/1.1").contains("\nsiglatch_knocks_total{result=\"admitted\"} 0\n"));
    }
    assert_eq!(scene.reads.load(Ordering::Relaxed), 1);
}

#[test]
fn a_connection_takes_several_requests() {
    let scene = Scene::new(Bounds { age: Duration::ZERO, ..Bounds::default() });
    let mut stream = scene.connect();
    let request = "GET /metrics HTTP/1.1\r\nHost: x\r\n";
    stream.write_all(format!("{request}\r\n{request}Connection: close\r\n\r\n").as_bytes()).unwrap();
    let answers = rest(&mut stream);
    assert_eq!((answers.matches("HTTP/1.1 200 OK").count(), answers.matches("# EOF").count()), (2, 2));
}

#[test]
fn a_unix_socket_serves_the_same_and_takes_the_place_of_one_without_a_daemon() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run/metrics.sock");
    let at = MetricsAddress::Unix(path.clone());
    drop(MetricsListener::bind(&at).unwrap());
    let listener = MetricsListener::bind(&at).unwrap();
    serve(listener, Bounds::default(), || snapshot(3)).unwrap();
    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("\nsiglatch_knocks_total{result=\"admitted\"} 3\n"), "{answer}");
    let error = MetricsListener::bind(&at).unwrap_err().to_string();
    assert!(error.contains("metrics.sock") && error.contains("ss -ltnxp"), "{error}");
}

#[test]
fn what_is_in_the_way_is_told_with_its_cure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("metrics.sock");
    std::fs::write(&path, "mine").unwrap();
    let error = MetricsListener::bind(&MetricsAddress::Unix(path.clone())).unwrap_err().to_string();
    assert!(error.contains("no socket lies there"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = taken.local_addr().unwrap();
    let error = MetricsListener::bind(&MetricsAddress::Tcp(at)).unwrap_err().to_string();
    assert!(error.contains(&at.to_string()) && error.contains("ss -ltnxp"), "{error}");
}

#[test]
fn the_system_says_what_this_process_takes() {
    let own = Own::open();
    let before = own.read();
    assert!(before.resident.unwrap() > 1 << 20, "{before:?}");
    let more: Vec<_> = (0..50).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
    let after = own.read();
    assert!(after.descriptors.unwrap() >= before.descriptors.unwrap().saturating_sub(20) + 25, "{before:?} {after:?}");
    assert!(after.descriptors_max.unwrap() > more.len() as u64);
}
