//! What the world does for its clients: opening, writing, reading, logging in.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::client::{Answer, Client, ClientId, Login, Stage, authorization};
use super::event::{Caller, Event};
use super::host::Host;
use super::net::{Arrival, End, WireId};
use super::reader::{HEADER, Object};
use super::world::{HostId, ROUTING, World};

/// How long the tests' own steps may take: any answer that needs no time-out is there by then.
pub const PATIENCE: Duration = Duration::from_secs(8);

/// The network address that clients come from unless they say otherwise.
pub fn client_address() -> IpAddr {
    IpAddr::from([127, 1, 0, 1])
}

impl World {
    /// A client that is not connected yet.
    pub fn new_client(&mut self, name: &str, address: IpAddr) -> ClientId {
        let address = self.ephemeral(address);
        self.clients.push(Client::new(name, address));
        ClientId(self.clients.len() - 1)
    }

    /// Lets a client open a connection; what it writes waits until it is open.
    pub fn open(&mut self, client: ClientId, to: SocketAddr) {
        let delay = self.latency();
        let from = self.clients[client.0].address;
        self.after(delay, Event::Syn { caller: Caller::Client(client), from, to });
    }

    /// The address of a home's port.
    pub fn place(&self, host: HostId, port: u16) -> SocketAddr {
        SocketAddr::new(self.hosts[host.0].ip(), port)
    }

    /// Plays the server at an address: nodes that dial it reach clients taken by [`World::accept`].
    pub fn play_server(&mut self, at: SocketAddr) {
        self.puppets.entry(at).or_default();
    }

    /// The next connection that a node has made to an address played by the test.
    pub fn accept(&mut self, at: SocketAddr) -> Option<ClientId> {
        let waiting = self.puppets.get_mut(&at)?;
        if waiting.is_empty() { None } else { Some(waiting.remove(0)) }
    }

    /// Connections made to an address played by the test and not yet taken.
    pub fn waiting_at(&self, at: SocketAddr) -> usize {
        self.puppets.get(&at).map_or(0, Vec::len)
    }

    pub(super) fn opened(&mut self, client: ClientId, wire: Option<WireId>) {
        let Some(wire) = wire else {
            return self.client_closed(client, true);
        };
        if self.clients[client.0].closed {
            return self.abandon(wire, 0);
        }
        self.wires[wire.0].ends[0] = End::Client(client);
        self.clients[client.0].wire = Some((wire, 0));
        let waiting = std::mem::take(&mut self.clients[client.0].outgoing);
        if !waiting.is_empty() {
            self.write(client, &waiting);
        }
    }

    /// Writes octets to a client's connection.
    pub fn write(&mut self, client: ClientId, octets: &[u8]) {
        let Some((wire, side)) = self.clients[client.0].wire else {
            return self.clients[client.0].outgoing.extend_from_slice(octets);
        };
        let mut rest = octets;
        while !rest.is_empty() {
            let split = self.chance.percent(self.weather.splitting);
            let count = if split { 1 + self.chance.below(rest.len()) } else { rest.len() };
            self.wires[wire.0].pipes[side].octets.extend(&rest[..count]);
            self.travel(wire.0, side, Arrival::Octets(count));
            rest = &rest[count..];
        }
    }

    /// Writes a stream's header.
    pub fn write_header(&mut self, client: ClientId) {
        self.write(client, HEADER.as_bytes());
    }

    /// Sends an object as it is.
    pub fn send(&mut self, client: ClientId, object: &Object) {
        if !self.quiet {
            self.note(format!("{}> {object}", self.clients[client.0].name));
        }
        let octets = self.clients[client.0].speech.write(object);
        self.write(client, &octets);
    }

    /// Sends a request under the client's next id, which is given back.
    pub fn request(&mut self, client: ClientId, entries: &[(&str, &str)]) -> String {
        let c = &mut self.clients[client.0];
        let id = c.next_request.to_string();
        c.next_request += 1;
        let mut object = Object::new(entries);
        object.entries.push(("request".to_owned(), id.clone()));
        self.send(client, &object);
        id
    }

    /// Closes a client's connection. `rough`: what is under way may be lost.
    pub fn close(&mut self, client: ClientId, rough: bool) {
        self.note(format!("{} closes", self.clients[client.0].name));
        if let Some((wire, side)) = self.clients[client.0].wire.take() {
            self.wires[wire.0].ends[side] = End::Gone;
            self.travel(wire.0, side, if rough { Arrival::Reset } else { Arrival::Fin });
        }
        self.clients[client.0].closed = true;
    }

    /// Forgets what a closed client has received, so that long runs don't grow by it.
    pub fn forget(&mut self, client: ClientId) {
        if self.clients[client.0].closed {
            let name = std::mem::take(&mut self.clients[client.0].name);
            self.clients[client.0] =
                Client { closed: true, ..Client::new(&name, SocketAddr::new(client_address(), 0)) };
        }
    }

    /// The client will write no more, but reads on.
    pub fn half_close(&mut self, client: ClientId) {
        if let Some((wire, side)) = self.clients[client.0].wire {
            self.travel(wire.0, side, Arrival::Fin);
        }
    }

    /// The client stops reading, or goes on.
    pub fn set_reading(&mut self, client: ClientId, on: bool) {
        if let Some((wire, side)) = self.clients[client.0].wire {
            let direction = 1 - side;
            self.wires[wire.0].pipes[direction].paused = !on;
            self.after(0, Event::Arrive { wire, direction, what: Arrival::Octets(0) });
        }
    }

    pub(super) fn feed_client(&mut self, wire: usize, direction: usize, client: ClientId) {
        let pipe = &mut self.wires[wire].pipes[direction];
        if pipe.paused {
            return;
        }
        let count = std::mem::take(&mut pipe.arrived);
        let data: Vec<u8> = pipe.octets.drain(..count).collect();
        let fin = std::mem::take(&mut pipe.fin_arrived);
        if count > 0 {
            self.mix(&data);
            self.unblock(wire, direction);
            let c = &mut self.clients[client.0];
            c.received += count;
            let objects = match c.speech.read(&data) {
                Ok(objects) => objects,
                Err(what) => panic!("what {} reads is not what a server writes: {what}", c.name),
            };
            for object in objects {
                self.receive(client, object);
            }
        }
        if fin {
            self.client_closed(client, false);
        }
    }

    pub(super) fn client_closed(&mut self, client: ClientId, rough: bool) {
        self.note(format!(
            "{} is closed{}",
            self.clients[client.0].name,
            if rough { " (reset)" } else { "" }
        ));
        let c = &mut self.clients[client.0];
        c.closed = true;
        if c.stage == Stage::LoggingIn {
            c.stage = Stage::Refused;
        }
        let endpoint = c.login.take().map(|l| l.endpoint);
        if let Some((wire, side)) = c.wire.take() {
            self.wires[wire.0].ends[side] = End::Gone;
            self.travel(wire.0, side, Arrival::Fin);
        }
        if let Some(endpoint) = endpoint {
            self.clients[endpoint.0].stage = Stage::Refused;
        }
    }

    fn receive(&mut self, client: ClientId, object: Object) {
        if !self.quiet {
            self.note(format!("{}< {object}", self.clients[client.0].name));
        }
        if let Some(login) = self.clients[client.0].login.take() {
            return self.challenged(client, login, &object);
        }
        if let Some(object) = self.authenticating(client, object) {
            self.take_in(client, object);
        }
    }

    fn take_in(&mut self, client: ClientId, object: Object) {
        let now = self.now;
        let c = &mut self.clients[client.0];
        let answer = c.automatic(&object);
        if c.stage == Stage::LoggingIn && object.get("response") == Some("connect") {
            c.stage = if object.action() == "self" { Stage::In } else { Stage::Refused };
        }
        c.inbox.push_back((now, object));
        if let Some(answer) = answer {
            self.send(client, &answer);
        }
    }

    /// Begins a login: the client given back is the notification connection that will be.
    pub fn begin_login(&mut self, home: HostId, name: &str, user: &str, key: &str) -> ClientId {
        self.begin_login_with(home, name, user, key, None, "1.0", client_address())
    }

    /// Begins a login with all its choices.
    #[allow(clippy::too_many_arguments)]
    pub fn begin_login_with(
        &mut self,
        home: HostId,
        name: &str,
        user: &str,
        key: &str,
        algorithms: Option<&str>,
        version: &str,
        from: IpAddr,
    ) -> ClientId {
        let endpoint = self.new_client(name, from);
        self.clients[endpoint.0].stage = Stage::LoggingIn;
        let routing = self.new_client(&format!("{name}/login"), from);
        let to = self.place(home, ROUTING);
        self.open(routing, to);
        self.write_header(routing);
        let mut login = vec![("action", "login"), ("user", user)];
        login.extend(algorithms.map(|a| ("algorithms", a)));
        self.request(routing, &login);
        self.clients[routing.0].login = Some(Login {
            user: user.to_owned(),
            key: key.to_owned(),
            algorithms: algorithms.map(str::to_owned),
            version: version.to_owned(),
            endpoint,
        });
        endpoint
    }

    /// The answer to `login` has come on a routing connection.
    fn challenged(&mut self, routing: ClientId, login: Login, object: &Object) {
        let endpoint = login.endpoint;
        let of = |key: &str| object.get(key).unwrap_or_default().to_owned();
        let place = format!("{}:{}", of("host"), of("port")).parse();
        let (Ok(place), "challenge") = (place, object.action()) else {
            self.clients[endpoint.0].stage = Stage::Refused;
            return self.close(routing, false);
        };
        let proof = authorization(&of("algorithm"), &login.user, &login.key, &of("nonce"));
        self.open(endpoint, place);
        self.write_header(endpoint);
        let connect = Object::new(&[
            ("action", "connect"),
            ("request", "connect"),
            ("authorization", &proof),
            ("opaque", &of("opaque")),
            ("version", &login.version),
        ]);
        self.send(endpoint, &connect);
        self.close(routing, false);
    }

    /// Logs in and waits for it; the `self` stays in the inbox. Panics if it is refused.
    pub fn login(&mut self, home: HostId, name: &str, user: &str, key: &str) -> ClientId {
        let endpoint = self.begin_login(home, name, user, key);
        let stage = self.await_login(endpoint);
        assert_eq!(stage, Stage::In, "{name} logs in");
        endpoint
    }

    /// Waits until a login is over.
    pub fn await_login(&mut self, endpoint: ClientId) -> Stage {
        self.run_until(PATIENCE, |w| w.peek(endpoint).stage != Stage::LoggingIn);
        self.clients[endpoint.0].stage
    }

    /// Waits for an object and takes it.
    pub fn expect(
        &mut self,
        client: ClientId,
        limit: Duration,
        wanted: impl Fn(&Object) -> bool,
    ) -> Option<Object> {
        let there = |w: &World| w.peek(client).inbox.iter().any(|(_, object)| wanted(object));
        self.run_until(limit, there);
        self.clients[client.0].take(&wanted)
    }

    /// Waits for the reply to a request and takes it.
    pub fn reply(&mut self, client: ClientId, id: &str) -> Option<Object> {
        self.expect(client, PATIENCE, |o| o.get("response") == Some(id))
    }

    /// Sets what a client does with requests that it receives.
    pub fn answers(&mut self, client: ClientId, sends: Answer, notes: Answer) {
        let c = &mut self.clients[client.0];
        (c.sends, c.notes) = (sends, notes);
    }

    /// The host of an index.
    pub fn host(&mut self, host: HostId) -> &mut Host {
        &mut self.hosts[host.0]
    }
}
