//! `siglatchctl init`: a server key, a gate key and a configuration to start from. Never overwrites anything.

use std::path::{Path, PathBuf, absolute};

use anyhow::anyhow;
use clap::Args;
use serde_json::json;
use toml_edit::{Array, Value};
use zeroize::Zeroizing;

use super::config_file::DEFAULT_CONFIG;
use super::for_daemon::ForDaemon;
use super::load::{Failure, judge};
use super::overlay::Overlay;
use super::{gate_key, keygen, route, show};
use crate::config::{Code, Given, Report, Settings, Severity};
use crate::edge::files;
use crate::edge::nonce_store::NonceStore;
use crate::policy::Service;

/// Write a server key, a gate key and a commented configuration.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  siglatchctl init --host gw.example.org
  siglatchctl init --dir ./try --host 192.0.2.1 --iface eth0 --protect tcp/22 --protect tcp/443")]
pub(super) struct Init {
    /// Where to write
    #[arg(long, value_name = "FOLDER", default_value = "/etc/siglatch")]
    dir: PathBuf,
    /// Where users send their knocks [default: this host's name]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// What users call this gateway
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    name: String,
    /// Where the daemon remembers knocks [default: /var/lib/siglatch, or the folder `state` beside another --dir]
    #[arg(long, value_name = "FOLDER")]
    state: Option<PathBuf>,
    /// Interfaces to watch; may be given several times [default: the default route's]
    #[arg(long, value_name = "NAME")]
    iface: Vec<String>,
    /// Services to close; may be given several times
    #[arg(long, value_name = "SERVICE", default_value = "tcp/22")]
    protect: Vec<Service>,
    /// One JSON object, for programs
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        let [config, private, public, gate] =
            ["siglatch.toml", "server.key", "server.pub.pem", &gate_key::usual_path(0)].map(|name| self.dir.join(name));
        if let Some(there) = [&config, &private, &public, &gate].into_iter().find(|path| files::exists(path)) {
            let cure = "nothing was written; use --dir for another folder, or move the old files away";
            return Err(Failure::Failed(anyhow!("{} exists already: {cure}", there.display())));
        }
        if self.iface.is_empty() {
            self.iface.extend(default_interface());
        }
        let host = self.host.clone().unwrap_or_else(host_name);
        let state = self.state_dir();
        let text = self.text(&host, &state);
        let pair = keygen::server_pair()?;
        let gate_key = Zeroizing::new(keygen::gate_key()?.to_hex_file());
        let keys = [(private.clone(), pair.private.as_bytes()), (gate.clone(), gate_key.as_slice())];
        self.judge(&config, &text, &Overlay::new(keys))?;

        files::make_folder(&self.dir, 0o755)?;
        let for_daemon = ForDaemon::of(Some(Settings::DEFAULT_DAEMON_USER));
        for_daemon.make_folder_of(&gate)?;
        for_daemon.create_key(&private, pair.private.as_bytes())?;
        files::create(&public, 0o644, pair.public.as_bytes())?;
        for_daemon.create_key(&gate, gate_key.as_slice())?;
        // Made now, the store proves to the first start that nothing was ever admitted.
        NonceStore::create(&self.dir.join(&state))?;
        for_daemon.create_configuration(&config, text.as_bytes())?;
        if self.json {
            let made = json!({ "host": host, "configuration": config, "server_key": private, "public_key": public, "gate_key": gate });
            return show::print(&format!("{made}\n"));
        }
        self.tell(&config, &host, [&private, &public, &gate]);
        Ok(())
    }

    /// As it stands in the configuration: relative paths count from its folder.
    fn state_dir(&self) -> PathBuf {
        let default = if self.is_usual() { "/var/lib/siglatch" } else { "state" };
        self.state.as_deref().map_or_else(|| default.into(), |dir| absolute(dir).unwrap_or_else(|_| dir.to_owned()))
    }

    fn is_usual(&self) -> bool {
        Path::new(DEFAULT_CONFIG).parent() == Some(self.dir.as_path())
    }

    fn text(&self, host: &str, state: &Path) -> String {
        let list = |texts: Vec<String>| Value::from(Array::from_iter(texts)).to_string();
        let services: Vec<String> = self.protect.iter().map(Service::to_string).collect();
        let actions = self.protect.iter().enumerate().map(|(index, service)| {
            let header = action_name(*service);
            format!("[action.{header}]\nid = {}\nusers = \"all\"\ngrant = [\"{service}\"]\nttl = \"10m\"\nmax_ttl = \"1h\"\n\n", index + 1)
        });
        TEMPLATE
            .replace("{actions}\n", &actions.collect::<String>())
            .replace("{interfaces}", &list(self.iface.clone()))
            .replace("{protect}", &list(services))
            .replace("{name}", &Value::from(self.name.as_str()).to_string())
            .replace("{host}", &Value::from(host).to_string())
            .replace("{state}", &Value::from(state.display().to_string()).to_string())
            .replace("{own}\n", &self.own_places(state))
    }

    /// Nothing in the usual folder: then the daemon's socket and the audit log are in their usual places, too. A gateway
    /// elsewhere, perhaps one of several, has its own.
    fn own_places(&self, state: &Path) -> String {
        if self.is_usual() {
            return String::new();
        }
        let [socket, log] =
            ["admin.sock", "audit.jsonl"].map(|name| Value::from(state.join(name).display().to_string()));
        format!(
            "[admin]\n# Where siglatchctl finds the daemon.\nsocket = {socket}\n\n\
             [audit]\n# Who did what: one JSON object a line.\nfile = {log}\n\n"
        )
    }

    /// Lets nothing be written that has a flaw besides having no users.
    fn judge(&self, config: &Path, text: &str, keys: &Overlay<'_>) -> Result<(), Failure> {
        let Err(Failure::Unsound(report)) = judge(config, text.to_owned(), &Given::by_machine(false), keys) else {
            return Ok(());
        };
        let report: Report =
            report.retain(|finding| finding.code != Code::NoUsers && finding.severity() == Severity::Error);
        if report.findings().is_empty() {
            return Ok(());
        }
        eprintln!("siglatchctl: nothing was written. With these arguments the configuration would have flaws:\n");
        Err(Failure::Unsound(report))
    }

    fn tell(&self, config: &Path, host: &str, [private, public, gate]: [&Path; 3]) {
        let closed = self.protect.iter().map(Service::to_string).collect::<Vec<_>>().join(", ");
        let option = match config == Path::new(DEFAULT_CONFIG) {
            true => String::new(),
            false => format!(" --config {}", config.display()),
        };
        println!("Wrote");
        println!("  {}  the configuration", config.display());
        println!("  {}  the private key: keep it, and keep it to this host", private.display());
        println!("  {}  its public half", public.display());
        println!(
            "  {}  the gate key: every user gets it, so that the kernel can tell a knock from junk",
            gate.display()
        );
        println!("Users will send their knocks to {host}, port 62201/udp.");
        match self.iface.as_slice() {
            [] => println!("No interface was found to watch: write one into [ingress]."),
            names => println!("Knocks are watched for on {}.", names.join(", ")),
        }
        println!(
            "Once the daemon runs, new connections to {closed} need a knock: keep a session open until one worked."
        );
        println!("Next:  siglatchctl user add alice{option}");
    }
}

/// The service's usual name, else `tcp-8080`.
fn action_name(service: Service) -> String {
    let service = service.to_string();
    match USUAL.into_iter().find(|(usual, _)| *usual == service) {
        Some((_, name)) => name.to_owned(),
        None => service.replace('/', "-"),
    }
}

fn default_interface() -> Option<String> {
    let (v4, v6) =
        (files::kernel_text("/proc/net/route".as_ref()), files::kernel_text("/proc/net/ipv6_route".as_ref()));
    route::default_v4(&v4).or(route::default_v6(&v6)).map(str::to_owned)
}

fn host_name() -> String {
    files::kernel_text("/proc/sys/kernel/hostname".as_ref()).trim().to_owned()
}

const TEMPLATE: &str = include_str!("template.toml");

const USUAL: [(&str, &str); 6] = [
    ("tcp/22", "ssh"),
    ("tcp/80", "http"),
    ("tcp/443", "https"),
    ("tcp/3389", "rdp"),
    ("tcp/5432", "postgres"),
    ("udp/51820", "wireguard"),
];
