//! What a gateway tells those who watch over it: the numbers are what happened, a real Prometheus reads them, and everything
//! that dashboard and alert rules ask for is there.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "files and processes of Prometheus are what is tested here"
)]

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use siglatch_tests::gateway::{ALICES, BOB, OPEN, Plan, knock, sealed, sealed_port};
use siglatch_tests::held_thread::HeldThread;
use siglatch_tests::http::{escaped, get};
use siglatch_tests::netns::run;
use siglatch_tests::process::{PATIENCE, Process, let_pass, wait_until};
use siglatch_tests::scene::{STRANGER, payload};
use siglatch_tests::stage::{Stage, client};

#[test]
fn numbers_are_what_happened() -> Result<()> {
    let stage = stage()?;
    happen(&stage)?;
    let metrics = Metrics::scrape(&stage)?;
    metrics.has("siglatch_ingress_info{mode=\"xdp\"}", 1.0)?;
    metrics.has("siglatch_knocks_total{result=\"admitted\"}", 2.0)?;
    metrics.has("siglatch_knocks_total{result=\"refused\",reason=\"replay\"}", 1.0)?;
    metrics.has("siglatch_knocks_total{result=\"refused\",reason=\"not_allowed\"}", 1.0)?;
    metrics.has("siglatch_knocks_total{result=\"refused\",reason=\"unauthentic\"}", 1.0)?;
    metrics.has("siglatch_packets_total{fate=\"refused\",outcome=\"wrong_length\"}", 1.0)?;
    metrics.has("siglatch_key_operation_duration_seconds_count{wire=\"sealed\"}", 5.0)?;
    metrics.has("siglatch_key_operation_duration_seconds_count{wire=\"clear\"}", 0.0)?;
    metrics.has("siglatch_grants_active", 2.0)?;
    metrics.has("siglatch_bans_active{kind=\"network\"}", 1.0)?;
    metrics.has("siglatch_bans_active{kind=\"address\"}", 0.0)?;
    for (name, most) in [("key_pool_places_used", 0.0), ("audit_failing", 0.0), ("state_failing", 0.0)] {
        metrics.has(&format!("siglatch_{name}"), most)?;
    }
    metrics.has("siglatch_config_last_reload_successful", 1.0)?;
    let attached =
        metrics.0.lines().find(|line| line.starts_with("siglatch_interface_attached{interface=\"gate\",mode=\""));
    ensure!(attached.is_some_and(|line| line.ends_with("\"} 1")), "{attached:?}");
    // From the kernel's stamp to the effect: later than never, and not as long as this test has taken.
    metrics.has("siglatch_knock_duration_seconds_count", 2.0)?;
    let seconds = metrics.value("siglatch_knock_duration_seconds_sum")?;
    ensure!(seconds > 0.000_05 && seconds < 20.0, "{seconds}");
    let memory = metrics.value("process_resident_memory_bytes")?;
    ensure!(memory > 1e6 && memory < 1e9, "{memory}");
    ensure!(metrics.value("process_open_fds")? > 10.0);
    // Nobody's address, and nobody's name.
    ensure!(!metrics.0.contains("192.0.2.") && !metrics.0.contains("alice"), "{}", metrics.0);
    Ok(())
}

#[test]
fn a_scrape_waits_neither_for_the_judge_nor_for_the_warden() -> Result<()> {
    let stage = stage()?;
    let judge = HeldThread::hold(stage.daemon.id(), "judge")?;
    let warden = HeldThread::hold(stage.daemon.id(), "warden")?;
    stage.knock(&knock(OPEN), client(true))?;
    let is_seen =
        || Metrics::scrape(&stage).is_ok_and(|metrics| metrics.has("siglatch_key_pool_places_used", 1.0).is_ok());
    ensure!(wait_until(PATIENCE, is_seen), "{}", Metrics::scrape(&stage)?.0);
    drop((judge, warden));
    stage.opens(client(true))
}

#[test]
fn nothing_listens_unless_it_is_wanted_and_nobody_outside_reaches_it() -> Result<()> {
    let stage = stage()?;
    let sockets = stage.street.gateway.shell("ss -H -ltn")?;
    let listening: Vec<_> = sockets.lines().filter(|line| line.contains(":9707 ")).collect();
    ensure!(listening.len() == 1 && listening[0].contains("127.0.0.1:9707"), "{sockets}");
    let without = Stage::new()?;
    ensure!(!without.street.gateway.shell("ss -H -ltn")?.contains(":9707 "));
    Ok(())
}

#[test]
fn a_taken_port_is_told_with_its_cure() -> Result<()> {
    let mut stage = stage()?;
    stage.daemon.kill()?;
    let taken = stage.street.gateway.within(|| std::net::TcpListener::bind(AT))??;
    let (code, said) = siglatch_tests::process::outcome(&mut stage.gateway.command()?)?;
    ensure!(
        code == 1 && said.contains("cannot tell metrics at 127.0.0.1:9707") && said.contains("ss -ltnxp"),
        "{said}"
    );
    drop(taken);
    stage.gateway.start().map(drop)
}

#[test]
fn promtool_finds_no_fault_with_names_and_rules() -> Result<()> {
    let stage = stage()?;
    happen(&stage)?;
    let file = stage.gateway.file("metrics.txt");
    fs::write(&file, get(&stage.street.gateway, AT.parse()?, "/metrics", "Accept: text/plain\r\n")?.body)?;
    let checked =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::from(fs::File::open(&file)?)).output();
    let checked = checked.context("cannot run promtool: `cargo xtask setup` installs it")?;
    let said = String::from_utf8_lossy(&checked.stderr);
    ensure!(checked.status.success() && said.is_empty(), "{said}");
    run(Command::new("promtool").args(["check", "rules"]).arg(config("prometheus/siglatch.rules.yml")))?;
    run(Command::new("promtool").args(["test", "rules"]).arg(config("prometheus/siglatch.test.yml")))?;
    let (rules, cases) = ("prometheus/siglatch.rules.yml", "prometheus/siglatch.test.yml");
    ensure!(named(rules, "- alert: ")? == named(cases, "- name: ")?, "not every alert was seen to fire");
    run(Command::new("promtool").args(["check", "config"]).arg(config("prometheus/siglatch.yml")))?;
    Ok(())
}

#[test]
fn prometheus_reads_a_gateway_and_knows_everything_that_dashboard_and_rules_ask_for() -> Result<()> {
    let stage = stage()?;
    let prometheus = Prometheus::start(&stage)?;
    happen(&stage)?;
    let (before, is_up) = (prometheus.scrapes()?, || prometheus.query("up{job=\"siglatch\"} == 1"));
    ensure!(wait_until(PATIENCE, || is_up().is_ok_and(|found| found == 1)), "{}", prometheus.process.said());
    // Rates need two readings, and what happened last one more.
    ensure!(wait_until(PATIENCE, || prometheus.scrapes().is_ok_and(|scrapes| scrapes >= before + 4)));
    ensure!(prometheus.query("siglatch_knocks_total{result=\"admitted\"} == 2")? == 1);
    ensure!(prometheus.query("histogram_quantile(0.5, siglatch_knock_duration_seconds_bucket) > 0")? == 1);

    let names = prometheus.names()?;
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(config("grafana/siglatch.json"))?)?;
    let (shown, variables) = expressions(&dashboard);
    ensure!(shown.len() > 25 && variables.len() == 2, "{} {variables:?}", shown.len());
    for expression in &shown {
        let expression = expression.replace("$job", ".*").replace("$instance", ".*").replace("$__rate_interval", "1m");
        known(&expression, &names)?;
        let found = prometheus.query(&expression)?;
        // Without a comparison, there is something to show.
        ensure!(found > 0 || expression.contains('>'), "nothing comes of {expression}");
    }
    for variable in &variables {
        let series = variable.strip_prefix("label_values(").and_then(|rest| rest.rsplit_once(','));
        let (series, _) = series.with_context(|| format!("{variable} names no label"))?;
        ensure!(prometheus.query(&series.replace("$job", ".*"))? == 1, "{variable}");
    }

    let rules = prometheus.api("rules")?;
    let rules = rules["data"]["groups"][0]["rules"].as_array().context("there are no rules")?;
    ensure!(rules.len() >= 15, "{}", rules.len());
    for rule in rules {
        let expression = rule["query"].as_str().context("a rule has a query")?;
        known(expression, &names)?;
        prometheus.query(expression)?;
        ensure!(rule["health"] == "ok" && rule["lastError"].is_null(), "{rule}");
        ensure!(["inactive", "pending"].iter().any(|state| rule["state"] == *state), "{rule}");
        for text in ["summary", "description"] {
            ensure!(rule["annotations"][text].is_string(), "{rule}");
        }
    }
    Ok(())
}

#[test]
fn alerts_fire_when_what_they_are_about_happens() -> Result<()> {
    let stage = stage()?;
    let prometheus = Prometheus::start(&stage)?;
    ensure!(wait_until(PATIENCE, || prometheus.query("up{job=\"siglatch\"} == 1").is_ok_and(|found| found == 1)));
    // A configuration that makes no sense, while the daemon runs.
    let sound = fs::read_to_string(stage.gateway.config())?;
    fs::write(stage.gateway.config(), sound.replace("[gateway]", "[gatway]"))?;
    stage.daemon.signal(rustix::process::Signal::HUP)?;
    ensure!(wait_until(PATIENCE, || prometheus.has_alert("SiglatchReloadFailed")), "{}", stage.daemon.said());
    fs::write(stage.gateway.config(), sound)?;
    stage.daemon.signal(rustix::process::Signal::KILL)?;
    ensure!(wait_until(PATIENCE, || prometheus.has_alert("SiglatchDown")));
    Ok(())
}

/// A gateway that tells its metrics.
fn stage() -> Result<Stage> {
    Stage::with(&Plan::plus(&format!("[metrics]\nlisten = \"{AT}\"\n")))
}

/// Two knocks are admitted, and one each is a replay, not allowed, nobody's, and of a wrong length; a network is banned.
fn happen(stage: &Stage) -> Result<()> {
    let first = knock(OPEN);
    stage.knock(&first, client(true))?;
    stage.opens(client(true))?;
    stage.knock(&knock(OPEN), client(false))?;
    stage.opens(client(false))?;
    stage.knock(&first, client(true))?;
    stage.refuses(1, "replay", client(true))?;
    let not_allowed = siglatch_client::knocker::Knock { user: BOB, ..knock(ALICES) };
    stage.send(&sealed(&not_allowed)?, client(true))?;
    stage.refuses(1, "not_allowed", client(true))?;
    let stranger = STRANGER.of(true);
    stage.street.outside.send(&payload(256), stranger, sealed_port(stranger))?;
    stage.refuses(1, "unauthentic", stranger)?;
    stage.send(&payload(20), stranger)?;
    stage.gateway.ctl(&["ban", "198.51.100.0/24", "--for", "1h"])?;
    let is_told = || {
        Metrics::scrape(stage).is_ok_and(|metrics| metrics.has("siglatch_bans_active{kind=\"network\"}", 1.0).is_ok())
    };
    ensure!(wait_until(PATIENCE, is_told));
    Ok(())
}

/// The text of the metrics.
struct Metrics(String);

impl Metrics {
    fn scrape(stage: &Stage) -> Result<Self> {
        // Numbers may be a little old.
        let_pass(Duration::from_millis(110));
        let answer = get(&stage.street.gateway, AT.parse()?, "/metrics", "")?;
        ensure!(
            answer.code == 200 && answer.head.contains("application/openmetrics-text; version=1.0.0"),
            "{}",
            answer.head
        );
        Ok(Self(answer.body))
    }

    fn value(&self, sample: &str) -> Result<f64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no {sample} in:\n{}", self.0))?.parse()?)
    }

    fn has(&self, sample: &str, wanted: f64) -> Result<()> {
        let value = self.value(sample)?;
        ensure!(value == wanted, "{sample} is {value}, not {wanted}");
        Ok(())
    }
}

/// A Prometheus beside the gateway, with the job and the rules that are shipped, which looks every second.
struct Prometheus<'a> {
    process: Process,
    stage: &'a Stage,
}

impl<'a> Prometheus<'a> {
    fn start(stage: &'a Stage) -> Result<Self> {
        let shipped = fs::read_to_string(config("prometheus/siglatch.yml"))?;
        let hurried = shipped.replace("interval: 15s", "interval: 1s");
        ensure!(hurried != shipped && shipped.contains(AT));
        let file = stage.gateway.file("prometheus.yml");
        fs::write(&file, hurried)?;
        fs::copy(config("prometheus/siglatch.rules.yml"), stage.gateway.file("siglatch.rules.yml"))?;
        let mut command = stage.street.gateway.command("prometheus");
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", stage.gateway.file("prometheus").display()));
        command.arg(format!("--web.listen-address={PROMETHEUS}"));
        let process = Process::start(&mut command)?;
        process.wait_for("Server is ready to receive web requests")?;
        Ok(Self { process, stage })
    }

    fn api(&self, path: &str) -> Result<Value> {
        let server: SocketAddr = PROMETHEUS.parse()?;
        let answer = get(&self.stage.street.gateway, server, &format!("/api/v1/{path}"), "")?;
        ensure!(answer.code == 200, "{path}: {}", answer.body);
        Ok(serde_json::from_str(&answer.body)?)
    }

    /// How many series come of an expression.
    fn query(&self, expression: &str) -> Result<usize> {
        let answer = self.api(&format!("query?query={}", escaped(expression))).context(expression.to_owned())?;
        ensure!(answer["status"] == "success", "{expression}: {answer}");
        Ok(answer["data"]["result"].as_array().map_or(0, Vec::len))
    }

    fn scrapes(&self) -> Result<usize> {
        let answer = self.api(&format!("query?query={}", escaped("count_over_time(up{job=\"siglatch\"}[1h])")))?;
        let count = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0");
        Ok(count.parse()?)
    }

    fn names(&self) -> Result<BTreeSet<String>> {
        let answer = self.api("label/__name__/values")?;
        let names = answer["data"].as_array().context("there are no names")?;
        Ok(names.iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect())
    }

    fn has_alert(&self, name: &str) -> bool {
        let alerts = self.api("alerts").ok();
        let alerts = alerts.as_ref().and_then(|answer| answer["data"]["alerts"].as_array());
        alerts.is_some_and(|alerts| alerts.iter().any(|alert| alert["labels"]["alertname"] == name))
    }
}

/// Every expression of a dashboard, and every query of its variables.
fn expressions(dashboard: &Value) -> (Vec<String>, Vec<String>) {
    let (mut shown, mut variables) = (Vec::new(), Vec::new());
    collect(dashboard, &mut shown, &mut variables);
    (shown, variables)
}

fn collect(value: &Value, shown: &mut Vec<String>, variables: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match (name.as_str(), field.as_str()) {
                    ("expr", Some(expression)) => shown.push(expression.to_owned()),
                    ("query", Some(query)) if query.starts_with("label_values") => variables.push(query.to_owned()),
                    _ => collect(field, shown, variables),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, shown, variables)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether every metric that an expression names is one that Prometheus has read.
fn known(expression: &str, names: &BTreeSet<String>) -> Result<()> {
    let words = expression.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let metrics = words.filter(|word| word.starts_with("siglatch_") || word.starts_with("process_"));
    let mut count = 0;
    for metric in metrics {
        ensure!(names.contains(metric), "there is no {metric}, of which is said: {expression}");
        count += 1;
    }
    ensure!(count > 0 || expression.starts_with("up"), "{expression} names no metric");
    Ok(())
}

/// What stands behind a key in a shipped file, in order.
fn named(file: &str, key: &str) -> Result<Vec<String>> {
    let text = fs::read_to_string(config(file))?;
    let names =
        text.lines().filter_map(|line| line.trim().strip_prefix(key)).filter(|name| name.starts_with("Siglatch"));
    let mut names: Vec<_> = names.map(str::to_owned).collect();
    names.dedup();
    Ok(names)
}

fn config(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../config").join(file)
}

const AT: &str = "127.0.0.1:9707";
const PROMETHEUS: &str = "127.0.0.1:9090";
