"""`redis_clear` against real Redis servers and Sentinels: keys of the pattern go, all else stays, and what is in doubt is refused."""

from __future__ import annotations

import os
import select
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from bypass.world import Play, World
from bypass.world import world as new_world
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.answering import answering

from sre_responder.effects import EFFECTS
from sre_responder.effects.redis.server import RIGHTS, Primary
from sre_responder.errors import EffectFailed, InputError, NotApplicable, OutcomeUnknown, StateMoved

pytestmark = pytest.mark.contract

CLEAR = EFFECTS["redis_clear"]
OURS = [b"page:1", b"page:2", b"page:\x00\xff\r\n", "page:ä".encode(), b"page:"]
OTHERS = [b"pages", b"session:1", b"xpage:1"]


@dataclass(frozen=True)
class Server:
    """One server, and clients of it that are not ours."""

    port: int
    process: Any
    password: str | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def client(self, database: int = 0) -> Any:
        return redis.Redis(port=self.port, db=database, password=self.password, protocol=2)

    def keys(self, database: int = 0) -> set[bytes]:
        with self.client(database) as client:
            return set(client.keys("*"))

    def do(self, *words: str | bytes | int) -> Any:
        with self.client() as client:
            return client.execute_command(*words)

    def fill(self, *keys: bytes, database: int = 0) -> None:
        with self.client(database) as client:
            client.mset({key: b"poison" for key in keys})


@pytest.fixture
def server(component: Any, start: Any, free_port: Any, tmp_path: Path) -> Callable[..., Server]:
    """`server(SETTING, VALUE, ...)` runs a redis-server with these settings."""
    program = component("redis-server", "redis-server")

    def run(*settings: object, password: str | None = None) -> Server:
        port = free_port()
        folder = tmp_path / f"redis-{port}"
        folder.mkdir(exist_ok=True)
        login = ["--requirepass", password] if password else []
        words = ["--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"]
        made = Server(port, None, password)
        process = start([program, *words, *login, *settings], lambda: answers(made))
        return Server(port, process, password)

    return run


def answers(server: Server) -> bool:
    try:
        with server.client() as client:
            return bool(client.ping())
    except redis.BusyLoadingError:
        return True
    except redis.RedisError:
        return False


@pytest.fixture
def filled(server: Callable[..., Server]) -> Server:
    """A server with keys of ours, others, and ones of ours in another database."""
    made = server()
    made.fill(*OURS, *OTHERS)
    made.fill(*OURS, database=1)
    return made


def words(server: Server, pattern: str = "page:*", **more: object) -> dict[str, Any]:
    return {"url": f"{server.url}/0", "pattern": pattern, **more}


def until(reached: Callable[[], object], what: str) -> None:
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_plan_counts_what_would_go_and_changes_nothing(filled: Server) -> None:
    change = CLEAR.plan(words(filled))
    assert change.changed and change.target.endswith(f":{filled.port}/0:page:*")
    assert (change.evidence["matching"], change.evidence["keys"], change.evidence["share"]) == (5, 8, 0.625)
    assert change.evidence["matching_bytes"] > 5 * len("poison") and change.evidence["used_memory"] > 100_000
    assert change.before["server"] == filled.client().info()["run_id"]
    assert filled.keys() == {*OURS, *OTHERS}
    assert CLEAR.plan(words(filled)).before == change.before, "an approval would be void"


def test_keys_of_the_pattern_go_whatever_bytes_they_have_and_all_others_stay(filled: Server) -> None:
    observed = CLEAR.act(words(filled), change := CLEAR.plan(words(filled)))
    assert observed == {**change.after, "deleted": 5}
    assert filled.keys() == set(OTHERS) and filled.keys(1) == set(OURS)
    commands = {name.removeprefix("cmdstat_") for name in filled.client().info("commandstats")}
    assert "unlink" in commands and not commands & {"flushdb", "flushall", "del", "keys|all", "eval"}


def test_what_is_cleared_is_not_cleared_again(filled: Server) -> None:
    CLEAR.act(words(filled), change := CLEAR.plan(words(filled)))
    with pytest.raises(StateMoved, match="has changed since it was planned"):
        CLEAR.act(words(filled), change)
    with pytest.raises(NotApplicable, match=r"no key of database 0 .* matches 'page:\*'"):
        CLEAR.plan(words(filled))


def test_there_is_nothing_to_undo(filled: Server) -> None:
    change = CLEAR.plan(words(filled))
    assert change.undo == [] and "deleted keys are gone" in change.undo_note


def test_only_that_no_key_is_left_tells_what_became_of_it(filled: Server) -> None:
    change = CLEAR.plan(words(filled))
    assert CLEAR.became(change, CLEAR.read(words(filled))) is None
    CLEAR.act(words(filled), change)
    assert CLEAR.became(change, CLEAR.read(words(filled))) == "done"
    filled.fill(b"page:9")
    assert CLEAR.became(change, CLEAR.read(words(filled))) is None


def test_keys_that_are_written_again_are_told(filled: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    change = CLEAR.plan(words(filled))
    whole = Primary.pages

    def written_again(self: Primary, pattern: bytes) -> Iterator[list[bytes]]:
        yield from whole(self, pattern)
        filled.fill(b"page:1")

    monkeypatch.setattr(Primary, "pages", written_again)
    assert CLEAR.act(words(filled), change) == {**change.before, "deleted": 5}


def test_a_character_behind_a_backslash_means_itself(server: Callable[..., Server]) -> None:
    made = server()
    made.fill(b"user[1]:a", b"user1:a", b"user*", b"user\\x", b"users")
    for pattern, gone in ((r"user\[1\]:*", b"user[1]:a"), (r"user\*", b"user*"), (r"user\\x", b"user\\x")):
        before = made.keys()
        CLEAR.act(words(made, pattern), CLEAR.plan(words(made, pattern)))
        assert before - made.keys() == {gone}
    assert made.keys() == {b"user1:a", b"users"}


def test_a_whole_database_is_cleared_only_by_its_number(filled: Server) -> None:
    with pytest.raises(InputError, match="whole_database is 1, and url leads to database 0"):
        CLEAR.plan(words(filled, "*", whole_database=1))
    with pytest.raises(InputError, match="is empty, which never means all"):
        CLEAR.plan(words(filled, "", whole_database=0))
    change = CLEAR.plan(words(filled, "*", whole_database=0))
    assert change.evidence["share"] == 1
    assert CLEAR.act(words(filled, "*", whole_database=0), change)["deleted"] == 8
    assert filled.keys() == set() and filled.keys(1) == set(OURS)


def test_more_keys_than_the_limit_are_refused_before_anything_is_deleted(filled: Server) -> None:
    with pytest.raises(InputError, match="more than 4 keys of database 0"):
        CLEAR.plan(words(filled, limit=4))
    assert CLEAR.plan(words(filled, limit=5)).evidence["matching"] == 5
    with pytest.raises(InputError, match="limit 0 allows nothing"):
        CLEAR.plan(words(filled, limit=0))


def test_an_act_that_meets_more_than_the_limit_stops_and_says_how_many_it_deleted(
    server: Callable[..., Server],
) -> None:
    made = server()
    made.fill(*(b"page:%d" % n for n in range(900)))
    change = CLEAR.plan(words(made, limit=1000))
    made.fill(*(b"page:%d" % n for n in range(3000)))
    with pytest.raises(
        OutcomeUnknown, match=r"has more than 1000 keys that match by now; ([0-9]+) keys .* deleted"
    ) as failed:
        CLEAR.act(words(made, limit=1000), change)
    deleted = int(failed.value.message.partition("; ")[2].split()[0])
    assert 0 < deleted <= 1000 and len(made.keys()) == 3000 - deleted


def test_an_act_that_takes_too_long_stops_and_says_how_many_it_deleted(filled: Server) -> None:
    change = CLEAR.plan(words(filled))
    with pytest.raises(EffectFailed, match=r"was not cleared within 0 s; 0 keys that match 'page:\*' were deleted"):
        CLEAR.act(words(filled, timeout_s=0), change)
    assert filled.keys() == {*OURS, *OTHERS}


def test_a_server_that_dies_in_the_middle_leaves_an_unknown_outcome(
    server: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = server()
    made.fill(*(b"page:%d" % n for n in range(3000)))
    change = CLEAR.plan(words(made))
    whole, calls = Primary.pages, list[int]()

    def killed(self: Primary, pattern: bytes) -> Iterator[list[bytes]]:
        for keys in whole(self, pattern):
            yield keys
            calls.append(len(keys))
            if len(calls) == 2:
                os.kill(made.process.pid, signal.SIGKILL)
                made.process.wait()

    monkeypatch.setattr(Primary, "pages", killed)
    with pytest.raises(OutcomeUnknown, match=r"did not answer any more; [0-9]+ keys that match .* were deleted"):
        CLEAR.act(words(made), change)
    with pytest.raises(InputError, match="cannot be asked"):
        CLEAR.read(words(made))


def test_a_server_that_was_restarted_since_the_plan_is_left_alone(filled: Server) -> None:
    change = CLEAR.plan(words(filled))
    moved = {**change.before, "server": "0" * 40}
    with pytest.raises(StateMoved):
        CLEAR.act(words(filled), type(change)(change.target, moved, change.after))
    filled.process.kill()
    filled.process.wait()
    with pytest.raises(StateMoved, match="nothing was deleted"):
        CLEAR.act(words(filled), change)


def test_a_full_server_is_cleared(server: Callable[..., Server]) -> None:
    made = server("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    with made.client() as client:
        with pytest.raises(redis.OutOfMemoryError):
            for number in range(100_000):
                client.set(f"page:{number}", b"x" * 1000)
        assert CLEAR.act(words(made), CLEAR.plan(words(made)))["matching"] is False
        assert client.set("page:new", b"x")


def test_a_replica_is_refused_by_the_name_of_its_primary(filled: Server, server: Callable[..., Server]) -> None:
    replica = server("--replicaof", "127.0.0.1", filled.port)
    until(lambda: replica.keys() == filled.keys(), "the replica has the keys")
    with pytest.raises(InputError, match=f"is a replica of 127.0.0.1:{filled.port}") as refused:
        CLEAR.plan(words(replica))
    assert f"redis://127.0.0.1:{filled.port}" in refused.value.cure
    change = CLEAR.plan(words(filled))
    filled.do("REPLICAOF", "127.0.0.1", replica.port)  # what was the primary is none any more
    with pytest.raises(StateMoved, match=r"nothing was deleted: .* is a replica of"):
        CLEAR.act(words(filled), change)


def test_a_node_of_a_cluster_is_refused(server: Callable[..., Server]) -> None:
    node = server("--cluster-enabled", "yes")
    with pytest.raises(InputError, match="is a node of a Redis Cluster"):
        CLEAR.plan(words(node))


def test_a_server_that_loads_its_data_is_refused(server: Callable[..., Server], tmp_path: Path) -> None:
    first = server()
    first.fill(*(b"page:%d" % n for n in range(20_000)))
    first.do("SAVE")
    dump = tmp_path / f"redis-{first.port}" / "dump.rdb"
    slow = server("--key-load-delay", 2000, "--loading-process-events-interval-bytes", 1024, "--dir", dump.parent)
    with pytest.raises(InputError, match=r"is loading its data|loading the dataset") as refused:
        CLEAR.plan(words(slow))
    assert "Wait until it has loaded" in refused.value.cure
    slow.process.kill()


def test_a_server_that_takes_no_writes_is_refused_when_it_is_planned(filled: Server) -> None:
    filled.do("CONFIG", "SET", "min-replicas-to-write", 1)
    with pytest.raises(InputError, match="Not enough good replicas"):
        CLEAR.plan(words(filled))
    assert filled.keys() == {*OURS, *OTHERS}


def test_a_server_without_the_command_is_refused_when_it_is_planned_and_no_name_of_a_key_is_shown(
    server: Callable[..., Server],
) -> None:
    made = server("--rename-command", "UNLINK", "")
    made.fill(b"page:ann@example.org")
    with pytest.raises(InputError, match="unknown command 'UNLINK'") as refused:
        CLEAR.plan(words(made))
    assert "ann@" not in str(refused.value)


# Sentinels


@dataclass(frozen=True)
class Group:
    """A primary, its replica and the Sentinels that watch them."""

    primary: Server
    replica: Server
    sentinels: tuple[int, ...]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.sentinels)}/cache/0"


@pytest.fixture
def group(filled: Server, server: Any, component: Any, start: Any, free_port: Any, tmp_path: Path) -> Group:
    program = component("redis-sentinel", "redis-sentinel")
    replica = server("--replicaof", "127.0.0.1", filled.port)
    until(lambda: replica.keys() == filled.keys(), "the replica has the keys")
    ports = (free_port(), free_port(), free_port())
    for port in ports:
        file = tmp_path / f"sentinel-{port}.conf"
        file.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {tmp_path}\nsentinel monitor cache 127.0.0.1 {filled.port} 2\n"
            "sentinel down-after-milliseconds cache 1000\nsentinel failover-timeout cache 3000\n"
        )
        start([program, file], lambda port=port: answers(Server(port, None)))

    def seen() -> bool:
        told = [redis.Redis(port=port).sentinel_master("cache") for port in ports]
        return all((one["num-other-sentinels"], one["num-slaves"]) == (2, 1) for one in told)

    until(seen, "the Sentinels know each other and the replica")
    return Group(filled, replica, ports)


def test_the_primary_is_found_by_sentinels_and_after_a_failover_a_plan_is_void(group: Group) -> None:
    given = {"url": group.url, "pattern": "page:*"}
    change = CLEAR.plan(given)
    assert change.evidence["address"] == f"127.0.0.1:{group.primary.port}"
    redis.Redis(port=group.sentinels[0]).sentinel_failover("cache")

    def moved() -> bool:
        told = {redis.Redis(port=port).sentinel_get_master_addr_by_name("cache") for port in group.sentinels}
        return told == {("127.0.0.1", group.replica.port)} or told == {(b"127.0.0.1", group.replica.port)}

    until(lambda: moved() and group.replica.client().info()["role"] == "master", "the replica is the primary")
    with pytest.raises(StateMoved):
        CLEAR.act(given, change)
    assert group.replica.keys() == {*OURS, *OTHERS}
    again = CLEAR.plan(given)
    assert again.target == change.target, "a frozen target would be free by its new name"
    assert CLEAR.act(given, again)["deleted"] == 5
    assert group.replica.keys() == set(OTHERS)


def test_sentinels_that_are_gone_or_do_not_know_it_are_told(group: Group, free_port: Any) -> None:
    gone, known = free_port(), group.sentinels[0]
    given = {"url": f"redis+sentinel://127.0.0.1:{gone},127.0.0.1:{known}/cache", "pattern": "page:*"}
    assert CLEAR.plan(given).evidence["matching"] == 5
    for url, said in (
        (f"redis+sentinel://127.0.0.1:{known}/other", "knows no primary 'other'"),
        (f"redis+sentinel://127.0.0.1:{gone}/cache", "Connection refused"),
    ):
        with pytest.raises(InputError, match=f"no Sentinel says where .*{said}"):
            CLEAR.plan({**given, "url": url})
    with pytest.raises(InputError, match="is a Sentinel, not a database"):
        CLEAR.plan({**given, "url": f"redis://127.0.0.1:{known}"})


def test_sentinels_that_do_not_agree_are_told(group: Group) -> None:
    with redis.Redis(port=group.sentinels[2]) as third:
        third.execute_command("SENTINEL", "REMOVE", "cache")
        third.execute_command("SENTINEL", "MONITOR", "cache", "127.0.0.1", group.replica.port, 2)
        with pytest.raises(InputError, match=r"Sentinels see 'cache' at 127.0.0.1:[0-9]+ and 127.0.0.1:[0-9]+"):
            CLEAR.plan({"url": group.url, "pattern": "page:*"})


def test_a_sentinel_that_asks_for_a_password_gets_its_own(group: Group) -> None:
    known = group.sentinels[0]
    redis.Redis(port=known).execute_command("ACL", "SETUSER", "default", "resetpass", ">watch-w0rd")
    given = {"url": f"redis+sentinel://127.0.0.1:{known}/cache", "pattern": "page:*"}
    for login in ({}, {"sentinel_password": "wr0ng-w0rd"}, {"password": "watch-w0rd"}):
        with pytest.raises(InputError, match="no Sentinel says where 'cache' is") as refused:
            CLEAR.plan({**given, **login})
        assert "w0rd" not in str(refused.value)
    assert CLEAR.plan({**given, "sentinel_password": "watch-w0rd"}).evidence["matching"] == 5


# Who may


def test_a_user_with_the_documented_rights_clears_and_one_who_lacks_one_is_told_which(filled: Server) -> None:
    given = words(filled, username="ann", password="s3cret-w0rd")
    filled.do("ACL", "SETUSER", "ann", "on", ">s3cret-w0rd", "~page:*", *RIGHTS)
    for right in RIGHTS:
        if right == "+select":
            continue  # database 0 needs none
        filled.do("ACL", "SETUSER", "ann", right.replace("+", "-"))
        with pytest.raises(InputError) as refused:
            CLEAR.plan(given)
        assert right.removeprefix("+") in refused.value.message.lower() and right in refused.value.cure
        assert "ACL SETUSER ann" in refused.value.cure and "s3cret-w0rd" not in str(refused.value)
        filled.do(*refused.value.cure.partition(": ")[2].split())
    change = CLEAR.plan(given)
    assert change.evidence["matching_bytes"] is None, "MEMORY USAGE is not among them"
    filled.do("ACL", "SETUSER", "ann", "resetkeys", "~pages*")
    with pytest.raises(InputError, match="key") as refused:
        CLEAR.plan(given)
    assert "~page:*" in refused.value.cure and filled.keys() == {*OURS, *OTHERS}
    with pytest.raises(EffectFailed, match="0 keys that match"):
        CLEAR.act(given, change)
    filled.do(*refused.value.cure.partition(": ")[2].split())
    assert CLEAR.act(given, change)["deleted"] == 5


def test_a_user_clears_another_database_with_the_documented_rights(filled: Server) -> None:
    filled.do("ACL", "SETUSER", "ann", "on", ">pw", "~page:*", *RIGHTS, "+memory|usage")
    given = words(filled, username="ann", password="pw", url=f"{filled.url}/1")
    change = CLEAR.plan(given)
    assert change.evidence["matching_bytes"] > 0 and CLEAR.act(given, change)["deleted"] == 5
    assert filled.keys(1) == set() and filled.keys() == {*OURS, *OTHERS}


def test_a_password_without_a_user_is_enough_and_a_wrong_one_is_not_shown(server: Callable[..., Server]) -> None:
    made = server(password="s3cret-w0rd")
    made.fill(*OURS)
    for login in ({}, {"password": "wr0ng-w0rd"}, {"username": "bob", "password": "s3cret-w0rd"}):
        with pytest.raises(InputError) as refused:
            CLEAR.plan(words(made, **login))
        assert refused.value.cure == "Check username and password." and "w0rd" not in str(refused.value)
    assert (
        CLEAR.act(words(made, password="s3cret-w0rd"), CLEAR.plan(words(made, password="s3cret-w0rd")))["deleted"] == 5
    )


def test_a_server_that_asks_for_a_certificate_is_reached_with_one_and_by_no_other_way(
    server: Callable[..., Server], free_port: Any, tmp_path: Path
) -> None:
    certificate, key = signed_by_itself(tmp_path)
    port = free_port()
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    made = server("--tls-port", port, *files)
    made.fill(*OURS, *OTHERS)
    own = {"url": f"rediss://localhost:{port}/0", "pattern": "page:*"}
    ours = {"ca_certificate": certificate, "client_certificate": certificate, "client_key": key}
    for given, said in (({}, "certificate verify failed"), ({"ca_certificate": certificate}, "cannot be asked")):
        with pytest.raises(InputError, match=said):
            CLEAR.plan({**own, **given})
    with pytest.raises(InputError, match="cannot be asked"):
        CLEAR.plan({**own, "url": f"redis://localhost:{port}/0", **ours})
    change = CLEAR.plan({**own, **ours})
    assert CLEAR.same(change, {**own, **ours}, {"url": made.url})
    assert CLEAR.act({**own, **ours}, change)["deleted"] == 5


def signed_by_itself(folder: Path) -> tuple[Path, Path]:
    """A certificate of localhost and its key."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    private, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number(), now, now + timedelta(1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(private, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "certificate.pem", folder / "key.pem"


def test_a_server_that_stands_still_is_left_in_time(filled: Server) -> None:
    os.kill(filled.process.pid, signal.SIGSTOP)
    try:
        with pytest.raises(InputError, match="no answer in time"):
            CLEAR.plan(words(filled, timeout_s=0.3))
    finally:
        os.kill(filled.process.pid, signal.SIGCONT)


# One target


@contextmanager
def forwarded(port: int) -> Iterator[int]:
    """Another port that leads to the same server, as that of a tunnel does."""

    class Forward(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", port)) as behind:
                way = {self.request: behind, behind: self.request}
                while data := [(one, one.recv(65536)) for one in select.select([*way], [], [])[0]]:
                    if not all(bytes for _, bytes in data):
                        return
                    for one, bytes in data:
                        way[one].sendall(bytes)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Forward) as door:
        threading.Thread(target=door.serve_forever, args=(0.01,), daemon=True).start()
        yield door.server_address[1]
        door.shutdown()


def same(server: Server, own: Mapping[str, Any], **other: str) -> bool:
    return CLEAR.same(CLEAR.plan(own), own, other)


def test_a_database_is_one_at_each_of_its_addresses_and_another_number_is_another(
    filled: Server, server: Callable[..., Server], free_port: Any
) -> None:
    own, other = words(filled), server()
    replica = server("--replicaof", "127.0.0.1", filled.port)
    until(lambda: replica.client().info()["master_link_status"] == "up", "the replica follows")
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as http, forwarded(filled.port) as tunnel:
        for url, expected in {
            f"redis://127.0.0.1:{tunnel}/0": True, f"redis://127.0.0.1:{filled.port}/0": True, f"redis://localhost:{filled.port}": True, f" redis://127.1:{filled.port}/0/ ": True,
            f"redis://127.0.0.1:{filled.port}/1": False, replica.url: True, other.url: False, f"redis://127.0.0.1:{free_port()}": False,
            http.replace("http", "redis"): True, "redis://nowhere.invalid": True, f"redis://ann:pw@127.0.0.1:{filled.port}/0": True, "{{ url }}": True,
        }.items():  # fmt: skip
            assert same(filled, own, url=url) is expected, url
        assert same(filled, own, pattern="page:*") and not same(filled, own, pattern="session:*", url=filled.url)


def test_a_server_that_wants_a_login_is_told_from_another_without_sending_it_any(server: Callable[..., Server]) -> None:
    made, other = server(password="s3cret-w0rd"), server(password="an0ther")
    made.fill(*OURS)
    own = words(made, password="s3cret-w0rd")
    with forwarded(made.port) as here, forwarded(other.port) as there:
        assert same(made, own, url=f"redis://127.0.0.1:{here}/0")
        assert not same(made, own, url=f"redis://127.0.0.1:{there}/0")
    assert not same(made, own, url=other.url)
    assert other.do("ACL", "LOG") == [], "it was sent a login"


def test_a_group_is_one_by_its_sentinels_and_by_its_primary(group: Group) -> None:
    own = {"url": group.url, "pattern": "page:*"}
    assert same(group.primary, own, url=group.primary.url)
    assert same(group.primary, words(group.primary), url=group.url)


def test_check_says_what_answers(filled: Server) -> None:
    assert CLEAR.look is not None
    assert (
        CLEAR.look(words(filled)) == f"primary, version {filled.client().info()['redis_version']}, 8 keys in database 0"
    )


# A whole run


@contextmanager
def shop(server: Server) -> Iterator[str]:
    """A service that answers from its cache, and writes there what it does not find."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with server.client() as cache:
                page = cache.get("page:home") or b'{"ok": true}'
                cache.set("page:home", page)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as web:
        threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{web.server_port}/"
        web.shutdown()


@contextmanager
def poisoned(root: Path, server: Server, url: str, **given: object) -> Iterator[World]:
    """A world whose service answers what its cache holds: something wrong; the runbook clears it."""
    server.fill(b"session:1", *(b"page:%d" % number for number in range(2000)))
    with server.client() as cache:
        cache.set("page:home", '{"ok": false}')
    with shop(server) as web, new_world(root) as world:
        annotate(world, {"responder/probe-url": web, "responder/redis-url": url, "responder/redis-pattern": "page:*"})

        def clear(play: Play) -> None:
            [names] = [{**one} for name, one in play["tasks"][0].items() if name.endswith("diagnose")]
            play["tasks"][1] = {"name": "Clear", "sre.responder.redis_clear": {**names, **given}}

        world.write(clear)
        yield world


def annotate(world: World, annotations: Mapping[str, str]) -> None:
    catalogue = world.home.folder / "catalogue.yml"
    service = yaml.safe_load(catalogue.read_text())
    service["metadata"]["annotations"] |= annotations
    catalogue.write_text(yaml.safe_dump(service))


def written(world: World, text: str) -> list[Path]:
    return [path for path in world.root.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize("through", ["lookup", "connection"])
def test_a_runbook_clears_a_poisoned_cache_and_the_service_is_well(
    server: Callable[..., Server], tmp_path: Path, through: str
) -> None:
    cache, secret = server(password="s3cret-w0rd"), tmp_path / "password"
    secret.write_text("s3cret-w0rd")
    given = {"password": f"{{{{ lookup('file', '{secret}') }}}}"} if through == "lookup" else {}
    with poisoned(tmp_path / "world", cache, f"{cache.url}/0", **given) as world:
        if through == "connection":
            named = {"shop-cache": {"platform": "redis", "password": {"file": str(secret)}}}
            (world.home.folder / "connections.yml").write_text(yaml.safe_dump(named))
            annotate(world, {"responder/redis-connection": "shop-cache"})
        looked = world.responder("check", "checkout", "--json")
        found = {"lookup": "computes password, which only a run does", "connection": "2002 keys in database 0"}
        assert found[through] in looked.stdout, looked.stdout
        done = world.drive()
        assert done.returncode == 0, done.stdout + done.stderr
        assert cache.keys() == {b"session:1", b"page:home"} and cache.client().get("page:home") == b'{"ok": true}'
        [made] = world.entries("effect.done")
        assert made.data["observed"]["deleted"] == 2001 and world.started() == 1
        shown = [world.responder("timeline", "INC-1234", "--json"), world.responder("status", "--json"), looked, done]
        assert "s3cret-w0rd" not in "".join(one.stdout + one.stderr for one in shown)
        assert written(world, "s3cret-w0rd") == [] and written(world, "page:1999") == []


def test_an_address_with_a_login_reaches_neither_record_nor_output(
    server: Callable[..., Server], tmp_path: Path
) -> None:
    cache = server(password="s3cret-w0rd")
    with poisoned(tmp_path / "world", cache, f"redis://:s3cret-w0rd@127.0.0.1:{cache.port}/0") as world:
        done = world.drive()
        assert (done.returncode, world.started()) == (3, 0), done.stdout
        assert "contains a user name or password" in world.refusals()
        shown = [world.responder(*words) for words in (("status", "--json"), ("timeline", "INC-1234", "--json"))]
        assert "s3cret" not in "".join(one.stdout + one.stderr for one in (done, *shown))
        assert written(world, "s3cret") == [world.home.folder / "catalogue.yml"]
        assert "contains a user name or password" in world.responder("doctor").stdout
