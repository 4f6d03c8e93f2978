"""Runs the real `hearth` program for the tests: a domain in a temporary directory on a loopback address."""

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from simp_client import PATIENCE, Session

ROUTING_PORT = 7467
NOTIFICATION_PORT = 7468


def loopback():
    """A loopback address that nobody else is likely to use: every test listens on the usual ports."""
    return f"127.{random.randint(2, 254)}.{random.randint(1, 254)}.{random.randint(1, 254)}"


def until(ready, what, patience=PATIENCE):
    """Waits until `ready()` is true: for what gives no event that a script could wait for."""
    deadline = time.monotonic() + patience
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} took more than {patience} s")
        time.sleep(0.02)


def listens(address):
    """Does anybody accept connections there?"""
    try:
        socket.create_connection(address, timeout=PATIENCE).close()
        return True
    except OSError:
        return False


class Person:
    """An account with one device key."""

    def __init__(self, house, ima, key):
        self.house, self.ima, self.key = house, ima, key
        self.user = ima.split("@")[0]

    def log_in(self, **options):
        """A new notification connection."""
        return Session.log_in(self.house.routing, self.ima, self.key, **options)


class House:
    """A domain's home server; nothing of it outlives the script."""

    def __init__(self, binary, domain, address=None, directory=None):
        self.binary = binary
        self.domain = domain
        self.address = address or loopback()
        self.routing = (self.address, ROUTING_PORT)
        self.notification = (self.address, NOTIFICATION_PORT)
        self.directory = directory or tempfile.mkdtemp(prefix="hearth-interop-")
        self.config = os.path.join(self.directory, "hearth.toml")
        self.log = os.path.join(self.directory, "serve.log")
        self.process = None
        atexit.register(self.remove)

    def command(self, *arguments, **options):
        """Runs `hearth` with the house's configuration and returns the completed process."""
        # `init` makes the configuration; it may not be told of another.
        named = [] if arguments[0] == "init" else ["--config", self.config]
        line = [self.binary, *named, *arguments]
        options = {"capture_output": True, "text": True, "timeout": PATIENCE, "stdin": subprocess.DEVNULL, **options}
        if "input" in options:
            del options["stdin"]
        return subprocess.run(line, check=False, **options)

    def run(self, *arguments, **options):
        """The same, and it must succeed; returns what it printed."""
        done = self.command(*arguments, **options)
        if done.returncode != 0:
            raise RuntimeError(f"hearth {' '.join(arguments)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def waiting(self, ima):
        """How many reports and messages the database holds for a user's next login."""
        return json.loads(self.run("user", "show", ima, "--json"))["waiting"]

    def make(self, *more):
        """`hearth init`; returns what it printed: the DNS records of the domain."""
        return self.run("init", "--domain", self.domain, "--dir", self.directory, "--bind", self.address, *more)

    def init(self, *more):
        """`hearth init`, for those who need no records."""
        self.make(*more)
        return self

    def speak(self, *families):
        """Sets which families of protocols `init`'s house speaks to other domains, in this order."""
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text.replace("[federation]\n", f"[federation]\norder = {list(families)}\n", 1))
        return self

    def configure(self, text):
        """Replaces the configuration that `init` wrote, except for its first lines: domain and directory."""
        listen = "".join(
            f'[[listen]]\nprotocol = "simp"\naddress = "{self.address}:{port}"\n'
            for port in (ROUTING_PORT, NOTIFICATION_PORT)
        )
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(f'domains = ["{self.domain}"]\ndata_dir = "{self.directory}"\n{listen}{text}')
        return self

    def start(self):
        """`hearth serve`, and waits until it listens."""
        with open(self.log, "ab") as log:
            line = [self.binary, "--config", self.config, "serve"]
            self.process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: self.process.poll() is not None or listens(self.routing), f"the start of {self.domain}")
        if self.process.poll() is not None:
            raise RuntimeError(f"hearth serve ended with {self.process.returncode}:\n{self.tail()}")
        return self

    def tail(self):
        """The end of the server's log."""
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return log.read()[-3000:]

    def kill(self):
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """SIGTERM, and waits for an end in order; returns the exit status."""
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process and self.process.returncode

    def remove(self):
        """Stops the server and deletes its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def person(self, name):
        """Makes an account and a device key for it."""
        ima = f"{name}@{self.domain}"
        self.add_account(ima)
        return Person(self, ima, self.new_key(ima, "laptop"))

    def add_account(self, ima, password="an account password"):
        """Makes an account."""
        self.run("user", "add", ima, "--password-stdin", input=f"{password}\n")

    def new_key(self, ima, label):
        """Makes a device key, which is printed alone on one line."""
        return self.run("user", "key", "add", ima, label).strip()
