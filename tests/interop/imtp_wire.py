"""The wire format that IMTP and PITP share, written from the catalogue alone.

`Reader` turns the octets that the other side writes into `Message`s and is strict: whatever the *emit* column of the
catalogue's table 2.4 does not allow is a `WireError` (what breaks the framing) or, told by `fault`, a deviation.
`command`, `ok` and `error` write messages; tests write odd octets by hand.
"""

import re

LIMITS = {"start": 1024, "header": 8192, "block": 32768, "headers": 320, "payload": 16 * 1024 * 1024}  # TOC-32

ID = r"[A-Za-z0-9]{1,64}"
METHOD = r"[A-Za-z0-9-]{1,64}"
START = re.compile(
    rf"(?P<nop>=nop)|(?P<mech>=mech(?: [A-Z0-9_-]{{1,20}})*)|>(?P<id>{ID}) (?P<method>{METHOD})"
    rf"|<(?P<answers>{ID}) (?P<status>ok|error) \((?P<about>{METHOD})\)"
)

LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
DOMAIN = rf"{LABEL}(?:\.{LABEL})*"
ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
LOCAL = rf'(?:{ATEXT}+(?:\.{ATEXT}+)*|"(?:[ !#-\[\]-~]|\\[ -~])*")'
OURS = rf"(?:presence|im):{LOCAL}@{DOMAIN}"
OTHER = r"(?!presence:|im:)[a-z0-9+.-]+:[A-Za-z0-9$\-_.+!*'(),;/?:@&=%]*"
URL = rf"(?:{OURS}|{OTHER})"
TOKEN = r"[A-Za-z0-9!#$&^_.+*'|~`{}%-]+"

# Values as they are emitted: after one space, without a fold, without white space at the end (2.4).
VALUES = {
    "Content-Length": r"0|[1-9][0-9]*",
    "Content-Type": rf'{TOKEN}/{TOKEN}(?:\s*;\s*{TOKEN}=(?:{TOKEN}|"[^"]*"))*',
    "Astrength": "strong|medium|weak|none",
    "Error-Type": "[A-Za-z0-9-]+",
    "Error-Description": ".*",
    "Error-Originator": rf"{DOMAIN}|{URL}",
    "Unreliable": rf"{DOMAIN}|{URL}",
    "Mechanism": "[A-Z0-9_-]{1,20}",
    "Abort": "",
    "Presentity": URL,
    "Watcher": URL,
    "Mapping": "[1-9][0-9]*",
    "Wpattern": r"\*|.+:.*",
    "Subscription": rf"[A-Za-z0-9]{{0,64}}/{URL}",
    "Sender": URL,
    "Inbox": URL,
    "Only": r"\*|.+:.*",
    "Except": r"\*|.+:.*",
    "Visited": rf"{DOMAIN}(?: {DOMAIN})*",
    "Orig-Sender": URL,
    "Orig-Inbox": URL,
}
PATTERNS = {name: re.compile(value, re.DOTALL) for name, value in VALUES.items()}
SUBSCRIPTION_SYNTAX = PATTERNS["Subscription"]

GENERIC = {"malformed", "unknown-method", "resources", "communications"}
SOURCE = {"source-authorization", "quota"}
TARGET = {"target-authorization", "target-not-found"}


class Rule:
    """What 3.2 to 3.5 say of a method: headers (`?` may, `*` may repeat), payloads (no, may, must), errors."""

    def __init__(self, headers="", payload="no", ok="", ok_payload="no", errors=(), source=None, target=None):
        self.headers, self.payload = headers.split(), payload
        self.ok, self.ok_payload = ok.split(), ok_payload
        self.errors = GENERIC | set(errors) | (SOURCE if source else set()) | (TARGET if target else set())
        self.source, self.target = source, target


RULES = {
    "auth": Rule("Mechanism? Abort?", "may", "", "may", {"sasl-challenge", "sasl-failure"}),
    "shutdown": Rule(),
    "listen": Rule("Inbox Only* Except*", source="Inbox"),
    "send": Rule(
        "Sender Inbox Orig-Sender? Orig-Inbox* Visited?", "must", "Unreliable?", "may", {"no-listeners", "loop"},
        "Sender", "Inbox",
    ),
    "change": Rule("Presentity Mapping", "may", errors={"mapping-range", "update-race"}, source="Presentity"),
    "change-notify": Rule(
        "Presentity Subscription", "must", "Unreliable?", errors={"not-subscribed"}, source="Presentity"
    ),
    "delete-mapping": Rule("Presentity Mapping", errors={"mapping-range"}, source="Presentity"),
    "fetch": Rule("Watcher Presentity", ok_payload="must", source="Watcher", target="Presentity"),
    "fetch-for-update": Rule(
        "Presentity Mapping", ok_payload="may", errors={"mapping-range"}, source="Presentity"
    ),
    "fetch-notify": Rule("Watcher Presentity"),
    "get-class": Rule("Presentity Mapping", ok="Wpattern*", errors={"mapping-range"}, source="Presentity"),
    "insert-mapping": Rule("Presentity Mapping Wpattern*", "may", errors={"mapping-range"}, source="Presentity"),
    "set-class": Rule("Presentity Mapping Wpattern*", errors={"mapping-range"}, source="Presentity"),
    "start-wi": Rule("Presentity", ok="Subscription*", source="Presentity"),
    "subscribe": Rule(
        "Subscription Presentity", ok_payload="must", source="Subscription", target="Presentity"
    ),
    "subscribe-notify": Rule("Subscription Presentity"),
    "terminate": Rule("Presentity Subscription", errors={"not-subscribed"}, source="Presentity"),
    "terminate-notify": Rule("Presentity Subscription", errors={"not-subscribed"}),
    "unsubscribe": Rule("Subscription Presentity", errors={"not-subscribed"}, source="Subscription"),
    "unsubscribe-notify": Rule("Subscription Watcher Presentity"),
}

TO_CLIENT = {
    "imtp": {"shutdown", "send"},
    "pitp": {
        "shutdown", "change-notify", "fetch-notify", "subscribe-notify", "terminate-notify", "unsubscribe-notify",
    },
}
TO_PEER = {
    "imtp": {"auth", "send"},
    "pitp": {"auth", "change-notify", "fetch", "subscribe", "terminate-notify", "unsubscribe"},
}


class WireError(Exception):
    """The other side wrote what cannot be framed, or what nobody may emit."""


class Message:
    """One message: a mechanism list, a NOP, a command or a response."""

    def __init__(self, kind, identity=None, method=None, names=()):
        self.kind = kind  # "mech", "nop", "command", "ok", "error"
        self.id = identity
        self.method = method
        self.names = list(names)
        self.lines = []  # (name, all that follows the colon, folds included), as octets
        self.payload = None
        self.connection = None

    def all(self, name):
        """The values of a header, without folds and outer white space."""
        return [unfolded(raw) for header, raw in self.lines if header == name.encode()]

    def get(self, name, default=None):
        """The first value of a header."""
        values = self.all(name)
        return values[0] if values else default

    def __getitem__(self, name):
        return self.get(name)

    def raw(self, name):
        """What follows the colon of each such header, as octets."""
        return [raw for header, raw in self.lines if header == name.encode()]

    @property
    def error(self):
        """The error type of an error response."""
        return self.get("Error-Type") if self.kind == "error" else None

    @property
    def text(self):
        """The payload as text."""
        return None if self.payload is None else self.payload.decode()

    def __repr__(self):
        body = "" if self.payload is None else f" {self.payload[:200]!r}"
        return f"<{self.kind} {self.id} {self.method} {self.names or ''} {self.lines}{body}>"


def unfolded(raw):
    """A header's value as text: folds are one space."""
    return re.sub(r"[ \t]*\r\n[ \t]+", " ", raw.decode("utf-8")).strip(" \t")


# --- Writing ---


def spelt(name):
    """A keyword argument as a header's name: `Orig_Inbox` is `Orig-Inbox`."""
    return name.replace("_", "-")


def head(start, headers, payload):
    """Start line, headers and the empty line."""
    lines = [start]
    for name, values in headers.items():
        for value in values if isinstance(values, (list, tuple)) else [values]:
            if value is not None:
                value = value if isinstance(value, bytes) else str(value).encode()
                lines.append(f"{spelt(name)}:".encode() + (b" " + value if value else b""))
    if payload is not None:
        lines.append(f"Content-Length: {len(payload)}".encode())
    return b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\r\n\r\n"


def octets(payload):
    """A payload as octets."""
    return payload.encode() if isinstance(payload, str) else payload


def command(identity, method, payload=None, **headers):
    """A command."""
    payload = octets(payload)
    return head(f">{identity} {method}", headers, payload) + (payload or b"")


def ok(to, payload=None, **headers):
    """The ok to a command."""
    payload = octets(payload)
    return head(f"<{to.id} ok ({to.method})", headers, payload) + (payload or b"")


def error(to, kind, description=None, payload=None, **headers):
    """An error as the answer to a command."""
    given = {"Error_Type": kind, "Error_Description": description, **headers}
    payload = octets(payload)
    return head(f"<{to.id} error ({to.method})", given, payload) + (payload or b"")


def mech(names):
    """A mechanism list."""
    return " ".join(["=mech", *names]).encode() + b"\r\n"


# --- Reading ---


class Reader:
    """Octets in any pieces to messages."""

    def __init__(self):
        self._buffer = bytearray()
        self._message = None
        self._head = 0

    def feed(self, data):
        """Adds octets; returns the messages that they complete."""
        self._buffer += data
        messages = []
        while (message := self._next()) is not None:
            messages.append(message)
        return messages

    @property
    def is_between(self):
        """Has everything that came been a whole message?"""
        return self._message is None and not self._buffer

    def _next(self):
        if self._message is None and not self._begin():
            return None
        if self._message.kind not in ("mech", "nop"):
            if self._head is not None and not self._headers():
                return None
            if not self._payload():
                return None
        message, self._message = self._message, None
        return message

    def _line(self, limit):
        end = self._buffer.find(b"\r\n")
        if end > limit or (end < 0 and len(self._buffer) > limit + 1):
            raise WireError(f"a line of more than {limit} octets")
        line = bytes(self._buffer[: end if end >= 0 else max(len(self._buffer) - 1, 0)])
        if b"\n" in line or b"\r" in line:
            raise WireError(f"a bare CR or LF (TOC-30): {line!r}")
        if end < 0:
            return None
        del self._buffer[: end + 2]
        return line

    def _begin(self):
        if not self._buffer:
            return False
        line = self._line(LIMITS["start"])
        if line is None:
            return False
        found = START.fullmatch(line.decode("latin-1"))
        if found is None:
            raise WireError(f"no start line that may be emitted: {line!r}")
        if found["nop"]:
            self._message = Message("nop")
        elif found["mech"]:
            self._message = Message("mech", names=found["mech"].split(" ")[1:])
        elif found["id"]:
            self._message = Message("command", found["id"], found["method"])
        else:
            self._message = Message(found["status"], found["answers"], found["about"])
        self._head = 0
        return True

    def _headers(self):
        lines = self._message.lines
        while (line := self._line(LIMITS["header"])) is not None:
            self._head += len(line) + 2
            if self._head > LIMITS["block"] or len(lines) > LIMITS["headers"]:
                raise WireError("headers beyond the limits of TOC-32")
            if line == b"":
                self._head = None
                return True
            if line[:1] in b" \t":
                if not lines or line.strip(b" \t") == b"":
                    raise WireError(f"a continuation of nothing: {line!r}")
                lines[-1] = (lines[-1][0], lines[-1][1] + b"\r\n" + line)
                continue
            found = re.fullmatch(rb"([!-9;-~]{1,64}):(.*)", line, re.DOTALL)
            if found is None:
                raise WireError(f"no header: {line!r}")
            lines.append(found.groups())
        return False

    def _payload(self):
        lengths = self._message.raw("Content-Length")
        if not lengths:
            return True
        if len(lengths) > 1 or not re.fullmatch(rb" (0|[1-9][0-9]{0,9})", lengths[0]):
            raise WireError(f"Content-Length {lengths}")
        length = int(lengths[0])
        if length > LIMITS["payload"]:
            raise WireError(f"a payload of {length} octets")
        if len(self._buffer) < length:
            return False
        self._message.payload = bytes(self._buffer[:length])
        del self._buffer[:length]
        return True


# --- What may be emitted ---


def fault(message, protocol, to="client"):
    """What is wrong with a message that a server wrote to a client, or to a peer's server; None if nothing is."""
    if message.kind in ("mech", "nop"):
        return None
    for name, raw in message.lines:
        wrong = general_fault(name, raw)
        if wrong:
            return wrong
    if message.raw("Content-Transfer-Encoding"):
        return "Content-Transfer-Encoding (COMMON-10-16)"
    if message.raw("Content-Type") and message.payload is None:
        return "Content-Type without a payload"
    rule = RULES.get(message.method)
    if rule is None:
        return None if message.kind != "command" else f"the method {message.method}"
    if message.kind == "command":
        allowed = TO_CLIENT if to == "client" else TO_PEER
        if message.method not in allowed[protocol]:
            return f"{message.method} to a {to} of {protocol}"
        return header_fault(message, rule.headers, rule.payload) or command_fault(message, to)
    if message.kind == "ok":
        return header_fault(message, rule.ok, rule.ok_payload)
    return error_fault(message, rule)


def general_fault(name, raw):
    """COMMON-10-20: what no header's value may have."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"{name}: not UTF-8"
    for part in re.split(r"\r\n[ \t]+", text):
        bad = [char for char in part if not (char in " \t" or "!" <= char <= "~" or char >= "\xa0")]
        if bad:
            return f"{name}: the characters {bad}"
    return None


def value_fault(message, name, pattern=None):
    """A header that we build: one space, the value, nothing else (2.4)."""
    pattern = pattern or PATTERNS[name]
    for raw in message.raw(name):
        text = raw.decode("utf-8")
        value = text[1:] if text.startswith(" ") else text
        if not pattern.fullmatch(value) or (value == "") != (text == "") or value != value.strip(" \t"):
            return f"{name}:{text!r}"
    return None


def header_fault(message, headers, payload):
    """Which headers of its own a message has, how often, with what values; and its payload."""
    for item in [*headers, "Astrength?", "Content-Type?", "Content-Length?", "Error-Originator?"]:
        name = item.rstrip("?*")
        count = len(message.raw(name))
        if count == 0 and item == name:
            return f"{message.method} without {name}"
        if count > 1 and not item.endswith("*"):
            return f"{message.method} with {count} {name}"
        as_subscription = name == "Watcher" and message.method == "unsubscribe-notify"
        wrong = value_fault(message, name, SUBSCRIPTION_SYNTAX if as_subscription else None)
        if wrong:
            return wrong
    if payload == "no" and message.payload is not None:
        return f"{message.kind} of {message.method} with a payload (COMMON-10-13)"
    if payload == "must" and message.payload is None:
        return f"{message.kind} of {message.method} without a payload"
    if message.kind != "error" and message.raw("Error-Originator"):
        return "Error-Originator outside an error"
    return None


def command_fault(message, to):
    """Rules of single commands."""
    if message.method == "send" and not (message.raw("Visited") and message.raw("Astrength")):
        return "a relayed send without Visited or Astrength (IMTP-16.2-2, COMMON-11.4-1)"
    if message.method in ("change-notify", "terminate-notify") and to == "client":
        if not message.get("Subscription").startswith("/"):
            return "a connection-id told to the watcher's client (PITP-11.7-6)"
    if message.method == "unsubscribe-notify" and message.raw("Watcher") != message.raw("Subscription"):
        return "Watcher and Subscription differ (TOC-87)"
    return None


def error_fault(message, rule):
    """COMMON-12-1, the table of 3.5, and what comes with an error of our next hop."""
    if message.error != "sasl-challenge" and message.payload is not None:
        return "an error with a payload"
    if message.error == "sasl-challenge" and message.payload is None:
        return "a challenge without a payload (COMMON-14.1-13)"
    wrong = header_fault(message, ["Error-Type", "Error-Description?"], "may")
    if wrong:
        return wrong
    if message.raw("Error-Originator"):
        return None if message.raw("Astrength") else "a relayed error without Astrength (COMMON-11.4-1)"
    if message.error not in rule.errors:
        return f"{message.error} is no answer to {message.method} (3.5)"
    description = message.get("Error-Description", "")
    if len(description) > 200 or not description.isascii():
        return f"Error-Description: {description!r} (TOC-44)"
    return None
