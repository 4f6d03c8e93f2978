"""Checks of the presence store (5.4, 5.5): the list of mappings, its edits, its guard, its documents."""

from collections import Counter

import pidf
from imtp_stage import DOMAIN, check, equal, refused

READS = ("get-class", "fetch-for-update")
# Documents for the worked list; other types are stored unread (TOC-93).
PI = {number: f"contact = im:p{number}@example.org {{ status = open }}\r\n".encode() for number in range(1, 6)}
WORKED = (
    (["presence:fred@example.net"], PI[1]),
    (["presence:harry@domain.com", "presence:alice@domain.com"], None),
    (["presence:*@example.net"], PI[2]),
    (["presence:*"], PI[3]),
    (["*"], PI[4]),
)


def edit(client, method, number, payload=None, **headers):
    """The answer to a method with a mapping, whatever it is."""
    return client.link.call(method, payload, Presentity=client.url, Mapping=number, **headers)


@check(
    "PITP-5-2 PITP-15.8-1 PITP-15.8-2 PITP-15.8-3 PITP-15.8-4 PITP-15.3-2 PITP-15.7-1 PITP-15.7-2 PITP-11.3-1",
    "PITP-15.9-2 PITP-15.9-3",
)
def the_list_and_its_edits(scene):
    alice = scene.presence("alice")
    equal(alice.store(), [], "a new account's list")
    alice.load(WORKED)
    equal(alice.store(), [(patterns, document) for patterns, document in WORKED])
    alice.insert(2, ["im:*", "zephyr:*", "presence:*@*.example.net", "presence:*@*.example.net"], b"")
    equal(alice.get_class(2), ["im:*", "zephyr:*", "presence:*@*.example.net", "presence:*@*.example.net"])
    equal((alice.fetch_for_update(2), alice.fetch_for_update(3)), (b"", None), "an empty document, and none (2.5)")
    alice.change(3, PI[5])
    alice.change(2, None)
    alice.set_class(2, [])
    equal(alice.store()[1:3], [([], None), (WORKED[1][0], PI[5])])
    alice.delete(2)
    alice.change(2, None)
    equal(alice.store(), list(WORKED))
    for _ in WORKED:
        alice.delete(1)
    equal(alice.store(), [])


@check("PITP-15.1-6 PITP-15.3-4 PITP-15.5-4 PITP-15.7-3 PITP-15.8-6 PITP-15.9-5")
def numbers_out_of_range(scene):
    alice = scene.presence("alice")
    huge = ("9" * 19, "18446744073709551616", "4294967296", "9" * 100)
    for count in (0, 2):
        for method in ("change", "delete-mapping", "set-class", *READS):
            for number in (count + 1, count + 2, *huge):
                equal(edit(alice, method, number).error, "mapping-range", f"{method} {number} of {count}")
        for number in (count + 2, *huge):
            equal(edit(alice, "insert-mapping", number).error, "mapping-range", f"insert {number} of {count}")
        equal(len(alice.store()), count)
        if not count:
            alice.load([([], None), (["*"], b"")])


@check("PITP-9-1 PITP-11.5-1 PITP-15.3-1 PITP-15.9-1 COMMON-12-8 TOC-40 TOC-53")
def headers_of_edits_that_are_malformed(scene):
    alice = scene.presence("alice")
    alice.insert(1, ["*"], PI[1])
    for number in ("", "0", "01", "+1", "-1", "1.0", "one", "1 1", "\u0661", None):
        for method in ("change", "delete-mapping", "set-class", "insert-mapping", *READS):
            equal(edit(alice, method, number).error, "malformed", f"{method} with Mapping {number!r}")
    for pattern in ("", "presence:*@", "presence:fred@*.d", "presence:fred@*", "*:fred@d", "presence:*@*", "a b@d"):
        for method in ("insert-mapping", "set-class"):
            equal(edit(alice, method, 1, Wpattern=["*", pattern]).error, "malformed", f"{method} {pattern!r}")
    for method in ("delete-mapping", "set-class", *READS):
        equal(edit(alice, method, 1, "x = y").error, "malformed", f"{method} with a payload (COMMON-10-13)")
    for method in ("change", "delete-mapping", "get-class", "start-wi"):
        for presentity in (None, "", "presence:a b@d", f"presence:@{DOMAIN}"):
            reply = alice.link.call(method, Mapping=1, Presentity=presentity)
            equal(reply.error, "malformed", f"{method} of {presentity!r}")
    equal(alice.store(), [(["*"], PI[1])])
    alice.set_class(1, ["fred@example.net", "PRESENCE:*@Example.NET", "presence:fr*@d", 'presence:"*"@d', "zephyr:bob"])
    got = [pattern.replace("PRESENCE:", "presence:") for pattern in alice.get_class(1)]
    equal([pattern if ":" in pattern else f"presence:{pattern}" for pattern in got], [
        "presence:fred@example.net", "presence:*@Example.NET", "presence:fr*@d", 'presence:"*"@d', "zephyr:bob",
    ])


@check("PITP-10-1 PITP-15.5-1 PITP-15.5-2 COMMON-10-2 PIDF-4-1 PIDF-4-8 TOC-72 TOC-93 TOC-94 TOC-95")
def documents_are_kept_octet_for_octet(scene):
    alice = scene.presence("alice")
    alice.insert(1, ["*"])
    texts = [text.replace("\n", "\r\n") for text, _ in pidf.EXAMPLES] + [text for text, _ in pidf.EXAMPLES]
    for text in (*texts, "presentity = presence:somebody@else.example", "unknown = { a = b }", "a=b"):
        for kind in (None, "application/presence", "Application/Presence; charset=us-ascii"):
            alice.change(1, text, Content_Type=kind)
            reply = edit(alice, "fetch-for-update", 1)
            told = reply["Content-Type"]
            assert reply.text == text and (told == kind or {told, kind} == {None, "application/presence"}), reply
    for kind in ("multipart/signed; boundary=x", "text/plain", "application/presence; charset=utf-16"):
        alice.change(1, b"\0\xff{{{", Content_Type=kind)
        reply = edit(alice, "fetch-for-update", 1)
        equal((reply.payload, reply["Content-Type"]), (b"\0\xff{{{", kind))
        reply = alice.fetch(alice.address)
        equal((reply.payload, reply["Content-Type"]), (b"\0\xff{{{", kind))


@check("PIDF-4-3 PIDF-4-5 PIDF-4-6 PIDF-4-7 TOC-93")
def documents_that_are_ill_formed(scene):
    alice = scene.presence("alice")
    alice.insert(1, ["*"], PI[1])
    for text in (*pidf.ILL_FORMED, "a", "= b", "a = b }}} {", b"\xff", b"a = \xff", b"a = \0", "{ a = b }", 'a = "\\'):
        for kind in (None, "application/presence"):
            for method in ("change", "insert-mapping"):
                equal(edit(alice, method, 1, text, Content_Type=kind).error, "malformed", f"{method} {text!r}")
    equal(edit(alice, "change", 1, "a = { " * 100_000).error in ("malformed", "quota"), True, "deep braces")
    equal(alice.store(), [(["*"], PI[1])], "an error leaves all as it was (PITP-15.1-4)")


@check("PITP-15.5-3 PITP-15.1-7 TOC-73")
def the_guard_of_an_update(scene):
    """5.5, both tables and the choices below them."""
    one, two = scene.presence("alice"), scene.presence("alice")
    one.load([([], PI[1]), ([], PI[2]), ([], PI[2])])
    equal(one.fetch_for_update(3), PI[2])
    two.change(3, PI[3])
    refused("update-race", one.change, 3, PI[4])
    equal(two.fetch_for_update(3), PI[3], "the store is as the other left it")
    one.change(3, PI[4])
    refused("update-race", two.change, 3, PI[5])

    one.fetch_for_update(2)
    two.delete(1)
    refused("update-race", one.change, 2, PI[5])
    equal(one.store(), [([], PI[2]), ([], PI[4])])

    def race(what, *others, own=(), number=1, error="update-race"):
        one.fetch_for_update(1)
        for method, *arguments in own:
            getattr(one, method)(*arguments)
        for method, *arguments in others:
            getattr(two, method)(*arguments)
        reply = edit(one, "change", number, PI[2])
        equal(reply.error or reply.kind, error or "ok", what)

    race("the same document", ("change", 1, PI[2]), error=None)
    race("there and back", ("change", 1, PI[1]), ("change", 1, PI[2]))
    race("removed", ("change", 1, None))
    one.change(1, PI[2])
    race("another mapping", ("change", 2, PI[1]), error=None)
    race("another's class", ("set_class", 1, ["*"]), error=None)
    race("another's insertion behind", ("insert", 3), ("delete", 3), error=None)
    race("another's insertion before", ("insert", 1), error="update-race")
    one.delete(1)
    race("our own insertion", own=[("insert", 1)], number=2, error=None)
    one.delete(1)
    race("another number", ("change", 1, PI[3]), number=2, error=None)
    refused("update-race", one.change, 1, PI[1])
    race("our own change spends it", ("change", 1, PI[5]), own=[("change", 1, PI[4])], error=None)
    race("a second look replaces it", own=[("fetch_for_update", 1)], error=None)
    one.change(1, PI[2])
    one.fetch_for_update(1)
    two.change(1, PI[1])
    one.fetch_for_update(1)
    one.change(1, PI[5])
    one.fetch_for_update(1)
    one.close()
    scene.presence("alice").change(1, PI[1])


@check("PITP-5-1 PITP-5-3 PITP-5-4 PITP-5-5 PITP-5-6 PITP-5-7 PITP-15.4-1 PITP-15.4-2 TOC-75 TOC-55 COMMON-12-14")
def what_watchers_at_home_see(scene):
    alice, bob, carol = (scene.presence(name) for name in ("alice", "bob", "carol"))
    alice.load([
        ([f"presence:{bob.address.upper()}"], PI[1]), ([carol.url], None), (["zephyr:*", "im:*"], PI[5]),
        ([f"presence:*@*.{DOMAIN}"], PI[5]), ([f"presence:*@{DOMAIN}"], PI[2]), (["*"], PI[3]),
    ])
    equal(bob.fetch(alice.address).payload, PI[1])
    refused("target-authorization", carol.fetch, alice.address)
    refused("target-authorization", carol.subscribe, alice.address)
    equal(scene.presence("dave").fetch(alice.address).payload, PI[2])
    equal(alice.fetch(alice.address).payload, PI[2], "a presentity is a watcher like others")
    alice.delete(5)
    equal(alice.fetch(alice.address).payload, PI[3])
    alice.delete(5)
    refused("target-authorization", alice.fetch, alice.address)
    alice.insert(1, [], PI[4])
    equal(bob.fetch(alice.address).payload, PI[1], "an empty class contains nobody")
    alice.change(2, b"")
    equal(bob.fetch(alice.address).payload, b"", "an empty document is one")
    name = alice.address.split("@")[0]
    equal(bob.fetch(f'presence:"{name.upper()}"@{DOMAIN.upper()}').payload, b"", "another spelling")


@check("COMMON-12-15 TOC-78 PITP-15.4-3 PITP-15.11-7")
def presentities_that_do_not_exist(scene):
    alice = scene.presence("alice")
    refused("target-not-found", alice.fetch, f"nobody-here@{DOMAIN}")
    refused("target-not-found", alice.subscribe, f"nobody-here@{DOMAIN}")
    for presentity in ("zephyr:bob", "pres:bob@example.net"):
        refused("target-not-found", alice.fetch, presentity)


@check("COMMON-8.1-4 COMMON-8.1-5 COMMON-12-12 PITP-4-2 PITP-12-1 PITP-12-2 PITP-12-3 PITP-12-4 TOC-21")
def a_client_edits_and_watches_as_itself(scene):
    alice, bob = scene.presence("alice"), scene.presence("bob")
    bob.insert(1, ["*"], PI[1])
    for url in (bob.url, f"presence:nobody-here@{DOMAIN}", "presence:x@example.net", "zephyr:bob"):
        for method, more in (
            ("change", {"Mapping": 1}), ("insert-mapping", {"Mapping": 1}), ("delete-mapping", {"Mapping": 1}),
            ("set-class", {"Mapping": 1}), ("get-class", {"Mapping": 1}), ("fetch-for-update", {"Mapping": 1}),
            ("start-wi", {}), ("terminate", {"Subscription": f"x/{alice.url}"}),
        ):
            equal(alice.link.call(method, Presentity=url, **more).error, "source-authorization", f"{method} of {url}")
        for method, header in (("fetch", "Watcher"), ("subscribe", "Subscription"), ("unsubscribe", "Subscription")):
            value = url if header == "Watcher" else f"/{url}"
            reply = alice.link.call(method, Presentity=bob.url, **{header: value})
            equal(reply.error, "source-authorization", f"{method} as {url}")
    equal(bob.store(), [(["*"], PI[1])])


@check("PIDF-5.1-1 PIDF-5.4-1 PIDF-5.4.1-1 TOC-70")
def an_account_without_mappings_shows_its_default_document(scene):
    """It tells whether he is there, to those whom the access list lets in: users of the same domain."""
    bob = scene.presence("bob")
    address = scene.person("alice")

    def shown():
        reply = bob.fetch(address)
        equal(reply.get("Content-Type", "application/presence"), "application/presence")
        presentity, contacts = pidf.told(pidf.read(reply.text))
        assert presentity in (None, f"presence:{address}"), reply
        return {url: status for url, status, _ in contacts}[f"im:{address}"]

    equal(shown(), "closed")
    alice = scene.im("alice", listen=True)
    equal(shown(), "open")
    alice.close()
    equal(shown(), "closed")


@check("TOC-34 COMMON-12-13")
def thousands_of_mappings_and_patterns(scene):
    alice = scene.presence("alice")
    headers = {"Presentity": alice.url, "Wpattern": "presence:*"}
    answers = []
    for _ in range(6):
        pending = [alice.link.request("insert-mapping", Mapping=1, **headers) for _ in range(50)]
        answers += [one.reply() for one in pending]
    equal(Counter(reply.error or reply.kind for reply in answers), {"ok": 256, "quota": 44})
    refused("mapping-range", alice.delete, 257)
    alice.delete(256)
    alice.insert(1, [f"presence:fred{number}@example.net" for number in range(120)], PI[1])
    equal(len(alice.get_class(1)), 120)


@check("TOC-74 COMMON-7-4")
def edits_take_effect_in_their_order(scene):
    alice = scene.presence("alice")
    for number in range(1, 21):
        alice.link.request("insert-mapping", f"n = {number}", Presentity=alice.url, Mapping=1, Wpattern=f"x:{number}")
    pending = [alice.link.request("delete-mapping", Presentity=alice.url, Mapping=1) for _ in range(10)]
    for one in pending:
        one.accepted()
    equal([document for _, document in alice.store()], [f"n = {number}".encode() for number in range(10, 0, -1)])
