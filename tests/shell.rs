//! The running program at its edges: signals, descriptors that run out, clients that are there at the end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// A hang is a failure; nothing waits this long when it works.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server in a folder of its own; killed if the test fails.
struct House {
    dir: tempfile::TempDir,
    child: Child,
    log: BufReader<ChildStderr>,
    address: SocketAddr,
}

impl House {
    /// Made by `init` on an address of loopback of its own, and started with at most `descriptors`.
    fn start(descriptors: u32) -> House {
        let dir = tempfile::tempdir().unwrap();
        static NEXT: AtomicU8 = AtomicU8::new(50);
        let [_, _, high, low] = std::process::id().to_be_bytes();
        let ip = Ipv4Addr::new(127, NEXT.fetch_add(1, Ordering::Relaxed), high, low);
        let init = ["init", "--domain", "example.org", "--bind", &ip.to_string()];
        assert!(hearth(dir.path()).args(init).output().unwrap().status.success());
        let script = format!("ulimit -n {descriptors}; exec \"$0\" serve");
        let mut child = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_hearth")])
            .current_dir(dir.path())
            .env_remove("HEARTH_CONFIG")
            .env_remove("RUST_LOG")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut house = House { dir, child, log, address: (ip, 7467).into() };
        house.says("listening on");
        house
    }

    /// Reads the log up to a line with this in it.
    fn says(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it ended before it said: {what}");
            if line.contains(what) {
                return line;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    fn status(&self) -> String {
        let output = hearth(self.dir.path()).args(["status", "--json"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hearth(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hearth"));
    command.current_dir(dir).env_remove("HEARTH_CONFIG").env_remove("RUST_LOG");
    command
}

/// What a server says to one who speaks no protocol: something, or nothing, and the end.
fn is_served(mut stream: &TcpStream) -> bool {
    stream.write_all(b"what is this?\n").and_then(|()| stream.read(&mut [0; 1])).is_ok()
}

#[test]
fn a_hangup_reads_the_configuration_again_and_a_mistake_changes_nothing() {
    let mut house = House::start(1000);
    let path = house.dir.path().join("hearth.toml");
    let good = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{good}\n[limits]\nkept_weeks = 3\n")).unwrap();
    house.signal("-HUP");
    let line = house.says("nothing was changed");
    assert!(line.contains("kept_weeks") && line.contains("hearth.toml"), "{line}");
    fs::write(&path, format!("{good}\n[limits]\nkept_days = 3\n")).unwrap();
    house.signal("-HUP");
    house.says("were read again");
    house.status();
}

#[test]
fn a_termination_tells_the_clients_and_ends_well() {
    let mut house = House::start(1000);
    let clients: Vec<TcpStream> = (0..20).map(|_| house.connect()).collect();
    house.signal("-TERM");
    for mut client in clients {
        // The end, or a reset if the server never took him in.
        let _ = client.read_to_end(&mut Vec::new());
    }
    assert!(house.child.wait().unwrap().success());
    assert!(!house.dir.path().join("control.sock").exists());
}

#[test]
fn without_descriptors_nobody_loses_his_connection_and_the_operator_is_answered() {
    let mut house = House::start(120);
    let mut early: Vec<TcpStream> = (0..60).map(|_| house.connect()).collect();
    let late: Vec<TcpStream> = (0..40).map(|_| house.connect()).collect();
    let line = house.says("no new connections for now");
    assert!(line.contains("60 are open"), "{line}");
    assert!(house.status().contains("\"connections\""));
    assert!(is_served(&early.pop().unwrap()));
    drop(early);
    for stream in late {
        assert!(is_served(&stream));
    }
}
