//! Tells the service manager how the daemon is (sd_notify(3)): ready, reloading, stopping, alive. Never decides which.
//!
//! The socket is connected once, at the start: a daemon without rights could not always reach it later. Without a service
//! manager nothing is told.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use sd_notify::NotifyState;
use tracing::{debug, warn};

/// The way to the service manager.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// The one that the environment names, if it names one.
    #[must_use]
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::nobody() };
        match connect(&name) {
            Ok(socket) => Self { socket: Some(socket), watchdog: sd_notify::watchdog_enabled() },
            Err(error) => {
                warn!(%error, socket = ?name, "the service manager cannot be told that this is ready");
                Self::nobody()
            }
        }
    }

    /// Nobody is there to be told.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { socket: None, watchdog: None }
    }

    /// How soon after a sign of life the next one must come.
    #[must_use]
    pub const fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// Knocks are judged; also after [`Notifier::reloading`].
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// What it is busy with, in one line.
    pub fn status(&self, status: &str) {
        self.tell(&[NotifyState::Status(status)]);
    }

    /// The configuration is being read again; [`Notifier::ready`] must follow, whatever came of it.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.tell(&[NotifyState::Reloading, now]),
            Err(error) => debug!(%error, "a clock cannot be read"),
        }
    }

    /// The daemon ends as it was told to.
    pub fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.tell(&[NotifyState::Watchdog]);
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(socket) = &self.socket else { return };
        // One line each, or a status could say more than a status.
        let lines: Vec<_> = states.iter().map(|state| state.to_string().replace('\n', " ")).collect();
        if let Err(error) = socket.send(lines.join("\n").as_bytes()) {
            debug!(%error, "the service manager was not told");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    // A manager that does not read must not hold up anything for long.
    socket.set_write_timeout(Some(PATIENCE))?;
    Ok(socket)
}

const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &OsStr, address: &SocketAddr, tell: impl FnOnce(&Notifier)) -> Vec<String> {
        let manager = UnixDatagram::bind_addr(address).unwrap();
        manager.set_nonblocking(true).unwrap();
        tell(&Notifier { socket: Some(connect(name).unwrap()), watchdog: None });
        let mut letters = Vec::new();
        let mut bytes = [0; 4096];
        while let Ok(length) = manager.recv(&mut bytes) {
            letters.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
        }
        letters
    }

    #[test]
    fn every_state_is_told_in_the_words_of_the_protocol() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let letters = told(path.as_os_str(), &SocketAddr::from_pathname(&path).unwrap(), |notifier| {
            notifier.ready("two\nlines");
            notifier.status("busy");
            notifier.alive();
            notifier.reloading();
            notifier.stopping();
        });
        assert_eq!(letters[..3], ["READY=1\nSTATUS=two lines", "STATUS=busy", "WATCHDOG=1"]);
        let now = letters[3].strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(now.parse::<u64>().unwrap() > 0);
        assert_eq!(letters[4..], ["STOPPING=1\nSTATUS=stopping"]);
    }

    #[test]
    fn an_abstract_name_is_reached_as_well() {
        let name = format!("@siglatch-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name[1..]).unwrap();
        assert_eq!(told(OsStr::new(&name), &address, Notifier::alive), ["WATCHDOG=1"]);
    }

    #[test]
    fn without_a_manager_nothing_is_told() {
        let notifier = Notifier::nobody();
        notifier.ready("ready");
        assert_eq!(notifier.watchdog(), None);
        assert!(connect(OsStr::new("/nonexistent/notify")).is_err());
    }
}
