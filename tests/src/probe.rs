//! Finds out when a closed port opens: one fresh TCP connection after the other, because the kernel repeats a lost SYN
//! only after a second. Never knocks.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, Socket, Type};

/// Tries from one address to one service, in the network namespace of the calling thread.
#[derive(Debug)]
pub struct Probe {
    from: SocketAddr,
    to: SocketAddr,
    step: Duration,
    /// Connections under way, the newest last.
    under_way: Vec<Socket>,
}

impl Probe {
    /// Tries every 100 µs: so finely is the moment of opening told.
    #[must_use]
    pub const fn new(from: IpAddr, to: SocketAddr) -> Self {
        Self { from: SocketAddr::new(from, 0), to, step: STEP, under_way: Vec::new() }
    }

    /// With another pause between two attempts.
    #[must_use]
    pub fn every(self, step: Duration) -> Self {
        Self { step, ..self }
    }

    /// Tries for so long; true as soon as a connection stands.
    ///
    /// # Errors
    /// If the gateway answers anything else than yes, or nothing can be sent.
    pub fn opens_within(&mut self, patience: Duration) -> Result<bool> {
        let end = Instant::now() + patience;
        loop {
            let next = Instant::now() + self.step;
            self.try_once()?;
            loop {
                if self.stands(next.saturating_duration_since(Instant::now()))? {
                    return Ok(true);
                }
                let now = Instant::now();
                if now >= end {
                    return Ok(false);
                }
                if now >= next {
                    break;
                }
            }
        }
    }

    fn try_once(&mut self) -> Result<()> {
        let socket = Socket::new(Domain::for_address(self.to), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.bind(&self.from.into()).with_context(|| format!("cannot bind to {}", self.from))?;
        match socket.connect(&self.to.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => {
                return Err(error).with_context(|| format!("cannot connect to {}", self.to));
            }
            Ok(()) | Err(_) => {}
        }
        // A SYN is let in or dropped as it is sent: what has not succeeded by now waits for the kernel's repetition.
        if self.under_way.len() == KEPT {
            self.under_way.remove(0);
        }
        self.under_way.push(socket);
        Ok(())
    }

    fn stands(&self, patience: Duration) -> Result<bool> {
        let mut polled: Vec<_> = self.under_way.iter().map(|socket| PollFd::new(socket, PollFlags::OUT)).collect();
        let patience = Timespec::try_from(patience)?;
        match poll(&mut polled, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        for (socket, polled) in self.under_way.iter().zip(&polled) {
            if polled.revents().contains(PollFlags::OUT) {
                match socket.take_error()? {
                    None => return Ok(true),
                    Some(error) => bail!("{} answered: {error}", self.to),
                }
            }
        }
        Ok(false)
    }
}

/// How long one connection takes to an open port.
///
/// # Errors
/// If it does not stand within a second.
pub fn connect(from: IpAddr, to: SocketAddr) -> Result<Duration> {
    let mut probe = Probe::new(from, to);
    let begin = Instant::now();
    probe.try_once()?;
    if !probe.stands(Duration::from_secs(1))? {
        bail!("no connection from {from} to {to}, which a grant has opened");
    }
    Ok(begin.elapsed())
}

const STEP: Duration = Duration::from_micros(100);
const KEPT: usize = 4;
