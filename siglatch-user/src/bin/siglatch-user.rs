//! The daemon's command line: reads the configuration, and runs it. Never decides about a knock.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, ValueEnum};
use siglatch_user::config::{Diagnostics, Given, Ingress, Settings, Xdp};
use siglatch_user::ctl::check::{Shape, check};
use siglatch_user::ctl::{
    Failure, exit,
    load::{is_coloured, load, load_with},
};
use siglatch_user::daemon::{self, Orders, Source};
use siglatch_user::edge::remembered_files::RememberedFiles;
use siglatch_user::edge::watched_file::WatchedFile;
use siglatch_user::edge::{self, action::Starter, activation, descriptors, firewall::Firewall, itself, privilege};
use siglatch_user::policy::Program;
use tracing_subscriber::EnvFilter;

/// Opens a closed host to the people it knows, and shows everyone else nothing.
///
/// Loads the XDP program, judges knocks, and does for those who may what the configuration says. Ends on SIGTERM; the
/// filter then stays attached, and grants end by themselves. Reads the configuration again on SIGHUP, and begins a new file
/// of the audit log on SIGUSR1.
#[derive(Debug, Parser)]
#[command(version, after_help = HELP)]
struct Options {
    /// The configuration; `siglatchctl init` writes one
    #[arg(long, default_value = "/etc/siglatch/siglatch.toml", value_name = "FILE")]
    config: PathBuf,
    /// Attach to this network interface instead of those in the configuration; may be repeated
    #[arg(long = "iface", value_name = "NAME")]
    interfaces: Vec<String>,
    /// Where datagrams come in, instead of what the configuration says
    #[arg(long)]
    ingress: Option<IngressMode>,
    /// Tell single frames in the log, up to a hundred a second, instead of what the configuration says
    #[arg(long, value_name = "WHICH")]
    diagnostics: Option<Told>,
    /// Judge knocks and tell what would be done, and do nothing: close and open no service, start no program, ban nobody
    #[arg(long, conflicts_with_all = ["check", "detach", "take_down"])]
    dry_run: bool,
    /// Only say what is wrong with the configuration
    #[arg(long)]
    check: bool,
    /// Only detach the XDP program and remove its pins: the host is then without a filter
    #[arg(long, conflicts_with = "check")]
    detach: bool,
    /// Only take away what daemons leave in the kernel, the firewall table as well: what was protected is open then
    #[arg(long, conflicts_with_all = ["check", "detach"])]
    take_down: bool,
    /// What to log: error, warn, info, debug or trace, or a filter such as siglatch_user::daemon=debug
    #[arg(long, default_value = "info", env = "SIGLATCH_LOG", value_name = "LEVEL")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum IngressMode {
    /// The XDP program
    Xdp,
    /// A plain UDP socket on each knock port: for containers and foreign kernels
    Socket,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Told {
    /// None
    Off,
    /// Those that the network stack does not see
    Drops,
    /// All of them
    All,
}

const PROGRAM: &str = "siglatch-user";

const HELP: &str = "Examples:
  siglatch-user --iface eth0
  siglatch-user --config ./siglatch.toml --check
  siglatch-user --ingress socket
  siglatch-user --dry-run --log debug
  siglatch-user --detach
  siglatch-user --take-down

Exit status: 0 stopped by a signal, 1 cannot start or go on, 64 the command line is wrong, 71 too few descriptors
(LimitNOFILE=), 77 not permitted (start it as root), 78 the configuration is wrong.";

fn main() -> ExitCode {
    if let Some(code) = edge::action::keep_if_asked(programs_again).or_else(edge::firewall::lend_hand_if_asked) {
        return code;
    }
    itself::take_name();
    let options = match Options::try_parse() {
        Ok(options) => options,
        Err(wrong) => return exit::usage(&wrong),
    };
    let given = Given::by_machine(!options.interfaces.is_empty());
    if options.check {
        return check(PROGRAM, &options.config, &given, Shape::Pictures);
    }
    match run(options, given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.tell(PROGRAM),
    }
}

fn run(options: Options, given: Given) -> Result<(), Failure> {
    activation::receive()?;
    start_log(&options.log)?;
    let watched = WatchedFile::new(options.config.clone());
    if !options.detach && !options.take_down {
        descriptors::secure()?;
    }
    let keys = RememberedFiles::default();
    let loaded = load_with(&options.config, &given, &keys)?;
    if options.detach {
        return detach(&loaded.settings).map_err(Failure::Failed);
    }
    if options.take_down {
        return take_down(&loaded.settings).map_err(Failure::Failed);
    }
    loaded.tell_warnings();
    let mut settings = loaded.settings;
    settings.ingress = ingress(settings.ingress, &options);
    activation::check(&settings.ingress, &settings.ports)?;
    // All of it before there is a thread.
    let (executable, programs) = (Path::new(itself::EXECUTABLE), settings.policy.programs());
    let starter = match options.dry_run || programs.is_empty() {
        true => None,
        false => Some(Starter::begin(executable, programs, &words(&options)?)?),
    };
    if !options.dry_run {
        edge::firewall::begin_hand(executable, settings.daemon_user.as_deref())?;
    }
    let acting = privilege::step_down(privilege::Plan::of(&settings, &options.config))?;
    let (dry_run, file) = (options.dry_run, options.config.clone());
    let read = move || {
        let mut loaded = load_with(&options.config, &given, &keys)?;
        keys.forget_others();
        loaded.settings.ingress = ingress(loaded.settings.ingress, &options);
        Ok(loaded)
    };
    let source = Source { file, read: Arc::new(read) };
    let orders = Orders { dry_run, starter, acting, source, file: watched };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(daemon::run(settings, orders)).map_err(Failure::Failed)
}

/// By which the process that starts programs reads the configuration again, for itself.
fn words(options: &Options) -> std::io::Result<[OsString; 2]> {
    let interfaces = if options.interfaces.is_empty() { "" } else { GIVEN };
    Ok([std::path::absolute(&options.config)?.into(), interfaces.into()])
}

/// What such words name.
fn programs_again(words: &[OsString]) -> Result<Vec<Program>, String> {
    let [config, interfaces] = words else { return Err("it was not said which".to_owned()) };
    let loaded = load(Path::new(config), &Given::by_machine(interfaces == GIVEN));
    loaded.map(|loaded| loaded.settings.policy.programs().to_vec()).map_err(|failure| failure.to_string())
}

/// The command line names interfaces.
const GIVEN: &str = "interfaces given";

/// What the command line says goes before what the configuration says.
fn ingress(configured: Ingress, options: &Options) -> Ingress {
    let mut xdp = match (options.ingress, configured) {
        (Some(IngressMode::Socket), _) => return Ingress::Socket,
        (None, Ingress::Socket) if options.interfaces.is_empty() => return Ingress::Socket,
        (Some(IngressMode::Xdp) | None, Ingress::Socket) => Xdp::default(),
        (Some(IngressMode::Xdp) | None, Ingress::Xdp(xdp)) => xdp,
    };
    if !options.interfaces.is_empty() {
        xdp.interfaces.clone_from(&options.interfaces);
    }
    xdp.diagnostics = match options.diagnostics {
        Some(Told::Off) => Diagnostics::Off,
        Some(Told::Drops) => Diagnostics::Drops,
        Some(Told::All) => Diagnostics::All,
        None => xdp.diagnostics,
    };
    Ingress::Xdp(xdp)
}

fn detach(settings: &Settings) -> anyhow::Result<()> {
    let xdp = match &settings.ingress {
        Ingress::Xdp(xdp) => xdp,
        // What an earlier daemon with XDP has left.
        Ingress::Socket => &Xdp::default(),
    };
    let interfaces = edge::xdp::detach(xdp)?;
    if interfaces.is_empty() {
        println!("nothing was attached under {}", xdp.pin_dir.display());
    }
    for interface in interfaces {
        println!("detached from {interface}");
    }
    Ok(())
}

/// The table comes last: as long as it stands, knock ports without a filter betray nothing.
fn take_down(settings: &Settings) -> anyhow::Result<()> {
    detach(settings)?;
    if Firewall::take_away(&settings.firewall)? {
        println!("took the firewall table away");
    }
    Ok(())
}

fn start_log(level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| anyhow::anyhow!("--log {level}: {error}; say error, warn, info, debug or trace"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured())
        .with_target(false)
        .init();
    Ok(())
}
