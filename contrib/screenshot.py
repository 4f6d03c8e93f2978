#!/usr/bin/env python3
"""Makes docs/chat.svg: a real `hearth chat` between two domains on this machine, as its terminal shows it.

    contrib/screenshot.py target/debug/hearth docs/chat.svg

Needs tmux and dnsmasq. Everything runs on loopback, in a folder that is removed at the end.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

COLUMNS, ROWS = 92, 22
DNS = "127.77.0.1"
# A cell, in the units of the picture.
WIDTH, HEIGHT, MARGIN, BAR = 8.4, 18, 14, 30
# The terminal's own colours, on dark and on light.
PALETTE = {
    "ground": ("#1d2021", "#fbfbf8"),
    "text": ("#dcd7cc", "#2b2a27"),
    "dim": ("#8d877c", "#8a867e"),
    "red": ("#ea6962", "#b3261e"),
    "green": ("#a9b665", "#4d7c1a"),
    "yellow": ("#d8a657", "#96640a"),
    "cyan": ("#7daea3", "#1f7a8c"),
}
NAMES = {1: "red", 2: "green", 3: "yellow", 6: "cyan"}


class Stage:
    """Two domains, their name server, and people at terminals."""

    def __init__(self, hearth, folder):
        self.hearth, self.folder, self.running, self.records = hearth, folder, [], []
        self.socket = f"hearth-screenshot-{os.getpid()}"

    def run(self, *args, stdin=""):
        return subprocess.run([self.hearth, *args], input=stdin, text=True, check=True, capture_output=True).stdout

    def start(self, *args):
        self.running.append(subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def domain(self, name, ip, users):
        folder = os.path.join(self.folder, name)
        said = self.run("init", "--domain", name, "--dir", folder, "--bind", ip, "--dns", f"{DNS}:5353")
        self.records += [line for line in said.splitlines() if not line.startswith(";")]
        for user in users:
            self.run("--config", f"{folder}/hearth.toml", "user", "add", user, "--password-stdin", stdin="secret\n")
        return folder

    def publish(self):
        args = ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", "--port=5353", "--bind-interfaces",
                f"--listen-address={DNS}", f"--pid-file={self.folder}/dnsmasq.pid"]
        for line in self.records:
            words = line.split()
            owner = words[0].rstrip(".")
            if words[3] == "A":
                args.append(f"--host-record={owner},{words[4]}")
            else:
                args.append(f"--srv-host={owner},{words[7].rstrip('.')},{words[6]}")
        self.start(*args)

    def tmux(self, *args):
        command = ["tmux", "-L", self.socket, "-u", "-f", "/dev/null", *args]
        return subprocess.run(command, text=True, check=True, capture_output=True).stdout

    def chat(self, folder, user):
        command = f"LC_ALL=C.UTF-8 XDG_CONFIG_HOME={folder} {self.hearth} --config {folder}/hearth.toml chat {user}"
        self.tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), "-s", user, command)
        self.shows(user, "Password of")
        self.line(user, "secret")
        self.shows(user, "F1 help")

    def line(self, user, text):
        self.tmux("send-keys", "-t", user, "-l", text)
        self.tmux("send-keys", "-t", user, "Enter")

    def shows(self, user, text):
        deadline = time.monotonic() + 30
        while text not in self.tmux("capture-pane", "-p", "-t", user):
            if time.monotonic() > deadline:
                sys.exit(f"waited for {text!r}:\n{self.tmux('capture-pane', '-p', '-t', user)}")

    def end(self):
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], capture_output=True)
        for process in self.running:
            process.terminate()
            process.wait()


def scene(stage):
    """What is shown: alice of a.test, with bob of b.test and some of her own domain."""
    a = stage.domain("a.test", "127.77.0.2", ["alice", "anna", "carl"])
    b = stage.domain("b.test", "127.77.0.3", ["bob", "dora"])
    stage.publish()
    for folder in (a, b):
        stage.start(stage.hearth, "--config", f"{folder}/hearth.toml", "serve")
    time.sleep(1)
    for folder, user in ((a, "alice"), (a, "anna"), (b, "bob"), (b, "dora")):
        stage.chat(folder, user)
    for user in ("bob", "dora"):
        stage.line(user, "/add alice@a.test")
    for contact in ("anna", "carl", "dora@b.test Dora", "bob@b.test Bob"):
        stage.line("alice", f"/add {contact}")
    stage.line("alice", "/status in the lab")
    stage.line("anna", "/status writing")
    stage.line("dora", "/away on the train")
    stage.shows("alice", "● online")
    stage.shows("alice", "writing")
    stage.shows("alice", "on the train")

    def says(user, text, other, seen):
        stage.line(user, text)
        stage.shows(other, seen)

    says("bob", "are the figures of Thursday in yet?", "alice", "Thursday")
    says("alice", "just now. One in flight costs 2.1, sixteen 0.8: see the table at the end of the report, it is all "
                  "in there", "bob", "in there")
    says("bob", "better than I had hoped 🎉", "alice", "hoped")
    says("alice", "lunch at noon?", "bob", "noon")
    stage.line("bob", "/away fetching coffee")
    stage.shows("alice", "fetching coffee")
    says("alice", "bring me one", "alice", "↳ fetching coffee")
    says("anna", "/to alice psst, who ate the cake?", "alice", "anna                 1")
    stage.line("alice", "/to carl can you look at the printer?")
    stage.shows("alice", "he is not online")
    stage.tmux("send-keys", "-t", "alice", "BTab")
    stage.shows("alice", "bring me one")
    stage.tmux("send-keys", "-t", "alice", "-l", "with milk, ple")
    stage.shows("alice", "with milk, ple")
    return stage.tmux("capture-pane", "-e", "-p", "-t", "alice")


def spans(line, style):
    """The runs of one row: column, text, colour, bold. The style goes on from the row before, and is changed."""
    column = 0
    colour, bold, dim = style
    for part in re.split(r"(\x1b\[[0-9;]*m)", line):
        if part.startswith("\x1b["):
            codes = [int(code or 0) for code in part[2:-1].split(";")]
            while codes:
                code = codes.pop(0)
                if code == 0:
                    colour, bold, dim = "text", False, False
                elif code == 1:
                    bold = True
                elif code == 2:
                    dim = True
                elif code == 22:
                    bold = dim = False
                elif code == 39:
                    colour = "text"
                elif code == 38 and codes[:1] == [5]:
                    colour, codes = NAMES.get(codes[1], "text"), codes[2:]
                elif code - 30 in NAMES:
                    colour = NAMES[code - 30]
            continue
        for run in re.finditer(r"\S+(?: \S+)*", part):
            yield column + columns(part[: run.start()]), run.group(), "dim" if dim else colour, bold
        column += columns(part)
    style[:] = colour, bold, dim


def columns(text):
    return sum(2 if ord(c) >= 0x1F300 else 1 for c in text)


def picture(screen):
    rows = screen.rstrip("\n").split("\n")
    width, height = COLUMNS * WIDTH + 2 * MARGIN, len(rows) * HEIGHT + 2 * MARGIN + BAR
    style = "".join(f".{name}{{fill:{dark}}}" for name, (dark, _) in PALETTE.items())
    light = "".join(f".{name}{{fill:{light}}}" for name, (_, light) in PALETTE.items())
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">',
        f"<style>{style}@media(prefers-color-scheme:light){{{light}}}"
        "text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:14px;white-space:pre}"
        ".bold{font-weight:bold}</style>",
        f'<rect class="ground" fill="#1d2021" width="{width:g}" height="{height:g}" rx="9"/>',
    ]
    out += [f'<circle class="dim" fill="#8d877c" cx="{MARGIN + 8 + 18 * at}" cy="18" r="5"/>' for at in range(3)]
    now = ["text", False, False]
    for number, row in enumerate(rows):
        y = MARGIN + BAR + number * HEIGHT + 9
        for column, text, colour, bold in spans(row, now):
            text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
            name = f"{colour} bold" if bold else colour
            length = columns(text.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">")) * WIDTH
            out.append(
                f'<text class="{name}" fill="{PALETTE[colour][0]}" x="{MARGIN + column * WIDTH:g}" y="{y:g}" '
                f'textLength="{length:g}" lengthAdjust="spacingAndGlyphs">{text}</text>'
            )
    return "\n".join(out + ["</svg>", ""])


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(os.path.abspath(sys.argv[1]), folder)
        try:
            screen = scene(stage)
        finally:
            stage.end()
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        file.write(picture(screen))


main()
