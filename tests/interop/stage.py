"""The stage of the conformance checks: the list of checks, and what each of them may use."""

import itertools
import os
import threading
import traceback

from house import Person, loopback
from simp_client import Connection, Refused, Routing

CHECKS = []
LIBRARY = (
    "simp_client.py", "simp_wire.py", "stage.py", "house.py", "conformance.py", "imtp_stage.py", "imtp_link.py",
    "imtp_client.py", "pitp_client.py", "imtp_wire.py", "capture.py",
)


def check(*clauses, house="verified"):
    """Marks a function as a check of those clauses, on the house of that name."""

    def mark(function):
        function.clauses = " ".join(clauses)
        function.house = house
        function.title = function.__name__.replace("_", "-")
        CHECKS.append(function)
        return function

    return mark


def refused(call, *arguments, **more):
    """The `error` that a call must get."""
    try:
        reply = call(*arguments, **more)
    except Refused as error:
        return error.reply
    raise AssertionError(f"not refused: {reply}")


def equal(got, expected, what="value"):
    """Fails if they differ."""
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def closed_in_order(connection):
    """The other side writes `</stream>` and closes."""
    connection.wait_closed()
    assert connection.ended_by_peer, "closed without </stream>"


def blame(problem):
    """One line on a failed check: which of its lines, and why."""
    lines = traceback.extract_tb(problem.__traceback__)
    ours = [frame for frame in lines if os.path.basename(frame.filename) not in LIBRARY] or lines
    where = f"{os.path.basename(ours[-1].filename)}:{ours[-1].lineno}"
    kind = "" if isinstance(problem, AssertionError) else f"{type(problem).__name__}: "
    return f"{where}: {kind}{' '.join(str(problem).split())}"[:1500]


class Scene:
    """What one check uses: its own accounts and connections, closed at its end."""

    _numbers = itertools.count(1)
    _adding = threading.Semaphore(2)

    def __init__(self, house, peers):
        self.house = house
        self.peers = peers
        self._connections = []
        self._cast = {}

    def person(self, name) -> Person:
        """An account of this check's own, made when it is first asked for."""
        if name not in self._cast:
            with Scene._adding:
                self._cast[name] = self.house.person(f"{name}{next(Scene._numbers)}")
        return self._cast[name]

    def _keep(self, caller):
        self._connections.append(caller.connection)
        return caller

    def enter(self, name, **options):
        """Logs a person in."""
        return self._keep(self.person(name).log_in(**options))

    def keep(self, session):
        """Has a session closed and checked like those that the scene opened."""
        return self._keep(session)

    def routing(self, source=None, ima=None):
        """A routing connection to the house, from an address of its own."""
        return self._keep(Routing.open(self.house.routing, ima, source=source or loopback()))

    def connection(self, place=None, **options):
        """A bare connection; to R if nothing else is said."""
        options.setdefault("source", loopback())
        connection = Connection.open(place or self.house.routing, **options)
        self._connections.append(connection)
        return connection

    def from_peer(self, ima):
        """A routing connection from the home server of that address, which is one of the configured peers."""
        return self.routing(self.peers[ima.split("@")[1]].address, ima)

    def close(self):
        """Closes everything; returns what the server did wrong in what it wrote."""
        faults = []
        for connection in self._connections:
            connection.abort()
            faults += connection.faults
        return faults
