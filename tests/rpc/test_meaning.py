"""What makes two requests the same: every field that changes their meaning, and nothing else.

Each field of each writing request is changed in turn.  A changed meaning under the same request id
is REQUEST_ID_REUSED; what is no meaning (when, and with which typed PIN) is a replay.
"""

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Final

import pytest
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from server.domain.commands import Caller, Location
from server.ledger.intake import request_of
from server.rpc import parse
from server.rpc.envelopes import Intaker
from server.rpc.gift_card_service import _OPERATIONS
from server.secrets import SecretKeys
from server.secrets.keys import KeyVersion

_FIRST, _SECOND = (KeyVersion(bytes([n]) * 32, bytes([n]) * 32) for n in (1, 2))
KEYS: Final = SecretKeys(1, {1: _FIRST})
ROTATED: Final = SecretKeys(2, {1: _FIRST, 2: _SECOND})
NAME: Final = "0123456789ab7def8123456789abcdef"
AMOUNT: Final = v1.Money(minor_units=500, currency_code="USD")
CARD: Final = v1.GiftCardReference(code="GC-0001", pin="1234")
OTHER: Final = v1.GiftCardReference(name=f"giftCards/{NAME}", pin="1234")
DATES: Final[dict[str, Any]] = {
    "valid_from": Date(year=2026, month=3, day=1),
    "valid_until": Date(year=2029, month=2, day=2),
}
POLICY: Final[dict[str, Any]] = {
    "max_balance": AMOUNT, "reload_allowed": True, "return_allowed": True,
    "partial_redeem_allowed": True, "batch": "b", "customer": "customers/c",
    "external_reference": "e", "labels": {"season": "spring"}, "pin": "1234", **DATES,
}  # fmt: skip
TRANCHE: Final[dict[str, Any]] = {
    "origin": v1.Tranche.PROMO, "tranche_expire_date": Date(year=2026, month=3, day=3),
}  # fmt: skip

#: Every field that can be set together.
REQUESTS: Final[dict[str, Message]] = {
    "CreateGiftCard": v1.CreateGiftCardRequest(program="programs/GC", code="GC-0001", **POLICY),
    "ActivateGiftCard": v1.ActivateGiftCardRequest(gift_card=CARD, amount=AMOUNT, **DATES),
    "IssueGiftCard": v1.IssueGiftCardRequest(
        program="programs/GC", code="GC-0001", amount=AMOUNT, **POLICY, **TRANCHE),
    "LoadGiftCard": v1.LoadGiftCardRequest(gift_card=CARD, amount=AMOUNT, **TRANCHE),
    "RedeemGiftCard": v1.RedeemGiftCardRequest(gift_card=OTHER, amount=AMOUNT, allow_partial=True),
    "RedeemGiftCards": v1.RedeemGiftCardsRequest(
        gift_cards=[CARD, OTHER], amount=AMOUNT, allow_partial=True,
        order=v1.RedeemGiftCardsRequest.SOONEST_EXPIRY_FIRST),
    "RefundGiftCard": v1.RefundGiftCardRequest(original_request_id="sale", amount=AMOUNT),
    "AuthorizeGiftCard": v1.AuthorizeGiftCardRequest(
        gift_card=CARD, amount=AMOUNT, allow_partial=True, exclusive=True,
        expire_after=Duration(seconds=60), sale_reference="s"),
    "CaptureHold": v1.CaptureHoldRequest(name=f"holds/{NAME}", amount=AMOUNT, final=True),
    "VoidHold": v1.VoidHoldRequest(name=f"holds/{NAME}"),
    "ReverseTransaction": v1.ReverseTransactionRequest(transaction=f"transactions/{NAME}"),
    "LockGiftCard": v1.LockGiftCardRequest(gift_card=CARD),
    "UnlockGiftCard": v1.UnlockGiftCardRequest(gift_card=OTHER),
    "CloseGiftCard": v1.CloseGiftCardRequest(
        gift_card=CARD, disposition=v1.CloseGiftCardRequest.TRANSFER, transfer_target=OTHER),
    "TransferBalance": v1.TransferBalanceRequest(
        source=CARD, target=OTHER, amount=AMOUNT, close_source=True),
    "AdjustGiftCard": v1.AdjustGiftCardRequest(gift_card=CARD, amount=AMOUNT),
    "UpdateGiftCard": v1.UpdateGiftCardRequest(
        gift_card=v1.GiftCard(name=f"giftCards/{NAME}", etag="e", **POLICY),
        update_mask=FieldMask(paths=[*parse.UPDATABLE, "pin"])),
}  # fmt: skip
for _request in REQUESTS.values():
    _request.request_id = "r"  # type: ignore[attr-defined]
    _request.context.CopyFrom(  # type: ignore[attr-defined]
        v1.CallContext(
            location="locations/shop", terminal="t", operator="o", receipt="r", reason="x",
            client_time=Timestamp(seconds=1),
        )
    )  # fmt: skip

#: No meaning: what the till's clock says, and that its user knows the PIN.
_NO_MEANING: Final = re.compile(
    r"context\.client_time\..*"
    r"|(gift_card|source|target|transfer_target|gift_cards\[\d\])\.pin"
)


def _fingerprint(name: str, request: Any, keys: SecretKeys = KEYS) -> bytes:
    caller = Caller("m", "c", 1)
    intake = parse.Intake(keys, caller)
    command = _OPERATIONS[name].parse(request, intake)
    call: Any = SimpleNamespace(
        caller=caller, received_time=1, principal=SimpleNamespace(location_code="", time_zone="UTC")
    )
    envelope = asyncio.run(Intaker(_Places()).envelope(request, call, command))  # type: ignore[arg-type]
    return request_of(envelope).fingerprint


class _Places:
    async def location(self, merchant_id: str, code: str) -> Location:
        return Location(code)


def _changes(message: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(field, what to do to a copy's field) for everything that is set."""
    for field, value in message.ListFields():
        here = f"{path}{field.name}"
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield f"{here}[value]", lambda m, n=field.name: getattr(m, n).update({"season": "-"})
            yield f"{here}[key]", lambda m, n=field.name: getattr(m, n).update({"other": ""})
        elif field.is_repeated and field.message_type is not None:
            for index, each in enumerate(value):
                for inner, change in _changes(each, f"{here}[{index}]."):
                    yield inner, lambda m, n=field.name, i=index, c=change: c(getattr(m, n)[i])
        elif field.is_repeated:
            yield here, lambda m, n=field.name: getattr(m, n).pop()
        elif field.message_type is not None:
            for inner, change in _changes(value, f"{here}."):
                yield inner, lambda m, n=field.name, c=change: c(getattr(m, n))
        else:
            other = _another(field, value)
            yield here, lambda m, n=field.name, v=other: setattr(m, n, v)


def _another(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        return 1
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if field.name == "currency_code":
        return "EUR"
    return value[:-1] + ("1" if value[-1] != "1" else "2")


CASES: Final = [
    (name, path)
    for name, request in REQUESTS.items()
    for path, _ in _changes(request)
    if path != "request_id"
]


def _changed(name: str, path: str) -> Any:
    copy = type(REQUESTS[name])()
    copy.CopyFrom(REQUESTS[name])
    dict(_changes(REQUESTS[name]))[path](copy)
    return copy


def test_every_writing_operation_is_here() -> None:
    assert REQUESTS.keys() == _OPERATIONS.keys()


@pytest.mark.parametrize(("name", "path"), CASES)
def test_each_field_that_means_something_counts(name: str, path: str) -> None:
    request = _changed(name, path)
    if name == "CloseGiftCard" and path == "disposition":
        request.ClearField("transfer_target")
    same = _fingerprint(name, request) == _fingerprint(name, REQUESTS[name])
    typed = _NO_MEANING.fullmatch(path) is not None and (name, path) != (
        "UpdateGiftCard", "gift_card.pin",
    )  # fmt: skip
    assert same == typed


@pytest.mark.parametrize("name", REQUESTS)
def test_a_rotated_key_changes_no_meaning(name: str) -> None:
    assert _fingerprint(name, REQUESTS[name], ROTATED) == _fingerprint(name, REQUESTS[name])


def test_a_field_that_is_not_masked_has_no_meaning() -> None:
    """Whoever sends back the card that was read sends much that is not meant."""
    mask = FieldMask(paths=["batch"])
    card = v1.GiftCard(name=f"giftCards/{NAME}", batch="b")
    bare = v1.UpdateGiftCardRequest(gift_card=card, update_mask=mask, request_id="r")
    card.MergeFrom(
        v1.GiftCard(customer="customers/c", labels={"a": "b"}, max_balance=AMOUNT, pin="1234")
    )
    full = v1.UpdateGiftCardRequest(gift_card=card, update_mask=mask, request_id="r")
    assert _fingerprint("UpdateGiftCard", full) == _fingerprint("UpdateGiftCard", bare)


def test_the_spelling_of_a_code_is_no_meaning() -> None:
    request = v1.LockGiftCardRequest(gift_card=v1.GiftCardReference(code="gc 0001"), request_id="r")
    request.context.CopyFrom(REQUESTS["LockGiftCard"].context)  # type: ignore[attr-defined]
    assert _fingerprint("LockGiftCard", request) == _fingerprint(
        "LockGiftCard", REQUESTS["LockGiftCard"]
    )
