//! A server's folder for one test, and the program run on it.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};

/// Every user's, on a line.
pub const PASSWORD: &str = "correct horse\n";

/// What a run of the program gave.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Ran {
    /// It succeeded and complained of nothing; its output.
    pub fn ok(self) -> String {
        assert_eq!((self.status, self.err.as_str()), (0, ""), "{}", self.out);
        self.out
    }

    /// It failed with this status and said so in one line on stderr; the line.
    pub fn refused(self, status: i32) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let line = self.err.strip_suffix('\n').expect("a whole line on stderr");
        assert!(!line.contains('\n'), "one line: {line}");
        line.strip_prefix("hearth: ").expect("who says it").to_owned()
    }
}

/// Runs the program in a folder, without the caller's own environment for it.
pub fn hearth_in(dir: &Path, args: &[&str], stdin: &str) -> Ran {
    finish(&mut command(dir, args), stdin)
}

fn finish(command: &mut Command, stdin: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    // A program that fails before it reads has closed its end.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        status: output.status.code().expect("an exit status"),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command
        .args(args)
        .current_dir(dir)
        .env_remove("HEARTH_CONFIG")
        .env_remove("HEARTH_KEY")
        .env_remove("HEARTH_ADDRESS")
        .env_remove("RUST_LOG")
        .env_remove("JOURNAL_STREAM")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server in a folder of its own, made by `init`, on an address of loopback of its own.
pub struct House {
    dir: tempfile::TempDir,
    /// Its domain.
    pub domain: String,
    /// Where it listens, on the usual ports.
    pub ip: Ipv4Addr,
    /// The name server it asks.
    pub dns: SocketAddr,
    /// What `init` said: the records to publish.
    pub said: String,
}

/// An address that no other test uses, in this process or another.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(100);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::Relaxed), high, low)
}

impl House {
    /// For example.org, of which no name server knows.
    pub fn new() -> House {
        House::made("example.org", "127.0.0.1:9".parse().unwrap())
    }

    pub fn made(domain: &str, dns: SocketAddr) -> House {
        House::made_with(domain, dns, &[])
    }

    /// The same with more options of `init`.
    pub fn made_with(domain: &str, dns: SocketAddr, more: &[&str]) -> House {
        let (dir, ip) = (tempfile::tempdir().unwrap(), own_address());
        let (bind, ask) = (ip.to_string(), dns.to_string());
        let args = ["init", "--domain", domain, "--bind", &bind, "--dns", &ask];
        let said = hearth_in(dir.path(), &[&args, more].concat(), "").ok();
        House { dir, domain: domain.to_owned(), ip, dns, said }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command in the folder.
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, "")
    }

    /// The same with something on stdin.
    pub fn run_with(&self, args: &[&str], stdin: &str) -> Ran {
        hearth_in(self.dir.path(), args, stdin)
    }

    /// The same with a device key in the environment.
    pub fn run_as(&self, key: &str, args: &[&str], stdin: &str) -> Ran {
        finish(command(self.dir.path(), args).env("HEARTH_KEY", key), stdin)
    }

    /// The program in the folder, to be run by the caller; it keeps contacts there too.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = command(self.dir.path(), args);
        command.env("XDG_CONFIG_HOME", self.dir.path());
        command
    }

    /// Adds a user.
    pub fn add(&self, address: &str) {
        let said = self.run_with(&["user", "add", address, "--password-stdin"], PASSWORD).ok();
        assert_eq!(said, "");
    }

    /// `serve` where a process may have so many open files.
    pub fn serve_within(&self, files: u32) -> Command {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -n {files}; exec \"$0\" serve")])
            .arg(env!("CARGO_BIN_EXE_hearth"));
        shell.current_dir(self.dir.path()).env_remove("HEARTH_CONFIG").env_remove("RUST_LOG");
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    /// Starts the server and waits until it listens.
    pub fn serve(&self) -> Serving {
        Serving::begin(command(self.dir.path(), &["serve"]))
    }
}

/// A running server; killed if the test fails.
pub struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
}

impl Serving {
    /// Starts it by this command and waits until it listens.
    pub fn begin(mut command: Command) -> Serving {
        let mut child = command.stdin(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut seen = String::new();
        while !seen.contains("listening on") {
            assert_ne!(log.read_line(&mut seen).unwrap(), 0, "it ended: {seen}");
        }
        Serving { child, log }
    }

    /// Ends it as a crash would.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it in order; its exit status, and what it said since it listened.
    pub fn stop(mut self) -> (i32, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.log, &mut said).unwrap();
        (self.child.wait().unwrap().code().expect("an exit status"), said)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
