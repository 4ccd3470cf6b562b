//! What the rules do to packets.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_recv_buffer_size_force;
use rustix::thread::gettid;
use siglatch_user::config::{Firewall as Settings, OwnTable};
use siglatch_user::edge::firewall::Firewall;
use siglatch_user::gate::Grant;

use crate::namespace::{enter_namespace, in_namespace, shell};
use crate::{adopt, grant, now};

#[test]
fn only_the_granted_get_through_and_neither_a_restart_nor_a_change_opens_a_gap() {
    in_namespace(|| {
        shell("ip link add gw type veth peer name peer && ip address add 10.9.0.1/24 dev gw && ip link set gw up");
        shell("ip address add fd09::1/64 dev gw nodad");
        let settings = Settings::Table(OwnTable {
            priority: 0,
            protect: vec!["udp/5000".parse().unwrap()],
            ..OwnTable::default()
        });
        let (mut firewall, _) = Firewall::open(&settings, &[62201], now()).unwrap();
        let grants = [grant("10.9.0.2", "udp/5000", 600), grant("fd09::2", "udp/5000", 600)];
        firewall.write(&grants, now()).unwrap();

        let (to_us, peer_id) = mpsc::channel();
        let (go, ready) = mpsc::channel();
        let done = AtomicBool::new(false);
        let protected = UdpSocket::bind("[::]:5000").unwrap();
        let unprotected = UdpSocket::bind("[::]:5001").unwrap();
        // What the reader is late for must not look like a closed port.
        set_socket_recv_buffer_size_force(&protected, 16 << 20).unwrap();
        protected.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        unprotected.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let count = |socket: &UdpSocket| {
            let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
            while let Ok((_, from)) = socket.recv_from(&mut [0; 64]) {
                *counts.entry(from.ip().to_canonical()).or_default() += 1;
            }
            counts
        };
        thread::scope(|scope| {
            let done = &done;
            let sender = scope.spawn(move || {
                enter_namespace();
                to_us.send(gettid().as_raw_nonzero()).unwrap();
                ready.recv().unwrap();
                shell(
                    "ip link set peer up && ip address add 10.9.0.2/24 dev peer && ip address add 10.9.0.3/24 dev peer",
                );
                shell("ip address add fd09::2/64 dev peer nodad && ip address add fd09::3/64 dev peer nodad");
                let bind = |ip: &str| UdpSocket::bind(SocketAddr::new(ip.parse().unwrap(), 0)).unwrap();
                let sockets = [
                    (bind("10.9.0.2"), "10.9.0.1"),
                    (bind("10.9.0.3"), "10.9.0.1"),
                    (bind("fd09::2"), "fd09::1"),
                    (bind("fd09::3"), "fd09::1"),
                ];
                for (socket, to) in &sockets {
                    socket.send_to(b"hello", SocketAddr::new(to.parse().unwrap(), 5001)).unwrap();
                }
                let mut sent = 0;
                while !done.load(Ordering::Relaxed) {
                    for (socket, to) in &sockets {
                        socket.send_to(b"let me in", SocketAddr::new(to.parse().unwrap(), 5000)).unwrap();
                    }
                    sent += 1;
                    thread::sleep(Duration::from_micros(200));
                }
                sent
            });
            shell(&format!("ip link set peer netns {}", peer_id.recv().unwrap()));
            go.send(()).unwrap();
            for _ in 0..4 {
                unprotected.recv_from(&mut [0; 64]).expect("an unprotected port stays untouched");
            }
            let counter = scope.spawn(|| count(&protected));
            // A living one changes, too: doors come and go, and the priority rises and falls.
            let others = [-5, 5].map(|priority| OwnTable {
                priority,
                protect: ["tcp/22", "udp/5000"].map(|service| service.parse().unwrap()).to_vec(),
                protect_forward: vec!["udp/5000@10.8.0.2".parse().unwrap()],
                ..OwnTable::default()
            });
            for _ in 0..20 {
                for other in &others {
                    let live = grants.each_ref().map(|grant| Grant { ttl: grant.ttl * 2, ..grant.clone() });
                    adopt(&mut firewall, &Settings::Table(other.clone()), &[62202], &live, now()).unwrap();
                    adopt(&mut firewall, &settings, &[62201], &live, now()).unwrap();
                }
                drop(firewall);
                firewall = Firewall::open(&settings, &[62201], now()).unwrap().0;
                let renewed = grants.each_ref().map(|grant| Grant { ttl: grant.ttl * 2, ..grant.clone() });
                firewall.write(&renewed, now()).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            let sent: usize = sender.join().unwrap();
            let arrived = counter.join().unwrap();
            assert!(sent > 100, "{sent}");
            let expected = ["10.9.0.2", "fd09::2"].map(|ip| (ip.parse().unwrap(), sent));
            assert_eq!(arrived, BTreeMap::from(expected));
        });
    });
}
