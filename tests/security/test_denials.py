"""What each role must not do: it is tried, the server refuses it, and who tried is told at once which subject it was and whose it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from jetfleet.broker.client import Batcher, BrokerError, Connection, Denied, PubAck
from jetfleet.broker.coordinator.patient import PatientPublisher
from jetfleet.broker.credentials import Credentials
from jetfleet.broker.deployment import ensure
from jetfleet.broker.permissions import ROLES, Scope, permissions
from jetfleet.broker.server.roles import inbox
from jetfleet.broker.topology import Topology, streams

from ..fleet.running import run
from ..fleet.trouble import until
from .servers import PASSWORD, SecuredServer, connected, secured, server_of_roles

API = "$JS.API."
EVERYBODY = tuple(role for role in ROLES if role not in ("coordinator", "operator"))
DESTRUCTIVE = {
    f"{API}STREAM.DELETE.WAL_0": ROLES,
    f"{API}STREAM.DELETE.HISTORY": ROLES,
    f"{API}STREAM.SNAPSHOT.FLEET": ROLES,
    f"{API}STREAM.RESTORE.WAL_0": ROLES,
    f"{API}STREAM.PEER.REMOVE.WAL_0": ROLES,
    f"{API}ACCOUNT.PURGE.shop": ROLES,
    f"{API}STREAM.PURGE.WAL_0": EVERYBODY,
    f"{API}STREAM.PURGE.FLOWS": EVERYBODY,
    f"{API}STREAM.MSG.DELETE.WAL_0": EVERYBODY,
    f"{API}STREAM.MSG.DELETE.EVENTS": EVERYBODY,
}
"""Requests of JetStream, and the roles that must not make them."""
WRITES = {
    "snapshot.0.manifest": (*EVERYBODY, "operator"),
    "progress.0": (*EVERYBODY, "operator"),
    "timer.0.abc": (*EVERYBODY, "operator"),
    "lease.0": EVERYBODY,
    "topology": EVERYBODY,
    "flow.orders": EVERYBODY,
    "plan.abc": EVERYBODY,
    "trigger.orders.go": EVERYBODY,
    "history.orders": EVERYBODY,
    "secret.approvals": EVERYBODY,
    "wal.0": ("publisher", "reader"),
    "tasks.default": ("publisher", "client", "reader", "trigger", "operator"),
    "events.orders.go": ("worker", "reader"),
    "signals.run.go": ("worker", "reader"),
    "object.meta.abc": ("publisher", "reader"),
    "cancel": (*EVERYBODY, "operator"),
    "ended.0": (*EVERYBODY, "operator"),
    "approval.orders": (*EVERYBODY, "operator"),
    "anything.else": ROLES,
}
READS = {
    f"{API}STREAM.MSG.GET.SECRETS": ("publisher", "worker", "reader"),
    f"{API}DIRECT.GET.SECRETS": ("publisher", "worker", "reader"),
    f"{API}DIRECT.GET.SECRETS.secret.approvals": ("publisher", "worker", "reader"),
    f"{API}CONSUMER.CREATE.SECRETS.mine": ("publisher", "worker", "reader", "client", "trigger"),
    f"{API}CONSUMER.CREATE.TASKS.mine": ("publisher", "reader", "client", "trigger"),
    f"{API}CONSUMER.MSG.NEXT.TASKS.queue-default": ("publisher", "reader", "client", "trigger"),
    f"{API}CONSUMER.CREATE.EVENTS.mine": ("publisher", "reader", "client", "trigger", "worker"),
    f"{API}STREAM.MSG.GET.WAL_0": ("publisher", "worker", "client", "trigger"),
    f"{API}STREAM.MSG.GET.HISTORY": ("publisher", "worker"),
    f"{API}STREAM.MSG.GET.FLOWS": ("publisher",),
}
PUBLISHED = [(role, subject) for table in (DESTRUCTIVE, WRITES, READS) for subject, roles in table.items() for role in roles]
HEARD = {
    "secret.>": ("publisher", "worker", "reader"),
    "events.>": ROLES,
    "wal.*": ROLES,
    "tasks.>": ROLES,
    ">": ROLES,
    "_INBOX.>": ROLES,
    "query.>": tuple(role for role in ROLES if role != "reader"),
    "run.*": tuple(role for role in ROLES if role != "coordinator"),
    "verify.*": tuple(role for role in ROLES if role != "coordinator"),
}
"""Subjects, and who must not listen there. Everybody's inbox is nobody else's, too."""
OVERHEARD = [(role, subject) for subject, roles in HEARD.items() for role in roles]
OVERHEARD += [(role, f"{inbox(other)}.>") for role in ROLES for other in ROLES if other != role]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredServer]:
    with pytest.MonkeyPatch.context() as patch, server_of_roles(tmp_path_factory.mktemp("roles"), patch) as started:

        async def deployed() -> None:
            async with await connected(started, "coordinator") as connection:
                await ensure(connection, Topology(partitions=2, store_bytes=1 << 30))

        run(deployed())
        yield started


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_must_not_publish_is_refused(server: SecuredServer, role: str) -> None:
    tried = [subject for other, subject in PUBLISHED if other == role]
    assert len(tried) >= 7 and len(PUBLISHED) > 100

    async def test() -> None:
        async with await connected(server, role) as connection:
            for subject in tried:
                with pytest.raises(Denied) as caught:
                    await connection.request(subject, b"{}")
                assert (caught.value.code, caught.value.subject) == ("NOT_AUTHORIZED", subject.lower())
                assert not caught.value.maybe_done

    run(test())


@pytest.mark.parametrize("role", ROLES)
def test_what_a_role_must_not_hear_it_does_not_hear(server: SecuredServer, role: str) -> None:
    tried = {subject for other, subject in OVERHEARD if other == role}

    async def test() -> None:
        async with await connected(server, role) as connection:
            for subject in tried:
                await connection.subscribe(subject, lambda message: None)
            await connection.streams.account()
            refused = [line for line in server.refusals() if f"user:{role}" in line and "Subscription" in line]
            assert {subject for subject in tried if any(f'"{subject}"' in line for line in refused)} == tried

    run(test())


def test_what_was_published_without_leave_ends_at_once_with_the_reason(server: SecuredServer) -> None:
    async def test() -> None:
        async with await connected(server, "reader") as connection:
            with pytest.raises(
                Denied, match=r"the user of 'the reader' publish on 'wal\.0': it is for the role client or .*worker"
            ) as caught:
                await connection.publisher.publish("wal.0", b"")
            assert not caught.value.maybe_done

    run(test())


def test_many_that_wait_are_each_told_and_others_go_on(server: SecuredServer) -> None:
    async def test() -> None:
        async with await connected(server, "publisher") as connection:
            refused = [connection.publisher.submit("flow.orders", b"", id=f"r{n}") for n in range(50)]
            stored = [connection.publisher.submit("events.orders.go", b"", id=f"orders-{n}") for n in range(50)]
            for future in refused:
                with pytest.raises(Denied):
                    await future
            assert all([isinstance(await future, PubAck) for future in stored])

    run(test())


def test_who_may_not_hear_answers_is_told_which_inbox_to_use(server: SecuredServer) -> None:
    async def test() -> None:
        with pytest.raises(Denied, match=r"listen on '_inbox\.") as caught:
            await Connection.open(server.as_user("client"), name="stray", credentials=Credentials())
        assert "--inbox" in str(caught.value)

    run(test())


def test_what_may_not_be_lost_waits_until_it_is_allowed(tmp_path: Path) -> None:
    """A mistake in the file of users, mended while the server runs: no record, task or notice was given up meanwhile."""
    users = 'authorization {{ users: [{{ user: "all", password: "{0}" }}, {{ user: "one", password: "{0}", permissions: {1} }}] }}\n'
    told: list[BrokerError | None] = []

    class Receipt:
        def settled(self, count: int, error: BrokerError | None) -> None:
            told.extend([error] * count)

    async def test() -> None:
        with secured(tmp_path, users.format(PASSWORD, '{ publish: { deny: ["wal.0", "dead.event"] } }')) as server:
            async with await Connection.open(server.as_user("all"), name="all") as connection:
                await ensure(connection, Topology(partitions=2, store_bytes=1 << 30))
            async with await Connection.open(server.as_user("one"), name="one") as connection:
                batcher, singles = Batcher(connection.publisher, "wal.0"), PatientPublisher(connection)
                batcher.put(b"\x01", Receipt())
                singles.publish("dead.event", b"", lambda: told.append(None))
                await until(lambda: isinstance(batcher.blocked_by, Denied) and isinstance(singles.blocked_by, Denied), "two denials")
                assert told == []
                server.say(users.format(PASSWORD, "{ }"))
                await until(lambda: told == [None, None], "both are stored")
                batcher.stop()
                await singles.close()

    run(test())


def test_a_publisher_of_one_flow_starts_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        roles = ("publisher", "coordinator")
        with server_of_roles(tmp_path, monkeypatch, roles, Scope(flows=["orders"], partitions=2)) as server:
            async with await connected(server, "coordinator") as connection:
                await ensure(connection, Topology(partitions=2, store_bytes=1 << 30))
            async with await connected(server, "publisher") as connection:
                for allowed in ("events.orders", "events.orders.go", "signals.run.go"):
                    await connection.publisher.publish(allowed, b"1")
                for refused in ("events.refunds.go", "events.orders2", "queue.orders", "on.orders"):
                    with pytest.raises(Denied):
                        await connection.publisher.publish(refused, b"1")

    run(test())


def test_a_worker_of_one_queue_takes_no_tasks_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        scope = Scope(queues=["gpu"], hosts=["h1"], partitions=2)
        with server_of_roles(tmp_path, monkeypatch, ("worker", "coordinator"), scope) as server:
            async with await connected(server, "coordinator") as connection:
                await ensure(connection, Topology(partitions=2, store_bytes=1 << 30))
            async with await connected(server, "worker") as connection:
                for consumer in ("queue-gpu", "queue-gpu@h1"):
                    assert await connection.streams.consumer_info("TASKS", consumer) is None
                for consumer in ("queue-default", "queue-gpu@h2", "mine"):
                    with pytest.raises(Denied):
                        await connection.streams.consumer_info("TASKS", consumer)
                with pytest.raises(Denied):
                    await connection.publisher.publish("tasks.default", b"")

    run(test())


def test_no_role_but_those_that_mend_may_use_all_of_jetstream() -> None:
    for role in ROLES:
        every = [subject for subject in permissions(role).publish if subject in (">", "$JS.>", f"{API}>", f"{API}STREAM.>", "$JS.ACK.>")]
        assert not every, role
        asks = [subject for subject in permissions(role).publish if subject.startswith(f"{API}STREAM.DELETE")]
        assert set(asks) <= {f"{API}STREAM.DELETE.{ours}" for ours in ("PROBE", "LEFT")}, role


def test_every_subject_of_a_stream_is_somebody_s_to_write() -> None:
    of_the_server = {"fired.>", "tick.>"}
    """What schedules become."""
    written = {subject.split(".")[0] for role in ROLES for subject in permissions(role).publish}
    for subject in {each for stream in streams(1) for each in stream.subjects} - of_the_server:
        assert subject.split(".")[0] in written, subject
