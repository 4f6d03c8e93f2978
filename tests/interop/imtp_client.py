"""An IMTP client, written from the catalogue alone."""

from imtp_link import Link
from sasl import Plain, Scram, end_point

PORTS = {"imtp": 4687, "pitp": 7487}
TLS_PORT = 7443


class Client:
    """What clients of both protocols have in common: a connection and an identity."""

    protocol = None
    scheme = None

    def __init__(self, link, address):
        self.link = link
        self.address = address  # user@domain
        self.url = f"{self.scheme}:{address}"

    @classmethod
    def connect(cls, place, address, **options):
        """A connection that has not authenticated."""
        return cls(Link.open(place, cls.protocol, **options), address)

    @classmethod
    def log_in(cls, place, address, password, mechanism=None, user=None, **options):
        """Connects and authenticates; with the strongest mechanism that is offered, unless one is named."""
        client = cls.connect(place, address, **options)
        try:
            client.authenticate(password, mechanism, user)
        except BaseException:
            client.link.close()
            raise
        return client

    def authenticate(self, password, mechanism=None, user=None):
        """Proves who we are."""
        user = user or self.address.rsplit("@", 1)[0]
        offered = self.link.mechanisms()
        wanted = mechanism or next(
            name for name in ("SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN") if name in offered
        )
        if wanted == "PLAIN":
            return self.link.authenticate(Plain(user, password))
        binding = end_point(self.link.stream.certificate()) if wanted.endswith("-PLUS") else None
        return self.link.authenticate(Scram(user, password, binding=binding))

    # --- What comes ---

    def expect(self, method, payload=None, **headers):
        """What the server sends us."""
        return self.link.expect(method, payload, **headers)

    def nothing(self, method=None):
        """Fails if such a command came up to now."""
        self.link.nothing(method)

    def fence(self):
        """Waits until all that the server wrote to us before now is here."""
        self.link.fence()

    def close(self):
        """Ends the connection."""
        self.link.close()


class ImtpClient(Client):
    """A sender and an inbox."""

    protocol = "imtp"
    scheme = "im"

    def listen(self, inbox=None, only=(), except_=()):
        """Asks for the messages of an inbox; ours if none is named."""
        return self.link.accepted("listen", Inbox=inbox or self.url, Only=list(only), Except=list(except_))

    def message(self, to, payload, sender=None, **headers):
        """A `send`, not yet answered: its `Pending`."""
        to = to if ":" in to or to.startswith('"') else f"im:{to}"
        return self.link.request("send", payload, Sender=sender or self.url, Inbox=to, **headers)

    def send(self, to, payload, **headers):
        """A `send` and its ok, or `Refused`."""
        return self.message(to, payload, **headers).accepted()
