"""Checks of the `auth` exchange (part 8) and of who may do what before and after it."""

import base64
import ssl

import imtp_wire as wire
from imtp_link import Link
from imtp_stage import DIRECT_TLS_PORT, DOMAIN, PASSWORD, check, closes, equal, refused
from sasl import Plain, Scram, attributes, end_point

BOTH = ("imtp", "pitp")
FIRST = "n,,n={},r=fyko+d2lbbFgONRv9qkxdawL"


def user(address):
    """The local part, which is the SASL user name (TOC-21)."""
    return address.split("@")[0]


def begin(link, mechanism, payload=None, **headers):
    """The first `auth` of an exchange."""
    return link.call("auth", payload, Mechanism=mechanism, **headers)


def challenge(reply):
    """The payload of a `sasl-challenge`."""
    equal(reply.error, "sasl-challenge")
    return reply.payload


@check("COMMON-6.4-1 COMMON-10-3 COMMON-10-5 TOC-18")
def what_is_offered(scene):
    """Design 4: SCRAM always, with binding where there is TLS; PLAIN on TLS or loopback; never ANONYMOUS.

    EXTERNAL in clear is for servers whose address speaks for them (design 7).
    """
    for protocol in BOTH:
        plain = scene.greeted(protocol).mechanisms()
        wanted = {"SCRAM-SHA-256", "PLAIN"}
        equal(wanted <= set(plain) <= wanted | {"EXTERNAL"}, True, f"in clear: {plain}")
        secure = scene.greeted(protocol, tls=True)
        names = secure.mechanisms()
        wanted = {"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "PLAIN"}
        equal(wanted <= set(names) <= wanted | {"EXTERNAL"}, True, f"on TLS: {names}")
        equal(secure.stream.alpn, protocol, "the protocol chosen by ALPN")
        equal(len(names), len(set(names)), "names")


@check("COMMON-6.4-1 TOC-1 TOC-8")
def a_listener_of_its_own_on_tls(scene):
    """It needs no ALPN; and what is named by ALPN must be what is spoken there."""
    place = (scene.house.address, DIRECT_TLS_PORT)
    for protocols in ((), ("imtp",)):
        context = ssl.create_default_context(cafile=scene.authority.certificate)
        context.set_alpn_protocols(list(protocols))
        link = scene.keep(Link.open(place, "imtp", tls=context, server_name=DOMAIN))
        link.authenticate(Plain(user(scene.person("alice")), PASSWORD))
        link.accepted("listen", Inbox=f"im:{scene.person('alice')}")


@check("COMMON-14.1-2 COMMON-14.1-7 COMMON-14.1-9 COMMON-14.1-10 COMMON-14.1-17 COMMON-14.1-18")
def every_mechanism_lets_a_user_in(scene):
    """The link itself checks that the second list is the next that is written, and the same."""
    for tls in (False, True):
        for mechanism in ("SCRAM-SHA-256", "PLAIN", *(("SCRAM-SHA-256-PLUS",) if tls else ())):
            scene.im("alice", tls=tls, mechanism=mechanism, listen=True)
            scene.presence("alice", tls=tls, mechanism=mechanism)
    name = user(scene.person("alice"))
    scene.im("alice", user=name.upper(), listen=True)


@check("COMMON-14.1-12 COMMON-14.1-13")
def exchanges_without_an_initial_response(scene):
    name = user(scene.person("alice"))
    link = scene.greeted()
    equal(challenge(begin(link, "PLAIN")), b"", "PLAIN's challenge")
    equal(link.call("auth", f"\0{name}\0{PASSWORD}").kind, "ok")
    link.mechanisms(1)
    link = scene.greeted()
    scram = Scram(name, PASSWORD)
    equal(challenge(begin(link, "SCRAM-SHA-256")), b"", "SCRAM's first challenge")
    reply = link.call("auth", scram.respond(challenge(link.call("auth", scram.first()))))
    equal(reply.kind, "ok")
    scram.finish(reply.payload)
    link.mechanisms(1)


@check("COMMON-10-15 COMMON-14.1-9")
def the_type_of_the_payload(scene):
    name = user(scene.person("alice"))
    link = scene.greeted()
    token = f"\0{name}\0{PASSWORD}"
    equal(begin(link, "PLAIN", token, Content_Type="text/plain").error, "malformed")
    equal(begin(link, "plain", token, Content_Type="Application/Octet-Stream").kind, "ok", "in lower case (G22)")
    link.mechanisms(1)


@check("COMMON-14.1-11 COMMON-14.1-14")
def scram_keeps_its_promises(scene):
    """RFC 5802, 7677: the nonce grows, the salt stays, the rounds are enough, the proof is needed."""
    name = user(scene.person("alice"))
    salts = set()
    for _ in range(2):
        link = scene.greeted()
        given = attributes(challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name))).decode())
        assert given["r"].startswith("fyko+d2lbbFgONRv9qkxdawL") and len(given["r"]) >= 24 + 16, given
        assert int(given["i"]) >= 4096, given
        salts.add(given["s"])
        bare = f"c=biws,r={given['r']}"
        equal(link.call("auth", f"{bare},p={base64.b64encode(bytes(32)).decode()}").error, "sasl-failure")
    equal(len(salts), 1, "salts")
    for wrong in ("", "n,,", "n,,n=,r=x", "n,,r=x", f"x,,n={name},r=x", f"n,,m=1,n={name},r=x", "n,,n=a\0b,r=x"):
        reply = begin(scene.greeted(), "SCRAM-SHA-256", wrong)
        assert reply.error in ("sasl-failure", "malformed"), f"{wrong!r}: {reply}"
    for last in ("c=biws,r={r}x,p=AAAA", "c=biws,r={r}", "r={r},p=AAAA", "c=eSws,r={r},p=AAAA", "p=", ""):
        link = scene.greeted()
        given = attributes(challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name))).decode())
        reply = link.call("auth", last.format(r=given["r"]))
        assert reply.error in ("sasl-failure", "malformed"), f"{last!r}: {reply}"


@check("TOC-18")
def channel_binding(scene):
    """RFC 5802 section 6, RFC 5929: the certificate that the client sees is proved; a downgrade is noticed."""
    address = scene.person("alice")
    name = user(address)
    link = scene.greeted(tls=True)
    binding = end_point(link.stream.certificate())
    link.authenticate(Scram(name, PASSWORD, binding=binding))
    other = bytes(byte ^ 1 for byte in binding)
    for scram in (
        Scram(name, PASSWORD, binding=other),
        Scram(name, PASSWORD, binding=binding, flag="p=tls-unique"),
        Scram(name, PASSWORD, flag="y"),
    ):
        refused("sasl-failure", scene.greeted(tls=True).authenticate, scram)
    scene.greeted().authenticate(Scram(name, PASSWORD, flag="y"))  # in clear nothing else was offered


@check("COMMON-14.1-14 TOC-24")
def wrong_passwords_and_unknown_users_look_alike(scene):
    name = user(scene.person("alice"))
    shapes = set()
    for who in (name, f"nobody-like-{name}"):
        link = scene.greeted()
        scram = Scram(who, "wrong")
        first = challenge(begin(link, "SCRAM-SHA-256", scram.first()))
        again = challenge(begin(scene.greeted(), "SCRAM-SHA-256", scram.first()))
        one, other = attributes(first.decode()), attributes(again.decode())
        equal((one["s"], one["i"]), (other["s"], other["i"]), "salt and rounds, asked twice")
        reply = link.call("auth", scram.respond(first))
        plain = begin(link, "PLAIN", f"\0{who}\0wrong")
        shapes.add((len(one["s"]), one["i"], str(reply.lines), str(plain.lines), reply.error, plain.error))
    equal(len(shapes), 1, f"answers {shapes}")
    equal(shapes.pop()[-2:], ("sasl-failure", "sasl-failure"))


@check("TOC-24")
def three_failures_close(scene):
    name = user(scene.person("alice"))
    link = scene.greeted()
    for _ in range(2):
        equal(begin(link, "PLAIN", f"\0{name}\0wrong").error, "sasl-failure")
    link.fence()
    equal(begin(link, "PLAIN", f"\0{name}\0wrong").error, "sasl-failure")
    closes(link)
    link = scene.greeted()
    for _ in range(2):
        equal(begin(link, "PLAIN", f"\0{name}\0wrong").error, "sasl-failure")
    link.authenticate(Plain(name, PASSWORD))


@check("TOC-24")
def a_locked_account(scene):
    address = scene.person("alice")
    scene.house.run("user", "lock", address)
    refused("sasl-failure", scene.greeted().authenticate, Scram(user(address), PASSWORD))
    refused("sasl-failure", scene.greeted().authenticate, Plain(user(address), PASSWORD))
    scene.house.run("user", "unlock", address)
    scene.im("alice")


@check("TOC-24")
def a_new_password(scene):
    address = scene.person("alice")
    scene.house.run("user", "passwd", address, "--password-stdin", input="another, longer\n")
    refused("sasl-failure", scene.greeted().authenticate, Scram(user(address), PASSWORD))
    scene.greeted().authenticate(Scram(user(address), "another, longer"))
    scene.greeted().authenticate(Plain(user(address), "another, longer"))


@check("TOC-21")
def nobody_acts_for_another(scene):
    """RFC 4422: an authorization identity that is not the user's own is refused."""
    alice, bob = scene.person("alice"), scene.person("bob")
    for other in (user(bob), bob, "presence:" + bob, "im:" + bob):
        refused("sasl-failure", scene.greeted().authenticate, Plain(user(alice), PASSWORD, authorize=other))
        refused("sasl-failure", scene.greeted().authenticate, Scram(user(alice), PASSWORD, authorize=other))


@check("COMMON-14.1-4 COMMON-14.1-5 COMMON-14.1-6 COMMON-14.1-10")
def giving_up(scene):
    name = user(scene.person("alice"))
    link = scene.greeted()
    for value in ("", "because"):
        challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name)))
        reply = link.call("auth", Abort=value)
        equal((reply.kind, reply.payload), ("ok", None))
    link.fence()
    equal(len(link.mechs), 1, "mechanism lists after an abort")
    link.authenticate(Scram(name, PASSWORD))


@check("COMMON-14.1-2 COMMON-14.1-3 COMMON-14.1-8 COMMON-12-16 COMMON-11.6-1")
def auth_out_of_step(scene):
    """The acceptor's machine of 8.1, state by state."""
    name = user(scene.person("alice"))
    link = scene.greeted()
    equal(link.call("auth").error, "malformed", "idle, no Mechanism")
    equal(link.call("auth", "x").error, "malformed", "idle, a response to nothing")
    for absent in ("ANONYMOUS", "CRAM-MD5", "SCRAM-SHA-1", "X" * 20):
        equal(begin(scene.greeted(), absent, "x").error, "sasl-failure", absent)
    for wrong in ("", "X" * 21, "a b", "a.b"):
        equal(begin(link, wrong, "x").error, "malformed", wrong)
    challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name)))
    equal(begin(link, "PLAIN", f"\0{name}\0{PASSWORD}").error, "malformed", "in exchange, Mechanism")
    equal(link.call("auth", "x").error, "malformed", "idle again")
    challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name)))
    equal(link.call("auth").error, "malformed", "in exchange, neither payload nor Abort")
    equal(link.call("auth", "x").error, "malformed", "idle again")
    equal(len(link.mechs), 1, "mechanism lists after failures")
    link.authenticate(Scram(name, PASSWORD))


@check("COMMON-14.1-15 TOC-22")
def nothing_but_auth_in_an_exchange(scene):
    name = user(scene.person("alice"))
    link = scene.greeted()
    challenge(begin(link, "SCRAM-SHA-256", FIRST.format(name)))
    link.raw(b"=nop\r\n")
    equal(link.call("listen", Inbox=f"im:{name}@{DOMAIN}").error, "malformed")
    closes(link)


@check("TOC-22")
def nothing_is_pipelined_behind_auth(scene):
    """What was sent before the ok is not obeyed: an attacker may have put it there."""
    alice = scene.im("alice", listen=True)
    bob = scene.person("bob")
    link = scene.keep(scene.greeted(), faults=False)
    first = wire.command("1", "auth", f"\0{user(bob)}\0{PASSWORD}", Mechanism="PLAIN")
    link.await_reply("auth", "1")
    link.raw(first + wire.command("2", "send", "too early", Sender=f"im:{bob}", Inbox=alice.url))
    closes(link)
    alice.nothing("send")
    equal(link.responses, [], "answers")


@check("TOC-23")
def one_identity_a_connection(scene):
    alice, bob = scene.im("alice", listen=True), scene.person("bob")
    equal(begin(alice.link, "PLAIN", f"\0{user(bob)}\0{PASSWORD}").error, "sasl-failure")
    equal(begin(alice.link, "PLAIN", f"\0{user(alice.address)}\0{PASSWORD}").error, "sasl-failure")
    alice.send(alice.address, "still alice")
    alice.expect("send", "still alice")


@check("COMMON-8.1-5 COMMON-12-12 TOC-20")
def before_authentication_nothing_is_done(scene):
    alice, ana = scene.im("alice", listen=True), scene.presence("alice")
    link = scene.greeted()
    equal(link.call("send", "x", Sender=alice.url, Inbox=alice.url).error, "source-authorization")
    equal(link.call("send", "x", Sender="im:x@example.net", Inbox=alice.url).error, "source-authorization")
    equal(link.call("listen", Inbox=alice.url).error, "source-authorization")
    equal(link.call("shutdown").error, "unknown-method")
    link = scene.greeted("pitp")
    for method, more in (
        ("change", {"Mapping": 1}), ("insert-mapping", {"Mapping": 1, "Wpattern": "*"}),
        ("delete-mapping", {"Mapping": 1}), ("get-class", {"Mapping": 1}), ("set-class", {"Mapping": 1}),
        ("fetch-for-update", {"Mapping": 1}),
        ("start-wi", {}), ("fetch", {"Watcher": ana.url}), ("subscribe", {"Subscription": f"/{ana.url}"}),
        ("unsubscribe", {"Subscription": f"/{ana.url}"}), ("terminate", {"Subscription": f"x/{ana.url}"}),
    ):
        equal(link.call(method, Presentity=ana.url, **more).error, "source-authorization", method)
    alice.nothing("send")


@check("COMMON-6.4-1 TOC-20")
def the_initiator_need_not_wait_for_the_list(scene):
    link = scene.link()
    equal(begin(link, "PLAIN", f"\0{user(scene.person('alice'))}\0{PASSWORD}").kind, "ok")
    link.mechanisms(1)


@check("TOC-32 COMMON-12-10")
def a_payload_of_auth_beyond_its_limit(scene):
    link = scene.greeted()
    equal(begin(link, "PLAIN", b"x" * 20_000).error, "resources")
    link.fence()


@check("COMMON-8.1-4 COMMON-8.1-5 IMTP-12-1 IMTP-12-2 TOC-21 TOC-26 TOC-59")
def clients_speak_only_for_themselves(scene):
    alice, bob = scene.im("alice", listen=True), scene.im("bob", listen=True)
    foreign = f"im:{user(alice.address)}@example.net"
    for source in (bob.url, "im:x@example.net", foreign, "zephyr:bob", f"im:x@{DOMAIN}"):
        equal(alice.message(bob.address, "forged", sender=source).reply().error, "source-authorization", source)
        refused("source-authorization", alice.listen, source)
    presence = alice.url.replace("im:", "presence:")
    equal(alice.message(bob.address, "x", sender=presence).reply().error in ("source-authorization", "malformed"), True)
    alice.send(bob.address, "as himself", sender=f"im:{user(alice.address).upper()}@{DOMAIN.upper()}")
    bob.expect("send", "as himself")
    bob.nothing("send")
