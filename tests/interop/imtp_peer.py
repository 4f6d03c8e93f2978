"""A stub of another domain's home server for IMTP and PITP: both on one TLS port, told apart by ALPN.

It takes links, offers EXTERNAL and believes the certificate; it connects in its domain's name (or, as a liar, in
another's); and it answers as a test says.
"""

import socket
import threading

import imtp_wire as wire
from house import loopback
from imtp_client import TLS_PORT
from imtp_link import Closed, Inbox, Link, TlsStream, dial
from sasl import External


def target(message):
    """Whom a command of another server is for."""
    if message.method == "send":
        return message["Inbox"]
    if message.method in ("change-notify", "terminate-notify"):
        return message["Subscription"].split("/", 1)[1]
    return message["Presentity"]


def document(owner):
    """What the stub tells of its users."""
    return f"contact = im:{owner.split(':')[1]} {{ status = open }}\r\n"


class TransferPeer:
    """The home server of a domain, on an address of its own.

    `rules` maps one of the stub's identifiers to a function from a command to its answer (or None); what has no rule
    is answered as an obliging server would.
    """

    def __init__(self, domain, authority, address=None, port=TLS_PORT, names=None):
        self.domain, self.authority = domain, authority
        self.address = address or loopback()
        self.rules, self.subscribers = {}, {}
        self.inbox = Inbox()
        self.links, self.faults = [], []
        self.offers = self.repeats = ("EXTERNAL",)  # its mechanism lists: the first, and the one after success
        self.authenticated = {}  # accepted link: the domain that it proved
        self._context = authority.server(("imtp", "pitp"), *(names or (domain,)))
        self._listener = socket.create_server((self.address, port))
        self.place = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    # --- Links that others open ---

    def _accept(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._greet, args=(sock,), daemon=True).start()

    def _greet(self, sock):
        try:
            stream = TlsStream(sock, self._context, server=True)
        except (OSError, Closed):  # whoever it was, he is no server (a TLS error is an OSError)
            sock.close()
            return
        if stream.alpn not in ("imtp", "pitp"):
            self.faults.append(f"a link with the protocol {stream.alpn}")
            sock.close()
            return
        stream.write(wire.mech(self.offers))
        self.links.append(Link(stream, stream.alpn, answer=self._answer, acceptor=True, role="peer"))

    def _authenticate(self, message):
        link = message.connection
        if "EXTERNAL" not in self.offers:
            return wire.error(message, "sasl-failure")
        claimed = (message.payload or b"").decode()
        if message["Mechanism"] != "EXTERNAL" or claimed not in link.stream.names():
            self.faults.append(f"{message} with a certificate for {link.stream.names()}")
            return wire.error(message, "sasl-failure")
        self.authenticated[link] = claimed
        return wire.ok(message) + wire.mech(self.repeats)

    def _answer(self, message):
        link = message.connection
        if message.method == "auth":
            return self._authenticate(message)
        if link not in self.authenticated and link.acceptor:
            self.faults.append(f"{message} before EXTERNAL is done (TOC-22)")
            return wire.error(message, "source-authorization")
        if not link.acceptor:
            self.faults.append(f"{message} on a link that the stub opened (TOC-15)")
        self.inbox.put(message)
        rule = self.rules.get(target(message)) if message.method in wire.RULES else None
        return rule(message) if rule else self.oblige(message)

    def oblige(self, message):
        """What an obliging server answers."""
        if message.method in ("fetch", "subscribe"):
            if message.method == "subscribe":
                self.subscribers[message["Presentity"]] = (message["Subscription"], message.connection)
            return wire.ok(message, document(message["Presentity"]), Astrength="strong")
        if message.method in ("send", "unsubscribe", "change-notify", "terminate-notify"):
            return wire.ok(message, Astrength="strong")
        return wire.error(message, "unknown-method")

    def expect(self, method, payload=None, **headers):
        """A command that the other side sent to this domain."""
        return self.inbox.expect(method, payload, **headers)

    # --- Links that it opens ---

    def connect(self, place, protocol, home, names=None, authorize=None, authenticate=True, source=None):
        """A link to the home server of the domain `home`, as the domain of the certificate.

        By default it comes from the stub's own address, which may be believed without a certificate (design 7).
        """
        names = names if names is not None else (self.domain,)
        context = self.authority.client(protocol, *names)
        stream = dial(place, source or self.address, context, home)
        link = Link(stream, protocol, answer=self._answer, role="peer")
        self.links.append(link)
        if authenticate:
            try:
                link.authenticate(External(authorize if authorize is not None else self.domain))
            except BaseException:
                link.close()
                raise
        return link

    def configuration(self, *protocols):
        """The `[[peer]]` sections by which a house finds this one."""
        return "".join(
            f'[[peer]]\ndomain = "{self.domain}"\nprotocol = "{protocol}"\n'
            f'address = "{self.address}:{self.place[1]}"\ntls = true\n'
            for protocol in protocols or ("imtp", "pitp")
        )

    def close(self):
        """Ends it; returns what the other side did wrong."""
        self._listener.close()
        for link in list(self.links):
            link.close()
        return self.faults + [wrong for link in self.links for wrong in link.faults]
