"""What the client adds to a call that meets no fault, against the real server."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from giftcard import v1
from giftcard.v1 import (
    GetGiftCardRequest,
    GiftCard,
    ListGiftCardsRequest,
    LockGiftCardRequest,
    LookupGiftCardRequest,
    LookupTransactionRequest,
)
from giftcard_client import GiftcardClient, GiftcardError, RetryPolicy, Tls, reasons

from tests.client.till import BRIEF, INITIAL, LONG, balance, client, issue, redeem
from tests.grpc_server import TOKEN, GrpcServer


async def test_the_id_is_in_the_message_and_makes_it_one_request(server: GrpcServer) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        request = redeem(card)
        first = await till.gift_cards.RedeemGiftCard(request)
        assert first.transaction.request_id == request.request_id != ""
        again = await till.gift_cards.RedeemGiftCard(request)
        assert (first.replayed, again.replayed) == (False, True)
        other = redeem(card)
        await till.gift_cards.RedeemGiftCard(other)
        assert other.request_id != request.request_id
        assert await balance(till, card) == INITIAL - 2


async def test_an_id_of_the_callers_own_stays(server: GrpcServer) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        request = redeem(card, request_id=f"own/{card}")
        answer = await till.gift_cards.RedeemGiftCard(request)
        assert answer.transaction.request_id == request.request_id == f"own/{card}"


async def test_a_question_gets_no_id(server: GrpcServer) -> None:
    async with client(server.address) as till:
        question = LookupTransactionRequest()
        with pytest.raises(reasons.InvalidField) as wrong:
            await till.gift_cards.LookupTransaction(question)
    assert question.request_id == ""
    assert {*wrong.value.field_violations} == {"request_id"}


async def test_refusals_are_classes(server: GrpcServer) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        request = redeem(card, INITIAL + 1)
        with pytest.raises(reasons.InsufficientFunds) as refused:
            await till.gift_cards.RedeemGiftCard(request)
        error = refused.value
        assert error.available_minor_units == INITIAL
        assert error.requested_minor_units == INITIAL + 1
        assert error.code is grpc.StatusCode.FAILED_PRECONDITION
        assert error.method == "/giftcard.v1.GiftCardService/RedeemGiftCard"
        assert (error.request, error.request_id) == (request, request.request_id)
        assert not error.replayed
        # Sent again it is the same refusal, however much is on the card by then.
        with pytest.raises(reasons.InsufficientFunds) as again:
            await till.gift_cards.RedeemGiftCard(request)
        assert again.value.replayed
        assert again.value.transaction == error.transaction


async def test_an_error_says_nothing_of_the_request(server: GrpcServer) -> None:
    """The words of an error end in logs, and a request may hold a code."""
    async with client(server.address) as till:
        with pytest.raises(reasons.GiftCardNotFound) as failed:
            await till.gift_cards.LookupGiftCard(
                LookupGiftCardRequest(gift_card={"code": "SECRET-4711"})  # type: ignore[arg-type]
            )
    assert "4711" in str(failed.value.request)
    for words in (str(failed.value), repr(failed.value), str(failed.value.__cause__)):
        assert "4711" not in words


async def test_metadata_and_trailers_of_a_call(server: GrpcServer) -> None:
    """What a caller adds is sent, and what came back can be read, as from the bare stub."""
    async with client(server.address) as till:
        card = await issue(till)
        request = redeem(card)
        await till.gift_cards.RedeemGiftCard(request)
        call = till.gift_cards.RedeemGiftCard(
            request, metadata=grpc.aio.Metadata(("traceparent", "00-0-0-00"))
        )
        assert (await call).replayed
        assert ("giftcard-replayed", "true") in [*(await call.trailing_metadata() or ())]


async def test_training_never_touches_a_live_card(server: GrpcServer) -> None:
    async with (
        client(server.address) as live,
        GiftcardClient(server.address, token=TOKEN, book="training", retry=LONG) as training,
    ):
        card = await issue(live)
        with pytest.raises(reasons.GiftCardNotFound):
            await training.gift_cards.RedeemGiftCard(redeem(card))
        practice = await issue(training)
        found = await training.gift_cards.GetGiftCard(GetGiftCardRequest(name=practice))
        assert found.book == GiftCard.TRAINING
        # A single call cannot change sides: resolve_unknown would ask in the wrong book.
        with pytest.raises(reasons.InvalidField):
            await live.gift_cards.GetGiftCard(
                GetGiftCardRequest(name=practice),
                metadata=grpc.aio.Metadata(("giftcard-book", "training")),
            )


async def test_a_token_is_asked_for_at_each_call(server: GrpcServer) -> None:
    tokens: Iterator[str] = iter([TOKEN, "gct_not-one", TOKEN])
    async with GiftcardClient(server.address, token=lambda: next(tokens), retry=LONG) as till:
        await till.gift_cards.ListGiftCards(ListGiftCardsRequest())
        with pytest.raises(reasons.Unauthenticated):
            await till.gift_cards.ListGiftCards(ListGiftCardsRequest())
        await till.gift_cards.ListGiftCards(ListGiftCardsRequest())


async def test_the_timeout_of_a_call_is_its_patience() -> None:
    """Nobody is there; a call of 0.3 s is over long before the 60 s of the client."""
    async with client("127.0.0.1:1") as nobody:
        started = time.monotonic()
        with pytest.raises(reasons.Unavailable):
            await nobody.gift_cards.ListGiftCards(ListGiftCardsRequest(), timeout=0.3)
        assert time.monotonic() - started < 30


async def test_every_service_is_there(server: GrpcServer) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        locked = await till.gift_cards.LockGiftCard(
            LockGiftCardRequest(gift_card={"name": card})  # type: ignore[arg-type]
        )
        assert locked.transaction.request_id
        for stub, method in (
            (till.customers, "GetCustomer"),
            (till.programs, "GetProgram"),
            (till.locations, "GetLocation"),
            (till.admin, "GetApiClient"),
        ):
            call = getattr(stub, method)
            # An empty request of the method's own type.
            with pytest.raises(GiftcardError) as failed:
                await call(getattr(v1, f"{method}Request")())
            assert failed.value.reason, method


@pytest.mark.parametrize(
    ("server_name", "told"),
    [
        ("giftcards.example:443", "another host"),
        ("10.0.0.1:50051", "another host"),
        ("127.0.0.1.example:50051", "another host"),
    ],
)
async def test_a_token_is_not_sent_in_the_clear(server_name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        GiftcardClient(server_name, token=TOKEN)
    await GiftcardClient(server_name, token=TOKEN, plaintext=True).close()
    await GiftcardClient(server_name, token=TOKEN, tls=Tls()).close()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "localhost:1", "[::1]:1"])
async def test_this_machine_may_be_spoken_to_in_the_clear(address: str) -> None:
    await GiftcardClient(address, token=TOKEN).close()


def test_tls_files_that_are_half_there(tmp_path: Path) -> None:
    half = tmp_path / "certificate.pem"
    half.write_text("")
    with pytest.raises(ValueError, match="together"):
        Tls(certificate_file=half).credentials()
    with pytest.raises(FileNotFoundError):
        Tls(ca_file=tmp_path / "nowhere.pem").credentials()


async def test_resolving_needs_something_to_resolve() -> None:
    async with client("127.0.0.1:1", BRIEF) as nobody:
        with pytest.raises(ValueError, match="no request id"):
            await nobody.resolve_unknown("")
        with pytest.raises(ValueError, match="needs the error"):
            await nobody.resolve_unknown("an-id", by="retry")


async def test_a_cancelled_call_is_not_repeated(server: GrpcServer) -> None:
    """The task ends at once, also between two tries; the id stands in the message."""
    patient = RetryPolicy(patience_seconds=60, first_wait_seconds=30, longest_wait_seconds=30)
    async with GiftcardClient("127.0.0.1:1", token=TOKEN, retry=patient) as nobody:
        request = redeem("giftCards/01")
        paying = asyncio.ensure_future(nobody.gift_cards.RedeemGiftCard(request))
        done, _ = await asyncio.wait({paying}, timeout=0.2)
        assert not done
        paying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await paying
        assert request.request_id
