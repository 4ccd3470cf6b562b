//! Wires everything: ingress to the private-key pool, the pool to the judge, the judge to disk and firewall.
//! Never decides about a knock.
//!
//! ```text
//! rings or sockets ──► Lanes ──► KeyPool (threads) ──► Judge (one thread: gate, nonce store, firewall)
//!    (one tokio task takes by precedence)  bounded places   also told: firewall changed, stop
//!                                                           │ never waits: what finds no room is counted
//!                                                           └──► Warden (one thread: the filter's lists)
//! ```

mod books;
mod errands;
mod judge;
mod owed;
mod report;
mod signals;
mod turns;
mod wall;
mod warden;
mod way;

use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;

use anyhow::{Context as _, Result};
use siglatch_common::lane::PerLane;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::admin;
use crate::audit::Event;
use crate::audit::event::By;
use crate::config::{self, Settings};
use crate::edge::action::{Endings, Starter, survey};
use crate::edge::admin::{AdminSocket, Bounds};
use crate::edge::audit::{AuditLog, Origin};
use crate::edge::ban_store::BanStore;
use crate::edge::firewall::{Firewall, Watcher};
use crate::edge::instance::Instance;
use crate::edge::itself;
use crate::edge::key_pool::{KeyPool, Places};
use crate::edge::lanes::Lanes;
use crate::edge::lists::Dry;
use crate::edge::network::Network;
use crate::edge::xdp;
use crate::edge::{clock, randomness};
use crate::gate::{Beginning, Gate};
use crate::keys::Keyring;
use crate::policy::Policy;
use crate::precedence::Precedence;
use books::{Books, Left};
use errands::Errands;
use judge::{Input, Judge};
use report::{Constants, Report, Tallies};
use signals::Signals;
use wall::{Standing, Wall};
use warden::Warden;
use way::{Open, Way};

/// What the daemon is given besides its settings.
pub struct Orders {
    /// Everything is judged and told, and nothing done.
    pub dry_run: bool,
    /// The processes that start programs; nothing if none are configured.
    pub starter: Option<(Starter, Endings)>,
    /// Whether the configuration, as it stands in its file, is sound: what is wrong with it, if it is not.
    pub is_sound: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
}

/// Why the daemon has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ended {
    /// It was told to.
    Stopped,
    /// To begin anew at once, with the configuration as it is now.
    ForReload,
}

/// Runs until SIGTERM or SIGINT, or until it is to begin anew. Returns early only if the daemon cannot start.
///
/// The XDP program stays attached when this returns, and grants end by themselves.
///
/// # Errors
/// What is missing, and its cure.
pub async fn run(settings: Settings, orders: Orders) -> Result<Ended> {
    let signals = Signals::listen()?;
    let Orders { dry_run, starter, is_sound } = orders;
    let measures = xdp::Measures::new(&settings, randomness::spread()?);
    let Settings {
        gateway: _,
        ingress,
        ports,
        limits: _,
        lanes: lane_rules,
        known,
        allow,
        ban,
        blacklist,
        gate_keys,
        admin_socket,
        audit,
        debug,
        programs_at_once,
        state_dir,
        key_threads,
        nonce_capacity,
        firewall,
        mut policy,
        server_key,
        user_keys,
    } = settings;
    let firewall = if dry_run { config::Firewall::Untouched } else { firewall };
    if dry_run {
        policy.make_dry();
        warn!(
            "DRY RUN: knocks are judged and nothing is done for them; no service is closed or opened, nobody is banned"
        );
    }
    let started = clock::boot();
    let policy = Arc::new(policy);
    tell_unfit(&policy);
    let network = Network::open()?;
    let way = Way::prepare(ingress, &ports, measures, &network).await?;
    let knock_ports = way.closed_ports(&ports);
    Firewall::check(&firewall, &knock_ports)?;

    // From here on the other daemon, if there is one, is gone; what arrives waits in the ring.
    let _instance = Instance::take_over(&state_dir)?;
    let run = randomness::run()?;
    let origin = Origin { version: VERSION.to_owned(), run, dry_run, state_dir: state_dir.clone() };
    let (recorder, log) = AuditLog::begin(&audit, origin)?;
    let operators = AdminSocket::bind(&admin_socket)?;
    let (books, Left { remembered, noted }) = Books::open(&state_dir, policy.max_skew())?;
    let (wall, Standing { grants, withdrawn, watcher }) = Wall::open(&firewall, &knock_ports, &policy)?;
    if !withdrawn.is_empty() {
        Event::revoked(None, &withdrawn, By::Configuration).into_iter().for_each(|event| recorder.record(event));
    }

    let enabled = |(user, key)| policy.user(user).is_some_and(|user| user.enabled).then_some((user, key));
    let keys = Keyring::new(server_key, user_keys.into_iter().filter_map(enabled), randomness::hmac_key()?);
    let mut gate = Gate::new(
        Beginning {
            policy: Arc::clone(&policy),
            nonce_capacity,
            programs_at_once,
            run,
            remembered,
            noted,
            grants: &grants,
        },
        clock::now(),
    );
    gate.end_debts_of(&withdrawn, clock::now());
    for debt in gate.take_lost_debts() {
        warn!(program = debt.program, source = %debt.call.source, user = debt.call.user_name, "this will never be undone: its program is gone");
        recorder.record(Event::undo_lost(&debt));
    }
    let (inputs, judged) = channel();
    let lists = way.lists()?;
    // Before the program is attached: whoever is banned does not get through meanwhile, nor is anybody unknown.
    let (warden, to_warden) = Warden::begin(warden::Parts {
        lists: if dry_run { Box::new(Dry::new(lists)) } else { lists },
        store: BanStore::open(&state_dir)?,
        rules: warden::Rules { ban, known, allow, blacklist, gate_keys },
        recorder: recorder.clone(),
        spread: randomness::spread()?,
        judge: inputs.clone(),
    })?;
    let tallies = Arc::new(Tallies::default());
    let (starter, endings) = starter.unzip();
    let (reload, reloads) = tokio::sync::mpsc::channel(1);
    let mut judge = Judge::new(judge::Parts {
        gate,
        books,
        wall,
        starter,
        recorder: recorder.clone(),
        when_unaudited: audit.when_failing,
        warden: to_warden.clone(),
        reload,
        tallies: Arc::clone(&tallies),
    });
    judge.follow(&debug, clock::boot());
    let judge = thread::Builder::new().name("judge".into()).spawn(move || judge.run(&judged))?;
    watch_firewall(watcher, inputs.clone())?;
    if let Some(endings) = endings {
        watch_programs(endings, inputs.clone())?;
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
    itself::give_memory_back();
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

    let errands = Errands { signals, reloads, is_sound, recorder };
    let (ended, why) = match errands.run(&mut tasks).await {
        Ok(ended) => ended,
        Err(error) => {
            log.close("error");
            return Err(error);
        }
    };
    tasks.shutdown().await;
    if let Some(pool) = Arc::into_inner(pool) {
        pool.finish();
    }
    let _ = inputs.send(Input::Stop);
    let threads = move || {
        let judge = judge.join();
        // What the judge has said last is heard before.
        to_warden.stop();
        let threads = judge.and(warden.join());
        log.close(why);
        threads
    };
    tokio::task::spawn_blocking(threads).await?.map_err(|_| anyhow::anyhow!("a thread has panicked"))?;
    Ok(ended)
}

/// Says which programs could not be started, and what to do about it. Everything else works.
fn tell_unfit(policy: &Policy) {
    for program in policy.programs() {
        if let Err(unfit) = survey(program) {
            warn!(action = program.name, "{unfit}");
        }
    }
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

/// Tells the judge what becomes of programs. On a thread of its own, which ends when there is nothing more to tell.
fn watch_programs(endings: Endings, inputs: Sender<Input>) -> Result<()> {
    let watch = move || {
        for news in endings {
            if inputs.send(Input::Program(news)).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("endings".into()).spawn(watch)?;
    Ok(())
}

/// Tells the judge when somebody else has changed the table. On a thread of its own, which ends with the process.
fn watch_firewall(watcher: Option<Watcher>, inputs: Sender<Input>) -> Result<()> {
    let Some(mut watcher) = watcher else { return Ok(()) };
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

/// Of this daemon.
const VERSION: &str = env!("CARGO_PKG_VERSION");
