"""A PITP client, written from the catalogue alone."""

from imtp_client import Client


def presence(who):
    """An identifier with its scheme."""
    return who if ":" in who or who == "*" else f"presence:{who}"


class PitpClient(Client):
    """A presentity and a watcher."""

    protocol = "pitp"
    scheme = "presence"

    # --- The store ---

    def _mapping(self, method, number, payload=None, **headers):
        return self.link.accepted(method, payload, Presentity=self.url, Mapping=number, **headers)

    def change(self, number, document=None, **headers):
        """Sets or removes the presence information of a mapping."""
        return self._mapping("change", number, document, **headers)

    def insert(self, number, patterns=(), document=None, **headers):
        """A new mapping."""
        return self._mapping("insert-mapping", number, document, Wpattern=list(patterns), **headers)

    def delete(self, number):
        """Removes a mapping."""
        return self._mapping("delete-mapping", number)

    def set_class(self, number, patterns=()):
        """Replaces the patterns of a mapping."""
        return self._mapping("set-class", number, Wpattern=list(patterns))

    def get_class(self, number):
        """The patterns of a mapping."""
        return self._mapping("get-class", number).all("Wpattern")

    def fetch_for_update(self, number):
        """The presence information of a mapping, or None; arms the guard of 5.5."""
        return self._mapping("fetch-for-update", number).payload

    def store(self):
        """The whole list: (patterns, document) of each mapping; a client can but probe (3.7)."""
        found = []
        while True:
            number = len(found) + 1
            reply = self.link.call("get-class", Presentity=self.url, Mapping=number)
            if reply.kind == "error":
                assert reply.error == "mapping-range", reply
                return found
            found.append((reply.all("Wpattern"), self.fetch_for_update(number)))

    def load(self, mappings):
        """Appends mappings: (patterns, document) each."""
        start = len(self.store())
        pending = [
            self.link.request(
                "insert-mapping", document, Presentity=self.url, Mapping=start + number, Wpattern=list(patterns)
            )
            for number, (patterns, document) in enumerate(mappings, 1)
        ]
        for one in pending:
            one.accepted()

    # --- Watching ---

    def fetch(self, whom, **headers):
        """Somebody's presence as we may see it."""
        return self.link.accepted("fetch", Watcher=self.url, Presentity=presence(whom), **headers)

    def subscribe(self, whom, **headers):
        """The same, and its changes from now on."""
        return self.link.accepted(
            "subscribe", Subscription=f"/{self.url}", Presentity=presence(whom), **headers
        )

    def unsubscribe(self, whom):
        """Ends that."""
        return self.link.accepted("unsubscribe", Subscription=f"/{self.url}", Presentity=presence(whom))

    # --- Watching the watchers ---

    def start_wi(self):
        """Asks for watcher information; the subscriptions there are, as `id/url`."""
        return self.link.accepted("start-wi", Presentity=self.url).all("Subscription")

    def terminate(self, subscription):
        """Ends a subscription to us, named as watcher information names it."""
        return self.link.accepted("terminate", Presentity=self.url, Subscription=subscription)
