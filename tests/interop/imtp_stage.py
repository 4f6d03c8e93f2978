"""The stage of the checks of IMTP and PITP: one house with plain and TLS listeners, stubs of other domains with
certificates of a test authority, and what a check may use of them.
"""

import argparse
import importlib
import itertools
import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import authority
from house import House, Person, listens, loopback, until
from imtp_client import PORTS, TLS_PORT, ImtpClient
from imtp_link import Link, Refused
from imtp_peer import TransferPeer
from pitp_client import PitpClient
from stage import CHECKS, blame, check, equal

__all__ = ["CHECKS", "Scene", "check", "closes", "equal", "main", "refused"]

DOMAIN = "home.example"
PEERS = (
    "example.net", "example.com", "domain.com", "eu.example.net", "other.example", "spam.example", "mail.spam.example",
    "odd.example", "hasty.example", "vague.example",
)
PASSWORD = "an account password"
DIRECT_TLS_PORT = 4688
CLIENTS = {"imtp": ImtpClient, "pitp": PitpClient}


def refused(kind, call, *arguments, **more):
    """The error of that type that a call must get."""
    try:
        reply = call(*arguments, **more)
    except Refused as error:
        reply = error.reply
    assert getattr(reply, "error", None) == kind, f"expected {kind}, got {reply}"
    return reply


def closes(link, what=""):
    """The other side closes, and without another message."""
    try:
        link.wait_closed()
    except TimeoutError as problem:
        raise AssertionError(f"{what}: {problem}") from problem


class TransferHouse(House):
    """A house of the domain with all listeners of IMTP and PITP, a certificate and peers."""

    last_port = TLS_PORT

    def place(self, protocol, tls=False):
        """Where a protocol is served, in clear or on the TLS port for all."""
        return (self.address, TLS_PORT if tls else PORTS[protocol])

    def furnish(self, issuer, more=""):
        """Writes the configuration."""
        chain, key = issuer.issue(self.domain, f"im.{self.domain}")
        plain = "".join(
            f'[[listen]]\nprotocol = "{protocol}"\naddress = "{self.address}:{port}"\n'
            for protocol, port in PORTS.items()
        )
        tls = (
            f'[[listen]]\nprotocol = "tls"\naddress = "{self.address}:{TLS_PORT}"\n'
            f'[[listen]]\nprotocol = "imtp"\naddress = "{self.address}:{DIRECT_TLS_PORT}"\ntls = true\n'
        )
        files = f'[tls]\ncertificate = "{chain}"\nkey = "{key}"\nca = "{issuer.certificate}"\n'
        self.last_port = DIRECT_TLS_PORT
        return self.configure(plain + tls + files + more)

    def settle(self, issuer, name_server):
        """`hearth init` alone, with a certificate, as an operator does it; returns the zone that it prints."""
        chain, key = issuer.issue(self.domain, f"im.{self.domain}")
        zone = self.make("--certificate", chain, "--key", key, "--dns", name_server)
        with open(self.config, encoding="utf-8") as file:
            text = file.read()
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(text.replace("[tls]\n", f'[tls]\nca = "{issuer.certificate}"\n'))
        return zone

    def start(self):
        """`hearth serve`, and waits until it listens on its last listener too."""
        super().start()
        last = (self.address, self.last_port)
        until(lambda: self.process.poll() is not None or listens(last), f"the start of {self.domain}")
        return self


class Theatre:
    """The house and the peers that all checks share."""

    def __init__(self, binary):
        self.binary = binary
        self.directory = tempfile.TemporaryDirectory(prefix="hearth-interop-ca-")
        self.authority = authority.Authority(self.directory.name)
        self.stranger = authority.Authority(self.directory.name, "stranger")
        self.peers = {domain: TransferPeer(domain, self.authority) for domain in PEERS}
        self.house = None
        self.took = {}  # seconds of each check
        self._lock = threading.Lock()

    def open(self):
        """The house, started when first needed."""
        with self._lock:
            if self.house is None:
                peers = "".join(peer.configuration() for peer in self.peers.values())
                dead = '[[peer]]\ndomain = "dead.example"\nprotocol = "imtp"\naddress = "127.0.0.1:9"\n'
                house = TransferHouse(self.binary, DOMAIN).init()
                house.furnish(self.authority, f'[dns]\nnameservers = ["127.0.0.1:9"]\n{peers}{dead}').start()
                self.house = house
            return self.house

    def play(self, one):
        """Runs one check; returns what went wrong, or None."""
        scene, wrong, started = None, None, time.monotonic()
        try:
            self.open()
            scene = Scene(self)
            one(scene)
        except Exception as problem:  # whatever it is, the other checks go on
            wrong = blame(problem)
        faults = scene.close() if scene else []
        if faults and wrong is None:
            wrong = f"the server wrote what it must not: {faults[0]}"
        self.took[one.title] = time.monotonic() - started
        return wrong

    def close(self):
        """Ends all; returns what is wrong with the end."""
        wrong = [fault for peer in self.peers.values() for fault in peer.close()]
        if self.house is not None:
            if (status := self.house.stop()) != 0:
                wrong.append(f"the house ended with status {status}:\n{self.house.tail()}")
            self.house.remove()
        self.directory.cleanup()
        return wrong


class Scene:
    """What one check uses: its own accounts and connections, closed at its end."""

    _numbers = itertools.count(1)
    _adding = threading.Semaphore(2)

    def __init__(self, theatre):
        self.theatre = theatre
        self.house, self.peers, self.authority = theatre.house, theatre.peers, theatre.authority
        self._cast, self._links, self._others = {}, {}, []

    def person(self, name):
        """The address of an account of this check's own, made when it is first asked for."""
        if name not in self._cast:
            with Scene._adding:
                address = f"{name}{next(Scene._numbers)}@{DOMAIN}"
                self.house.add_account(address, PASSWORD)
                self._cast[name] = address
        return self._cast[name]

    def keep(self, link, faults=True):
        """Has a link closed and, unless it is told otherwise, checked at the end."""
        self._links[link] = faults
        return link

    def links(self):
        """Those that it keeps."""
        return list(self._links)

    def _where(self, protocol, tls, context=None):
        where = {"source": loopback()}
        if tls:
            where.update(tls=context or self.authority.client(protocol), server_name=DOMAIN)
        return self.house.place(protocol, tls), where

    def link(self, protocol="imtp", tls=False, context=None, **options):
        """A connection that has not authenticated, from an address of its own."""
        place, where = self._where(protocol, tls, context)
        return self.keep(Link.open(place, protocol, **{**where, **options}))

    def greeted(self, protocol="imtp", tls=False, **options):
        """The same, and its mechanism list has come."""
        link = self.link(protocol, tls, **options)
        link.mechanisms()
        return link

    def _enter(self, protocol, name, tls=False, **options):
        place, where = self._where(protocol, tls)
        address = name if "@" in name else self.person(name)
        client = CLIENTS[protocol].log_in(place, address, PASSWORD, **{**where, **options})
        self.keep(client.link)
        return client

    def im(self, name, tls=False, listen=False, **options):
        """Logs somebody in to IMTP."""
        client = self._enter("imtp", name, tls, **options)
        if listen:
            client.listen()
        return client

    def presence(self, name, tls=False, **options):
        """Logs somebody in to PITP."""
        return self._enter("pitp", name, tls, **options)

    def simp(self, name):
        """Logs somebody in to SIMP, with a device key."""
        address = self.person(name)
        person = Person(self.house, address, self.house.new_key(address, "laptop"))
        session = person.log_in()
        self._others.append(session.connection)
        return session

    def from_peer(self, protocol, domain, **options):
        """A link from the home server of that domain, which is one of the stubs."""
        link = self.peers[domain.lower()].connect(self.house.place(protocol, True), protocol, DOMAIN, **options)
        return self.keep(link)

    def watcher(self, address):
        """A watcher of another domain: a client whose link is its home server's."""
        return PitpClient(self.from_peer("pitp", address.split("@")[1]), address)

    def sender(self, address):
        """A sender of another domain."""
        return ImtpClient(self.from_peer("imtp", address.split("@")[1]), address)

    def close(self):
        """Closes everything; returns what the server did wrong in what it wrote."""
        faults = []
        for link, checked in self._links.items():
            link.close()
            faults += link.faults if checked else []
        for connection in self._others:
            connection.abort()
            faults += connection.faults
        return faults


def report(title, wrong):
    """One line a check."""
    print(f"FAIL {title} {wrong}" if wrong else f"ok {title}", flush=True)
    return bool(wrong)


def main(description, groups):
    """The command line of a script of checks."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("binary", nargs="?", default="target/debug/hearth", help="the hearth program")
    parser.add_argument("names", nargs="*", help="checks to run; all if none is named")
    parser.add_argument("--list", action="store_true", help="print the checks with their clauses")
    parser.add_argument("--times", action="store_true", help="print how long the slowest took")
    parser.add_argument("--jobs", type=int, default=6, help="checks at a time")
    options = parser.parse_args()
    if not authority.available():
        print("SKIP: openssl is not installed (apt-get install openssl)")
        return 0
    for group in groups:
        importlib.import_module(group)
    chosen = [one for one in CHECKS if not options.names or one.title in options.names]
    if options.list:
        for one in chosen:
            print(one.title, one.clauses)
        return 0
    theatre = Theatre(os.path.abspath(options.binary))
    with ThreadPoolExecutor(options.jobs) as pool:
        results = [(one.title, pool.submit(theatre.play, one)) for one in chosen]
        failed = [report(title, future.result()) for title, future in results]
    failed.append(report("the-end-in-order", "; ".join(theatre.close())))
    if options.times:
        for title, seconds in sorted(theatre.took.items(), key=lambda item: -item[1])[:12]:
            print(f"{seconds:6.1f} s {title}")
    print(f"{len(failed) - sum(failed)} ok, {sum(failed)} failed", flush=True)
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit("this is a library: run conformance_imtp.py or conformance_pitp.py")
