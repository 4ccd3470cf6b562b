//! A TCP service behind the gate: says every byte back. Never knows who may reach it.

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::netns::Namespace;

/// The service, on every address of both families. Dropping it ends it; connections go on.
#[derive(Debug)]
pub struct Echo {
    listener: Arc<TcpListener>,
    thread: Option<JoinHandle<()>>,
}

impl Echo {
    /// Starts it inside a namespace.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn start(namespace: &Namespace, port: u16) -> Result<Self> {
        let listener = namespace.within(|| TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))?;
        let listener = Arc::new(listener.with_context(|| format!("TCP port {port} of {}", namespace.name()))?);
        let accepting = Arc::clone(&listener);
        let thread = thread::spawn(move || {
            while let Ok((connection, _)) = accepting.accept() {
                thread::spawn(move || {
                    let _ = echo(connection);
                });
            }
        });
        Ok(Self { listener, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // Wakes the thread that accepts.
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Whether somebody gets through: connects, says something and hears it back.
///
/// Asks once, and waits for so long as suffices where nothing is dropped; a lost answer counts as no.
#[must_use]
pub fn is_open(from: &Namespace, source: IpAddr, service: SocketAddr) -> bool {
    talk(from, source, service).is_ok()
}

/// Waits until somebody gets through; returns how long that took.
///
/// # Errors
/// If nobody does within `patience`.
pub fn opens_within(patience: Duration, from: &Namespace, source: IpAddr, service: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    loop {
        match talk(from, source, service) {
            Ok(_) => return Ok(start.elapsed()),
            Err(error) => ensure!(start.elapsed() < patience, "{service} is closed to {source}: {error}"),
        }
    }
}

/// Waits until nobody gets through any more; returns how long that took.
///
/// # Errors
/// If somebody still does after `patience`.
pub fn closes_within(patience: Duration, from: &Namespace, source: IpAddr, service: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    while is_open(from, source, service) {
        ensure!(start.elapsed() < patience, "{service} is still open to {source}");
        thread::sleep(Duration::from_millis(20));
    }
    Ok(start.elapsed())
}

/// Connects, says something and hears it back; the connection stays open.
///
/// # Errors
/// If the service is closed or does not speak.
pub fn talk(from: &Namespace, source: IpAddr, service: SocketAddr) -> io::Result<TcpStream> {
    let mut connection = from.connect(source, service, ANSWERS)?;
    say(&mut connection, b"hello")?;
    Ok(connection)
}

/// Says something over a connection to [`Echo`] and hears it back.
///
/// # Errors
/// If it is not heard.
pub fn say(connection: &mut TcpStream, words: &[u8]) -> io::Result<()> {
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    connection.write_all(words)?;
    let mut heard = vec![0; words.len()];
    connection.read_exact(&mut heard)?;
    if heard == words { Ok(()) } else { Err(io::Error::other("the service says something else")) }
}

fn echo(mut connection: TcpStream) -> io::Result<()> {
    let mut bytes = [0; 1024];
    loop {
        match connection.read(&mut bytes)? {
            0 => return connection.shutdown(Shutdown::Write),
            length => connection.write_all(&bytes[..length])?,
        }
    }
}

/// An open port answers in well under a millisecond; the first retry of a dropped SYN would come after a second.
const ANSWERS: Duration = Duration::from_millis(100);
