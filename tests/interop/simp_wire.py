"""SIMP 1.0 on the wire: an incremental reader of streams, a writer, and the patterns of all commands.

A properties object is a plain dict of str to str.  The reader is as strict as the grammar, so that
whatever a server writes is checked against it; the patterns say which keys an action needs and of
which type they are.
"""

import re
from xml.parsers import expat

HEADER = b'<?xml version="1.0"?>\n<stream>\n'
FOOTER = b"</stream>\n"


class StreamError(Exception):
    """The peer's stream is not what SIMP 1.0 allows."""


def escape(text):
    """Text as it stands in an element or in a double-quoted attribute."""
    for raw, written in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("\r", "&#13;")):
        text = text.replace(raw, written)
    return text


def escape_key(text):
    """Text as it stands in an attribute, where a raw tab or line feed would read as a space."""
    return escape(text).replace("\t", "&#9;").replace("\n", "&#10;")


def encode(entries):
    """The XML of a properties object; `entries` is a dict, or pairs where a test repeats a key."""
    pairs = entries.items() if isinstance(entries, dict) else entries
    inner = "".join(f'<entry key="{escape_key(key)}">{escape(value)}</entry>' for key, value in pairs)
    return f"<properties>{inner}</properties>\n".encode()


class StreamReader:
    """Reads one stream (SIMP-3.5-1) in pieces of any size and hands out each command as it ends."""

    def __init__(self):
        self.started = False
        self.ended = False
        self._unfed = b""
        self._path = []
        self._entries = {}
        self._key = ""
        self._text = []
        self._done = []
        self._parser = self._new_parser()

    def _new_parser(self):
        parser = expat.ParserCreate("UTF-8")
        parser.buffer_text = True
        if hasattr(parser, "SetReparseDeferralEnabled"):
            parser.SetReparseDeferralEnabled(False)
        parser.XmlDeclHandler = self._declaration
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = lambda *_: self._refuse("a DOCTYPE")
        parser.CommentHandler = lambda *_: self._refuse("a comment")
        parser.ProcessingInstructionHandler = lambda *_: self._refuse("a processing instruction")
        return parser

    def feed(self, data):
        """Takes octets; returns the commands that are complete now."""
        if self.ended:
            if data.strip():
                raise StreamError(f"octets after </stream>: {data[:80]!r}")
            return []
        # Some releases of expat put off an unfinished token, and with it what follows: none is handed in.
        data = self._unfed + data
        complete = data.rfind(b">") + 1
        self._unfed = data[complete:]
        try:
            self._parser.Parse(data[:complete], False)
        except expat.ExpatError as error:
            raise StreamError(f"not well-formed: {error}") from error
        if self.ended and self._unfed.strip():
            raise StreamError(f"octets after </stream>: {self._unfed[:80]!r}")
        done, self._done = self._done, []
        return done

    @staticmethod
    def _refuse(what):
        raise StreamError(f"{what} in the stream")

    def _declaration(self, version, encoding, _standalone):
        if version != "1.0":
            self._refuse(f"XML version {version}")
        if encoding is not None and encoding.upper() != "UTF-8":
            self._refuse(f"encoding {encoding}")
        self.started = True

    def _start(self, name, attributes):
        allowed = {0: "stream", 1: "properties", 2: "entry"}.get(len(self._path))
        if name != allowed or not self.started:
            self._refuse(f"<{name}> inside {'/'.join(self._path) or 'the document'}")
        if set(attributes) != ({"key"} if name == "entry" else set()):
            self._refuse(f"attributes {sorted(attributes)} on <{name}>")
        self._path.append(name)
        if name == "properties":
            self._entries = {}
        elif name == "entry":
            self._key, self._text = attributes["key"], []

    def _end(self, name):
        self._path.pop()
        if name == "entry":
            if self._key in self._entries:
                self._refuse(f"the key {self._key!r} twice")
            self._entries[self._key] = "".join(self._text)
        elif name == "properties":
            self._done.append(self._entries)
        else:
            self.ended = True

    def _characters(self, text):
        if len(self._path) == 3:
            self._text.append(text)
        elif text.strip():
            self._refuse(f"text {text[:40]!r} between elements")


def decode(text):
    """A properties object that stands as a value (a buddy list)."""
    entries, reader = {}, StreamReader()
    body = re.sub(r"^\s*<\?xml[^>]*\?>", "", text)
    for command in reader.feed(HEADER + body.encode()):
        entries.update(command)
    return entries


# --- Types (part 4 of the catalogue) -------------------------------------------------------------

def _integer(low, high):
    return lambda text: re.fullmatch(r"-?[0-9]+", text) is not None and low <= int(text) <= high


TYPES = {
    "string": lambda text: True,
    "ima": lambda text: re.fullmatch(r"[^\s@<>]+@[^\s@<>]+", text) is not None,
    "time": _integer(-2**63, 2**63 - 1),
    "date": _integer(0, 2**63 - 1),
    "port": _integer(1, 65535),
    "state": lambda text: text in ("online", "offline"),
    "mime": lambda text: re.match(r"[^\s/;]+/[^\s/;]+\s*(;|$)", text) is not None,
    "version": lambda text: re.fullmatch(r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)", text) is not None,
}

_PRESENCE = {"regarding": "ima", "status": "state", "online?": "date", "message": "string"}
_ADDRESSED = {"to": "ima", "from": "ima"}
_CHALLENGE = {"nonce": "string", "opaque": "string", "algorithm": "string", "host": "string", "port": "port"}
_MESSAGE = {"message": "string"}

# Every action, with the keys of its pattern; `?` marks those that may be absent (SIMP-4.2.2-1, -3).
PATTERNS = {
    "send": {**_ADDRESSED, "reply to?": "ima", "type": "mime", "body": "string"},
    "fetch": _ADDRESSED,
    "subscribe": {**_ADDRESSED, "duration": "time"},
    "unsubscribe": {**_ADDRESSED, "opaque": "string"},
    "inquire": _ADDRESSED,
    "note change": {**_ADDRESSED, **_PRESENCE},
    "note subscription end": {**_ADDRESSED, **_PRESENCE},
    "note subscription": {"subscriber": "ima"},
    "note subscription lapse": {"subscriber": "ima"},
    "divert": _CHALLENGE,
    "login": {"user": "string"},
    "connect": {"authorization": "string", "opaque": "string", "version": "version"},
    "get profile": {},
    "set profile": {},
    "get acl": {},
    "set acl": {},
    "drop subscription": {"subscriber": "ima"},
    "okay": _MESSAGE,
    "error": _MESSAGE,
    "describe": {**_PRESENCE, "duration?": "time", "opaque?": "string"},
    "challenge": {**_CHALLENGE, "min version": "version", "max version": "version"},
    "self": {},
}

# What may answer each request (part 3.1); a client may refuse what it does not know (SIMP-11-1).
REPLIES = {
    "send": ("okay", "error"),
    "fetch": ("describe", "error"),
    "subscribe": ("describe", "error"),
    "unsubscribe": ("okay", "error"),
    "inquire": ("okay", "error"),
    "note change": ("okay", "error"),
    "note subscription end": ("okay", "error"),
    "login": ("challenge", "error"),
    "connect": ("self", "error"),
    "get profile": ("self", "error"),
    "set profile": ("okay", "error"),
    "get acl": ("self", "error"),
    "set acl": ("okay", "error"),
    "drop subscription": ("okay", "error"),
}

ONE_WAY = ("note subscription", "note subscription lapse", "divert")


def fault(command):
    """What makes a command ill-formed (SIMP-4.2.2-1, SIMP-4.2.2-2), or None."""
    if "action" not in command:
        return "no action"
    if "request" in command and "response" in command:
        return "both request and response"
    pattern = PATTERNS.get(command["action"])
    if pattern is None:
        return None
    for key, kind in pattern.items():
        name = key.rstrip("?")
        if name not in command:
            if name == key:
                return f"no {name!r}"
        elif not TYPES[kind](command[name]):
            return f"{name!r} is not of type {kind}: {command[name]!r}"
    return None


def reply_fault(request, reply):
    """What makes a reply to that request wrong, or None."""
    asked = request.get("action")
    if reply.get("action") not in REPLIES.get(asked, ("error",)):
        return f"{reply.get('action')!r} answers {asked!r}"
    if asked == "subscribe" and reply["action"] == "describe":
        for key in ("duration", "opaque"):
            if key not in reply:
                return f"no {key!r} in the describe to subscribe"
    return fault(reply)
