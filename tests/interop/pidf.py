"""A strict reader of PIDF-00 presence documents, with the corrections and the worked examples of the catalogue's
part 9: what the server makes by itself must be readable by it.
"""

import re

SPACE = re.compile(r"[ \t\r\n]*")
NAME = re.compile(r"[A-Za-z][A-Za-z0-9:-]*")
# In a subtree an unquoted "}" ends the value (P3); a value that begins with a quote is quoted (P2).
BARE = r"[!-\[\]-z|~\x80-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff{}]+"
INSIDE = re.compile(BARE.replace("{}", ""))
OUTSIDE = re.compile(BARE.replace("{}", "}"))
QUOTED = re.compile(r'"((?:[^"\\]|\\["\\])*)"')


class IllFormed(Exception):
    """The text is no document."""


class Variable:
    """A definition: a name, a value if there is one, and the definitions of its subtree."""

    def __init__(self, name, value, subtree):
        self.name, self.value, self.subtree = name, value, subtree


class _Reading:
    def __init__(self, text):
        self.text, self.at = text, 0

    def space(self):
        self.at = SPACE.match(self.text, self.at).end()

    def take(self, pattern):
        found = pattern.match(self.text, self.at)
        if found:
            self.at = found.end()
        return found

    def here(self, octet):
        return self.text.startswith(octet, self.at)

    def definitions(self, inside):
        found = []
        self.space()
        while self.at < len(self.text) and not (inside and self.here("}")):
            found.append(self.definition(inside))
        return found

    def definition(self, inside):
        name = self.take(NAME)
        if name is None:
            raise IllFormed(f"no name at {self.at}")
        self.space()
        if not self.here("="):
            raise IllFormed(f"no = at {self.at}")
        self.at += 1
        self.space()
        value = self.value(inside)
        self.space()
        subtree = None
        if self.here("{"):
            self.at += 1
            subtree = self.definitions(True)
            if not self.here("}"):
                raise IllFormed("a brace is not closed")
            self.at += 1
            self.space()
        return Variable(name[0], value, subtree or [])

    def value(self, inside):
        if self.here('"'):
            quoted = self.take(QUOTED)
            if quoted is None:
                raise IllFormed(f"a quote at {self.at}")
            return re.sub(r"\\(.)", r"\1", quoted[1])
        start = self.at
        run = self.take(INSIDE if inside else OUTSIDE)
        if run is None:
            if self.at < len(self.text) and not self.here("{") and not (inside and self.here("}")):
                raise IllFormed(f"the character {self.text[self.at]!r}")
            return ""
        after = self.at
        self.space()
        if self.here("=") and NAME.fullmatch(run[0]):
            self.at = start  # the value was empty, the run is the next name (P4)
            return ""
        self.at = after
        return run[0]


def read(text):
    """The definitions of a document, or `IllFormed`."""
    reading = _Reading(text)
    found = reading.definitions(False)
    if reading.at != len(text):
        raise IllFormed(f"more at {reading.at}")
    return found


def first(definitions, name):
    """The value that counts of a variable that is not repeatable."""
    return next((one.value for one in definitions if one.name == name), None)


def told(definitions):
    """The presentity, and the contacts: (URL, status, preference) each."""
    contacts = []
    for one in definitions:
        if one.name == "contact":
            status, preference = first(one.subtree, "status"), first(one.subtree, "preference")
            status = status if status in ("open", "closed", "deferred") else None
            number = int(preference) if preference and re.fullmatch("[0-9]+", preference) else None
            contacts.append((one.value, status, number if number is not None and number < 2**32 else None))
    return first(definitions, "presentity"), contacts


def contacts(text):
    """URL to status of a document."""
    return {url: status for url, status, _ in told(read(text))[1]}


E1 = """presentity = presence:joe@example.net
date = "Thu, 30 Mar 2000 09:59:34 -0500"
contact = mailto:joe@example.net
contact = im:joe@example.net {
  status = deferred
  preference = 1
}
"""
E2 = """presentity = presence:a@example.net
mood = { tune = loud contact = im:not-me@example.net }
presentity = presence:b@example.net
Status = open
contact = im:a@example.net { status = open status = closed preference = 4294967296 }
"""
E3 = r"""note-to-self="say \"hi\" to a\\b {now}"
contact = "im:\"Jane Smith\"@domain.com"{status=open}
empty = ""
also-empty =
date = "30 mar 2000 14:37:41 +0200"
"""
E4 = """foo:early = ignored
namespace:foo = http://example.net/ns/one
foo:geoloc = "12.3N 18.6W"
contact = im:a@example.net {
  foo:device = pager
  namespace:foo = http://example.net/ns/inner
}
bar:icon = ignored
contact = mailto:a@example.net { foo:device = desk }
"""

EXAMPLES = (
    (E1, ("presence:joe@example.net", [("mailto:joe@example.net", None, None), ("im:joe@example.net", "deferred", 1)])),
    (E2, ("presence:a@example.net", [("im:a@example.net", "open", None)])),
    (E3, (None, [('im:"Jane Smith"@domain.com', "open", None)])),
    (E4, (None, [("im:a@example.net", None, None), ("mailto:a@example.net", None, None)])),
    ("", (None, [])),
)
ILL_FORMED = ("1st = x", "a b = c", 'a = "open', "a = { b = c", 'a = "x\\n"', "a = x\\y")
