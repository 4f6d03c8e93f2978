#!/usr/bin/env python3
"""Runs the checks of SIMP 1.0 over a real hearth: `conformance.py target/debug/hearth [NAME...]`.

Prints `ok NAME` or `FAIL NAME why` for each; the exit status is 1 if any failed.
"""

import argparse
import importlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

from house import House
from peer import Peer
from stage import CHECKS, Scene, blame

GROUPS = ("streams", "restart", "federation", "messages", "login", "presence", "contact_place", "tls")
PEERS = ("example.net", "spam.example", "mail.spam.example", "partner.example", "hasty.example")


class Theatre:
    """The houses and peers that all checks share; a house is started when first needed."""

    def __init__(self, binary):
        self.binary = binary
        self.peers = {domain: Peer(domain) for domain in PEERS}
        self._houses = {}
        self._lock = threading.Lock()

    def house(self, mode):
        """The house whose routing connections are in that mode (OC-01)."""
        with self._lock:
            if mode not in self._houses:
                peers = "".join(peer.configuration() for peer in self.peers.values())
                dead = '[[peer]]\ndomain = "dead.example"\nprotocol = "simp"\naddress = "127.0.0.1:9"\n'
                dns = '[dns]\nnameservers = ["127.0.0.1:9"]\n'
                house = House(self.binary, f"{mode}.example").init()
                house.configure(f'{dns}[simp]\nrouting = "{mode}"\n{peers}{dead}').start()
                self._houses[mode] = house
            return self._houses[mode]

    def play(self, check):
        """Runs one check; returns what went wrong, or None."""
        scene, wrong = None, None
        try:
            scene = Scene(self.house(check.house), self.peers)
            check(scene)
        except Exception as problem:  # whatever it is, the other checks go on
            wrong = blame(problem)
        faults = scene.close() if scene else []
        if faults and wrong is None:
            wrong = f"the server wrote what it must not: {faults[0]}"
        return wrong

    def close(self):
        """Ends all; returns what is wrong with the end."""
        wrong = [fault for peer in self.peers.values() for fault in peer.close()]
        for mode, house in self._houses.items():
            if (status := house.stop()) != 0:
                wrong.append(f"the {mode} house ended with status {status}:\n{house.tail()}")
            house.remove()
        return wrong


def report(title, wrong):
    """One line a check."""
    print(f"FAIL {title} {wrong}" if wrong else f"ok {title}", flush=True)
    return bool(wrong)


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("binary", nargs="?", default="target/debug/hearth", help="the hearth program")
    parser.add_argument("names", nargs="*", help="checks to run; all if none is named")
    parser.add_argument("--list", action="store_true", help="print the checks with their clauses")
    parser.add_argument("--jobs", type=int, default=6, help="checks at a time")
    options = parser.parse_args()
    for group in GROUPS:
        importlib.import_module(f"checks_{group}")
    chosen = [check for check in CHECKS if not options.names or check.title in options.names]
    if options.list:
        for check in chosen:
            print(check.title, check.clauses)
        return 0
    theatre = Theatre(os.path.abspath(options.binary))
    with ThreadPoolExecutor(options.jobs) as pool:
        results = [(check.title, pool.submit(theatre.play, check)) for check in chosen]
        failed = [report(title, future.result()) for title, future in results]
    failed.append(report("the-end-in-order", "; ".join(theatre.close())))
    print(f"{len(failed) - sum(failed)} ok, {sum(failed)} failed", flush=True)
    return 1 if any(failed) else 0


if __name__ == "__main__":
    sys.exit(main())
