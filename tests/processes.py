"""Processes that tests start: ended for certain, killed whole. Knows nothing of what they serve."""

import contextlib
import os
import select
import subprocess
import time
from typing import Final

import psutil

__all__ = ["Watchdog", "is_alive", "kill_family", "said_until"]

_GONE_TIMEOUT_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02
_READ_BYTES: Final = 4096


class Watchdog:
    """Ends a process should this one vanish without a word, on SIGKILL too.

    A shell waits on a pipe that closes with this process, when no exit hook may have run.
    """

    def __init__(self, process_id: int, signal_name: str) -> None:
        script = 'read -r _ || kill -s "$1" "$2"'
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", script, "test-watchdog", signal_name, str(process_id)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # What kills the test run's whole process group must not reach the watchdog.
            start_new_session=True,
        )

    def stand_down(self) -> None:
        """Ends the watch. Call it once the process has been waited for."""
        self._shell.communicate(b"stand down\n")


def said_until(process: subprocess.Popen[bytes], ending: bytes, timeout_seconds: float) -> str:
    """What a process prints until it ends so, or says no more, or the time is over.

    Whoever asks looks whether that is what it waited for.
    """
    assert process.stdout is not None
    deadline = time.monotonic() + timeout_seconds
    said = b""
    while not said.endswith(ending):
        left = max(deadline - time.monotonic(), 0)
        readable, _, _ = select.select([process.stdout], [], [], left)
        part = os.read(process.stdout.fileno(), _READ_BYTES) if readable else b""
        if not part:
            break
        said += part
    return said.decode(errors="replace")


def kill_family(process_id: int) -> None:
    """Sends SIGKILL to a process and all below it, as one, and waits until none of them runs.

    A caller that started the process itself must still wait for it.

    Raises:
        RuntimeError: one of them survived.
    """
    family: list[psutil.Process] = []
    with contextlib.suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process_id)
        # Stopped first, so that it starts no child that the list would lack.
        parent.suspend()
        family = [*parent.children(recursive=True), parent]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    deadline = time.monotonic() + _GONE_TIMEOUT_SECONDS
    while any(is_alive(member) for member in family):
        if time.monotonic() > deadline:
            raise RuntimeError(f"A process of {process_id}'s family survived SIGKILL.")
        time.sleep(_POLL_SECONDS)


def is_alive(process: psutil.Process) -> bool:
    """Tells whether a process still runs."""
    try:
        # In a container nobody may reap orphans; what only waits to be reaped is dead all the same.
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
