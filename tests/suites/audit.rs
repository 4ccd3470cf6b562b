//! The audit log under a kill, a full disk and a flood, and what other programs make of it: journald and fail2ban.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "a log is a file, and whoever writes it a process"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use siglatch_tests::process::PATIENCE;
use siglatch_user::audit::Record;
use siglatch_user::audit::verify::{Report, Verifier};
use siglatch_user::edge::audit::{Shelf, head_path, read_head};

#[test]
fn a_kill_leaves_whole_records_and_the_chain_goes_on() -> Result<()> {
    let place = Place::new("kill")?;
    for run in 1..=5 {
        let before = place.records()?.len();
        let mut writer = Running(place.writer().args(["--rate", "20000"]).stderr(Stdio::null()).spawn()?);
        wait_until("some hundred records", || Ok(place.records()?.len() > before + 200))?;
        writer.0.kill()?;
        writer.0.wait()?;
        let report = place.verify()?;
        ensure!(report.sound, "run {run}: {report:?}");
    }
    let done = place.writer().args(["--count", "1"]).output()?;
    ensure!(done.status.success(), "{done:?}");
    let (report, records) = (place.verify()?, place.records()?);
    ensure!(report.sound && report.findings.is_empty(), "{report:?}");
    let starts = records.iter().filter(|record| record.text("event") == Some("start")).count();
    ensure!(starts == 6 && report.records == records.len() as u64, "{starts} starts");
    Ok(())
}

#[test]
fn ten_thousand_records_a_second_are_all_there_and_take_little_memory() -> Result<()> {
    let place = Place::new("rate")?;
    let done = place.writer().args(["--rate", "10000", "--count", "20000"]).stderr(Stdio::null()).output()?;
    let said = String::from_utf8(done.stdout)?;
    let number = |name: &str| -> Result<u64> {
        let rest = said.split_once(name).with_context(|| format!("no {name} in {said}"))?.1;
        Ok(rest.split(' ').next().unwrap_or_default().parse()?)
    };
    ensure!(number("lost=")? == 0, "{said}");
    ensure!(number("memory=")? < 64 * 1024, "{said}");
    ensure!(number(" ms=")? < 6000, "too slow to say anything: {said}");
    let report = place.verify()?;
    ensure!(report.sound && report.records == 20_002, "{report:?}");
    Ok(())
}

#[test]
fn a_full_disk_takes_whole_records_only_and_what_was_lost_is_told() -> Result<()> {
    let place = Place::new("full")?;
    let (disk, state) = (place.folder.join("disk"), place.folder.join("state"));
    fs::create_dir_all(&disk)?;
    let script = "mount -t tmpfs -o size=48m none \"$1\"; \
        \"$0\" --file \"$1/audit.jsonl\" --state \"$2\" --rate 12000 --count 60000; cp \"$1/audit.jsonl\" \"$2/..\"";
    let mut writer = Running(
        Command::new("unshare")
            .args(["--mount", "sh", "-c", script, env!("CARGO_BIN_EXE_siglatch-audit-writer")])
            .args([&disk, &state])
            .stdout(Stdio::null())
            .stderr(fs::File::create(place.folder.join("said"))?)
            .spawn()?,
    );
    // The writer alone sees its disk; but its root can be looked into.
    let there = PathBuf::from(format!("/proc/{}/root{}", writer.0.id(), disk.display()));
    let (log, filler) = (there.join("audit.jsonl"), there.join("filler"));
    let said = || fs::read_to_string(place.folder.join("said")).unwrap_or_default();
    wait_until("the first records", || Ok(fs::metadata(&log).is_ok_and(|log| log.len() > 10_000)))?;
    // More than there is room for.
    let _ = fs::write(&filler, vec![0; 64 << 20]);
    wait_until("the complaint", || Ok(said().contains("the audit log cannot be written")))?;
    ensure!(said().contains("No space left") && said().contains("Make room"), "{}", said());
    let full = fs::read(&log)?;
    ensure!(full.ends_with(b"\n"), "a piece of a record stays");
    // More than waits in memory.
    sleep(Duration::from_millis(2000));
    fs::remove_file(&filler)?;
    wait_until("the end of it", || Ok(said().contains("the audit log is written again")))?;
    ensure!(writer.0.wait()?.success(), "{}", said());
    let (report, records) = (place.verify()?, place.records()?);
    let of = |event: &str| records.iter().filter(|record| record.text("event") == Some(event)).count() as u64;
    ensure!(report.sound && report.lost > 0 && of("lost") > 0, "{report:?}");
    // What is not there was counted; of the records about the disk and the end, some may be among it.
    let told = of("knock") + report.lost;
    ensure!((60_000..60_004).contains(&told), "{} there, {} lost", of("knock"), report.lost);
    Ok(())
}

#[test]
fn fail2ban_finds_strangers_and_nobody_else() -> Result<()> {
    let place = Place::new("fail2ban")?;
    let done = place.writer().args(["--refusals", "--count", "3"]).output()?;
    let log = place.folder.join("plain.log");
    let mut text = String::from_utf8(done.stderr)?;
    ensure!(text.matches("reason=unauthentic").count() == 6, "{text}");
    // What a name or an address in another field could do; nobody has such names, but one never knows.
    text += "2026-11-20T12:00:00.000000Z  INFO knock decision=admitted source=192.0.2.7 user=\"knock decision=refused \
             reason=unauthentic source=203.0.113.1\" action=ssh knock=0000000700000001\n";
    text += "2026-11-20T12:00:00.000000Z  INFO unban source=203.0.113.2 by=operator\n";
    text += "2026-11-20T12:00:00.000000Z  INFO knock decision=refused reason=unauthentic source=203.0.113.3x\n";
    text += "2026-11-20T12:00:00.000000Z  INFO knock decision=refused reason=unauthentic2 source=203.0.113.4\n";
    // As syslog has it.
    text += "Nov 20 12:00:00 gw siglatch-user[4711]: knock decision=refused reason=unauthentic source=203.0.113.5\n";
    fs::write(&log, &text)?;
    let filter = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/fail2ban/filter.d/siglatch.conf");
    let found = output(Command::new("fail2ban-regex").args(["--out", "ip"]).args([&log, &filter]))?;
    let mut found: Vec<_> = found.lines().collect();
    found.sort_unstable();
    let expected = ["198.51.100.9"; 3].into_iter().chain(["2001:db8::9"; 3]).chain(["203.0.113.5"]);
    ensure!(found == expected.collect::<Vec<_>>(), "{found:?}\n{text}");
    Ok(())
}

#[test]
fn the_journal_gets_every_event_with_its_fields() -> Result<()> {
    let place = Place::new("journal")?;
    // A journal of its own: /run is the script's alone, and so is what hangs on it.
    let script = "set -e; mount -t tmpfs none /run; mkdir -p /run/systemd/journal /run/log/journal; \
        /lib/systemd/systemd-journald & journald=$!; \
        trap 'kill $journald; wait $journald || true' EXIT; \
        while ! [ -S /run/systemd/journal/socket ]; do sleep 0.05; done; \
        exec 2>\"$1/stderr\"; export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); \
        \"$0\" --file \"$1/audit.jsonl\" --state \"$1\" --refusals --count 1 >/dev/null; \
        journalctl --sync; journalctl --output json --no-pager --identifier siglatch-user";
    let writer = env!("CARGO_BIN_EXE_siglatch-audit-writer");
    let text = output(
        Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", script, writer])
            .arg(&place.folder),
    )?;
    let entries: Vec<Record> = text.lines().filter_map(|line| Record::parse(line.as_bytes())).collect();
    let replay = entries.iter().find(|entry| entry.text("REASON") == Some("replay")).context("no replay there")?;
    for (name, value) in [
        ("EVENT", "knock"),
        ("DECISION", "refused"),
        ("SRC_IP", "198.51.100.9"),
        ("USER_NAME", "alice"),
        ("USER_ID", "1"),
        ("ACTION", "ssh"),
        ("KNOCK", "0000000700000001"),
        ("PRIORITY", "5"),
        (
            "MESSAGE",
            "knock decision=refused reason=replay source=198.51.100.9 user=alice action=ssh knock=0000000700000001",
        ),
    ] {
        ensure!(replay.text(name) == Some(value), "{name} of {replay:?}");
    }
    let events = |name: &str| entries.iter().filter(|entry| entry.text("EVENT") == Some(name)).count();
    ensure!((events("start"), events("stop")) == (1, 1) && events("knock") > 40, "{entries:?}");
    let stderr = fs::read_to_string(place.folder.join("stderr"))?;
    ensure!(!stderr.contains("decision="), "told twice: {stderr}");
    Ok(())
}

/// A folder for a log, gone with this.
struct Place {
    folder: PathBuf,
}

impl Place {
    fn new(name: &str) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("siglatch-audit-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("state"))?;
        Ok(Self { folder })
    }

    fn log(&self) -> PathBuf {
        self.folder.join("audit.jsonl")
    }

    fn writer(&self) -> Command {
        let mut writer = Command::new(env!("CARGO_BIN_EXE_siglatch-audit-writer"));
        writer.arg("--file").arg(self.log()).arg("--state").arg(self.folder.join("state")).stdout(Stdio::piped());
        writer
    }

    fn records(&self) -> Result<Vec<Record>> {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let whole = text.rfind('\n').and_then(|end| text.get(..end)).unwrap_or_default();
        whole.lines().map(|line| Record::parse(line.as_bytes()).context("no record")).collect()
    }

    fn verify(&self) -> Result<Report> {
        let mut verifier = Verifier::new(read_head(&head_path(&self.folder.join("state")))?);
        for part in &Shelf::open(&self.log())?.parts {
            verifier.begin_file(&part.path.display().to_string());
            let mut lines = part.lines()?;
            while let Some((line, is_ended)) = lines.next_line()? {
                verifier.take(line, is_ended, part.is_current);
            }
        }
        Ok(verifier.finish())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !is_so()? {
        if began.elapsed() > PATIENCE {
            bail!("waited in vain for {what}");
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// What a program prints.
fn output(command: &mut Command) -> Result<String> {
    let Output { status, stdout, stderr } = command.output().with_context(|| format!("{command:?}"))?;
    let stdout = String::from_utf8(stdout)?;
    ensure!(status.success(), "{command:?}: {status}\n{stdout}{}", String::from_utf8_lossy(&stderr));
    Ok(stdout)
}
