"""RETAIL7 messages for tests: the eight common members and what an operation adds to them."""

from typing import Any

from compat_http.strict_json import exact_number

COMMON: dict[str, Any] = {
    "requestIDExternal": "R1",
    "timestamp": "2026-03-01T11:30:25.930Z",
    "trainingFlag": False,
    "operationType": "STATUS",
    "cardID": "CARD0001",
    "clientStore": "1001",
    "clientCountry": "US",
    "clientID": "7",
}
MONEY: dict[str, Any] = {
    "amount": exact_number("5.00"),
    "currencyCode": "USD",
    "clientTrx": "T1",
}
BODIES: dict[str, dict[str, Any]] = {
    "STATUS": {},
    "SELL": {**MONEY, "issuedByClient": False},
    "LOAD": MONEY,
    "REDEEM": MONEY,
    "CANCEL": {"originalRequestIDExternal": "R0", "originalOperationType": "REDEEM"},
    "CREATE": {"currencyCode": "USD"},
    "UPDATE": {"reloadAllowed": True},
    "LOCK": {},
    "UNLOCK": {},
    "CLOSE": {},
    "RETURN": MONEY,
}


def message(operation: str, **members: Any) -> dict[str, Any]:
    """A whole message; a member that is `...` is left out."""
    whole = {**COMMON, "operationType": operation, **BODIES[operation], **members}
    return {name: value for name, value in whole.items() if value is not ...}
