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
