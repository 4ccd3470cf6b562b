//! A gateway under Debian's fwknopd, as it comes: packets by libpcap, rules by iptables. Never judges it.

use std::fs::{self, DirBuilder};
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use siglatch_tests::flood::{core, receive_offload};
use siglatch_tests::netns::{GATE, Street, run};
use siglatch_tests::process::Process;

use super::visitors::{Visitor, Who, visit};
use crate::bed::{Bed, KNOCKS, PROTECTED};

/// The gateway.
pub(super) struct Fwknop {
    // In the order in which they are taken down.
    _daemon: Process,
    folder: Folder,
    bed: Bed,
    key: String,
    hmac_key: String,
}

/// A folder of its own, for as long as it lives.
struct Folder(PathBuf);

impl Fwknop {
    /// Starts fwknopd.
    pub(super) fn new() -> Result<Self> {
        core::join()?;
        let bed = Bed::build()?;
        core::hush(&bed.street)?;
        let gateway = &bed.street.gateway;
        receive_offload(gateway, GATE, true)?;
        let protect = format!(
            "iptables -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; \
             iptables -A INPUT -p tcp --dport {} -j DROP",
            PROTECTED.port()
        );
        gateway.shell(&protect)?;
        let folder = Folder(std::env::temp_dir().join(format!("{}-fwknop", gateway.name())));
        DirBuilder::new().mode(0o700).create(&folder.0)?;
        let (key, hmac_key) = keys(&folder.0)?;
        let access = format!(
            "SOURCE ANY\nOPEN_PORTS tcp/{}\nKEY_BASE64 {key}\nHMAC_KEY_BASE64 {hmac_key}\nFW_ACCESS_TIMEOUT 60\n",
            PROTECTED.port()
        );
        let run_folder = folder.0.display();
        let main = format!(
            "PCAP_INTF {GATE};\nPCAP_FILTER udp port {};\nFWKNOP_RUN_DIR {run_folder};\nENABLE_IPT_FORWARDING N;\n",
            KNOCKS.port()
        );
        for (file, text) in [("access.conf", access), ("fwknopd.conf", main)] {
            fs::write(folder.0.join(file), text)?;
        }
        let mut command = gateway.command("fwknopd");
        command.arg("-f").arg("-c").arg(folder.0.join("fwknopd.conf")).arg("-a").arg(folder.0.join("access.conf"));
        let daemon = core::apart(|| Process::start(&mut command))?;
        daemon.wait_for("Starting fwknopd main event loop.")?;
        Ok(Self { _daemon: daemon, folder, bed, key, hmac_key })
    }

    /// So many people who have never been there.
    pub(super) fn visitors(&self, count: u32) -> Result<Vec<Visitor>> {
        (0..count).map(|number| self.visitor(Bed::source(number))).collect()
    }

    /// A knock that somebody has watched on its way, after it was honoured.
    pub(super) fn captured(&self) -> Result<Vec<u8>> {
        let source = Bed::source(1 << 16);
        let packet = self.packet(source)?;
        let owner = Visitor::new(Who::FirstTime, source, KNOCKS, &packet);
        let tally = visit(&self.street().outside, &[owner], Duration::ZERO)?;
        ensure!(tally.share(Who::FirstTime) == Some(1.0), "fwknop lets nobody in, even without a flood");
        Ok(packet)
    }

    pub(super) const fn street(&self) -> &Street {
        &self.bed.street
    }

    fn visitor(&self, source: IpAddr) -> Result<Visitor> {
        Ok(Visitor::new(Who::FirstTime, source, KNOCKS, &self.packet(source)?))
    }

    /// What fwknop's own client would send for that address.
    fn packet(&self, source: IpAddr) -> Result<Vec<u8>> {
        let mut command = Command::new("fwknop");
        // It would keep what it was told in the home folder.
        command.env("HOME", &self.folder.0).args(["--test", "--no-rc-file", "--no-save-args", "--use-hmac"]);
        command.args(["--access", &format!("tcp/{}", PROTECTED.port()), "--allow-ip", &source.to_string()]);
        command.args(["--destination", &PROTECTED.ip().to_string()]);
        command.args(["--key-base64-rijndael", &self.key, "--key-base64-hmac", &self.hmac_key]);
        let said = run(&mut command)?;
        Ok(field(&said, "Final SPA Data:")?.into_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What to install, if there is no fwknop.
pub(super) fn missing() -> Option<&'static str> {
    let is_there = |program| ["/usr/sbin", "/usr/bin"].iter().any(|folder| Path::new(folder).join(program).is_file());
    let all = ["fwknopd", "fwknop", "iptables"].into_iter().all(is_there);
    (!all).then_some("apt-get install --no-install-recommends fwknop-server fwknop-client iptables")
}

fn keys(home: &Path) -> Result<(String, String)> {
    let said = run(Command::new("fwknop").env("HOME", home).args(["--key-gen", "--no-rc-file"]))?;
    Ok((field(&said, "KEY_BASE64:")?, field(&said, "HMAC_KEY_BASE64:")?))
}

fn field(text: &str, name: &str) -> Result<String> {
    let value = text.lines().find_map(|line| line.trim().strip_prefix(name));
    Ok(value.with_context(|| format!("fwknop says nothing of {name}"))?.trim().to_owned())
}
