//! `hearth chat` between two domains: in a terminal, and as a program of lines; and `hearth send` over IMTP.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::house::{House, PASSWORD};
use crate::sending::two_domains;
use crate::tmux::{self, Terminal};

/// A chat as a program of lines.
struct Lines {
    child: Child,
    stdin: Option<ChildStdin>,
    out: BufReader<ChildStdout>,
}

impl Lines {
    fn new(house: &House, args: &[&str]) -> Lines {
        Lines::of(&mut house.command(&[&["chat", "--password-stdin"], args].concat()))
    }

    fn of(command: &mut Command) -> Lines {
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let (stdin, out) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let mut lines = Lines { child, stdin, out };
        lines.says(PASSWORD.trim_end());
        lines
    }

    fn says(&mut self, line: &str) {
        writeln!(self.stdin.as_ref().unwrap(), "{line}").unwrap();
    }

    fn hears(&mut self) -> String {
        let mut line = String::new();
        assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it has ended");
        line
    }

    /// Ends its input; its status, and what it complained of.
    fn ends(mut self) -> (i32, String) {
        drop(self.stdin.take());
        let output = self.child.wait_with_output().unwrap();
        (output.status.code().expect("an exit status"), String::from_utf8(output.stderr).unwrap())
    }
}

/// What is said to oneself is heard when one listens, so that nothing that is said to one later is lost.
fn listening(house: &House, name: &str, args: &[&str]) -> Lines {
    let mut lines = Lines::new(house, &[&[name], args].concat());
    lines.says(&format!("{name} listening"));
    assert_eq!(lines.hears(), format!("{name}@{}: listening\n", house.domain));
    lines
}

#[test]
fn two_programs_of_lines_talk_between_domains() {
    let (a, b) = two_domains();
    a.add("alice");
    b.add("bob");
    let (serving_a, serving_b) = (a.serve(), b.serve());
    let mut bob = listening(&b, "bob", &[]);
    // Where there is no configuration the server is found by DNS.
    let (elsewhere, dns) = (tempfile::tempdir().unwrap(), a.dns.to_string());
    let args = ["chat", "--password-stdin", "--dns", &dns, "alice@a.test"];
    let mut alice = Lines::of(a.command(&args).current_dir(elsewhere.path()));
    alice.says("alice listening");
    assert_eq!(alice.hears(), "alice@a.test: listening\n");
    alice.says("bob@b.test lunch?  at noon");
    assert_eq!(bob.hears(), "alice@a.test: lunch?  at noon\n");
    bob.says("alice@a.test yes\u{1b}[2J");
    assert_eq!(alice.hears(), "bob@b.test: yes␛[2J\n");
    assert_eq!(bob.ends(), (0, String::new()));
    alice.says("bob@b.test still there?");
    alice.says("nobody hm");
    alice.says("no@body@x hm");
    let (status, said) = alice.ends();
    assert_eq!(status, 1, "{said}");
    for line in [
        "hearth: not delivered to bob@b.test: he is not online",
        "hearth: not delivered to nobody@a.test: there is no such address",
        "hearth: no@body@x is no address: write ADDRESS TEXT",
        "hearth: 3 messages were not delivered",
    ] {
        assert!(said.lines().any(|said| said == line), "{line} in {said}");
    }
    serving_a.stop();
    serving_b.stop();
}

#[test]
fn on_tls_the_login_is_bound_to_it() {
    let house = House::made_with("example.org", "127.0.0.1:9".parse().unwrap(), &["--dev"]);
    house.add("alice");
    let serving = house.serve();
    let server = format!("{}:7443", house.ip);
    let alice = listening(&house, "alice", &["--server", &server]);
    assert_eq!(alice.ends(), (0, String::new()));
    let wrong = house.run_with(&["chat", "--password-stdin", "alice"], "wrong\n").refused(1);
    assert_eq!(wrong, "alice@example.org can't log in: is that the password?");
    let unknown = house.run_with(&["chat", "--password-stdin", "carol"], PASSWORD).refused(1);
    assert_eq!(unknown, "carol@example.org can't log in: is that the password?");
    let nobody = house.run_with(&["chat", "--password-stdin"], PASSWORD).refused(2);
    assert!(nobody.starts_with("who are you?"), "{nobody}");
    serving.stop();
    let down = house.run_with(&["chat", "--password-stdin", "alice"], PASSWORD).refused(1);
    assert_eq!(down, "the server of alice@example.org can't be reached: the server does not answer");
}

#[test]
fn send_speaks_imtp_with_a_password() {
    // IMTP-16.2-10, IMTP-16.2-14, COMMON-9-9
    let house = House::new();
    house.add("alice");
    house.add("bob");
    let key = house.run(&["user", "key", "add", "alice", "test"]).ok();
    let serving = house.serve();
    let send = |args: &[&str], text: &str| {
        let args = [&["send", "--as", "alice", "--password-stdin"], args].concat();
        house.run_with(&args, &format!("{PASSWORD}{text}"))
    };
    let away = send(&["bob"], "anybody?").refused(1);
    let wanted = "not delivered to bob@example.org: no-listeners: ";
    assert!(away.starts_with(wanted), "{away}");
    let mut bob = listening(&house, "bob", &[]);
    assert_eq!(send(&["bob"], "two\nlines\n").ok(), "");
    assert_eq!(
        (bob.hears(), bob.hears()),
        ("alice@example.org: two\n".into(), "alice@example.org: lines\n".into())
    );
    assert_eq!(send(&["--over", "simp", "bob", "by SIMP"], "").ok(), "");
    assert_eq!(bob.hears(), "alice@example.org: by SIMP\n");
    assert_eq!(house.run_as(key.trim_end(), &["send", "--as", "alice", "bob"], "by key").ok(), "");
    assert_eq!(bob.hears(), "alice@example.org: by key\n");
    let keyless = house.run_as(key.trim_end(), &["send", "--as", "alice", "--over", "imtp", "bob"], "x");
    assert!(keyless.refused(2).starts_with("no password of alice@example.org"));
    let wrong =
        house.run_with(&["send", "--as", "alice", "--password-stdin", "bob", "x"], "wrong\n").refused(1);
    assert!(wrong.starts_with("alice@example.org can't log in: sasl-failure"), "{wrong}");
    assert_eq!(bob.ends(), (0, String::new()));
    house.run(&["user", "set", "bob", "messages=keep"]).ok();
    let kept = send(&["bob"], "later").ok();
    assert_eq!(kept, "bob@example.org is away: the message is kept and will be read later\n");
    let mut bob = Lines::new(&house, &["bob"]);
    assert_eq!(bob.hears(), "alice@example.org: later\n");
    serving.stop();
}

/// Somebody at a terminal, logged in.
fn at_terminal(house: &House, name: &str) -> Terminal {
    let terminal = Terminal::new(house.path("hearth.toml").parent().unwrap());
    terminal.line(&format!("XDG_CONFIG_HOME=. {} chat {name}", env!("CARGO_BIN_EXE_hearth")));
    terminal.shows("Password of");
    terminal.line(PASSWORD.trim_end());
    terminal.shows("F1 help");
    terminal
}

#[test]
fn two_people_talk_and_see_each_other() {
    if !tmux::is_here() {
        return;
    }
    let (a, b) = two_domains();
    a.add("alice");
    a.add("anna");
    b.add("bob");
    let (serving_a, serving_b) = (a.serve(), b.serve());
    let alice = at_terminal(&a, "alice");
    alice.line("/add bob@b.test Bob");
    alice.shows("▌- Bob");
    let bob = at_terminal(&b, "bob");
    bob.line("/add alice@a.test");
    // Both have done it: now both see each other.
    bob.shows("● online");
    alice.shows("● online");
    alice.line("lunch?");
    alice.shows("lunch? ✓");
    bob.shows("alice  lunch?");
    bob.line("/away at the lab");
    alice.shows("away: at the lab");
    alice.line("then later");
    alice.shows("↳ at the lab");
    // A message in a conversation that is not open.
    let anna = at_terminal(&a, "anna");
    anna.line("/to alice psst");
    anna.shows("psst ✓");
    alice.shows("anna");
    alice.shows(" 1  │");
    alice.keys(&["Tab"]);
    alice.shows("anna  psst");
    alice.keys(&["BTab"]);
    // Whoever is shut out sees no more.
    bob.line("/deny alice@a.test");
    alice.shows("no longer shows you");
    bob.line("/allow alice@a.test");
    bob.shows("may see your presence");
    bob.line("/quit");
    bob.is_back();
    alice.line("gone?");
    alice.shows("not delivered: he is not online");
    alice.resize(50, 12);
    alice.shows_no("F1 help");
    alice.shows("gone? ✗");
    // The contacts are still there, the next time; and so is what was said of oneself.
    alice.resize(90, 24);
    alice.keys(&["C-q"]);
    alice.is_back();
    assert!(std::fs::read_to_string(a.path("hearth/contacts/alice@a.test.toml")).unwrap().contains("Bob"));
    let bob = at_terminal(&b, "bob");
    bob.shows("● bob@b.test  at the lab");
    let alice = at_terminal(&a, "alice");
    alice.shows("online: at the lab");
    serving_a.stop();
    serving_b.stop();
}

#[test]
fn the_chat_comes_back_when_its_server_does_and_leaves_the_terminal_as_it_was() {
    if !tmux::is_here() {
        return;
    }
    let house = House::new();
    house.add("alice");
    house.add("bob");
    let serving = house.serve();
    let alice = at_terminal(&house, "alice");
    alice.line("/to bob");
    alice.shows("not a contact");
    assert_eq!(alice.is("#{alternate_on}"), "1");
    serving.kill();
    alice.shows("no connection");
    alice.line("are you there?");
    alice.shows("waits for a connection");
    let serving = house.serve();
    alice.shows("he is not online");
    alice.shows_no("no connection");
    let chat = alice.is("#{pane_pid}");
    // The shell's only child is the chat.
    let children = std::fs::read_to_string(format!("/proc/{chat}/task/{chat}/children")).unwrap();
    let status = std::process::Command::new("kill").args(["-TERM", children.trim()]).status().unwrap();
    assert!(status.success());
    alice.is_back();
    assert_eq!(alice.is("#{alternate_on}"), "0");
    alice.line("echo as before");
    let screen = alice.shows("\nas before");
    assert!(screen.contains("ready> echo as before"), "what is typed is seen: {screen}");
    serving.stop();
}
