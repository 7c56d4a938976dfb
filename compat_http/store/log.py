"""The log of exchanges, as statements on the writer's connection.  Redaction happens here."""

import logging
from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select

from compat_http.records import Exchange
from compat_http.redaction import MASK, redact
from compat_http.store.schema import exchange as _exchange
from compat_http.store.schema import log_gap as _log_gap

logger = logging.getLogger("giftcard.shim")

_PRUNED_AT_ONCE: Final = 2_000


def row_of(exchange: Exchange) -> dict[str, Any]:
    """The row of an exchange, with nothing secret in it."""
    own_texts = (
        exchange.operation, exchange.method, exchange.legacy_request_id, exchange.request_id,
        exchange.reason, exchange.transaction,
    )  # fmt: skip
    try:
        (request, answer), texts = redact(
            (exchange.request, exchange.answer), own_texts, exchange.redaction, exchange.secrets
        )
    except Exception:  # a defect of ours must neither show a secret nor stop the log
        logger.exception("an exchange could not be redacted")
        request = answer = MASK
        texts = [MASK] * len(own_texts)
    operation, method, legacy_request_id, request_id, reason, transaction_name = texts
    last_four = exchange.code_last_four[-4:]
    return {
        "time": exchange.time_microseconds,
        "duration_microseconds": exchange.duration_microseconds,
        "dialect": exchange.dialect,
        "operation": operation,
        "method": method,
        "path": exchange.path,
        "legacy_request_id": legacy_request_id,
        "request_id": request_id,
        "code_last_four": last_four if last_four.isascii() and last_four.isalnum() else "",
        "status": exchange.status,
        "reason": reason,
        "transaction_name": transaction_name,
        "request": request,
        "answer": answer,
    }


def write(connection: Connection, rows: Sequence[dict[str, Any]], dropped: int, now: int) -> None:
    """Adds rows, and says how many there should have been before them."""
    if rows:
        connection.execute(insert(_exchange), rows)
    if dropped:
        connection.execute(insert(_log_gap), {"time": now, "dropped": dropped})


def prune(connection: Connection, before: int) -> bool:
    """Removes some of what is older; True while there may be more."""
    old = select(_exchange.c.id).where(_exchange.c.time < before).limit(_PRUNED_AT_ONCE)
    removed = connection.execute(delete(_exchange).where(_exchange.c.id.in_(old))).rowcount
    connection.execute(delete(_log_gap).where(_log_gap.c.time < before))
    return removed == _PRUNED_AT_ONCE
