"""Every field of every request, filled with what does not belong there.

Made from the contract's descriptors, so that a new field is covered on the day it is added. What
each field's own mistakes are called stands in `bad_requests`; here holds what must always hold: an
error has one ErrorInfo of the contract and shows no defect, and only a decision leaves a row. All
are sent at once, so that they share batches: what is refused costs its neighbours nothing.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

import pytest
from giftcard import v1
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from server.domain.errors import MESSAGES
from server.rpc import errors
from tests.rpc.edge_stage import Stage, unique, usd
from tests.rpc.test_served import METHODS, REASONS

CODE: Final = "ANY-FIELD-1"
#: What a caller can be told; INTERNAL, UNKNOWN, UNAVAILABLE and the like would be defects.
EXPECTED: Final = {
    "OK", "INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "ABORTED", "FAILED_PRECONDITION",
    "PERMISSION_DENIED",
}  # fmt: skip

TEXTS: Final = (
    "", " ", "\0", "a\nb", "ä", "\u202e", "\U0001f4b3", "x" * 129, "x" * 20_000, "*", "a/b/c/d/e",
    "%s' OR 1=1 --", "giftCards/" + "0" * 32, "9" * 40,
)  # fmt: skip
INTEGERS: Final = (0, -1, 2**31 - 1, -(2**31))
LONG_INTEGERS: Final = (0, -1, 10**12 + 1, 2**63 - 1, -(2**63))
ENUMS: Final = (0, 99, -1)
REPEATED: Final = (1, 200)

WORDS: Final = {*MESSAGES.values(), *errors._MESSAGES.values()}

Type = FieldDescriptor


def values(field: Any) -> tuple[Any, ...]:
    """What may be put into a field that holds one plain value."""
    if field.type == Type.TYPE_STRING:
        return TEXTS
    if field.type == Type.TYPE_ENUM:
        return ENUMS
    if field.type == Type.TYPE_BOOL:
        return (False, True)
    return LONG_INTEGERS if field.type == Type.TYPE_INT64 else INTEGERS


def spoiled(request: Message) -> Iterator[tuple[str, Message]]:
    """Copies of a request in each of which one field is not as it was, with what was done."""
    field: Any
    for field in request.DESCRIPTOR.fields:
        for what, spoil in _spoils(field):
            copy = type(request)()
            copy.CopyFrom(request)
            spoil(copy)
            yield f"{field.name} {what}"[:200], copy
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        within = getattr(request, field.name)
        single = within[0] if field.is_repeated and within else within
        if field.is_repeated and not within:
            single = GetMessageClass(field.message_type)()
        for what, inner in spoiled(single):
            copy = type(request)()
            copy.CopyFrom(request)
            _put(copy, field, inner)
            yield f"{field.name}.{what}", copy


def _put(request: Any, field: Any, value: Message) -> None:
    if not field.is_repeated:
        getattr(request, field.name).CopyFrom(value)
        return
    request.ClearField(field.name)
    getattr(request, field.name).add().CopyFrom(value)


def _spoils(field: Any) -> Iterator[tuple[str, Callable[[Any], None]]]:
    """Each takes the message and changes this field of it."""
    yield "absent", partial(_clear, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        for text in TEXTS:
            yield f"key {text!r}", partial(_map, field.name, text, "v")
            yield f"entry {text!r}", partial(_map, field.name, "k", text)
    elif field.is_repeated:
        for count in REPEATED:
            yield f"{count} times", partial(_repeat, field, count)
        for value in values(field) if field.message_type is None else ():
            yield repr(value), partial(_append, field.name, value)
    elif field.message_type is not None:
        yield "empty", partial(_empty, field.name)
    else:
        for value in values(field):
            yield repr(value), partial(_set, field.name, value)


def _clear(name: str, message: Any) -> None:
    message.ClearField(name)


def _empty(name: str, message: Any) -> None:
    message.ClearField(name)
    getattr(message, name).SetInParent()


def _set(name: str, value: Any, message: Any) -> None:
    setattr(message, name, value)


def _append(name: str, value: Any, message: Any) -> None:
    getattr(message, name).append(value)


def _map(name: str, key: str, value: str, message: Any) -> None:
    getattr(message, name)[key] = value


def _repeat(field: Any, count: int, message: Any) -> None:
    present = list(getattr(message, field.name))
    new = GetMessageClass(field.message_type)() if field.message_type else values(field)[1]
    getattr(message, field.name).extend((present or [new])[:1] * count)


@pytest.fixture(scope="module")
def stage(edge_on_postgresql: Stage) -> Stage:
    """The stricter engine: SQLite takes a NUL in a text and knows no range of integers."""
    return edge_on_postgresql


@pytest.fixture(scope="module")
def good(stage: Stage) -> dict[str, Message]:
    """A request that is in order, by method; what it names is there."""
    card = stage.issue(100_000, code=CODE)
    reference = v1.GiftCardReference(code=CODE)
    other = v1.GiftCardReference(name=stage.issue(1).name)
    hold = stage.answer(v1.AuthorizeGiftCardRequest(gift_card=reference, amount=usd(50_000))).hold
    sale = stage.answer(v1.RedeemGiftCardRequest(gift_card=reference, amount=usd(1000)))
    parent = "merchants/own"
    client = f"{parent}/apiClients/any"
    stage.answer(
        v1.CreateApiClientRequest(
            parent=parent, api_client_id="any", api_client=v1.ApiClient(scopes=[v1.ApiClient.READ])
        )
    )
    token = stage.answer(
        v1.CreateCredentialRequest(
            parent=client, credential=v1.Credential(kind=v1.Credential.TOKEN)
        )
    )
    customer = "customers/any"
    stage.answer(v1.CreateCustomerRequest(customer_id="any"))
    stage.answer(v1.EarnPointsRequest(customer=customer, points=1000))
    reserved = stage.answer(v1.ReserveCodesRequest(program="programs/GC", agency="a", count=2))
    context = v1.CallContext(location="locations/shop", reason="why")
    place = v1.Location(country_code="AT", time_zone="UTC")
    program = v1.Program(currency_code="USD", min_amount=usd(1))
    mask = FieldMask(paths=["display_name"])
    requests: tuple[Message, ...] = (
        v1.CreateGiftCardRequest(program="programs/GC", context=context),
        v1.ActivateGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.IssueGiftCardRequest(program="programs/GC", amount=usd(1), context=context),
        v1.GetGiftCardRequest(name=card.name),
        v1.LookupGiftCardRequest(gift_card=reference),
        v1.ListGiftCardsRequest(),
        v1.UpdateGiftCardRequest(
            gift_card=v1.GiftCard(name=card.name, batch="b"),
            update_mask=FieldMask(paths=["batch"]), context=context,
        ),
        v1.LoadGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.RedeemGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.RedeemGiftCardsRequest(gift_cards=[reference], amount=usd(1), context=context),
        v1.RefundGiftCardRequest(
            transaction=sale.transaction.name, amount=usd(1), context=context
        ),
        v1.AuthorizeGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.CaptureHoldRequest(name=hold.name, amount=usd(1), context=context),
        v1.VoidHoldRequest(name=f"holds/{'0' * 32}", context=context),
        v1.GetHoldRequest(name=hold.name),
        v1.ListHoldsRequest(),
        v1.ReverseTransactionRequest(original_request_id="never sent", context=context),
        v1.LookupTransactionRequest(context=context),
        v1.GetTransactionRequest(name=sale.transaction.name),
        v1.ListTransactionsRequest(),
        v1.LockGiftCardRequest(gift_card=other, context=context),
        v1.UnlockGiftCardRequest(gift_card=other, context=context),
        v1.CloseGiftCardRequest(gift_card=other, context=context),
        v1.TransferBalanceRequest(source=reference, target=other, amount=usd(1), context=context),
        v1.AdjustGiftCardRequest(gift_card=reference, amount=usd(1), context=context),
        v1.ReserveCodesRequest(
            program="programs/GC", agency="a", code_format=v1.Program.CodeFormat(prefix="A-"),
            context=context,
        ),
        v1.ReleaseCodesRequest(codes=list(reserved.codes), context=context),
        v1.RenderCertificateRequest(gift_card=reference, format=v1.RenderCertificateRequest.PDF),
        v1.CreateCustomerRequest(
            customer_id="new", customer=v1.Customer(labels={"k": "v"}), context=context
        ),
        v1.GetCustomerRequest(name=customer),
        v1.ListCustomersRequest(),
        v1.UpdateCustomerRequest(
            customer=v1.Customer(name=customer, external_reference="e"),
            update_mask=FieldMask(paths=["external_reference"]), context=context,
        ),
        v1.EarnPointsRequest(customer=customer, points=1, context=context),
        v1.AdjustPointsRequest(customer=customer, points=1, context=context),
        v1.AuthorizePointsRequest(customer=customer, points=1, context=context),
        v1.CreateProgramRequest(program_id="new", program=program, context=context),
        v1.GetProgramRequest(name="programs/GC"),
        v1.ListProgramsRequest(),
        v1.UpdateProgramRequest(
            program=v1.Program(name="programs/EURO", display_name="e"), context=context
        ),
        v1.CreateLocationRequest(location_id="new", location=place, context=context),
        v1.GetLocationRequest(name="locations/shop"),
        v1.ListLocationsRequest(),
        v1.UpdateLocationRequest(
            location=v1.Location(name="locations/shop", display_name="s"), context=context
        ),
        v1.CreateMerchantRequest(
            merchant_id="new", merchant=v1.Merchant(display_name="n", time_zone="UTC")
        ),
        v1.GetMerchantRequest(name=parent),
        v1.ListMerchantsRequest(),
        v1.CreateApiClientRequest(
            parent=parent, api_client_id="new",
            api_client=v1.ApiClient(scopes=[v1.ApiClient.READ]), context=context,
        ),
        v1.GetApiClientRequest(name=client),
        v1.ListApiClientsRequest(parent=parent),
        v1.UpdateApiClientRequest(
            api_client=v1.ApiClient(name=client, display_name="a"), update_mask=mask,
            context=context,
        ),
        v1.CreateCredentialRequest(
            parent=client, context=context,
            credential=v1.Credential(kind=v1.Credential.PASSWORD, login="l"),
            password="a password",
        ),
        v1.ListCredentialsRequest(parent=client),
        v1.RevokeCredentialRequest(name=f"{client}/credentials/none", context=context),
        v1.RotateCredentialRequest(name=token.name, context=context),
    )  # fmt: skip
    return {each.DESCRIPTOR.name.removesuffix("Request"): each for each in requests}


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_no_field_can_hold_what_the_server_cannot_bear(
    stage: Stage, good: dict[str, Message], method: MethodDescriptor
) -> None:
    request: Any = good[method.name]
    writes = "request_id" in request.DESCRIPTOR.fields_by_name
    who = "platform" if "Merchant" in method.name else "own"
    rows = stage.rows()
    begun = []
    for what, bad in spoiled(request):
        if writes and not what.startswith("request_id"):
            bad.request_id = unique()  # type: ignore[attr-defined]
        begun.append((what, stage.begin(bad, who)))
    seen = set()
    written = 0
    for what, future in begun:
        heard = stage.wait(future)
        seen.add(heard.code)
        stored = heard.code == "OK" or "transaction" in heard.metadata
        written += writes and stored and heard.reason != "REQUEST_ID_REUSED"
        case = f"{method.name} with {what}: {heard}"
        assert heard.code in EXPECTED, case
        if heard.code != "OK":
            assert heard.details.count("ErrorInfo") == 1, case
            assert heard.reason in REASONS, case
            assert heard.text in WORDS, case
            assert bool(heard.fields) == (heard.reason == "INVALID_FIELD"), case
    # A look-up writes only where it seals; a reversal of what never arrived writes two rows.
    if method.name not in {"LookupTransaction", "ReverseTransaction"}:
        assert stage.rows() == rows + written
    assert "INVALID_ARGUMENT" in seen
