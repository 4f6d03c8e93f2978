//! A terminal with a user at it: programs run in tmux, which is typed into and looked at.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Nothing here takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Is there tmux? Without it the tests that need it say so and do nothing.
pub fn is_here() -> bool {
    let here = Command::new("tmux").arg("-V").output().is_ok();
    if !here {
        println!("SKIP: tmux is not installed (apt-get install tmux)");
    }
    here
}

/// One terminal, of a tmux of its own.
pub struct Terminal {
    socket: String,
    watcher: Child,
    /// Something has changed on it.
    changed: Receiver<()>,
}

impl Terminal {
    /// A shell in a terminal of 90 columns and 24 rows that says `ready` before each command.
    pub fn new(dir: &std::path::Path) -> Terminal {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let socket = format!("hearth-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = dir.to_str().unwrap();
        let new = [
            "new-session",
            "-d",
            "-x",
            "90",
            "-y",
            "24",
            "-c",
            dir,
            "env",
            "PS1=ready> ",
            "LC_ALL=C.UTF-8",
            "sh",
        ];
        let status = tmux(&socket).args(["-u", "-f", "/dev/null"]).args(new).status().unwrap();
        assert!(status.success());
        // It tells of every change, which is what is waited for.
        let mut watcher = tmux(&socket)
            .args(["-C", "attach-session"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(watcher.stdout.take().unwrap()).lines();
        let (tell, changed) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|_| tell.send(())));
        let terminal = Terminal { socket, watcher, changed };
        terminal.shows("ready>");
        terminal
    }

    /// Types, as tmux names keys: `Enter`, `C-w`.
    pub fn keys(&self, keys: &[&str]) {
        assert!(tmux(&self.socket).arg("send-keys").args(keys).status().unwrap().success());
    }

    /// Types a text and Enter.
    pub fn line(&self, text: &str) {
        self.keys(&["-l", text]);
        self.keys(&["Enter"]);
    }

    /// What is seen now.
    pub fn screen(&self) -> String {
        let output = tmux(&self.socket).args(["capture-pane", "-p"]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until this is seen; the screen.
    pub fn shows(&self, text: &str) -> String {
        self.until(text, |screen| screen.contains(text))
    }

    /// Waits until the program that was run is gone, and the shell is ready again.
    pub fn is_back(&self) -> String {
        self.until("the shell", |screen| {
            screen.trim_end().ends_with("ready>") && screen.matches("ready>").count() > 1
        })
    }

    /// Waits until this is seen no more.
    pub fn shows_no(&self, text: &str) -> String {
        self.until(text, |screen| !screen.contains(text))
    }

    fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if is(&screen) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if self.changed.recv_timeout(left).is_err() && !is(&self.screen()) {
                panic!("waited for {what:?}:\n{}", self.screen());
            }
        }
    }

    /// A format of tmux: `#{alternate_on}`.
    pub fn is(&self, format: &str) -> String {
        let output = tmux(&self.socket).args(["display-message", "-p", format]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Gives it another size.
    pub fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let resize = ["resize-window", "-x", &columns, "-y", &rows];
        assert!(tmux(&self.socket).args(resize).status().unwrap().success());
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = tmux(&self.socket).arg("kill-server").status();
        let _ = self.watcher.wait();
    }
}

fn tmux(socket: &str) -> Command {
    let mut command = Command::new("tmux");
    command.args(["-L", socket]).env_remove("TMUX");
    command
}
