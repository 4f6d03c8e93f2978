"""Captures without privileges: a pcap file written by hand, and taps that record what passes through them.

A `Flow` is one TCP connection of the file; its octets are cut into segments as its `cut` says, so that a dissector
meets messages in any pieces.  A `Tap` listens on a loopback address, carries octets to a place and back, and records
each before it passes it on, so that what was caused stands behind its cause.
"""

import random
import socket
import struct
import threading
import time

from house import loopback

RAW_IP = 101  # LINKTYPE_RAW
SYN, ACK, FIN, PSH = 2, 16, 1, 8


def pieces(size):
    """Cuts octets into segments of that many."""
    return lambda octets: [octets[at:at + size] for at in range(0, len(octets), size)]


def chance(seed):
    """Cuts octets into segments of 1 to 90, the same at each run."""
    dice = random.Random(seed)

    def cut(octets):
        at, cuts = 0, []
        while at < len(octets):
            size = dice.randint(1, 90)
            cuts.append(octets[at:at + size])
            at += size
        return cuts

    return cut


WHOLE = pieces(1400)


class Side:
    """One end of a flow."""

    def __init__(self, place, start):
        self.address, self.port = socket.inet_aton(place[0]), place[1]
        self.next = start
        self.octets = b""
        self.ended = False


class Flow:
    """One TCP connection: `client` opened it."""

    def __init__(self, capture, client, server, cut):
        self._capture, self._cut = capture, cut
        self.client, self.server = Side(client, 1000), Side(server, 2000)
        self._segment(self.client, SYN)
        self._segment(self.server, SYN | ACK)
        self._segment(self.client, ACK)

    def _segment(self, side, flags, payload=b""):
        other = self.server if side is self.client else self.client
        acknowledged = other.next if flags & ACK else 0
        tcp = struct.pack("!HHIIBBHHH", side.port, other.port, side.next, acknowledged, 5 << 4, flags, 65535, 0, 0)
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 40 + len(payload), 0, 0, 64, 6, 0) + side.address + other.address
        self._capture.packet(ip + tcp + payload)
        side.next += len(payload) + (1 if flags & (SYN | FIN) else 0)

    def carry(self, side, octets):
        """Octets that a side writes."""
        with self._capture.lock:
            side.octets += octets
            for piece in self._cut(octets):
                self._segment(side, ACK | PSH, piece)

    def end(self, side):
        """A side writes no more."""
        with self._capture.lock:
            if not side.ended:
                side.ended = True
                self._segment(side, ACK | FIN)


class Capture:
    """The file and what is known of it: `flows`, in the order in which they were opened."""

    def __init__(self, path):
        self._file = open(path, "wb")
        self._file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, RAW_IP))
        self._last = 0
        self.path, self.flows, self.lock = path, [], threading.RLock()

    def packet(self, octets):
        """One packet, now; no two have the same time."""
        self._last = max(self._last + 1, time.time_ns() // 1000)
        self._file.write(struct.pack("<IIII", self._last // 1000000, self._last % 1000000, len(octets), len(octets)))
        self._file.write(octets)

    def flow(self, client, server, cut=WHOLE):
        """A new connection."""
        with self.lock:
            flow = Flow(self, client, server, cut)
            self.flows.append(flow)
            return flow

    def play(self, place, lines, cut=WHOLE):
        """A conversation written by hand: pairs of who writes, `C` or `S`, and what."""
        with self.lock:
            flow = self.flow((loopback(), 40000 + len(self.flows)), place, cut)
            for who, octets in lines:
                flow.carry(flow.client if who == "C" else flow.server, octets)
            flow.end(flow.client)
            flow.end(flow.server)
            return flow

    def close(self):
        """Writes all."""
        self._file.close()


class Tap:
    """A door to a place of the same port, on an address of its own."""

    def __init__(self, capture, place, cut=WHOLE):
        self._capture, self._target, self._cut = capture, place, cut
        self._socket = socket.create_server((loopback(), place[1]))
        self.place = self._socket.getsockname()
        self._threads, self._sockets = [], []
        self._start(self._accept)

    def _start(self, work, *arguments):
        thread = threading.Thread(target=work, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while True:
            try:
                client, source = self._socket.accept()
                server = socket.create_connection(self._target)
            except OSError:
                return
            flow = self._capture.flow(source, self.place, self._cut)
            self._sockets += [client, server]
            for read, write, side in ((client, server, flow.client), (server, client, flow.server)):
                read.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._start(self._carry, flow, side, read, write)

    def _carry(self, flow, side, read, write):
        try:
            while octets := read.recv(65536):
                flow.carry(side, octets)
                write.sendall(octets)
        except OSError:
            pass
        flow.end(side)
        try:
            write.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        """Ends it and all that passes through it."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        for one in self._sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        for thread in self._threads[1:]:
            thread.join()
        for one in [self._socket, *self._sockets]:
            one.close()
