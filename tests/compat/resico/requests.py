"""Resico requests for tests: whole ones, and what a test changes in them."""

from typing import Any

from compat_http.dialect import LegacyRequest
from compat_http.strict_json import exact_number
from tests.compat.drive import request

#: By the names of routes.
BODIES: dict[str, dict[str, Any]] = {
    "getCard": {},
    "sellCard": {
        "amount": exact_number("57.23"), "transactionNo": "00000045", "locationCode": "SHOP1",
    },
    "useCard": {"amount": exact_number("10.00")},
    "reserveCard": {"locationCode": "SHOP1"},
    "cancelReserve": {},
    "cancelReserveByPost": {},
}  # fmt: skip


def body(name: str, **members: Any) -> dict[str, Any]:
    """A whole body; a member that is `...` is left out."""
    whole = {**BODIES[name], **members}
    return {member: value for member, value in whole.items() if value is not ...}


def ask(
    name: str,
    *,
    card: str = "CARD0001",
    consumer: str = "consumer",
    key: str | None = None,
    **members: Any,
) -> LegacyRequest:
    """A whole request."""
    headers = {} if key is None else {"idempotency-key": key}
    path = {"card_id": card, "consumer_key": consumer}
    return request(body(name, **members), path=path, headers=headers)
