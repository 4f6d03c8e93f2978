"""SASL mechanisms of IMTP and PITP clients: PLAIN (RFC 4616), EXTERNAL (RFC 4422), SCRAM-SHA-256 and its -PLUS form
(RFC 5802, 7677) with the channel binding `tls-server-end-point` (RFC 5929); and SCRAM's other side, for the tests.
"""

import base64
import functools
import hashlib
import hmac
import os


class Wrong(Exception):
    """The server did not prove what it must, or wrote what the mechanism does not have."""


class Plain:
    """PLAIN: the password in clear."""

    name = "PLAIN"

    def __init__(self, user, password, authorize=""):
        self._message = f"{authorize}\0{user}\0{password}".encode()

    def first(self):
        """The initial response."""
        return self._message

    def respond(self, challenge):
        """The answer to the empty challenge of a server that got no initial response."""
        if challenge != b"":
            raise Wrong(f"PLAIN's challenge is {challenge!r}")
        return self._message

    def finish(self, data):
        """There is no additional data."""
        if data is not None:
            raise Wrong(f"PLAIN ended with {data!r}")


class External:
    """EXTERNAL: the certificate of the connection speaks; the authorization identity is the domain (TOC-19)."""

    name = "EXTERNAL"

    def __init__(self, domain):
        self._domain = domain

    def first(self):
        """The initial response."""
        return self._domain.encode()

    def respond(self, challenge):
        """The answer to the empty challenge of a server that got no initial response."""
        if challenge != b"":
            raise Wrong(f"EXTERNAL's challenge is {challenge!r}")
        return self.first()

    def finish(self, data):
        """There is no additional data."""
        if data is not None:
            raise Wrong(f"EXTERNAL ended with {data!r}")


def mac(key, text):
    """HMAC-SHA-256."""
    return hmac.new(key, text, hashlib.sha256).digest()


def xor(one, other):
    """Octet by octet."""
    return bytes(a ^ b for a, b in zip(one, other))


def attributes(text):
    """`r=..,s=..,i=..` as a dict; the values may hold `=`."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def saslname(name):
    """RFC 5802: `=` and `,` of a user's name are escaped."""
    return name.replace("=", "=3D").replace(",", "=2C")


@functools.lru_cache(1000)
def keys(password, salt, rounds):
    """The keys, kept for the next login: they are slow to make (RFC 5802 section 5.1)."""
    return Keys(password, salt, rounds)


class Keys:
    """What a password is to SCRAM."""

    def __init__(self, password, salt, rounds):
        self.salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
        self.client = mac(self.salted, b"Client Key")
        self.stored = hashlib.sha256(self.client).digest()
        self.server = mac(self.salted, b"Server Key")

    def proof(self, told):
        """ClientProof for an AuthMessage."""
        return xor(self.client, mac(self.stored, told))

    def signature(self, told):
        """ServerSignature for an AuthMessage."""
        return mac(self.server, told)


class Scram:
    """SCRAM-SHA-256, and with `binding` (the value of tls-server-end-point) SCRAM-SHA-256-PLUS."""

    def __init__(self, user, password, nonce=None, binding=None, authorize=None, flag=None):
        self.name = "SCRAM-SHA-256" if binding is None else "SCRAM-SHA-256-PLUS"
        self._user, self._password = user, password
        self._nonce = nonce or base64.b64encode(os.urandom(18)).decode()
        flag = flag or ("n" if binding is None else "p=tls-server-end-point")
        self._header = f"{flag},{f'a={saslname(authorize)}' if authorize else ''},"
        self._binding = binding or b""
        self._bare = f"n={saslname(user)},r={self._nonce}"
        self._expected = None
        self.rounds = self.salt = None

    def first(self):
        """client-first."""
        return (self._header + self._bare).encode()

    def respond(self, challenge):
        """client-final; or, when the server's final message came as a challenge, nothing."""
        if self._expected is not None:
            self.finish(challenge)
            return b""
        text = challenge.decode()
        given = attributes(text)
        if not given.get("r", "").startswith(self._nonce) or given["r"] == self._nonce:
            raise Wrong(f"the server's nonce: {text!r}")
        self.salt, self.rounds = base64.b64decode(given["s"], validate=True), int(given["i"])
        if self.rounds < 4096:
            raise Wrong(f"{self.rounds} rounds (RFC 7677: at least 4096)")
        made = keys(self._password, self.salt, self.rounds)
        bound = base64.b64encode(self._header.encode() + self._binding).decode()
        bare = f"c={bound},r={given['r']}"
        told = f"{self._bare},{text},{bare}".encode()
        self._expected = made.signature(told)
        return f"{bare},p={base64.b64encode(made.proof(told)).decode()}".encode()

    def finish(self, data):
        """The server proves that it knows the keys; without that its ok is not believed."""
        if self._expected == b"":
            if data:
                raise Wrong(f"more data: {data!r}")
            return
        text = (data or b"").decode()
        if self._expected is None or attributes(text).get("v") != base64.b64encode(self._expected).decode():
            raise Wrong(f"the server's signature: {text!r}")
        self._expected = b""


class ScramServer:
    """The accepting side, for one user: `step` gives (kind, data), kind being `challenge`, `ok` or `failure`."""

    def __init__(self, user, password, salt, nonce, rounds=4096, binding=None):
        self._user, self._salt, self._nonce, self._rounds = user, salt, nonce, rounds
        self._keys = Keys(password, salt, rounds)
        self._binding = binding or b""
        self._first = self._header = self._bare = None

    def step(self, data):
        """The next message of the client."""
        if self._first is None:
            return self._begin(data.decode())
        return self._end(data.decode())

    def _begin(self, text):
        flag, authorize, self._bare = text.split(",", 2)
        self._header = f"{flag},{authorize},"
        given = attributes(self._bare)
        if given["n"] != saslname(self._user):
            return "failure", None
        salt = base64.b64encode(self._salt).decode()
        self._first = f"r={given['r']}{self._nonce},s={salt},i={self._rounds}"
        return "challenge", self._first.encode()

    def _end(self, text):
        bare, proof = text.rsplit(",p=", 1)
        given = attributes(bare)
        told = f"{self._bare},{self._first},{bare}".encode()
        bound = base64.b64encode(self._header.encode() + self._binding).decode()
        right = base64.b64decode(proof) == self._keys.proof(told) and given["c"] == bound
        if not right or given["r"] != attributes(self._first)["r"]:
            return "failure", None
        return "ok", b"v=" + base64.b64encode(self._keys.signature(told))


# --- tls-server-end-point ---

# The signature algorithms of certificates whose hash is not SHA-256; those of MD5 and SHA-1 count as SHA-256.
HASHES = {
    "1.2.840.113549.1.1.12": "sha384",
    "1.2.840.113549.1.1.13": "sha512",
    "1.2.840.10045.4.3.3": "sha384",
    "1.2.840.10045.4.3.4": "sha512",
}


def element(der, start):
    """A DER element: where its content begins and ends."""
    length, content = der[start + 1], start + 2
    if length & 0x80:
        size = length & 0x7F
        length, content = int.from_bytes(der[content:content + size], "big"), content + size
    return content, content + length


def identifier(octets):
    """An OBJECT IDENTIFIER's content as text."""
    parts, value = [octets[0] // 40, octets[0] % 40], 0
    for octet in octets[1:]:
        value = value << 7 | octet & 0x7F
        if not octet & 0x80:
            parts.append(value)
            value = 0
    return ".".join(map(str, parts))


def end_point(der):
    """RFC 5929: the hash of the server's certificate, by the hash of its signature."""
    certificate, _ = element(der, 0)
    _, after = element(der, certificate)
    algorithm, _ = element(der, after)
    start, end = element(der, algorithm)
    return hashlib.new(HASHES.get(identifier(der[start:end]), "sha256"), der).digest()
