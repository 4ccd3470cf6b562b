//! Where the filter looks: this host's own addresses as they come and go, VLANs, and both ways to attach.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, ensure};
use siglatch_common::address::Network;
use siglatch_common::ban::Ban;
use siglatch_tests::gateway::{OPEN, Plan, knock, sealed};
use siglatch_tests::netns::{CLIENT, DOOR, GATE, Namespace, join};
use siglatch_tests::packet::{Frame, Tag};
use siglatch_tests::process::{PATIENCE, wait_until};
use siglatch_tests::scene::{GATEWAY, SEALED_PORT, STRANGER, payload};
use siglatch_tests::stage::{Stage, client};
use siglatch_user::edge::lists::Lists as _;
use siglatch_user::edge::xdp::Maps;

#[test]
fn an_address_added_while_running_takes_knocks_and_a_removed_one_does_not() -> Result<()> {
    let stage = Stage::new()?;
    let gateway = &stage.street.gateway;
    let new = ["192.0.2.9/24", "2001:db8::9/64"];
    for address in new {
        gateway.ip(&format!("address add {address} dev {GATE} nodad"))?;
    }
    let own = |wanted: usize| -> Result<()> {
        let ours = || stage.gateway.dump("own_addresses").map(|dump| dump.to_string().matches(",9]").count());
        ensure!(wait_until(PATIENCE, || ours().is_ok_and(|count| count == wanted)), "{:?}", stage.daemon.said());
        Ok(())
    };
    own(2)?;
    let knocks = [(true, "192.0.2.9"), (false, "2001:db8::9")];
    for (v4, address) in knocks {
        let to = SocketAddr::new(address.parse()?, SEALED_PORT);
        stage.street.outside.send(&sealed(&knock(OPEN))?, client(v4), to)?;
        stage.opens(client(v4))?;
    }

    for address in new {
        gateway.ip(&format!("address del {address} dev {GATE}"))?;
    }
    own(0)?;
    let (routed, submitted) = (stage.gateway.counted("routed")?, stage.gateway.counted("submitted_unknown")?);
    for (v4, address) in knocks {
        let from = SocketAddr::new(client(v4), 4000);
        let to = SocketAddr::new(address.parse()?, SEALED_PORT);
        stage.street.outside.send_frame(&Frame::udp(from, to, &sealed(&knock(OPEN))?).bytes(), DOOR)?;
    }
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("routed").is_ok_and(|count| count == routed + 2)));
    ensure!(stage.gateway.counted("submitted_unknown")? == submitted, "judged, though the address is gone");
    Ok(())
}

#[test]
fn a_datagram_to_another_hosts_knock_port_is_routed_through_untouched() -> Result<()> {
    routed_through(false)
}

#[test]
fn it_is_even_if_its_source_is_banned() -> Result<()> {
    routed_through(true)
}

#[test]
fn unless_a_ban_is_for_everything() -> Result<()> {
    let stage = Stage::with(&Plan::with("[ban]", "[ban]\nscope = \"host\""))?;
    let (behind, to) = house_behind(&stage)?;
    ban(&stage, STRANGER.of(true))?;
    let socket = behind.udp(to[0])?;
    socket.set_read_timeout(Some(PATIENCE))?;
    stage.street.outside.send(&payload(100), STRANGER.of(true), to[0])?;
    stage.street.outside.send(&payload(101), client(true), to[0])?;
    let mut bytes = [0; 2000];
    let (received, from) = socket.recv_from(&mut bytes)?;
    ensure!(received == 101 && from.ip() == client(true), "{received} bytes from {from}");
    ensure!(stage.gateway.counted("banned")? >= 1);
    Ok(())
}

fn routed_through(banned: bool) -> Result<()> {
    let stage = Stage::new()?;
    let (behind, to) = house_behind(&stage)?;
    for (to, v4) in to.into_iter().zip([true, false]) {
        if banned {
            ban(&stage, client(v4))?;
        }
        let socket = behind.udp(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        for length in [1, 245, 255, 256, 257, 264, 1000] {
            stage.street.outside.send(&payload(length), client(v4), to)?;
            let mut bytes = [0; 2000];
            let (received, from) = socket.recv_from(&mut bytes)?;
            ensure!(bytes[..received] == payload(length)[..] && from.ip() == client(v4), "{length} bytes from {from}");
        }
    }
    ensure!(stage.gateway.counted("routed")? >= 14);
    for outcome in ["submitted_unknown", "wrong_length", "banned"] {
        ensure!(stage.gateway.counted(outcome)? == 0, "{outcome}");
    }
    Ok(())
}

fn ban(stage: &Stage, source: IpAddr) -> Result<()> {
    Ok(Maps::open(stage.gateway.pins())?.set_ban(Network::of(source.into()), Ban::default())?)
}

/// A host behind the gateway, and its knock port's address of each family.
fn house_behind(stage: &Stage) -> Result<(Namespace, [SocketAddr; 2])> {
    let (gateway, outside, behind) = (&stage.street.gateway, &stage.street.outside, Namespace::new("behind")?);
    join((gateway, "back"), (&behind, "front"))?;
    for (namespace, interface, v4, v6) in [
        (gateway, "back", "198.51.100.1/24", "2001:db8:1::1/64"),
        (&behind, "front", "198.51.100.2/24", "2001:db8:1::2/64"),
    ] {
        namespace.ip(&format!("link set {interface} up"))?;
        namespace.ip(&format!("address add {v4} dev {interface}"))?;
        namespace.ip(&format!("address add {v6} dev {interface} nodad"))?;
    }
    gateway.shell("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")?;
    for (way, net) in [(GATEWAY.of(true), "198.51.100.0/24"), (GATEWAY.of(false), "2001:db8:1::/64")] {
        outside.ip(&format!("route add {net} via {way}"))?;
    }
    let to = ["198.51.100.2", "2001:db8:1::2"].map(|at| Ok(SocketAddr::new(at.parse()?, SEALED_PORT)));
    let [v4, v6]: [Result<SocketAddr>; 2] = to;
    Ok((behind, [v4?, v6?]))
}

#[test]
fn a_knock_behind_vlan_tags_opens() -> Result<()> {
    let stage = Stage::new()?;
    for tags in [&[Tag::Customer(10)][..], &[Tag::Service(20), Tag::Customer(10)]] {
        for v4 in [true, false] {
            let source = if v4 { stage.newcomer()? } else { client(v4) };
            let to = SocketAddr::new(GATEWAY.of(v4), SEALED_PORT);
            let frame = Frame::udp(SocketAddr::new(source, 4000), to, &sealed(&knock(OPEN))?).behind(tags);
            stage.street.outside.send_frame(&frame.bytes(), DOOR)?;
            stage.opens(source)?;
        }
    }
    Ok(())
}

#[test]
fn native_mode_is_tried_first_and_said() -> Result<()> {
    let stage = Stage::new()?;
    ensure!(stage.daemon.said().contains("interface=gate mode=\"native\""), "{}", stage.daemon.said());
    let link = stage.street.gateway.ip(&format!("link show {GATE}"))?;
    ensure!(link.contains(" xdp ") && !link.contains("xdpgeneric"), "{link}");
    Ok(())
}

#[test]
fn generic_mode_works_where_it_is_demanded_and_is_said() -> Result<()> {
    let stage = Stage::with(&attach("generic"))?;
    let said = stage.daemon.said();
    ensure!(said.contains("interface=gate mode=\"generic\"") && said.contains("generic mode: the driver"), "{said}");
    ensure!(stage.street.gateway.ip(&format!("link show {GATE}"))?.contains("xdpgeneric"));
    for v4 in [true, false] {
        stage.knock(&knock(OPEN), client(v4))?;
        stage.opens(client(v4))?;
    }
    stage.street.outside.send(&payload(255), CLIENT.of(true), SocketAddr::new(GATEWAY.of(true), SEALED_PORT))?;
    ensure!(wait_until(PATIENCE, || stage.gateway.counted("wrong_length").is_ok_and(|count| count == 1)));
    Ok(())
}

#[test]
fn another_mode_takes_effect_at_the_next_start() -> Result<()> {
    let mut stage = Stage::new()?;
    for mode in ["generic", "native", "auto"] {
        stage.gateway.configure(&attach(mode))?;
        stage.daemon = stage.gateway.start()?;
        let wanted = if mode == "auto" { "native" } else { mode };
        ensure!(stage.daemon.said().contains(&format!("mode=\"{wanted}\"")), "{}", stage.daemon.said());
        let source = stage.newcomer()?;
        stage.knock(&knock(OPEN), source)?;
        stage.opens(source)?;
    }
    Ok(())
}

fn attach(mode: &str) -> Plan {
    let ingress = format!("interfaces = [\"{GATE}\"]\nattach = \"{mode}\"");
    Plan { ingress, ..Plan::default() }
}
