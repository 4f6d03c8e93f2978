"""Checks of login, connect and logout (part 5 of the catalogue)."""

import base64
import hashlib

from house import loopback
from simp_client import Refused, Session, authorization, flat
from stage import check, closed_in_order, equal, refused


@check("SIMP-7.1-1 SIMP-7.1-2 SIMP-7.1-4 SIMP-7.1-5 SIMP-7.1-6 SIMP-7.1-8 SIMP-7.2-1 SIMP-7.2-3 SIMP-7.2-5",
       "SIMP-2-1 SIMP-2.2-2 SIMP-3.1-1 SIMP-3.1-2 SIMP-3.1-3 OC-12")
def login_by_md5_digest(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    equal(challenge["algorithm"], "MD5", "the algorithm offered to a stock client (OC-12)")
    equal((challenge["min version"], challenge["max version"]), ("1.0", "1.0"), "versions (SIMP-7.1-8)")
    session = scene.keep(Session.answer_challenge(challenge, alice.ima, alice.user, alice.key))
    equal(session.profile, session.get_profile(), "the profile in self")


@check("OC-11")
def login_with_the_whole_address(scene):
    alice = scene.person("alice")
    session = scene.keep(Session.log_in(scene.house.routing, alice.ima, alice.key, user=alice.ima))
    session.inquire()


@check("OC-09")
def login_ignores_the_case_of_our_own_users(scene):
    alice = scene.person("alice")
    session = scene.keep(Session.log_in(scene.house.routing, alice.ima, alice.key, user=alice.user.upper()))
    session.inquire()


@check("OC-16 SIMP-7.1-7")
def challenges_never_repeat(scene):
    alice, routing = scene.person("alice"), scene.routing()
    challenges = [routing.login(alice.user) for _ in range(20)]
    for key in ("nonce", "opaque"):
        values = {challenge[key] for challenge in challenges}
        equal(len(values), 20, f"different values of {key}")
        assert min(map(len, values)) >= 22, f"a {key} of less than 128 bits: {min(values, key=len)}"


def connect(scene, challenge, **entries):
    """Opens N, puts one connect, and returns the reply and the connection."""
    place = (challenge["host"], int(challenge["port"]))
    connection = scene.connection(place)
    return connection.call("connect", **entries), connection


def refused_connect(scene, challenge, **entries):
    """The same; it must be refused and the connection ended (OC-17)."""
    entries = {"opaque": challenge["opaque"], "version": "1.0", **entries}
    reply, connection = connect(scene, challenge, **entries)
    equal(reply["action"], "error", "the answer to connect")
    closed_in_order(connection)
    return reply


@check("SIMP-7.2-6 OC-17 SIMP-2.1-4")
def wrong_digest_is_refused(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    wrong = authorization(alice.user, "wrong", challenge["nonce"])
    refused_connect(scene, challenge, authorization=wrong)
    refused(scene.enter("bob").send, alice.ima, "not logged in")


@check("OC-15")
def unknown_user_is_like_a_wrong_password(scene):
    known = scene.person("alice").user
    unknown = "x" * len(known)
    shapes, texts = {}, set()
    for user in (known, unknown, "notifier"):
        challenge = scene.routing(source=loopback()).login(user)
        shapes[user] = sorted((key, len(value)) for key, value in flat(challenge).items())
        wrong = authorization(user, "wrong", challenge["nonce"])
        texts.add(refused_connect(scene, challenge, authorization=wrong)["message"])
    equal(shapes[unknown], shapes[known], "the shape of the challenge")
    equal(len(texts), 1, "texts of refusals")


@check("OC-15")
def login_of_a_foreign_domain_is_refused(scene):
    routing = scene.routing()
    refused(routing.login, "alice@elsewhere.example")
    routing.login(scene.person("alice").user)


@check("SIMP-4.2.2-1 SIMP-7.1-3 OC-71")
def login_without_user_is_malformed(scene):
    routing = scene.routing()
    equal(routing.connection.call("login")["action"], "error")
    routing.login(scene.person("alice").user)


@check("OC-16")
def a_challenge_serves_once(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    right = authorization(alice.user, alice.key, challenge["nonce"])
    scene.keep(Session.answer_challenge(challenge, alice.ima, alice.user, alice.key))
    refused_connect(scene, challenge, authorization=right)


@check("OC-16")
def a_failed_connect_uses_up_the_challenge(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    refused_connect(scene, challenge, authorization=authorization(alice.user, "wrong", challenge["nonce"]))
    refused_connect(scene, challenge, authorization=authorization(alice.user, alice.key, challenge["nonce"]))


@check("OC-16 SIMP-7.2-3")
def an_invented_opaque_is_refused(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    right = authorization(alice.user, alice.key, challenge["nonce"])
    refused_connect(scene, challenge, authorization=right, opaque="invented")


@check("OC-13")
def other_forms_of_the_digest_are_refused(scene):
    alice = scene.person("alice")
    forms = {
        "hex": lambda raw: raw.hex(),
        "Base64 of hex": lambda raw: base64.b64encode(raw.hex().encode()).decode(),
        "no padding": lambda raw: base64.b64encode(raw).decode().rstrip("="),
        "a line break": lambda raw: base64.b64encode(raw).decode() + "\n",
        "empty": lambda raw: "",
        "not Base64": lambda raw: "*" * 24,
    }
    for form in forms.values():
        challenge = scene.routing().login(alice.user)
        raw = hashlib.md5(f"{alice.user}:{alice.key}:{challenge['nonce']}".encode()).digest()
        refused_connect(scene, challenge, authorization=form(raw))


@check("OC-14")
def the_account_password_opens_no_digest_login(scene):
    ima = f"dora{id(scene)}@{scene.house.domain}"
    scene.house.add_account(ima, "the account's own")
    challenge = scene.routing().login(ima)
    refused_connect(scene, challenge, authorization=authorization(ima, "the account's own", challenge["nonce"]))


@check("OC-14")
def each_device_key_opens_until_it_is_deleted(scene):
    alice = scene.person("alice")
    key = scene.house.new_key(alice.ima, "phone")
    for secret in (alice.key, key):
        scene.keep(Session.log_in(scene.house.routing, alice.ima, secret))
    scene.house.run("user", "key", "del", alice.ima, "phone")
    try:
        Session.log_in(scene.house.routing, alice.ima, key, source=loopback())
    except Refused:
        return
    raise AssertionError("a deleted key logs in")


@check("OC-18 SIMP-4.2.1.8-1 SIMP-4.2.1.8-2")
def other_versions_are_refused(scene):
    alice = scene.person("alice")
    for version in ("0.9", "1.1", "1.10", "2.0", "1", "01.0", "1.00", "1.0.0", "1.-1", "", " 1.0"):
        challenge = scene.routing().login(alice.user)
        right = authorization(alice.user, alice.key, challenge["nonce"])
        refused_connect(scene, challenge, authorization=right, version=version)


@check("SIMP-7.2-2 SIMP-7-1 OC-17")
def first_command_on_n_is_connect(scene):
    alice = scene.person("alice")
    commands = [
        {"action": "get profile"},
        {"action": "login", "user": alice.user},
        {"action": "inquire", "to": alice.ima, "from": alice.ima},
        {"action": "connect"},
        {"action": "no such request"},
    ]
    for command in commands:
        connection = scene.connection(scene.house.notification)
        equal(connection.request(command).reply()["action"], "error", command["action"])
        closed_in_order(connection)


@check("OC-17")
def a_second_connect_changes_nothing(scene):
    alice = scene.person("alice")
    session = scene.enter("alice")
    challenge = scene.routing().login(alice.user)
    right = authorization(alice.user, alice.key, challenge["nonce"])
    reply = session.connection.call("connect", authorization=right, opaque=challenge["opaque"], version="1.0")
    equal(reply["action"], "error", "a second connect")
    session.send(alice.ima, "still here")
    session.expect("send", body="still here")


@check("SIMP-2-2")
def n_is_also_taken_on_the_routing_port(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user)
    challenge["port"] = str(scene.house.routing[1])
    session = scene.keep(Session.answer_challenge(challenge, alice.ima, alice.user, alice.key))
    session.send(alice.ima, "over the routing port")
    session.expect("send", body="over the routing port")


@check("OC-20 SIMP-4.1-1")
def commands_of_n_are_refused_on_r(scene):
    routing = scene.routing()
    for action in ("get profile", "set profile", "get acl", "set acl"):
        equal(routing.connection.call(action)["action"], "error", action)
    equal(routing.connection.call("drop subscription", subscriber="a@b.example")["action"], "error")
    routing.login(scene.person("alice").user)


@check("OC-20 SIMP-4.1-1")
def commands_of_others_are_refused_on_n(scene):
    alice = scene.enter("alice")
    equal(alice.connection.call("login", user="alice")["action"], "error", "login")
    presence = {"regarding": alice.ima, "status": "online", "message": ""}
    for action in ("note change", "note subscription end"):
        reply = alice.connection.call(action, to=alice.ima, from_=f"notifier@{scene.house.domain}", **presence)
        equal(reply["action"], "error", action)
    for action in ("note subscription", "note subscription lapse"):
        alice.connection.post({"action": action, "subscriber": alice.ima})
    alice.nothing()


@check("SIMP-2.1-1 SIMP-7.3-1 SIMP-3.5-4 OC-29")
def logout_is_the_end_of_n(scene):
    bob = scene.enter("bob")
    for leave in ("end", "abort"):
        alice = scene.enter("alice")
        bob.subscribe(alice.ima)
        equal(bob.fetch(alice.ima)["status"], "online")
        getattr(alice.connection, leave)()
        change = bob.expect("note change", status="offline", regarding=alice.ima)
        assert "online" not in change, f"a date of connecting for one who is offline: {change}"
        if leave == "end":
            closed_in_order(alice.connection)


@check("SIMP-7.1-5 OC-12")
def the_algorithms_extension_is_honoured(scene):
    alice = scene.person("alice")
    challenge = scene.routing().login(alice.user, algorithms="SHA-256 MD5")
    equal(challenge["algorithm"].upper(), "SHA-256", "the stronger of those offered")
    scene.keep(Session.answer_challenge(challenge, alice.ima, alice.user, alice.key))
    challenge = scene.routing().login("nobody-of-that-name", algorithms="SHA-256 MD5")
    equal(challenge["algorithm"].upper(), "SHA-256", "the same for one who does not exist")


@check("OC-14")
def the_account_password_serves_on_loopback_in_plain(scene):
    ima = f"erin{id(scene)}@{scene.house.domain}"
    scene.house.add_account(ima, "the account's own")
    for password, right in (("the account's own", True), ("another", False)):
        challenge = scene.routing().login(ima, algorithms="PLAIN")
        equal(challenge["algorithm"].upper(), "PLAIN", "the one that was offered")
        plain = base64.b64encode(f"{ima}:{password}:{challenge['nonce']}".encode()).decode()
        entries = {"authorization": plain, "opaque": challenge["opaque"], "version": "1.0"}
        if right:
            equal(connect(scene, challenge, **entries)[0]["action"], "self")
        else:
            refused_connect(scene, challenge, **entries)


@check("OC-15")
def a_locked_user_is_like_an_unknown_one(scene):
    alice = scene.person("alice")
    scene.house.run("user", "lock", alice.ima)
    challenge = scene.routing().login(alice.user)
    refused_connect(scene, challenge, authorization=authorization(alice.user, alice.key, challenge["nonce"]))
    scene.house.run("user", "unlock", alice.ima)
    scene.enter("alice").inquire()
