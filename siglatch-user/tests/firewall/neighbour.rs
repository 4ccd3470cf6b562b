//! A host at the other end of a cable.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::thread::gettid;
use socket2::{Domain, Socket, Type};

use crate::namespace::{enter_namespace, shell};

/// A namespace at the other end of a cable, for as long as this lives.
pub struct Neighbour {
    work: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Neighbour {
    /// Joined to the calling thread's namespace, with hosts 2 and 3 of two networks there and host 1 of both here.
    pub fn new(name: &str, [v4, v6]: [&str; 2]) -> Self {
        let (work, todo) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (to_us, id) = mpsc::channel();
        thread::spawn(move || {
            enter_namespace();
            shell(NO_WAITING);
            to_us.send(gettid().as_raw_nonzero()).unwrap();
            todo.into_iter().for_each(|work| work());
        });
        let id = id.recv().unwrap();
        shell(&format!("ip link add {name} type veth peer name door && ip link set door netns {id}"));
        shell(&format!("ip link set {name} up && ip address add {v4}.1/24 dev {name}"));
        shell(&format!("ip address add {v6}:1/64 dev {name} nodad"));
        let neighbour = Self { work };
        let mut setup = "ip link set door up".to_owned();
        for host in [2, 3] {
            let addresses = format!("ip address add {v4}.{host}/24 dev door && ip address add {v6}:{host}/64 dev door");
            setup += &format!(" && {addresses} nodad");
        }
        setup += &format!(" && ip route add default via {v4}.1 && ip route add default via {v6}:1");
        neighbour.does(move || shell(&setup));
        neighbour
    }

    pub fn udp(&self, at: SocketAddr) -> UdpSocket {
        let socket = self.does(move || UdpSocket::bind(at).unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    /// Connects from an address there.
    pub fn tcp(&self, from: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
        self.does(move || {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            socket.bind(&SocketAddr::new(from, 0).into())?;
            socket.connect_timeout(&to.into(), Duration::from_secs(1))?;
            Ok(socket.into())
        })
    }

    pub fn does<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.work.send(Box::new(move || drop(done.send(work())))).unwrap();
        result.recv().unwrap()
    }
}

/// Else nobody is asked for as a neighbour until it is sure, for seconds, that an address is nobody else's.
pub const NO_WAITING: &str = "cd /proc/sys/net/ipv6/conf; echo 0 | tee all/accept_dad default/accept_dad";
