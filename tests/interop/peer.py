"""A stub of another domain's home server: it takes routing connections and answers as a test says."""

import socket
import threading

from house import ROUTING_PORT, loopback
from simp_client import Connection, Inbox, error, okay


def describe(command):
    """What the stub tells of its users."""
    reply = {
        "action": "describe",
        "regarding": command["to"],
        "status": "online",
        "online": "1767605400000",
        "message": "described by the stub",
    }
    if command["action"] == "subscribe":
        granted = min(int(command["duration"]) % 2**63, 3_600_000)
        reply.update(duration=str(granted), opaque=f"opaque of {command['to']}")
    return reply


class Peer:
    """The home server of a domain, on an address of its own.

    `rules` maps one of the stub's addresses to a function from a command to its reply (or None);
    what has no rule is answered as an obliging server would.
    """

    def __init__(self, domain, port=ROUTING_PORT):
        self.domain = domain
        self.address = loopback()
        self.rules = {}
        self.inbox = Inbox()
        self.connections = []
        self._listener = socket.create_server((self.address, port))
        self.place = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.connections.append(Connection(sock, answer=self._answer))

    def _answer(self, command):
        self.inbox.put(command)
        rule = self.rules.get(command.get("to"))
        if rule is not None:
            return rule(command)
        if command["action"] in ("fetch", "subscribe"):
            return describe(command)
        if command["action"] in ("send", "unsubscribe", "inquire", "note change", "note subscription end"):
            return okay(f"{self.domain} agrees")
        return error("unrecognized request")

    def expect(self, action, **match):
        """A command that the other side sent to this domain."""
        return self.inbox.expect(action, **match)

    def configuration(self):
        """The `[[peer]]` section by which a house finds and believes this one."""
        return f'[[peer]]\ndomain = "{self.domain}"\nprotocol = "simp"\naddress = "{self.address}:{self.place[1]}"\n'

    def close(self):
        """Ends it; returns what the other side did wrong in what it wrote."""
        self._listener.close()
        for connection in list(self.connections):
            connection.abort()
        return [wrong for connection in self.connections for wrong in connection.faults]
