//! What a gateway sends to an outsider, as tcpdump sees it on the outsider's side. Never filters but for ARP and
//! neighbour discovery, without which nobody finds the gateway at all.

use std::net::SocketAddr;

use anyhow::Result;

use crate::netns::{CLIENT, DOOR, Street, colons};
use crate::packet::Link;
use crate::process::Process;
use crate::scene::GATEWAY;

/// A capture under way.
#[derive(Debug)]
pub struct Capture<'a> {
    street: &'a Street,
    tcpdump: Process,
}

impl<'a> Capture<'a> {
    /// Begins, and returns when tcpdump listens.
    ///
    /// # Errors
    /// If there is no tcpdump.
    pub fn start(street: &'a Street) -> Result<Self> {
        let mac = colons(Link::DEFAULT.to);
        // Multicast is the kernel's own, sent unasked: listener reports and router solicitations.
        let filter = format!(
            "ether src {mac} and not arp and not ether multicast \
             and not (icmp6 and (icmp6[0] == 135 or icmp6[0] == 136))"
        );
        let mut command = street.outside.command("tcpdump");
        let tcpdump = Process::start(command.args(["-n", "-l", "--immediate-mode", "-i", DOOR, &filter]))?;
        tcpdump.wait_for("listening on")?;
        Ok(Self { street, tcpdump })
    }

    /// Ends, and returns one line for each packet that the gateway has sent.
    ///
    /// # Errors
    /// If not even a packet that the gateway is made to send was seen.
    pub fn finish(self) -> Result<Vec<String>> {
        // The proof that the capture sees what the gateway sends, and has seen all that went before.
        let from = SocketAddr::new(GATEWAY.of(true), MARKER);
        let socket = self.street.gateway.udp(from)?;
        socket.send_to(b"the end", (CLIENT.v4, MARKER))?;
        let mark = format!("IP {}.{MARKER} >", GATEWAY.v4);
        let said = self.tcpdump.wait_for(&mark)?;
        let packets = said.lines().filter(|line| line.contains(" IP ") || line.contains(" IP6 "));
        Ok(packets.filter(|line| !line.contains(&mark)).map(str::to_owned).collect())
    }
}

/// The port that the last packet comes from: no service of any test.
const MARKER: u16 = 61_001;
