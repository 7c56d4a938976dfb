"""The queue of reversals, as statements on the writer's connection.

A row is queued, then started, then gone.  Queued it can be taken back; started it may have reached
the service and can only be carried through.  Every step is committed before anything rests on it.
"""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, Row, delete, or_, select, update
from sqlalchemy.dialects.sqlite import insert

from compat_http.exchange_key import ExchangeKey, ExchangeKeyError
from compat_http.records import Reversal, ReversalStartedError
from compat_http.store.database import StoreError
from compat_http.store.schema import reversal as _reversal

#: Nothing is ever postponed for longer: what is due later than this was queued under a clock that
#: has been set back since.
WAIT_SECONDS_MAX: Final = 3600

_SECOND: Final = 1_000_000


#: Caller, as a keyed hash, and request id: where a reversal stands.
Place = tuple[bytes, str]


@dataclass(frozen=True, slots=True)
class Claimed:
    """A reversal that has been started: it has to be sent until there is a definite answer."""

    reversal: Reversal
    attempts: int
    caller: bytes = field(repr=False)


def put(connection: Connection, key: ExchangeKey, reversal: Reversal, now: int) -> None:
    """Queues it; one that is there already stays as it is."""
    caller = key.digest(reversal.authorization)
    grace = min(reversal.grace_seconds, WAIT_SECONDS_MAX)
    connection.execute(
        insert(_reversal).on_conflict_do_nothing(),
        {
            "caller": caller,
            "key": reversal.key,
            "authorization": key.seal(reversal.authorization, _belongs_to(caller, reversal.key)),
            "book": reversal.book,
            "dialect": reversal.dialect,
            "operation": reversal.operation,
            "started": 0,
            "attempts": 0,
            "queued_time": now,
            "due_time": now + grace * _SECOND,
        },
    )


def take_back(connection: Connection, caller: bytes, key: str) -> bool | ReversalStartedError:
    """Whether it was queued and is no more; an error, returned, when it has been started."""
    own = (_reversal.c.caller == caller, _reversal.c.key == key)
    started = connection.execute(select(_reversal.c.started).where(*own)).scalar()
    if started is None:
        return False
    if started:
        return ReversalStartedError()
    connection.execute(delete(_reversal).where(*own))
    return True


def claim(connection: Connection, key: ExchangeKey, limit: int, now: int) -> list[Claimed]:
    """Starts what is due, oldest first."""
    due = _reversal.c.due_time
    rows = connection.execute(
        select(_reversal)
        .where(or_(due <= now, due > now + WAIT_SECONDS_MAX * _SECOND))
        .order_by(due)
        .limit(limit)
    ).all()
    found = [Claimed(_opened(row, key), row.attempts + 1, row.caller) for row in rows]
    for each in found:
        connection.execute(
            update(_reversal)
            .where(_reversal.c.caller == each.caller, _reversal.c.key == each.reversal.key)
            .values(started=1, attempts=each.attempts)
        )
    return found


def settle(connection: Connection, claimed: Claimed) -> None:
    """A definite answer was had: the row goes, and the credential with it."""
    connection.execute(
        delete(_reversal).where(
            _reversal.c.caller == claimed.caller, _reversal.c.key == claimed.reversal.key
        )
    )


def postpone(connection: Connection, claimed: Claimed, due_time: int) -> None:
    """No definite answer: to be sent again then."""
    connection.execute(
        update(_reversal)
        .where(_reversal.c.caller == claimed.caller, _reversal.c.key == claimed.reversal.key)
        .values(due_time=due_time)
    )


def forget(connection: Connection, key: str) -> int:
    """Gives up the reversals of a request id, whoever's; answers how many there were."""
    return connection.execute(delete(_reversal).where(_reversal.c.key == key)).rowcount


def waiting(connection: Connection, key: ExchangeKey) -> list[Place]:
    """Every reversal that there is.  Raises StoreError where the key does not open one."""
    rows = connection.execute(select(_reversal)).all()
    try:
        for row in rows:
            _opened(row, key)
    except ExchangeKeyError:
        raise StoreError(
            f"{len(rows)} reversals wait whose credentials another key protects. Start with the"
            " exchange key that was used before; change it when none wait (giftcard log reversals)."
        ) from None
    return [(row.caller, row.key) for row in rows]


def _opened(row: Row[tuple[object, ...]], key: ExchangeKey) -> Reversal:
    authorization = key.open(row.authorization, _belongs_to(row.caller, row.key))
    return Reversal(row.key, authorization, row.book, row.dialect, row.operation)


def _belongs_to(caller: bytes, key: str) -> bytes:
    """A credential copied to another row is useless."""
    return caller + key.encode("utf-8", "surrogatepass")
