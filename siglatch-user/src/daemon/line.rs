//! What the service manager shows of the daemon, in one line: where knocks come in, and whose; told again when an interface
//! comes, goes or changes. Never says that anything is ready.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::watch;

use crate::admin::{Ingress, Interface};
use crate::config::Settings;
use crate::edge::notify::Notifier;

/// The line, as it stands.
#[derive(Clone, Debug)]
pub(super) struct Line {
    ingress: Ingress,
    interfaces: watch::Receiver<Vec<Interface>>,
    /// Whether no program can be started.
    programs_fail: watch::Receiver<bool>,
    /// What the configuration says.
    rest: Arc<watch::Sender<String>>,
}

impl Line {
    pub(super) fn new(
        ingress: Ingress,
        interfaces: watch::Receiver<Vec<Interface>>,
        programs_fail: watch::Receiver<bool>,
        settings: &Settings,
    ) -> Self {
        Self { ingress, interfaces, programs_fail, rest: Arc::new(watch::Sender::new(rest(settings))) }
    }

    /// Goes by these settings from now on, and says the line.
    pub(super) fn of(&self, settings: &Settings) -> String {
        self.rest.send_replace(rest(settings));
        self.text()
    }

    /// Tells the line whenever an interface is not as it was, or what starts programs is gone or back, for ever.
    pub(super) async fn follow(mut self, notifier: Arc<Notifier>) -> Result<()> {
        // How they stand now is told with the first line.
        self.interfaces.mark_unchanged();
        self.programs_fail.mark_unchanged();
        let mut told = self.text();
        loop {
            // Sockets have no interfaces, and nobody follows them.
            tokio::select! {
                Ok(()) = self.interfaces.changed() => {}
                Ok(()) = self.programs_fail.changed() => {}
                else => return std::future::pending().await,
            }
            let text = self.text();
            if text != told {
                notifier.status(&text);
                told = text;
            }
        }
    }

    fn text(&self) -> String {
        let interfaces: Vec<_> =
            self.interfaces.borrow().iter().map(|at| format!("{} ({})", at.name, at.mode)).collect();
        let programs = if *self.programs_fail.borrow() { "; PROGRAMS CANNOT BE STARTED: restart it" } else { "" };
        let rest = format!("{}{programs}", *self.rest.borrow());
        match self.ingress {
            Ingress::Xdp if interfaces.is_empty() => format!("XDP on no interface; {rest}"),
            Ingress::Xdp => format!("XDP on {}; {rest}", interfaces.join(", ")),
            Ingress::Socket => format!("plain sockets; {rest}"),
        }
    }
}

fn rest(settings: &Settings) -> String {
    let ports: Vec<_> = settings.ports.iter().map(|port| format!("{} {}", port.port, port.wire.label())).collect();
    format!("ports {}; {} users", ports.join(", "), settings.policy.users().count())
}
