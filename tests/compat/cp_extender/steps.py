"""What upstream answers, and driving an operation of CP Extender by its route's name."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp

from compat_http.dialect import Reply
from compat_http.dialects import cp_extender
from compat_http.settings import Settings
from tests.compat.drive import drive, request

CP: Final = cp_extender.build(Settings())
ROUTES: Final = {route.name: number for number, route in enumerate(CP.routes)}
TOKEN: Final = {"authorization": "Bearer t0ken"}

CARD_ID: Final = "c" * 32
HOLD_ID: Final = "da17e1614abba6596e5b3ba3781b339b"
HOLD: Final = f"holds/{HOLD_ID}"
AUTH_CODE: Final = "GDA17E1614ABBA6596E5B3BA3781B339B"
TRANSACTION: Final = "transactions/0cb3fb5b6b654d52860e33297f97fa2e"
LOOKED: Final = v1.LookupTransactionResponse


def usd(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


def points(number: int) -> v1.Money:
    return v1.Money(minor_units=number, currency_code="POINTS")


def card(**facts: Any) -> v1.GiftCard:
    """An active card worth 100.00."""
    base: dict[str, Any] = {
        "name": f"giftCards/{CARD_ID}", "program": "programs/GC", "state": v1.GiftCard.ACTIVE,
        "currency_code": "USD", "balance": usd(10000), "held": usd(0), "available": usd(10000),
    }  # fmt: skip
    return v1.GiftCard(**{**base, **facts})


def hold(**facts: Any) -> v1.Hold:
    """An open one of that card."""
    base: dict[str, Any] = {
        "name": HOLD, "gift_card": f"giftCards/{CARD_ID}", "state": v1.Hold.OPEN,
        "sale_reference": "S1", "remaining_amount": usd(4000),
        "create_time": Timestamp(seconds=1772366400),
    }  # fmt: skip
    return v1.Hold(**{**base, **facts})


def found(**facts: Any) -> v1.LookupGiftCardResponse:
    return v1.LookupGiftCardResponse(gift_card=card(**facts))


def done(**facts: Any) -> v1.Transaction:
    return v1.Transaction(name=TRANSACTION, **{"hold": HOLD, **facts})


UNSEEN: Final = LOOKED(state=LOOKED.NOT_SEEN)
SEALED: Final = LOOKED(state=LOOKED.SEALED, transaction=done())
REFUSED: Final = LOOKED(state=LOOKED.REFUSED, transaction=done())
APPROVED: Final = LOOKED(state=LOOKED.APPROVED, transaction=done())
UNDONE: Final = LOOKED(
    state=LOOKED.APPROVED, transaction=done(reversal_transaction="transactions/" + "e" * 32)
)


def ask(
    route: str,
    document: Any = None,
    answers: Sequence[Any] = (),
    *,
    path: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> tuple[list[Any], Reply]:
    """What was asked upstream and what came of it."""
    number = ROUTES[route]
    legacy = request(
        document, method=CP.routes[number].method, path=path, query=query,
        headers=TOKEN if headers is None else headers,
    )  # fmt: skip
    return drive(CP, legacy, answers, route=number)
