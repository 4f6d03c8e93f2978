//! What the kernel keeps for connections: its slabs and the memory of sockets, before and after.

use std::collections::BTreeMap;
use std::fs;

use crate::rig::Failure;

const PAGE: f64 = 4096.0;
/// The slabs of what a socket consists of: others grow by what else the machine does.
const OF_SOCKETS: [&str; 11] = [
    "TCP",
    "sock_inode_cache",
    "filp",
    "dentry",
    "eventpoll_",
    "ep_head",
    "lsm_",
    "skbuff_",
    "tcp_bind",
    "request_sock",
    "net_bind",
];

/// The kernel's memory at a moment, octets. Where slabs of one size are merged, some go by other names.
#[derive(Default)]
pub struct Kernel {
    slabs: BTreeMap<String, f64>,
    /// Buffers of sockets, as `/proc/net/sockstat` counts them.
    pub buffers: f64,
    /// What the machine has left.
    pub available: f64,
}

/// What a number of connections has added, octets of each.
pub struct Growth {
    /// Both ends: every slab of what sockets consist of, largest first.
    pub slabs: Vec<(String, f64)>,
    /// The end that accepts.
    pub accepting: f64,
    /// Buffers, both ends.
    pub buffers: f64,
    /// What the machine has less than before, without what both processes have grown by; both ends.
    pub missing: f64,
}

impl Kernel {
    /// Now.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn look() -> Result<Kernel, Failure> {
        let mut kernel = Kernel::default();
        // Only root may read it.
        for line in fs::read_to_string("/proc/slabinfo").unwrap_or_default().lines().skip(2) {
            let words: Vec<_> = line.split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok());
            // What is in use, each with its share of the pages: pages that are kept for the next to come are not counted.
            if let (Some(objects), Some(per_slab), Some(pages)) = (number(1), number(4), number(5))
                && OF_SOCKETS.iter().any(|name| words[0].starts_with(name))
            {
                kernel.slabs.insert(words[0].to_owned(), objects * pages * PAGE / per_slab);
            }
        }
        let sockets = fs::read_to_string("/proc/net/sockstat")?;
        let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
        let pages = tcp.split_whitespace().last().and_then(|word| word.parse::<f64>().ok());
        kernel.buffers = pages.ok_or("no sockstat")? * PAGE;
        let memory = fs::read_to_string("/proc/meminfo")?;
        let line = memory.lines().find(|line| line.starts_with("MemAvailable:")).unwrap_or_default();
        let kib = line.split_whitespace().nth(1).and_then(|word| word.parse::<f64>().ok());
        kernel.available = kib.ok_or("no MemAvailable")? * 1024.0;
        Ok(kernel)
    }

    /// What so many connections have added since `before`; `processes`: octets by which processes have grown.
    pub fn since(&self, before: &Kernel, connections: usize, processes: f64) -> Growth {
        let each = |octets: f64| octets / connections as f64;
        let mut slabs: Vec<_> = self
            .slabs
            .iter()
            .map(|(name, now)| (name.clone(), each(now - before.slabs.get(name).unwrap_or(&0.0))))
            .filter(|(_, grown)| *grown >= 4.0)
            .collect();
        slabs.sort_by(|a, b| b.1.total_cmp(&a.1));
        let accepting = slabs.iter().map(|(name, grown)| grown * share(name)).sum();
        Growth {
            slabs,
            accepting,
            buffers: each(self.buffers - before.buffers),
            missing: each(before.available - self.available - processes),
        }
    }
}

/// How much of a slab is the accepting end's: what only it needs, what only the other one needs, else half.
fn share(name: &str) -> f64 {
    // The loop waits for all its connections; the other end of these waits for none.
    if name.starts_with("eventpoll") || name.starts_with("ep_") {
        return 1.0;
    }
    // A port of its own has only who connects.
    if name.contains("bind") { 0.0 } else { 0.5 }
}
