"""A real DNS server for the tests: Debian's dnsmasq, on a loopback address, with the records it is given."""

import atexit
import getpass
import os
import re
import shutil
import socket
import struct
import subprocess

from house import loopback, until

PORT = 5399


def program():
    """Where dnsmasq is, or None."""
    return shutil.which("dnsmasq", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def answers(place):
    """Does a name server answer there?"""
    query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + b"\x04test\x00" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(1)
        try:
            sock.connect(place)
            sock.send(query)
            return len(sock.recv(512)) > 0
        except OSError:
            return False


def from_zone(zone):
    """The records of a zone file, as `hearth init` prints it, as dnsmasq's options."""
    options = []
    for line in zone.splitlines():
        srv = re.match(r"(\S+)\.\s+\d+\s+IN\s+SRV\s+(\d+) (\d+) (\d+) (\S+)\.$", line)
        address = re.match(r"(\S+)\.\s+\d+\s+IN\s+A\s+(\S+)$", line)
        if srv:
            owner, priority, weight, port, target = srv.groups()
            options.append(f"--srv-host={owner},{target},{port},{priority},{weight}")
        elif address:
            options.append(f"--host-record={','.join(address.groups())}")
    return options


def labels(octets, at):
    """A domain name in an answer, and where it ends."""
    parts, end = [], None
    while octets[at]:
        if octets[at] & 0xC0:
            end = end or at + 2
            at = struct.unpack_from(">H", octets, at)[0] & 0x3FFF
            continue
        parts.append(octets[at + 1:at + 1 + octets[at]].decode())
        at += 1 + octets[at]
    return ".".join(parts), end or at + 1


def ask(place, name, kind):
    """The data of the records of that type, as octets, with the whole answer and where they begin in it."""
    owner = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    query = struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + owner + b"\0" + struct.pack(">2H", kind, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect(place)
        sock.send(query)
        octets = sock.recv(4096)
    at, found = labels(octets, 12)[1] + 4, []
    for _ in range(struct.unpack_from(">H", octets, 6)[0]):
        at = labels(octets, at)[1]
        record, _, _, length = struct.unpack_from(">2HIH", octets, at)
        at += 10
        if record == kind:
            found.append((octets, at))
        at += length
    return found


def find_service(place, owner):
    """RFC 2782 as a client does it: the addresses and ports of a service, the best first."""
    found = []
    for octets, at in ask(place, owner, 33):
        priority, _, port = struct.unpack_from(">3H", octets, at)
        target = labels(octets, at + 6)[0]
        for answer, start in ask(place, target, 1):
            found.append((priority, (socket.inet_ntoa(answer[start:start + 4]), port)))
    return [where for _, where in sorted(found)]


class NameServer:
    """dnsmasq, answering for `.test` alone."""

    def __init__(self, address=None):
        self.place = (address or loopback(), PORT)
        self.name = f"{self.place[0]}:{PORT}"
        self._process = None
        atexit.register(self.stop)

    def start(self, options):
        """Starts it with those records."""
        fixed = [
            "--no-daemon", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--pid-file=", "--local=/test/",
            "--bind-interfaces", f"--listen-address={self.place[0]}", f"--port={PORT}", f"--user={getpass.getuser()}",
        ]
        line = [program(), *fixed, *options]
        self._process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until(lambda: self._process.poll() is not None or answers(self.place), "the start of dnsmasq")
        if self._process.poll() is not None:
            raise RuntimeError(f"dnsmasq: {self._process.stderr.read().strip()}")
        return self

    def stop(self):
        """Ends it."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
            self._process.stderr.close()
