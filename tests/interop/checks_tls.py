"""A check of login over TLS, with the certificate verified."""

import socket
import ssl

from house import House
from simp_client import PATIENCE, authorization
from simp_wire import HEADER, StreamReader, encode, reply_fault
from stage import check, equal

TLS_PORT = 7443


class Talk:
    """One request at a time over TLS: no thread, since a TLS socket may not be shared by two."""

    def __init__(self, place, authority):
        context = ssl.create_default_context(cafile=authority)
        context.set_alpn_protocols(["simp/1.0"])
        plain = socket.create_connection(place, timeout=PATIENCE)
        self._sock = context.wrap_socket(plain, server_hostname="tls.example")
        self.protocol = self._sock.selected_alpn_protocol()
        self._reader = StreamReader()
        self._sock.sendall(HEADER)

    def call(self, action, **entries):
        """A request and its reply."""
        request = {"action": action, **entries}
        self._sock.sendall(encode({**request, "request": "1"}))
        while data := self._sock.recv(65536):
            for command in self._reader.feed(data):
                if command.get("response") == "1":
                    assert reply_fault(request, command) is None, command
                    return command
        raise AssertionError(f"closed before the reply to {action}")

    def close(self):
        """Ends it."""
        self._sock.close()


@check("SIMP-7.2-1 OC-05")
def login_over_tls(scene):
    house = House(scene.house.binary, "tls.example").init("--dev").start()
    talks = []
    try:
        alice, authority = house.person("alice"), f"{house.directory}/fullchain.pem"
        talks.append(Talk((house.address, TLS_PORT), authority))
        equal(talks[0].protocol, "simp/1.0", "the protocol chosen by ALPN")
        challenge = talks[0].call("login", user=alice.user)
        talks.append(Talk((challenge["host"], int(challenge["port"])), authority))
        proof = authorization(alice.user, alice.key, challenge["nonce"])
        entries = {"authorization": proof, "opaque": challenge["opaque"], "version": "1.0"}
        equal(talks[1].call("connect", **entries)["action"], "self")
        equal(talks[1].call("inquire", **{"to": alice.ima, "from": alice.ima})["action"], "okay")
    finally:
        for talk in talks:
            talk.close()
        house.remove()
