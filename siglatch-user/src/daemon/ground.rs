//! What a daemon takes before it goes to work, while it may: program, sockets, lock. Never judges a knock.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::thread;

use anyhow::Result;
use siglatch_common::siphash::Key;
use tracing::{debug, info, warn};

use super::levers::closed_ports;
use super::way::Way;
use crate::config::{self, Settings};
use crate::edge::action::{Starter, Unfit, survey};
use crate::edge::admin::{AdminSocket, ObserverSocket};
use crate::edge::firewall::Firewall;
use crate::edge::instance::Instance;
use crate::edge::metrics::{MetricsListener, Own};
use crate::edge::network::Network;
use crate::edge::{randomness, xdp};
use crate::policy::Policy;

/// What was taken.
pub(super) struct Ground {
    pub(super) network: Network,
    pub(super) way: Way,
    /// The secret that spreads sources over the filter's tables.
    pub(super) spread: Key,
    pub(super) operators: AdminSocket,
    pub(super) observers: Option<ObserverSocket>,
    /// Where the metrics are to be had, if anywhere.
    pub(super) metrics: Option<(MetricsListener, Own)>,
    /// Held as long as the daemon lives.
    pub(super) instance: Instance,
}

impl Ground {
    /// Takes it, from a daemon that is at work if there is one. What arrives from then on waits in the ring.
    ///
    /// # Errors
    /// What is missing, and its cure. Nothing has changed then, unless the lock was taken.
    pub(super) async fn take(settings: &Settings, starter: Option<&Starter>) -> Result<Self> {
        tell_unfit(&settings.policy, starter);
        let network = Network::open()?;
        let spread = randomness::spread()?;
        let measures = xdp::Measures::new(settings, spread);
        // The kernel verifies the program as long as `nft` reads the table. It has ended before rights are given up.
        let (firewall, closed) = (settings.firewall.clone(), closed_ports(settings));
        let checked = thread::spawn(move || Firewall::check(&firewall, &closed));
        let way = Way::prepare(settings.ingress.clone(), &settings.ports, measures, &network).await;
        let checked = checked.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
        let way = way?;
        checked?;

        // From here on the other daemon, if there is one, is gone.
        let instance = Instance::take_over(&settings.state_dir)?;
        let operators = AdminSocket::bind(&settings.admin.socket)?;
        let observers = settings.admin.observer_socket.as_deref().map(ObserverSocket::bind).transpose()?;
        let metrics = settings.metrics.as_ref().map(MetricsListener::bind).transpose()?;
        // What the system says of this process is opened while it may open what it likes.
        let metrics = metrics.map(|listener| (listener, Own::open()));
        Ok(Self { network, way, spread, operators, observers, metrics, instance })
    }
}

/// The settings of a run that only tells what it would do, or as they are.
pub(super) fn as_ordered(mut settings: Settings, dry_run: bool) -> Settings {
    if dry_run {
        settings.firewall = config::Firewall::Untouched;
        settings.policy.make_dry();
    }
    settings
}

/// Says which programs could not be started, and what to do about it. Everything else works. What the daemon's user may not look
/// at is no finding: whoever starts programs may, and looks before every start.
pub(super) fn tell_unfit(policy: &Policy, starter: Option<&Starter>) {
    for program in policy.programs() {
        match survey(program) {
            Ok(_) => {}
            Err(Unfit::Unknown { path, source }) if source.kind() == ErrorKind::PermissionDenied => {
                debug!(action = program.name, path = %path.display(), "whether it could be started is seen at its start");
            }
            Err(unfit) => warn!(action = program.name, "{unfit}"),
        }
    }
    // Without one nothing is started, and that is told elsewhere.
    let Some(becoming) = starter.map(Starter::becoming) else { return };
    let others = policy.programs().iter().filter_map(|program| Some(becoming.check(program).err()?.to_string()));
    for unfit in others.collect::<BTreeSet<_>>() {
        warn!("{unfit}");
    }
}

/// Tells what the daemon has to do with, once it is ready for it.
pub(super) fn tell_ready(settings: &Settings) {
    for port in &settings.ports {
        info!(port = port.port, wire = port.wire.label(), "knock port");
    }
    let Settings { policy, key_threads, .. } = settings;
    info!(users = policy.users().count(), actions = policy.actions().count(), threads = key_threads, "ready");
}
