//! Servers of several processes: their CPU time and memory added up, and all of them ended.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::Failure;
use super::proc::{self, Process};

/// How long a server's memory is watched for coming to rest.
const SETTLE: Duration = Duration::from_secs(40);

/// A server: the process that was started, and all that descend from it. Ended when dropped.
pub struct Group {
    leader: Process,
}

/// One process, told apart from a later one of the same id by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    id: u32,
    parent: u32,
    begun: u64,
}

impl Member {
    /// What `/proc` says of a process; nothing if it has ended.
    fn read(id: u32) -> Option<Member> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // Behind the name, which may hold anything: state, parent, and further on the time of its start.
        let words: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        Some(Member { id, parent: words.get(1)?.parse().ok()?, begun: words.get(19)?.parse().ok()? })
    }
}

impl Group {
    /// A command for a server: on the servers' core, its input and output nowhere, and to be asked by the system to
    /// end, with its children, should the generator die before it.
    pub fn command(program: &Path) -> Command {
        let bound = proc::on_core(proc::SERVER_CORE, program);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(bound.get_program()).args(bound.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// Starts it.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(command: Command) -> Result<Group, Failure> {
        Ok(Group { leader: Process::start(command)? })
    }

    /// Of a process that already runs.
    pub fn of(leader: Process) -> Group {
        Group { leader }
    }

    /// Fails if the server has ended.
    ///
    /// # Errors
    /// If it has.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.leader.ended()? {
            Some(status) => Err(Failure(format!("the server has ended: {status}"))),
            None => Ok(()),
        }
    }

    /// The leader and all that descend from it.
    fn members(&self) -> Vec<Member> {
        let mut all: Vec<Member> = fs::read_dir("/proc").map_or(Vec::new(), |entries| {
            entries.flatten().filter_map(|e| Member::read(e.file_name().to_str()?.parse().ok()?)).collect()
        });
        let mut members: Vec<Member> = all.iter().copied().filter(|m| m.id == self.leader.id()).collect();
        let mut next = 0;
        while let Some(parent) = members.get(next).map(|m| m.id) {
            all.retain(|m| {
                let child = m.parent == parent;
                if child {
                    members.push(*m);
                }
                !child
            });
            next += 1;
        }
        members
    }

    /// CPU time of all its processes and threads so far, user and system.
    ///
    /// # Errors
    /// If there is none any more.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        let mut total = self.leader.cpu()?;
        for member in self.members().iter().filter(|m| m.id != self.leader.id()) {
            total += proc::cpu(member.id).unwrap_or_default();
        }
        Ok(total)
    }

    /// Its proportional set size in octets: what its processes share is counted once.
    ///
    /// # Errors
    /// If there is no process any more.
    pub fn proportional(&self) -> Result<u64, Failure> {
        let mut total = proc::memory(self.leader.id(), "Pss:")?;
        for member in self.members().iter().filter(|m| m.id != self.leader.id()) {
            total += proc::memory(member.id, "Pss:").unwrap_or_default();
        }
        Ok(total)
    }

    /// The same once it no longer changes, or has been given its time.
    ///
    /// # Errors
    /// If there is no process any more.
    pub fn settled(&self) -> Result<u64, Failure> {
        let deadline = Instant::now() + SETTLE;
        let (mut last, mut quiet) = (self.proportional()?, 0);
        while quiet < 6 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.proportional()?;
            quiet = if now.abs_diff(last) < 64 * 1024 { quiet + 1 } else { 0 };
            last = now;
        }
        Ok(last)
    }
}

impl Drop for Group {
    /// Nothing that these servers keep is needed any more: they are killed, each by its own id.
    fn drop(&mut self) {
        for member in self.members().iter().skip(1).filter(|m| Member::read(m.id) == Some(**m)) {
            if let Some(pid) = i32::try_from(member.id).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
    }
}
