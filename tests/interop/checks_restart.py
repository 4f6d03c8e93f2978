"""Checks of the end of a server and its next start: what its clients are told, and what stays."""

import os
import shutil
import tempfile

from house import House
from simp_client import Session
from stage import check, closed_in_order, equal, refused

OPERATIONS = "send fetch subscribe unsubscribe change end"


class Own:
    """A house of the check's own, which it may end."""

    def __init__(self, scene, settings="", directory=None):
        self.house = House(scene.house.binary, "restart.example", directory=directory)
        if directory is None:
            self.house.init()
        self.house.configure(settings)

    def __enter__(self):
        return self.house

    def __exit__(self, *_):
        self.house.remove()


@check("SIMP-3.5-4 OC-29 SIMP-6.2-3")
def an_orderly_end_closes_the_streams(scene):
    with Own(scene) as house:
        house.start()
        session = scene.keep(house.person("alice").log_in())
        assert house.stop() == 0, "the exit status"
        closed_in_order(session.connection)


@check("SIMP-3.7-1")
def after_an_orderly_end_the_database_is_one_file(scene):
    with Own(scene) as house:
        house.start()
        house.person("alice").log_in().close()
        house.stop()
        left = [name for name in os.listdir(house.directory) if name.startswith("hearth.db-")]
        equal(left, [], "what an operator who copies hearth.db would leave behind")


@check("SIMP-3.7-1 SIMP-15-3 SIMP-5.3-3 SIMP-6.3-3")
def what_was_set_outlives_any_end(scene):
    with Own(scene) as house:
        house.start()
        alice, bob = house.person("alice"), house.person("bob")
        for number, end in enumerate((house.stop, house.kill)):
            owner, watcher = alice.log_in(), bob.log_in()
            profile = {"message": f"run {number}", "hat": "red"}
            acl = {"@restart.example": OPERATIONS, f"u@{number}.example": ""}
            owner.set_profile(profile)
            owner.set_acl(acl)
            opaque = watcher.subscribe(alice.ima)["opaque"]
            watcher.subscribe(alice.ima)
            end()
            house.start()
            watcher = scene.keep(bob.log_in())
            owner = scene.keep(alice.log_in())
            equal((owner.profile, owner.get_acl()), (profile, acl))
            equal(owner.expect("note subscription")["subscriber"], bob.ima)
            watcher.expect("note change", regarding=alice.ima, status="online")
            watcher.unsubscribe(alice.ima, opaque)
            owner.set_profile({"message": "by the second subscription"})
            watcher.expect("note change", message="by the second subscription")
            owner.drop_subscription(bob.ima)
            owner.connection.close()
            watcher.connection.close()


@check("SIMP-5.3-6 SIMP-6.4-2")
def a_subscription_ends_in_time_though_the_server_fell(scene):
    with Own(scene) as house:
        house.start()
        alice, watcher = house.person("alice"), house.person("bob")
        opaque = scene.keep(watcher.log_in()).subscribe(alice.ima, 2000)["opaque"]
        house.kill()
        house.start()
        owner, bob = scene.keep(alice.log_in()), scene.keep(watcher.log_in())
        if owner.connection.inbox.seen("note subscription"):
            owner.expect("note subscription lapse")
        refused(bob.unsubscribe, alice.ima, opaque)
        owner.connection.close()
        owner = scene.keep(alice.log_in())
        owner.nothing("note subscription")


@check("SIMP-6.5-1 SIMP-6.5-2 SIMP-6.5-3 SIMP-6.5-4 SIMP-7.2-7 OC-54")
def clients_are_diverted_to_another_server(scene):
    copy = tempfile.mkdtemp(prefix="hearth-interop-")
    with Own(scene, directory=copy) as other:
        with Own(scene, f'[simp]\ndivert = "{other.address}:{other.notification[1]}"\n') as house:
            house.start()
            alice, bob = house.person("alice"), house.person("bob")
            house.run("backup", f"{copy}/hearth.db")
            shutil.copy(f"{house.directory}/hearth.key", copy)
            other.start()
            sessions = [scene.keep(person.log_in()) for person in (alice, bob)]
            house.process.terminate()
            diverts = [session.expect("divert") for session in sessions]
            equal((diverts[0]["host"], diverts[0]["port"]), (other.address, str(other.notification[1])))
            there = scene.keep(sessions[0].follow_divert(diverts[0]))
            there.send(there.ima, "arrived")
            there.expect("send", body="arrived")
            sessions[1].connection.close()  # SIMP-6.5-4: or he ends his session
            closed_in_order(sessions[0].connection)
            assert house.stop() == 0, "the exit status"


@check("OC-16")
def a_divert_opens_only_to_its_own_user(scene):
    with Own(scene, '[simp]\ndivert = "127.0.0.1:9"\n') as house:
        house.start()
        alice, bob = scene.keep(house.person("alice").log_in()), house.person("bob")
        house.process.terminate()
        divert = alice.expect("divert")
        assert len(divert["nonce"]) >= 22, f"a nonce of less than 128 bits: {divert}"
        divert.update(host=house.address, port=str(house.notification[1]))
        try:
            Session.answer_challenge(divert, bob.ima, bob.user, bob.key)
        except Exception:  # refused, or no longer listening
            return
        raise AssertionError("another user's key answered the divert")
