"""Bad input to GiftCardService, and how each is refused: by name, with nothing left behind."""

from collections.abc import Iterator

import pytest
from giftcard import v1
from google.protobuf.message import Message

from tests.rpc.bad_requests import (
    CASES,
    CODE,
    FIELD,
    INVALID,
    OTHERS_CODE,
    PIN_CODE,
    SALE_CODE,
    UNKNOWN_ID,
    Case,
    card,
    named,
    redeem,
)
from tests.rpc.edge_stage import SERVICE, Stage, usd


@pytest.fixture(scope="module")
def names(edge: Stage) -> dict[str, str]:
    """What {card} and the others stand for."""
    mine = edge.issue(5000, code=CODE)
    edge.issue(5000, code=PIN_CODE, program="programs/PIN", pin="1234")
    edge.issue(5000, "other", code=OTHERS_CODE)
    edge.answer(v1.CreateGiftCardRequest(program="programs/GC", code=SALE_CODE))
    edge.answer(v1.CreateCustomerRequest(customer_id="7"))
    hold = edge.answer(v1.AuthorizeGiftCardRequest(gift_card=card(), amount=usd(100))).hold
    edge.answer(v1.RedeemGiftCardRequest(gift_card=card(), amount=usd(100), request_id="sale"))
    return {"card": mine.name, "hold": hold.name}


def filled(message: Message, names: dict[str, str]) -> Message:
    """A copy with {card} and {hold} replaced, in whatever field they stand."""
    text = message.SerializeToString()
    if not any(b"{%s}" % name.encode() in text for name in names):
        return message
    copy = type(message)()
    copy.CopyFrom(message)
    _fill(copy, names)
    return copy


def _fill(message: Message, names: dict[str, str]) -> None:
    for field, value in message.ListFields():
        if field.message_type is not None and not field.is_repeated:
            _fill(value, names)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for each in value:
                _fill(each, names)
        elif isinstance(value, str):
            setattr(message, field.name, value.format_map(names) if "{" in value else value)


@pytest.fixture
def unchanged(edge: Stage, names: dict[str, str]) -> Iterator[list[int]]:
    """Fails when more or fewer rows were written than the list says in the end."""
    expected = [0]
    before = edge.rows()
    yield expected
    assert edge.rows() - before == expected[0]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_refused_by_name(
    edge: Stage, names: dict[str, str], unchanged: list[int], case: Case
) -> None:
    unchanged[0] = int(case.decision)
    heard = edge.call(filled(case.request, names))
    assert (heard.code, heard.reason) == (case.code, case.reason), heard
    violations = (case.field,) if case.reason == FIELD else ()
    assert heard.fields == violations
    assert heard.details == (("ErrorInfo", "BadRequest") if violations else ("ErrorInfo",))
    if violations:
        assert heard.metadata == {"field": case.field}


# What is no field of a message


def test_a_name_of_another_merchant_is_unknown_byte_for_byte(
    edge: Stage, unchanged: list[int]
) -> None:
    theirs = edge.answer(v1.LookupGiftCardRequest(gift_card=card(OTHERS_CODE)), "other").gift_card
    answers = {
        edge.call(redeem(gift_card=reference, request_id="same")).raw
        for reference in (
            named(theirs.name), named(f"giftCards/{UNKNOWN_ID}"), card(OTHERS_CODE), card("NONE"),
        )
    }  # fmt: skip
    assert len(answers) == 1
    reads = {
        edge.call(v1.GetGiftCardRequest(name=name)).raw
        for name in (theirs.name, f"giftCards/{UNKNOWN_ID}")
    }
    assert reads == answers


@pytest.mark.parametrize("size", [65_537, 200_000, 1024 * 1024 - 100])
def test_a_message_that_is_too_large_is_told_so(
    edge: Stage, unchanged: list[int], size: int
) -> None:
    heard = edge.raw(f"/{SERVICE}/RedeemGiftCard", b"\x0a" * size)
    assert (heard.code, heard.reason) == ("RESOURCE_EXHAUSTED", "REQUEST_TOO_LARGE")
    assert heard.metadata == {"limit_bytes": "65536"}
    assert heard.details == ("ErrorInfo",)


def test_a_message_larger_than_the_transport_takes_is_exhausted_too(
    edge: Stage, unchanged: list[int]
) -> None:
    heard = edge.raw(f"/{SERVICE}/RedeemGiftCard", b"\0" * (1024 * 1024 + 1))
    assert heard.code == "RESOURCE_EXHAUSTED"


def test_the_largest_message_that_fits_is_read(edge: Stage, unchanged: list[int]) -> None:
    padding = v1.RedeemGiftCardRequest(request_id="x" * 65_000).SerializeToString()
    assert edge.raw(f"/{SERVICE}/RedeemGiftCard", padding).reason == FIELD


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x0a\xff", b"\x12\x02\xff\xff", b"\x2a\x01\xff"], ids=bytes.hex
)
def test_bytes_that_are_no_message_are_invalid(
    edge: Stage, unchanged: list[int], data: bytes
) -> None:
    heard = edge.raw(f"/{SERVICE}/RedeemGiftCard", data)
    assert (heard.code, heard.reason, heard.fields) == (INVALID, FIELD, ("",))


@pytest.mark.parametrize("path", [f"/{SERVICE}/StealGiftCard", "/nobody.v1.Nothing/Do", "/x/y"])
def test_an_unknown_method_is_unimplemented(edge: Stage, unchanged: list[int], path: str) -> None:
    heard = edge.raw(path, b"")
    assert (heard.code, heard.reason, heard.details) == (
        "UNIMPLEMENTED", "UNIMPLEMENTED", ("ErrorInfo",),
    )  # fmt: skip


@pytest.mark.parametrize("book", ["", "LIVE", "Training", "test", "live "])
def test_a_book_must_be_live_or_training(edge: Stage, unchanged: list[int], book: str) -> None:
    heard = edge.call(redeem(), book=book)
    assert (heard.code, heard.reason, heard.fields) == (INVALID, FIELD, ("giftcard-book",))


def test_a_book_is_named_once(edge: Stage, unchanged: list[int]) -> None:
    twice = (("giftcard-book", "training"), ("giftcard-book", "live"))
    heard = edge.call(redeem(), metadata=twice)
    assert (heard.code, heard.reason, heard.fields) == (INVALID, FIELD, ("giftcard-book",))


def test_a_deadline_that_is_too_short_is_told_so(edge: Stage, unchanged: list[int]) -> None:
    heard = edge.call(redeem(), timeout=0.015)
    assert heard.code == "DEADLINE_EXCEEDED"


def test_a_page_token_is_good_for_its_list_only(edge: Stage, names: dict[str, str]) -> None:
    """Not for another query, merchant, book or method, and not altered."""
    for _ in range(3):
        edge.issue(100)
        edge.issue(100, "other")
        edge.issue(100, book="training")
    first = v1.ListGiftCardsRequest(page_size=1)
    token = edge.answer(first).next_page_token
    fits = v1.ListGiftCardsRequest(page_size=2, page_token=token)
    assert edge.call(fits).code == "OK"
    other_end = token[:-2] + ("AA" if token[-2:] != "AA" else "BB")
    misfits: list[tuple[Message, str, str | None]] = [
        (v1.ListGiftCardsRequest(page_token=token, batch="B"), "own", None),
        (v1.ListGiftCardsRequest(page_token=token, program="programs/GC"), "own", None),
        (v1.ListGiftCardsRequest(page_token=token), "other", None),
        (v1.ListGiftCardsRequest(page_token=token), "own", "training"),
        (v1.ListHoldsRequest(page_token=token), "own", None),
        (v1.ListTransactionsRequest(page_token=token), "own", None),
        (v1.ListGiftCardsRequest(page_token=token[1:]), "own", None),
        (v1.ListGiftCardsRequest(page_token=other_end), "own", None),
        (v1.ListGiftCardsRequest(page_token=token.swapcase()), "own", None),
    ]
    for request, merchant, book in misfits:
        heard = edge.call(request, merchant, book=book)
        assert (heard.code, heard.reason) == (INVALID, "PAGE_TOKEN_INVALID"), request


def test_a_page_size_above_the_most_is_the_most(edge: Stage, names: dict[str, str]) -> None:
    assert edge.call(v1.ListGiftCardsRequest(page_size=2**31 - 1)).code == "OK"


def test_a_request_id_with_another_meaning_is_told_so(edge: Stage, names: dict[str, str]) -> None:
    before = edge.rows()
    heard = edge.call(redeem(request_id="sale", amount=usd(101)))
    assert (heard.code, heard.reason) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert edge.rows() == before
