//! The loop over real loopback sockets, with a node that does as the test says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod control;
mod dns;
mod life;
mod plain;
mod time;
mod tls;

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Interest, Poll};

use crate::clock::{Now, Tick};
use crate::config::{Config, Listen, ListenProtocol};
use crate::federation::{Place, Protocol};
use crate::hub::address::Domain;
use crate::node::io::{ConnId, DialId, Input, Job, JobId, JobResult, Output, TlsPeer};
use crate::server::answers::{Answer, Answers};
use crate::server::control::Control;
use crate::server::keys::Keys;
use crate::server::poll::{Clock, Driven, Driver, Listener, Parts, Source, Work};
use crate::server::socket;
use crate::store::record::Batch;

/// A hang is a failure; nothing waits this long when it works.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the node saw.
#[derive(Debug)]
enum Seen {
    Resting,
    Crowded { count: usize },
    Accepted { conn: ConnId, peer: SocketAddr, local: SocketAddr },
    Secured { tls: TlsPeer },
    Connected { dial: DialId, conn: ConnId },
    DialFailed { dial: DialId, why: String },
    Bytes { conn: ConnId, data: Vec<u8> },
    HalfClosed { conn: ConnId },
    Closed { conn: ConnId },
    Control { id: crate::node::io::ControlId, request: crate::admin::AdminRequest },
    Reconfigured(Arc<Config>),
}

/// What the test wants the node to do.
enum Order {
    Want(Output),
    Write(ConnId, Vec<u8>),
    Echo(bool),
    /// Nothing goes on until the other end is dropped.
    Rest(Receiver<()>),
}

struct Puppet {
    seen: Sender<Seen>,
    orders: Arc<Mutex<VecDeque<Order>>>,
    outputs: VecDeque<Output>,
    unsent: HashMap<ConnId, (Vec<u8>, usize)>,
    echo: bool,
}

impl Puppet {
    fn write(&mut self, conn: ConnId, data: &[u8]) {
        let (queue, sent) = self.unsent.entry(conn).or_default();
        if queue.len() == *sent {
            (*queue, *sent) = (Vec::new(), 0);
            self.outputs.push_back(Output::Write(conn));
        }
        queue.extend_from_slice(data);
    }
}

impl Driven for Puppet {
    fn handle(&mut self, _: Now, input: Input<'_>) {
        let seen = match input {
            Input::Accepted { conn, peer, local, .. } => Seen::Accepted { conn, peer, local },
            Input::Secured { tls, .. } => Seen::Secured { tls },
            Input::Connected { dial, conn } => Seen::Connected { dial, conn },
            Input::DialFailed { dial, why } => Seen::DialFailed { dial, why },
            Input::Bytes { conn, data } if self.echo => return self.write(conn, data),
            Input::Bytes { conn, data } => Seen::Bytes { conn, data: data.to_vec() },
            Input::HalfClosed { conn } => Seen::HalfClosed { conn },
            Input::Crowded { count } => Seen::Crowded { count },
            Input::Closed { conn } => {
                self.unsent.remove(&conn);
                Seen::Closed { conn }
            }
            Input::Control { id, request } => Seen::Control { id, request },
            Input::Shutdown => return self.outputs.push_back(Output::Ended),
            Input::Done { .. } => {
                let orders: Vec<Order> = self.orders.lock().unwrap().drain(..).collect();
                for order in orders {
                    match order {
                        Order::Want(output) => self.outputs.push_back(output),
                        Order::Write(conn, data) => self.write(conn, &data),
                        Order::Echo(on) => self.echo = on,
                        Order::Rest(until) => {
                            let _ = self.seen.send(Seen::Resting);
                            let _ = until.recv();
                        }
                    }
                }
                return;
            }
            Input::Committed(_) | Input::Wake => return,
        };
        let _ = self.seen.send(seen);
    }
    fn settle(&mut self, _: Now) {}
    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
    fn next_wake(&self) -> Option<Tick> {
        None
    }
    fn unsent(&self, conn: ConnId) -> &[u8] {
        self.unsent.get(&conn).map_or(&[], |(queue, sent)| &queue[*sent..])
    }
    fn sent(&mut self, _: Now, conn: ConnId, count: usize) {
        self.unsent.get_mut(&conn).unwrap().1 += count;
    }
    fn reconfigure(&mut self, config: Arc<Config>) {
        let _ = self.seen.send(Seen::Reconfigured(config));
    }
}

struct NoWork;

impl Work for NoWork {
    fn job(&self, _: JobId, _: Job) {}
    fn begin(&self) {}
    fn commit(&self, _: Batch) {}
}

/// A loop on a thread of its own.
struct Rig {
    addresses: Vec<SocketAddr>,
    answers: Answers,
    seen: Receiver<Seen>,
    orders: Arc<Mutex<VecDeque<Order>>>,
    clock: Clock,
    /// At its end it tells how many connections it still counts among those that close.
    thread: Option<JoinHandle<usize>>,
}

fn listen_on(address: &str, tls: bool) -> Listen {
    let protocol = ListenProtocol::Simp;
    Listen { protocol, address: address.parse().unwrap(), tls, notification: false, clear: false }
}

fn config(text: &str, dir: &Path) -> Config {
    let text = format!("domains = [\"example.org\"]\ndata_dir = {:?}\n{text}", dir.display().to_string());
    Config::parse(&text, &dir.join("hearth.toml")).unwrap()
}

impl Rig {
    fn plain() -> Rig {
        Rig::start(&[listen_on("127.0.0.1:0", false)], Keys::load(None).unwrap(), None, 1000)
    }

    fn start(listens: &[Listen], keys: Keys, control_dir: Option<&Path>, room: usize) -> Rig {
        let poll = Poll::new().unwrap();
        let listeners: Vec<Listener> = listens
            .iter()
            .enumerate()
            .map(|(index, listen)| {
                let mut socket = socket::listen(listen.address).unwrap();
                let token = Source::Listener(index as u32).token();
                poll.registry().register(&mut socket, token, Interest::READABLE).unwrap();
                let listen = Listen { address: socket.local_addr().unwrap(), ..listen.clone() };
                Listener { socket, listen, ready: false }
            })
            .collect();
        let control = control_dir.map(|dir| {
            let mut control = Control::open(dir).unwrap();
            control.register(poll.registry(), Source::ControlListener.token()).unwrap();
            control
        });
        let (answers, inbox) = Answers::new(poll.registry(), Source::Inbox.token()).unwrap();
        let (sender, seen) = mpsc::channel();
        let orders = Arc::new(Mutex::new(VecDeque::new()));
        let node = Puppet {
            seen: sender,
            orders: orders.clone(),
            outputs: VecDeque::new(),
            unsent: HashMap::new(),
            echo: false,
        };
        let clock = Clock::start();
        let addresses = listeners.iter().map(|l| l.listen.address).collect();
        let parts = Parts {
            node,
            clock: clock.clone(),
            poll,
            inbox,
            answers: answers.clone(),
            work: Box::new(NoWork),
            listeners,
            control,
            keys,
            signals: None,
            config: Arc::new(config(LISTEN, Path::new("/nowhere"))),
            config_path: None,
            room,
        };
        let mut driver = Driver::new(parts);
        let thread = Some(std::thread::spawn(move || {
            driver.run().unwrap();
            driver.closing.len()
        }));
        Rig { addresses, answers, seen, orders, clock, thread }
    }

    fn order(&self, order: Order) {
        self.orders.lock().unwrap().push_back(order);
        self.answers.send(Answer::Done(JobId(0), JobResult::Overloaded));
    }

    /// Lets time pass, all at once.
    fn pass(&self, time: Duration) {
        self.clock.ahead.fetch_add(time.as_millis() as u64, std::sync::atomic::Ordering::SeqCst);
        // Awake, it looks at the clock.
        self.order(Order::Echo(false));
    }

    fn want(&self, output: Output) {
        self.order(Order::Want(output));
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).expect("nothing happened")
    }

    /// Connects, and says how the node names it.
    fn connect(&self) -> (TcpStream, ConnId) {
        let stream = TcpStream::connect(self.addresses[0]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        // So that the kernel can't take in all that a test writes.
        socket2::SockRef::from(&stream).set_recv_buffer_size(64 * 1024).unwrap();
        match self.next() {
            Seen::Accepted { conn, peer, local } => {
                assert_eq!(peer, stream.local_addr().unwrap());
                assert_eq!(local, stream.peer_addr().unwrap());
                (stream, conn)
            }
            other => panic!("{other:?}"),
        }
    }

    fn dial(&self, number: u64, address: SocketAddr, tls: bool, domain: &str) {
        let place = Place { protocol: Protocol::Simp, tls, address };
        let domain = Domain::parse(domain).unwrap();
        self.want(Output::Dial { dial: DialId(number), place, domain });
    }

    /// The next octets of a connection, as many as are wanted.
    fn octets(&self, wanted: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < wanted {
            match self.next() {
                Seen::Bytes { data, .. } => all.extend(data),
                other => panic!("{other:?}"),
            }
        }
        all
    }

    /// Waits for the end of a connection; octets that come before it don't matter.
    fn closed(&self, conn: ConnId) {
        loop {
            match self.next() {
                Seen::Closed { conn: gone } => return assert_eq!(gone, conn),
                Seen::Bytes { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Ends it; see [`Rig::thread`].
    fn end(&mut self) -> Option<usize> {
        self.answers.send(Answer::Stop);
        self.thread.take().map(|thread| thread.join().unwrap())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.end();
    }
}

/// A configuration is not one without a listener.
const LISTEN: &str = "[[listen]]\nprotocol = \"simp\"\naddress = \"127.0.0.1:0\"\n";
