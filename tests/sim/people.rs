//! Users of several homes for random workloads: who there is, where they are logged in, and chance.

use hearth::sim::client::{ClientId, Stage};
use hearth::sim::disk::Health;
use hearth::sim::world::{HostId, World};

/// The homes.
pub const DOMAINS: [&str; 3] = ["a.test", "b.test", "c.test"];
const NAMES: [&str; 3] = ["x", "y", "z"];
/// How far a clock may jump to and fro, in milliseconds: minutes, an hour, days, months, years.
const JUMPS: [u64; 5] = [300_000, 3_600_000, 3 * DAY, 60 * DAY, 3 * 365 * DAY];
/// Kept messages are too old after a month, in milliseconds.
pub const MONTH: i64 = 30 * DAY as i64;
const DAY: u64 = 24 * 3_600_000;

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
    let what = world.chance.between(0, 12);
    world.note(format!("a fault of kind {what} at {}", DOMAINS[host.0]));
    match what {
        0 => world.crash(host),
        1 | 2 => {
            let disk = &mut world.hosts[host.0].disk;
            disk.dies_at = Some(disk.steps + world.chance.between(1, 12));
            // That is yet to come: nothing is mended before.
            return;
        }
        3 => {
            world.shutdown(host);
        }
        4 => {
            // It comes back as an older release, or as this one again.
            world.crash(host);
            world.hosts[host.0].older ^= true;
            world.note(format!("an older release: {}", world.hosts[host.0].older));
        }
        5 => world.cut(ip, other),
        6 if ip != other => world.partition(ip, other),
        7 if ip != other => world.deafen(ip, other),
        8 | 9 => {
            let healths = [Health::Full, Health::Tight, Health::Broken, Health::Stuck, Health::Slow];
            let health = healths[world.chance.below(healths.len())];
            world.note(format!("its disk is {health:?}"));
            world.host(host).disk.health = health;
        }
        10 => {
            let furthest = JUMPS[world.chance.below(JUMPS.len())];
            let jump = world.chance.between(0, 2 * furthest) as i64 - furthest as i64;
            world.note(format!("its clock jumps by {} s", jump / 1000));
            world.host(host).jump(jump);
        }
        11 => world.weather.loss = world.chance.between(1, 25),
        12 => world.dns.slow(DOMAINS[host.0], 3000),
        _ => mend(world),
    }
    if world.chance.percent(50) {
        mend(world);
    }
}

/// Everything works again.
pub fn mend(world: &mut World) {
    world.heal();
    world.weather.loss = 0;
    for (index, domain) in DOMAINS.iter().enumerate() {
        let disk = &mut world.host(HostId(index)).disk;
        (disk.health, disk.dies_at) = (Health::Well, None);
        world.dns.slow(domain, 0);
        world.start(HostId(index));
    }
}
