"""Three PostgreSQL servers under Patroni with synchronous replication, all on the loopback address.

Patroni (https://patroni.readthedocs.io) keeps one primary and promotes a standby that has every
acknowledged commit when the primary is lost; etcd holds the lock on being primary.  Each node
reaches etcd through a proxy of its own, and others reach its PostgreSQL through another, so that
a node can be cut off from both while its clients still reach it.
"""

import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import psutil

from tests.fault_proxy import FaultProxy
from tests.ports import free_port
from tests.postgres_programs import PostgresPrograms, find_programs
from tests.processes import Watchdog, is_alive, kill_family

__all__ = ["Cluster", "ClusterUnavailableError", "Node"]

#: Seconds.  A primary that does not renew its lock for `ttl` has lost it.
TIMES: Final = {"ttl": 20, "loop_wait": 2, "retry_timeout": 5}
#: Before, over the third interface of etcd, a Patroni that was frozen and wakes up writes itself
#: over the new holder of the lock, and what that one acknowledged is lost (seen with 3.0.2).  Over
#: the second interface it compares first.
_COMPARES: Final = 4
_NODES: Final = 3
_START_TIMEOUT_SECONDS: Final = 240.0
_POLL_SECONDS: Final = 0.2
_ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}


class ClusterUnavailableError(Exception):
    """This machine lacks a program; the text says which, and how it may be had."""


@dataclass(slots=True)
class Node:
    """One PostgreSQL and the Patroni that runs it."""

    name: str
    directory: Path
    port: int
    api_port: int
    #: Between the other nodes and this one's PostgreSQL, and between this one's Patroni and etcd.
    peers: FaultProxy
    lock: FaultProxy
    process: subprocess.Popen[bytes] | None = None
    watchdog: Watchdog | None = None
    stopped: list[psutil.Process] = field(default_factory=list)

    @property
    def postmaster_file(self) -> Path:
        return self.directory / "data" / "postmaster.pid"

    def family(self) -> list[int]:
        """Process ids of Patroni and of the postmaster, which is no child of it."""
        found = [self.process.pid] if self.process else []
        try:
            postmaster = int(self.postmaster_file.read_text().split()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return found
        if psutil.pid_exists(postmaster) and "postgres" in psutil.Process(postmaster).name():
            found.append(postmaster)
        return found

    def kill(self) -> None:
        """As when the machine loses its power: SIGKILL to all of it."""
        for process_id in self.family():
            kill_family(process_id)
        self.forget()

    def stop(self) -> None:
        """As when the machine hangs: SIGSTOP to all of it."""
        for process_id in self.family():
            head = psutil.Process(process_id)
            head.suspend()
            members = [head, *head.children(recursive=True)]
            for member in members:
                member.suspend()
            self.stopped += members

    def go_on(self) -> None:
        for member in reversed(self.stopped):
            if is_alive(member):
                member.resume()
        self.stopped.clear()

    def cut_off(self) -> None:
        """Neither the lock nor the other nodes are reached, nor they this one; clients are."""
        self.lock.black_hole()
        self.peers.black_hole()

    def forget(self) -> None:
        if self.process is not None:
            self.process.wait()
            self.process = None
        if self.watchdog is not None:
            self.watchdog.stand_down()
            self.watchdog = None

    def state(self) -> Mapping[str, Any]:
        """What its Patroni says of itself; nothing where it does not answer."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.api_port}/patroni", timeout=2
            ) as answer:
                found: Mapping[str, Any] = json.load(answer)
        except OSError:
            return {}
        except ValueError:
            return {}
        return found


class Cluster:
    """Starts when entered; its data lies in `directory`, which other accounts can enter."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._programs: PostgresPrograms = find_programs()
        self._patroni = _program("patroni")
        self._compares = _version(self._patroni) >= _COMPARES
        self._etcd_program = _program("etcd", "etcd-server")
        self._etcd: subprocess.Popen[bytes] | None = None
        self._etcd_watchdog: Watchdog | None = None
        self.nodes: list[Node] = []

    def __enter__(self) -> Self:
        try:
            self._start_etcd()
            for number in range(1, _NODES + 1):
                self._add_node(f"n{number}")
            self.start(self.nodes[0])
            self._wait_for("a primary", lambda: self.primary() is not None)
            for node in self.nodes[1:]:
                self.start(node)
            self.wait_until_whole()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for node in self.nodes:
            node.go_on()
            node.kill()
            for proxy in (node.peers, node.lock):
                proxy.__exit__(None, None, None)
        if self._etcd is not None and self._etcd_watchdog is not None:
            kill_family(self._etcd.pid)
            self._etcd.wait()
            self._etcd_watchdog.stand_down()

    def url(self, *nodes: Node, database: str = "postgres") -> str:
        """For a client that finds the primary among the nodes; all of them by default."""
        hosts = "&".join(f"host=127.0.0.1:{node.port}" for node in nodes or self.nodes)
        return (
            f"postgresql+psycopg://postgres:postgres@/{database}?{hosts}"
            "&target_session_attrs=read-write"
        )

    def primary(self) -> Node | None:
        """The node that holds the lock, and whose PostgreSQL takes writes."""
        return next((node for node in self.nodes if _leads(node)), None)

    def start(self, node: Node) -> None:
        with (node.directory / "patroni.log").open("ab") as log:
            node.process = subprocess.Popen(
                [self._patroni, str(node.directory / "patroni.json")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=node.directory,
                env=_ENVIRONMENT,
                start_new_session=True,
                **self._programs.identity,
            )
        node.watchdog = Watchdog(node.process.pid, "TERM")

    def heal(self, node: Node) -> None:
        """Ends whatever was done to a node."""
        node.go_on()
        node.lock.heal()
        node.peers.heal()
        if node.process is None:
            self.start(node)

    def wait_until_whole(self) -> Node:
        """Until one node is primary and all others follow it, one of them in step; the primary."""
        self._wait_for("three nodes in step", self._is_whole)
        found = self.primary()
        assert found is not None
        return found

    def wait_for_another(self, old: Node) -> Node:
        """Until another node than `old` is primary."""

        def another() -> Node | None:
            others = [node for node in self.nodes if node is not old]
            return next((node for node in others if _leads(node)), None)

        self._wait_for(f"a primary other than {old.name}", lambda: another() is not None)
        found = another()
        assert found is not None
        return found

    def _is_whole(self) -> bool:
        primary = self.primary()
        if primary is None:
            return False
        # By name: the copying of a new standby looks like a standby too.
        following = {
            each.get("application_name"): each.get("sync_state")
            for each in primary.state().get("replication", [])
            if each.get("state") == "streaming"
        }
        others = {node.name for node in self.nodes if node is not primary}
        return others == following.keys() and "sync" in following.values()

    def _wait_for(self, what: str, true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECONDS
        while not true():
            if time.monotonic() > deadline:
                logs = "\n".join(
                    f"--- {node.name}\n{_tail(node.directory / 'patroni.log')}"
                    for node in self.nodes
                )
                raise RuntimeError(f"There is not {what}.\n{logs}")
            time.sleep(_POLL_SECONDS)

    def _start_etcd(self) -> None:
        client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
        data = self._directory / "etcd"
        with (self._directory / "etcd.log").open("ab") as log:
            self._etcd = subprocess.Popen(
                [
                    self._etcd_program, "--name", "only", "--data-dir", str(data),
                    "--listen-client-urls", client, "--advertise-client-urls", client,
                    "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                    "--initial-cluster", f"only={peer}",
                    *([] if self._compares else ["--enable-v2"]),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_ENVIRONMENT,
                start_new_session=True,
            )  # fmt: skip
        self._etcd_watchdog = Watchdog(self._etcd.pid, "KILL")
        self._etcd_address = client.removeprefix("http://")

    def _add_node(self, name: str) -> None:
        directory = self._directory / name
        directory.mkdir(mode=0o700)
        user, group = self._programs.identity["user"], self._programs.identity["group"]
        port = free_port()
        node = Node(
            name, directory, port, free_port(), FaultProxy(f"127.0.0.1:{port}"),
            FaultProxy(self._etcd_address),
        )  # fmt: skip
        self.nodes.append(node)
        path = directory / "patroni.json"
        path.write_text(json.dumps(self._settings(node), indent=1))
        path.chmod(0o600)
        if user is not None and group is not None:
            os.chown(directory, user, group)
            os.chown(path, user, group)

    def _settings(self, node: Node) -> dict[str, Any]:
        api = f"127.0.0.1:{node.api_port}"
        login = {"username": "postgres", "password": "postgres"}
        return {
            "scope": "giftcard",
            "name": node.name,
            "restapi": {"listen": api, "connect_address": api},
            # Node by node over the proxy: etcd's own list of members would go around it.
            "etcd3" if self._compares else "etcd": {"host": node.lock.address, "use_proxies": True},
            "bootstrap": {
                "dcs": {
                    **TIMES,
                    "maximum_lag_on_failover": 0,
                    "synchronous_mode": True,
                    "synchronous_mode_strict": True,
                    # A primary that crashed is not waited for.
                    "primary_start_timeout": 0,
                    "master_start_timeout": 0,
                    "postgresql": {"use_pg_rewind": True, "use_slots": True},
                },
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
                "pg_hba": [
                    "local all all trust",
                    "host all all 127.0.0.1/32 trust",
                    "host replication all 127.0.0.1/32 trust",
                ],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{node.port}",
                "connect_address": node.peers.address,
                "data_dir": str(node.directory / "data"),
                "bin_dir": str(self._programs.directory),
                "pgpass": str(node.directory / "pgpass"),
                "authentication": {"superuser": login, "replication": login, "rewind": login},
                "parameters": {
                    "unix_socket_directories": str(node.directory),
                    "shared_buffers": "16MB",
                    "max_connections": 60,
                    "wal_log_hints": "on",
                    # A standby that hangs is noticed before the callers lose their patience.
                    "wal_sender_timeout": "5s",
                    "wal_receiver_timeout": "5s",
                },
            },
        }


def _leads(node: Node) -> bool:
    state = node.state()
    return state.get("role") in ("master", "primary") and state.get("state") == "running"


def _program(name: str, package: str = "") -> str:
    found = shutil.which(name)
    if found is None:
        raise ClusterUnavailableError(
            f"There is no {name} on PATH, and failover is proved with it."
            f" On Debian and Ubuntu: apt-get install {package or name}"
        )
    return found


def _version(patroni: str) -> int:
    """The first number of "patroni 4.1.5"."""
    said = subprocess.run([patroni, "--version"], check=True, capture_output=True, text=True)
    return int(said.stdout.split()[-1].partition(".")[0])


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-1500:] if path.exists() else ""
