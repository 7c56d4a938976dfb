"""`python -m tests.prove.disk.worker`: processes that live through a story and may be killed in it.

Starting Python and loading the product takes seconds, and thousands of processes are killed; so
one is started, and each job runs in a fork of it, with the product loaded and nothing open.  A job
is a line of JSON on standard input; the answers are the fork's process id, then its exit status.
"""

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TextIO

from sqlalchemy import event, select

from server.ledger.engine import Batch, Ledger, Outcome
from server.storage import database as storage
from server.storage import schema
from server.storage.database import Database
from server.verify import verify
from tests.operations import Request
from tests.prove.disk.story import Shop, Told, found_shop, story

#: As the server's own: it ended because the outcome of a commit is unknown.
FATAL_STATUS: Final = 70
#: The database never said yes again.
GAVE_UP_STATUS: Final = 75

_TRIES_MAX: Final = 400
_RETRY_SECONDS: Final = 0.02
_TRACER_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`do` is found, live or recover; files are where the processes leave what they have to say.

    `synchronous` and `checkpoint_pages` go to SQLite in place of the product's own: the controls
    need the former, and nothing but a story of 64 MiB would reach a checkpoint without the latter.
    `trace` is what must be traced before the story begins: "", "self" or "backend".  `hasty`
    answers before the commit: what the suites must find.
    """

    do: str
    url: str
    said: str = ""
    verdict: str = ""
    seed: int = 1
    batches: int = 8
    width: int = 8
    synchronous: int = 2
    checkpoint_pages: int = 120
    trace: str = ""
    process: str = ""
    tries_max: int = _TRIES_MAX
    hasty: bool = False


@dataclass(slots=True)
class Verdict:
    """What a restart finds; `cards` are the figures once the story was told again to its end."""

    acknowledged: int = 0
    refound: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    denied: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    cards: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return not (self.lost or self.doubled or self.denied or self.problems)


def read_said(path: Path) -> list[Told]:
    """What the callers were told, in order; a line that a kill cut off was told to nobody."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [Told(**json.loads(line)) for line in lines]


# What a fork does


def _found(job: Job) -> int:
    with closing(Database(job.url)) as database:
        found_shop(database)
    return 0


def _live(job: Job) -> int:
    with closing(Database(job.url)) as database, Path(job.said).open("a") as said:
        if job.trace == "self":
            _wait_for_tracer(os.getpid())
        elif job.trace == "backend":
            _trace_backend(database, Path(job.process))
        shop = Shop(database)
        for batch in story(job.seed, job.batches, job.width):
            status = _carry_out(shop, batch, said, job.tries_max)
            if status:
                # As the server does: no clean close, which would write.
                os._exit(status)
        shop.close()
    return 0


def _carry_out(shop: Shop, batch: list[Request], said: TextIO, tries_max: int) -> int:
    for _ in range(tries_max):
        told = shop.carry_out(batch)
        said.write("".join(json.dumps(asdict(each)) + "\n" for each in told))
        said.flush()
        if shop.fatal:
            return FATAL_STATUS
        if not any(each.failure for each in told):
            return 0
        time.sleep(_RETRY_SECONDS)
    return GAVE_UP_STATUS


def _answer_before_commit() -> None:
    """The bug: callers are told what was decided, and every third batch is committed."""
    complete = Ledger.complete
    uncommitted = 0

    def complete_later(self: Ledger, batch: Batch) -> list[Outcome]:
        nonlocal uncommitted
        uncommitted += 1
        if uncommitted % 3 and batch.outcomes is not None:
            return batch.outcomes
        return complete(self, batch)

    Ledger.complete = complete_later  # type: ignore[method-assign]


def _wait_for_tracer(process_id: int) -> None:
    status = Path(f"/proc/{process_id}/status")
    deadline = time.monotonic() + _TRACER_SECONDS
    while "TracerPid:\t0\n" in status.read_text():
        if time.monotonic() > deadline:
            raise RuntimeError("nobody traces this process")
        time.sleep(0.001)


def _trace_backend(database: Database, file: Path) -> None:
    """The first connection's server process is named in a file, and traced before it is used."""

    @event.listens_for(database.writer, "connect")
    def on_connect(dbapi_connection: Any, record: Any) -> None:
        if file.exists():
            return
        number = dbapi_connection.info.backend_pid
        draft = file.with_suffix(".draft")
        draft.write_text(str(number))
        draft.rename(file)
        _wait_for_tracer(number)


def _recover(job: Job) -> int:
    verdict = Verdict()
    told = read_said(Path(job.said))
    with closing(Database(job.url)) as database:
        _compare(database, told, verdict)
        shop = Shop(database)
        known = {each.request_id: each for each in told if not each.failure}
        for batch in story(job.seed, job.batches, job.width):
            for each in shop.carry_out(batch):
                _compare_again(each, known.get(each.request_id), verdict)
        verdict.cards = {
            handle: [card.state, card.balance, card.held]
            for handle, card in sorted(shop.cards().items())
        }
        shop.close()
        report = verify(database)
        verdict.problems += [str(problem) for problem in report.problems]
    Path(job.verdict).write_text(json.dumps(asdict(verdict)))
    return 0


def _compare(database: Database, told: list[Told], verdict: Verdict) -> None:
    """The ledger as it was found, against what its callers were told."""
    table = schema.ledger_transaction
    with database.connect_reader() as connection:
        rows = connection.execute(select(table.c.request_id, table.c.id, table.c.result)).all()
    verdict.refound = len(rows)
    verdict.doubled += [name for name, n in Counter(row[0] for row in rows).items() if n > 1]
    found = {row.request_id: (row.id, row.result) for row in rows}
    last: dict[str, Told] = {}
    for each in told:
        if not each.failure:
            verdict.acknowledged += not each.replayed
            if found.get(each.request_id) != (each.transaction_id, each.stored):
                verdict.lost.append(each.request_id)
        last[each.request_id] = each
    # What was said not to have been done must not be there; of an unknown outcome nothing was said.
    unknown = {each.request_id for each in told if each.failure == "OUTCOME_UNKNOWN"}
    verdict.denied += [
        name
        for name, each in last.items()
        if each.failure and name not in unknown and name in found
    ]


def _compare_again(again: Told, first: Told | None, verdict: Verdict) -> None:
    if again.failure:
        verdict.problems.append(f"{again.request_id}: {again.failure}")
    elif first is not None and not again.replayed:
        verdict.doubled.append(again.request_id)
    elif first is not None and (again.transaction_id, again.stored) != (
        first.transaction_id,
        first.stored,
    ):
        verdict.problems.append(f"{again.request_id} is answered otherwise")


_DO: Final[dict[str, Callable[[Job], int]]] = {
    "found": _found, "live": _live, "recover": _recover,
}  # fmt: skip


def _fork(job: Job) -> int:
    process_id = os.fork()
    if process_id:
        return process_id
    status = 1
    try:
        storage._WRITER_PRAGMAS["synchronous"] = job.synchronous
        storage._WRITER_PRAGMAS["wal_autocheckpoint"] = job.checkpoint_pages
        if job.hasty:
            _answer_before_commit()
        status = _DO[job.do](job)
    except BaseException as error:  # noqa: BLE001 - the fork must not go on as its parent
        import traceback

        traceback.print_exception(error)
    finally:
        with suppress(Exception):
            sys.stderr.flush()
        os._exit(status)


def main() -> None:
    for line in sys.stdin:
        process_id = _fork(Job(**json.loads(line)))
        print(process_id, flush=True)
        _, status = os.waitpid(process_id, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
