//! Wires everything: ingress to the private-key pool, the pool to the judge, the judge to disk and firewall.
//! Never decides about a knock.
//!
//! ```text
//! rings or sockets ──► Lanes ──► KeyPool (threads) ──► Judge (one thread: gate, nonce store, firewall)
//!    (one tokio task takes by precedence)  bounded places   also told: firewall changed, stop
//!                                                           │ never waits: what finds no room is counted
//!                                                           └──► Warden (one thread: the filter's lists)
//! ```

mod judge;
mod owed;
mod report;
mod turns;
mod warden;
mod way;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context as _, Result, bail};
use siglatch_common::lane::PerLane;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use crate::admin;
use crate::config::{self, Settings};
use crate::edge::admin::{AdminSocket, Bounds};
use crate::edge::ban_store::BanStore;
use crate::edge::blacklist_files::BlacklistFiles;
use crate::edge::firewall::{Firewall, Watcher};
use crate::edge::instance::Instance;
use crate::edge::key_pool::{KeyPool, Places};
use crate::edge::lanes::Lanes;
use crate::edge::network::Network;
use crate::edge::nonce_store::{NonceStore, Recovery};
use crate::edge::xdp;
use crate::edge::{clock, randomness};
use crate::gate::{Beginning, Gate, Noted, still_allowed};
use crate::keys::Keyring;
use crate::precedence::Precedence;
use judge::{Input, Judge};
use report::{Constants, Report, Tallies};
use warden::Warden;
use way::{Open, Way};

/// Runs until SIGTERM or SIGINT. Returns early only if the daemon cannot start.
///
/// The XDP program stays attached when this returns, and grants end by themselves.
///
/// # Errors
/// What is missing, and its cure.
pub async fn run(settings: Settings) -> Result<()> {
    let mut stop = Stop::listen()?;
    let measures = xdp::Measures::new(&settings, randomness::spread()?);
    let Settings {
        ingress,
        ports,
        lanes: lane_rules,
        state_dir,
        key_threads,
        nonce_capacity,
        firewall,
        policy,
        server_key,
        user_keys,
        known,
        allow,
        ban,
        blacklist,
        gate_keys,
        admin_socket,
        programs_at_once,
        debug,
        ..
    } = settings;
    let started = clock::boot();
    let policy = Arc::new(policy);
    let network = Network::open()?;
    let way = Way::prepare(ingress, &ports, measures, &network).await?;
    let knock_ports = way.closed_ports(&ports);
    Firewall::check(&firewall, &knock_ports)?;

    // From here on the other daemon, if there is one, is gone; what arrives waits in the ring.
    let _instance = Instance::take_over(&state_dir)?;
    let operators = AdminSocket::bind(&admin_socket)?;
    let (store, remembered, recovery) = NonceStore::open(&state_dir, policy.max_skew(), clock::now())?;
    tell_recovery(recovery);
    let (mut wall, mut standing) = Firewall::open(&firewall, &knock_ports, clock::boot())?;
    let watcher = wall.watch()?;
    let withdrawn: Vec<_> = standing.extract_if(.., |grant| !still_allowed(grant, &policy)).collect();
    for grant in &withdrawn {
        info!(source = %grant.key.source, service = %grant.key.service, by = grant.label, "grant ended: no longer allowed");
    }
    wall.revoke(&withdrawn.iter().map(|grant| grant.key).collect::<Vec<_>>())?;
    if !standing.is_empty() {
        info!(grants = standing.len(), "grants of an earlier run taken over");
    }

    let enabled = |(user, key)| policy.user(user).is_some_and(|user| user.enabled).then_some((user, key));
    let keys = Keyring::new(server_key, user_keys.into_iter().filter_map(enabled), randomness::hmac_key()?);
    let gate = Gate::new(
        Beginning {
            policy: Arc::clone(&policy),
            nonce_capacity,
            programs_at_once,
            run: randomness::run()?,
            remembered,
            noted: Noted::default(),
            grants: &standing,
        },
        clock::now(),
    );
    let (inputs, judged) = channel();
    // Before the program is attached: whoever is banned does not get through meanwhile, nor is anybody unknown.
    let (warden, to_warden) = Warden::begin(warden::Parts {
        lists: way.lists()?,
        store: BanStore::open(&state_dir)?,
        ban,
        known,
        allow,
        files: BlacklistFiles::new(blacklist),
        gate_keys,
        spread: randomness::spread()?,
        judge: inputs.clone(),
    })?;
    let tallies = Arc::new(Tallies::default());
    let mut judge = Judge::new(gate, store, wall, to_warden.clone(), Arc::clone(&tallies));
    judge.follow(&debug, clock::boot());
    let judge = thread::Builder::new().name("judge".into()).spawn(move || judge.run(&judged))?;
    if let Some(watcher) = watcher {
        watch_firewall(watcher, inputs.clone())?;
    }
    let (answers, operations) = (inputs.clone(), Arc::clone(&tallies));
    let pool = Arc::new(KeyPool::start(&Arc::new(keys), key_threads, move |answer| {
        operations.operation(answer.candidate.lane());
        // Fails only when the judge has stopped, and then nothing is admitted any more.
        let _ = answers.send(Input::Answer(Box::new(answer)));
    })?);

    let mut tasks = JoinSet::new();
    let precedence = Precedence::new(PerLane::from_fn(|lane| lane_rules.of(lane).share));
    let Open { lanes, ingress, interfaces } = way.open(&ports, network, &mut tasks).await?;
    let depths = lanes.depths();
    tasks.spawn(feed(lanes, precedence, Arc::clone(&pool)));
    let report = Report::new(
        Constants { started, ingress, interfaces, ports: ports.iter().map(port_status).collect(), lanes: lane_rules },
        tallies,
        move || depths.waiting(),
    );
    let warden = thread::Builder::new().name("warden".into()).spawn(move || warden.run(report))?;
    let desk = to_warden.clone();
    tasks.spawn(async move { operators.serve(Bounds::default(), move |asked| desk.ask(asked)).await });
    for port in &ports {
        info!(port = port.port, wire = port.wire.label(), "knock port");
    }
    info!(users = policy.users().count(), actions = policy.actions().count(), threads = key_threads, "ready");

    tokio::select! {
        name = stop.asked() => info!(signal = name, "stopping: the filter stays attached, and grants end by themselves"),
        ended = tasks.join_next() => {
            let reason = ended.map_or_else(|| "nothing to do".into(), |ended| format!("{ended:?}"));
            error!(reason, "an ingress has ended");
            bail!("an ingress has ended: {reason}");
        }
    }
    tasks.shutdown().await;
    if let Some(pool) = Arc::into_inner(pool) {
        pool.finish();
    }
    let _ = inputs.send(Input::Stop);
    let threads = move || {
        let judge = judge.join();
        // What the judge has said last is heard before.
        to_warden.stop();
        judge.and(warden.join())
    };
    tokio::task::spawn_blocking(threads).await?.map_err(|_| anyhow::anyhow!("a thread has panicked"))
}

/// Brings candidates from the lanes to the pool. A place is taken first, so that who comes next is decided when there is
/// one: what finds none waits in its lane, and what finds no room there is dropped, and counted.
async fn feed(mut lanes: Lanes, mut precedence: Precedence, pool: Arc<KeyPool>) -> Result<()> {
    let mut places = Places::default();
    loop {
        let place = pool.one_of(&mut places).await;
        let candidate = lanes.next(&mut precedence).await.context("the lanes")?;
        pool.submit(candidate, place);
    }
}

fn port_status(port: &config::KnockPort) -> admin::Port {
    admin::Port { port: port.port, wire: port.wire.label().to_owned() }
}

/// Tells the judge when somebody else has changed the table. On a thread of its own, which ends with the process.
fn watch_firewall(mut watcher: Watcher, inputs: Sender<Input>) -> Result<()> {
    let watch = move || loop {
        match watcher.wait() {
            Ok(change) => {
                if inputs.send(Input::FirewallChanged(change)).is_err() {
                    return;
                }
            }
            Err(error) => {
                error!(%error, "changes of the firewall are no longer noticed; restart siglatch-user");
                return;
            }
        }
    };
    thread::Builder::new().name("nft-watch".into()).spawn(watch)?;
    Ok(())
}

fn tell_recovery(recovery: Recovery) {
    match recovery {
        Recovery::Complete => debug!("every nonce of earlier runs is known"),
        Recovery::PowerLoss(until) => {
            warn!(
                until = until.as_secs(),
                "the machine stopped without warning: knocks stamped up to then (Unix time) are refused"
            );
        }
        Recovery::Missing(until) => {
            warn!(
                until = until.as_secs(),
                "no nonce store yet: knocks stamped up to then (Unix time) are refused, once"
            );
        }
        Recovery::Damaged(until) => {
            warn!(
                until = until.as_secs(),
                "the nonce store is damaged: knocks stamped up to then (Unix time) are refused"
            );
        }
    }
}

/// The signals that end the daemon.
struct Stop {
    term: tokio::signal::unix::Signal,
    int: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    async fn asked(&mut self) -> &'static str {
        tokio::select! {
            _ = self.term.recv() => "SIGTERM",
            _ = self.int.recv() => "SIGINT",
        }
    }
}
