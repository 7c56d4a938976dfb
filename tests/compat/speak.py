"""How each vendor's client speaks: one short function for each dialect, over real HTTP.

With the demo merchant's credentials unless others are given.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from compat_http.strict_json import write
from tests.compat.retail7.messages import message
from tests.compat.stage import Said, basic, call

Headers = Mapping[str, str]

RETAIL7_PATH: Final = "/retail7/giftcards"
RESICO_PATH: Final = "/api/giftcards/v1"
IWAREHOUSE_PATH: Final = "/core/sales/cards/gift/gift_api.asp"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


RETAIL7: Final = basic("demo-pos", "demo-pos")
CP: Final = bearer("demo-cp-token")
RESICO: Final = bearer("demo-resico-token")
CONSUMER: Final = "demo-consumer"
IWAREHOUSE: Final = {"log": "demo", "pwd": "demo"}


def retail7(
    address: str, operation: str, card: str, request_id: str, /, *, who: Headers = RETAIL7,
    **members: Any,
) -> Said:  # fmt: skip
    """A whole message, with what is given besides; a member that is `...` is left out."""
    whole = message(operation, cardID=card, requestIDExternal=request_id, **members)
    return call(address, "POST", RETAIL7_PATH, write(whole), who)


def cp(address: str, path: str, /, *, who: Headers = CP, **members: Any) -> Said:
    """With members a POST, without any a GET."""
    if not members:
        return call(address, "GET", path, headers=who)
    return call(address, "POST", path, write(members), who)


def resico(
    address: str, method: str, path: str, key: str = "", /, *, who: Headers = RESICO, **members: Any
) -> Said:
    """`key` becomes the Idempotency-Key."""
    headers = {**who, **({"Idempotency-Key": key} if key else {})}
    body = write(members) if members else None
    return call(address, method, RESICO_PATH + path, body, headers)


def iwarehouse(address: str, /, *, who: Mapping[str, str] = IWAREHOUSE, **query: str) -> Said:
    target = f"{IWAREHOUSE_PATH}?{urlencode({**who, **query}, quote_via=quote)}"
    return call(address, "GET", target)
