//! Users of several homes for random workloads: who there is, where they are logged in, and chance.

use hearth::sim::client::{ClientId, Stage};
use hearth::sim::disk::Health;
use hearth::sim::world::{HostId, World};

/// The homes.
pub const DOMAINS: [&str; 3] = ["a.test", "b.test", "c.test"];
const NAMES: [&str; 3] = ["x", "y", "z"];

/// A user.
pub struct User {
    pub address: String,
    pub name: &'static str,
    pub home: HostId,
    pub endpoints: Vec<ClientId>,
}

/// All of them, in their world.
pub struct People {
    pub world: World,
    pub users: Vec<User>,
}

impl People {
    /// Three users at each home, nobody logged in.
    pub fn new(seed: u64) -> People {
        let mut world = World::new(seed);
        let mut users = Vec::new();
        for domain in DOMAINS {
            let home = world.add_home(&[domain]);
            for name in NAMES {
                let address = format!("{name}@{domain}");
                world.add_user(home, &address);
                users.push(User { address, name, home, endpoints: Vec::new() });
            }
        }
        People { world, users }
    }

    /// Anybody.
    pub fn anyone(&mut self) -> usize {
        self.world.chance.below(self.users.len())
    }

    /// One of several things.
    pub fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.world.chance.below(from.len())]
    }

    /// Begins a login.
    pub fn log_in(&mut self, who: usize) -> ClientId {
        let user = &self.users[who];
        let label = format!("{}#{}", user.address, user.endpoints.len());
        let endpoint = self.world.begin_login(user.home, &label, user.name, &format!("key-of-{}", user.name));
        self.users[who].endpoints.push(endpoint);
        endpoint
    }

    /// A live endpoint of a user, if he has one.
    pub fn endpoint(&mut self, who: usize) -> Option<ClientId> {
        let world = &self.world;
        let live = |e: &ClientId| world.peek(*e).stage == Stage::In && !world.peek(*e).closed;
        let live: Vec<ClientId> = self.users[who].endpoints.iter().copied().filter(live).collect();
        (!live.is_empty()).then(|| self.choose(&live))
    }

    /// Closes a connection of his, if he has one.
    pub fn log_out(&mut self, who: usize) {
        if let Some(endpoint) = self.endpoint(who) {
            let rough = self.world.chance.percent(30);
            self.world.close(endpoint, rough);
        }
    }

    /// All endpoints there ever were.
    pub fn endpoints(&self) -> Vec<ClientId> {
        self.users.iter().flat_map(|u| u.endpoints.iter().copied()).collect()
    }

    /// Something breaks, mostly for a short time.
    pub fn fault(&mut self) {
        fault(&mut self.world);
    }

    /// Everything works again.
    pub fn mend(&mut self) {
        mend(&mut self.world);
    }
}

/// Something breaks in a world of [`DOMAINS`], mostly for a short time.
pub fn fault(world: &mut World) {
    let host = HostId(world.chance.below(DOMAINS.len()));
    let other = world.chance.below(DOMAINS.len());
    let (ip, other) = (world.hosts[host.0].ip(), world.hosts[other].ip());
    match world.chance.between(0, 8) {
        0 | 1 => world.crash(host),
        2 => {
            world.shutdown(host);
        }
        3 => world.cut(ip, other),
        4 if ip != other => world.partition(ip, other),
        5 => {
            let healths = [Health::Full, Health::Broken, Health::Stuck];
            let health = healths[world.chance.below(healths.len())];
            world.host(host).disk.health = health;
        }
        6 => {
            let jump = world.chance.between(0, 7_200_000) as i64 - 3_600_000;
            world.host(host).clock += jump;
        }
        7 => world.dns.slow(DOMAINS[host.0], 3000),
        _ => mend(world),
    }
    if world.chance.percent(70) {
        mend(world);
    }
}

/// Everything works again.
pub fn mend(world: &mut World) {
    world.heal();
    for (index, domain) in DOMAINS.iter().enumerate() {
        world.host(HostId(index)).disk.health = Health::Well;
        world.dns.slow(domain, 0);
        world.start(HostId(index));
    }
}
