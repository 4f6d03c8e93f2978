//! Processes under measurement: started on a core of their own, read through `/proc`, and ended.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Failure;

/// The core of every process that is measured.
pub const SERVER_CORE: usize = 0;
/// The core of the generator.
pub const LOAD_CORE: usize = 1;

/// Can processes be bound to cores here: is there `taskset`, and more than one core?
///
/// Decided once, since a bound process is told of one core only.
pub fn can_pin() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let quiet = Command::new("taskset").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        cores > 1 && quiet.is_ok_and(|s| s.success())
    })
}

/// A command that runs `program` on a core, if that can be done. `taskset` replaces itself by the
/// program, so the process id stays right.
pub fn on_core(core: usize, program: &Path) -> Command {
    if can_pin() {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(core.to_string()).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// Binds a process that already runs (the generator: itself, before it starts threads).
pub fn bind(pid: u32, core: usize) {
    if can_pin() {
        let _ = Command::new("taskset")
            .args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()])
            .stdout(Stdio::null())
            .status();
    }
}

/// The generator's first step: it takes its own core, or says that there is none to take.
pub fn take_load_core() {
    if !can_pin() {
        note("one core, or no taskset: servers and what loads them disturb each other");
    }
    bind(std::process::id(), LOAD_CORE);
}

/// A process under measurement; ended when dropped.
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// If it can't be started.
    pub fn start(mut command: Command) -> Result<Process, Failure> {
        let child = command.spawn().map_err(|e| Failure(format!("cannot start {command:?}: {e}")))?;
        Ok(Process { child })
    }

    /// Its standard output, if it was piped.
    pub fn stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.child.stdout.take()
    }

    /// CPU time of all its threads so far, user and system, as the scheduler has accounted it.
    /// Exact for a process that waits; for one that runs, exact to the last tick.
    ///
    /// # Errors
    /// If `/proc` has nothing about it: it has ended.
    pub fn cpu(&self) -> Result<Duration, Failure> {
        cpu(self.id())
    }

    /// Resident memory in octets.
    ///
    /// # Errors
    /// If `/proc` has nothing about it.
    pub fn resident(&self) -> Result<u64, Failure> {
        memory(self.id(), "Rss:")
    }

    /// Resident memory once it no longer changes.
    ///
    /// # Errors
    /// If `/proc` has nothing about it.
    pub fn settled(&self) -> Result<u64, Failure> {
        let mut last = self.resident()?;
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = self.resident()?;
            if now.abs_diff(last) < 16 * 1024 {
                return Ok(now);
            }
            last = now;
        }
    }

    /// How many threads it has.
    ///
    /// # Errors
    /// If `/proc` has nothing about it.
    pub fn threads(&self) -> Result<usize, Failure> {
        Ok(fs::read_dir(format!("/proc/{}/task", self.id()))?.count())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Has it ended already?
    ///
    /// # Errors
    /// If the system can't say.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end (SIGTERM) and waits; kills it if it takes longer than `patience`.
    pub fn stop(mut self, patience: Duration) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of all threads of a process, as [`Process::cpu`].
///
/// # Errors
/// If `/proc` has nothing about it: it has ended.
pub fn cpu(id: u32) -> Result<Duration, Failure> {
    let mut nanoseconds = 0_u64;
    for task in fs::read_dir(format!("/proc/{id}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        nanoseconds += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    }
    if nanoseconds > 0 { Ok(Duration::from_nanos(nanoseconds)) } else { cpu_by_ticks(id) }
}

/// The same from `stat`, in hundredths of a second, for kernels without `schedstat`.
fn cpu_by_ticks(id: u32) -> Result<Duration, Failure> {
    let text = fs::read_to_string(format!("/proc/{id}/stat"))?;
    let after_name = text.rsplit(')').next().unwrap_or("");
    let ticks: u64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// A line of a process's memory (`Rss:`, `Pss:`), octets.
///
/// # Errors
/// If `/proc` has nothing about it.
pub fn memory(id: u32, line: &str) -> Result<u64, Failure> {
    let text = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
    let found = text.lines().find_map(|l| l.strip_prefix(line));
    let kib = found.and_then(|l| l.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    Ok(kib.ok_or_else(|| Failure(format!("no {line} in smaps_rollup")))? * 1024)
}

/// Tells the user how far it is, on standard error.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "load: {text}");
}
