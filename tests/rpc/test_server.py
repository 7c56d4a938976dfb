"""The server as a whole: health, reflection, stopping, defects, load, and PINs across a restart."""

import io
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from giftcard import v1
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from server.domain.errors import MESSAGES
from server.ledger.engine import Batch, Outcome
from server.rpc import errors, render
from server.storage import queries
from tests.rpc.edge_stage import Heard, Stage, running, unique, usd

SERVICES: Final = (
    "GiftCardService",
    "CustomerService",
    "ProgramService",
    "LocationService",
    "AdminService",
)
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
WAIT_SECONDS: Final = 20


@contextmanager
def a_server(directory: Path, **settings: Any) -> Iterator[Stage]:
    with running(f"sqlite:///{directory / 'giftcard.db'}", directory, **settings) as stage:
        yield stage


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Stage]:
    """A server that the test may stop."""
    with a_server(tmp_path) as stage:
        yield stage


class Gate:
    """Keeps commits back until it is opened."""

    def __init__(self, stage: Stage) -> None:
        ledger = stage.thread.server._bridge._ledger
        complete: Callable[[Batch], list[Outcome]] = ledger.complete
        self.reached = threading.Event()
        self._opened = threading.Event()

        def wait_and_complete(batch: Batch) -> list[Outcome]:
            self.reached.set()
            assert self._opened.wait(WAIT_SECONDS)
            return complete(batch)

        ledger.complete = wait_and_complete  # type: ignore[method-assign]

    def open(self) -> None:
        self._opened.set()


def redeem(card: Any, request_id: str = "", minor_units: int = 10) -> v1.RedeemGiftCardRequest:
    return v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(name=card.name),
        amount=usd(minor_units),
        request_id=request_id or unique(),
    )


# Health and reflection


@pytest.mark.parametrize("service", ["", *(f"giftcard.v1.{name}" for name in SERVICES)])
def test_health_is_serving_without_a_credential(edge: Stage, service: str) -> None:
    stub: Any = health_pb2_grpc.HealthStub(edge.channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == SERVING


def test_health_of_an_unknown_service_is_not_found(edge: Stage) -> None:
    stub: Any = health_pb2_grpc.HealthStub(edge.channel)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody.v1"), timeout=5)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.NOT_FOUND


def reflected(stage: Stage) -> set[str]:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(stage.channel)
    asked = iter([reflection_pb2.ServerReflectionRequest(list_services="*")])
    answer = next(stub.ServerReflectionInfo(asked, timeout=5))
    return {service.name for service in answer.list_services_response.service}


def test_reflection_lists_every_service_in_development(edge: Stage) -> None:
    assert reflected(edge) == {
        *(f"giftcard.v1.{name}" for name in SERVICES),
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_there_is_no_reflection_in_production(tmp_path: Path) -> None:
    with a_server(tmp_path, profile="production") as stage:
        assert stage.issue(100).state == v1.GiftCard.ACTIVE
        with pytest.raises(grpc.RpcError) as raised:
            reflected(stage)
    error: Any = raised.value
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


# Stopping


def test_stopping_finishes_calls_in_flight_and_says_not_serving(alone: Stage) -> None:
    card = alone.issue(100)
    health: Any = health_pb2_grpc.HealthStub(alone.channel)
    watch = health.Watch(health_pb2.HealthCheckRequest())
    assert next(watch).status == SERVING
    gate = Gate(alone)
    late = alone.begin(redeem(card, "late"))
    assert gate.reached.wait(WAIT_SECONDS)
    alone.thread.begin_to_stop()
    assert next(watch).status == NOT_SERVING
    assert not late.done()
    gate.open()
    heard = alone.wait(late)
    assert heard.message.gift_card.balance == usd(90)
    watch.cancel()
    alone.thread.stop()
    assert alone.call(redeem(card), timeout=1).code == "UNAVAILABLE"
    alone.restart()
    again = alone.call(redeem(card, "late"))
    assert again.replayed
    assert again.message.gift_card == heard.message.gift_card


def test_a_call_that_outlives_the_drain_is_cut_off_but_not_undone(tmp_path: Path) -> None:
    with a_server(tmp_path, drain_seconds=1) as stage:
        card = stage.issue(100)
        gate = Gate(stage)
        late = stage.begin(redeem(card, "late"))
        assert gate.reached.wait(WAIT_SECONDS)
        stage.thread.begin_to_stop()
        assert stage.wait(late).code in {"UNAVAILABLE", "CANCELLED"}
        gate.open()
        stage.restart()
        assert stage.call(redeem(card, "late")).replayed


def test_a_caller_that_goes_away_changes_nothing(alone: Stage) -> None:
    card = alone.issue(100)
    gate = Gate(alone)
    gone = alone.begin(redeem(card, "gone"))
    assert gate.reached.wait(WAIT_SECONDS)
    gone.cancel()
    gate.open()
    found = alone.answer(v1.LookupTransactionRequest(request_id="gone"))
    assert found.state == v1.LookupTransactionResponse.APPROVED


# Defects and doubt

SECRET: Final = "a secret of the inside"
FIXED: Final = errors._MESSAGES["INTERNAL"]


def _fail(*_: object, **__: object) -> Any:
    raise RuntimeError(SECRET)


#: Where an unexpected exception is planted, and a request that runs into it.
PLANTS: Final[dict[str, tuple[Callable[[Any], Any], str, Callable[[Any], Any]]]] = {
    "decision": (lambda server: server._bridge._ledger._processor, "run", redeem),
    "queue": (lambda server: server._bridge._ledger, "submit", redeem),
    "look-up": (
        lambda server: server._bridge, "card", lambda card: v1.GetGiftCardRequest(name=card.name),
    ),
    "read": (lambda server: server._bridge, "read", lambda card: v1.ListGiftCardsRequest()),
    "query": (lambda server: queries, "holds_page", lambda card: v1.ListHoldsRequest()),
    "answer": (lambda server: render, "transaction_fields", redeem),
}  # fmt: skip


@pytest.mark.parametrize("plant", PLANTS)
def test_a_defect_shows_nothing_of_the_inside_and_passes(
    alone: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, plant: str
) -> None:
    card = alone.issue(100)
    find, name, ask = PLANTS[plant]
    with monkeypatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(find(alone.thread.server), name, _fail)
        heard = alone.call(ask(card))
    assert (heard.code, heard.reason, heard.text) == ("INTERNAL", "INTERNAL", FIXED)
    assert heard.details == ("ErrorInfo",)
    assert heard.metadata == {}
    assert SECRET.encode() not in heard.raw
    assert SECRET in caplog.text
    assert alone.call(ask(card)).code == "OK"


def test_a_defect_after_the_decision_does_not_undo_it(
    alone: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the sentence must not claim that nothing was done."""
    card = alone.issue(100)
    with monkeypatch.context() as patch:
        patch.setattr(render, "transaction_fields", _fail)
        assert alone.call(redeem(card, "half")).code == "INTERNAL"
    assert "Nothing was done" not in FIXED
    again = alone.call(redeem(card, "half"))
    assert again.replayed
    assert again.message.gift_card.balance == usd(90)


def test_a_commit_that_takes_too_long_is_unknown_and_a_replay_tells(tmp_path: Path) -> None:
    with a_server(tmp_path, commit_timeout_seconds=1) as stage:
        card = stage.issue(100)
        gate = Gate(stage)
        heard = stage.call(redeem(card, "slow"))
        assert (heard.code, heard.reason) == ("UNAVAILABLE", "OUTCOME_UNKNOWN")
        assert heard.text == MESSAGES["OUTCOME_UNKNOWN"]
        assert heard.details == ("ErrorInfo", "RetryInfo")
        assert heard.retry_milliseconds
        gate.open()
        again = stage.call(redeem(card, "slow"))
        assert again.replayed
        assert again.message.gift_card.balance == usd(90)


def test_too_much_to_do_is_said_at_once_and_a_reversal_still_gets_in(tmp_path: Path) -> None:
    with a_server(tmp_path, queue_limit=1, queue_reserve=1) as stage:
        card = stage.issue(100)
        gate = Gate(stage)
        under_way = stage.begin(redeem(card, "under way"))
        assert gate.reached.wait(WAIT_SECONDS)
        waiting = stage.begin(redeem(card, "waiting"))
        while not stage.thread.server._bridge._ledger.queued:
            time.sleep(0.01)
        heard = stage.call(redeem(card))
        assert (heard.code, heard.reason) == ("RESOURCE_EXHAUSTED", "OVERLOADED")
        assert heard.details == ("ErrorInfo", "RetryInfo")
        assert heard.retry_milliseconds == 100
        undo = v1.ReverseTransactionRequest(original_request_id="under way", request_id="undo")
        undone = stage.begin(undo)
        gate.open()
        assert [stage.wait(each).code for each in (under_way, waiting, undone)] == ["OK"] * 3


def test_a_till_does_not_wait_behind_who_tries_passwords_out(alone: Stage) -> None:
    parent = "merchants/own/apiClients/till"
    alone.answer(
        v1.CreateApiClientRequest(
            parent="merchants/own", api_client_id="till",
            api_client=v1.ApiClient(scopes=[v1.ApiClient.READ]),
        )
    )  # fmt: skip
    login = v1.Credential(kind=v1.Credential.PASSWORD, login="till")
    alone.answer(
        v1.CreateCredentialRequest(parent=parent, credential=login, password="till-password")
    )
    read = v1.ListGiftCardsRequest()
    assert alone.call(read, "till:till-password").code == "OK"
    passwords: Any = alone.thread.server._directory._passwords
    slots = [passwords._slots.acquire() for _ in range(2)]
    guesses = [alone.begin(read, f"till:guess-{number}") for number in range(120)]
    while sum(each.done() for each in guesses) < 20:
        time.sleep(0.01)
    assert alone.call(read, "till:till-password").code == "OK"
    heard = [alone.wait(each) for each in guesses if each.done()]
    assert [(each.reason, each.details) for each in heard] == [
        ("OVERLOADED", ("ErrorInfo", "RetryInfo"))
    ] * 20
    for _ in slots:
        passwords._slots.release()
    reasons = Counter(alone.wait(each).reason for each in guesses)
    assert reasons == {"OVERLOADED": 20, "UNAUTHENTICATED": 100}


def test_a_log_that_nobody_reads_fails_no_call(alone: Stage) -> None:
    class Closed(io.BytesIO):
        def write(self, *_: object) -> int:
            raise BrokenPipeError

    log = alone.thread.server._access_log
    log._stream = Closed()
    card = alone.issue(100)
    log._lines = ["x"] * 5000
    assert alone.call(redeem(card)).code == "OK"


# Looking up what became of a request


def test_a_look_up_tells_what_happened_since(both: Stage) -> None:
    card = both.issue(100)
    both.answer(redeem(card, "since"))
    look_up = v1.LookupTransactionRequest(request_id="since")
    first = both.answer(look_up)
    assert first.transaction == both.answer(v1.GetTransactionRequest(name=first.transaction.name))
    assert first.transaction.feed_sequence > 0
    assert first.transaction.reversal_transaction == ""
    assert first.gift_cards[0].balance == usd(90)
    undo = v1.ReverseTransactionRequest(original_request_id="since", request_id="undo since")
    undone = both.answer(undo)
    again = both.answer(look_up)
    assert again.state == v1.LookupTransactionResponse.APPROVED
    assert again.transaction.reversal_transaction == undone.transaction.name
    assert again.gift_cards[0].balance == usd(100)


# PINs


def test_five_wrong_pins_close_the_pin_also_across_a_restart(alone: Stage) -> None:
    alone.issue(100, program="programs/PIN", pin="1234", code="PIN-CARD")

    def look_up(pin: str) -> Heard:
        reference = v1.GiftCardReference(code="PIN-CARD", pin=pin)
        return alone.call(v1.LookupGiftCardRequest(gift_card=reference))

    assert look_up("").reason == "PIN_REQUIRED"
    assert look_up("1234").code == "OK"
    for _ in range(4):
        heard = look_up("9999")
        assert (heard.code, heard.reason) == ("PERMISSION_DENIED", "PIN_INCORRECT")
    assert look_up("1234").code == "OK"
    for _ in range(5):
        assert look_up("9999").reason == "PIN_INCORRECT"
    alone.restart(kill=True)
    wait_seconds = 0.0
    for pin in ("9999", "1234"):
        heard = look_up(pin)
        assert (heard.code, heard.reason) == ("RESOURCE_EXHAUSTED", "PIN_LOCKED")
        assert heard.details == ("ErrorInfo", "RetryInfo")
        assert heard.retry_milliseconds is not None
        assert 890_000 < heard.retry_milliseconds <= 900_001
        assert int(heard.metadata["retry_time"]) > alone.clock.now
        wait_seconds = heard.retry_milliseconds / 1000
    alone.clock.advance(wait_seconds)
    assert look_up("1234").code == "OK"
