"""The budget of wrong codes and PINs: who is throttled, who never is, and that it tells nothing."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from giftcard import v1
from google.protobuf.message import Message

from server.domain.errors import Rejected
from server.rpc.budget import LookupBudget, guess_in
from server.settings import Settings
from server.storage.directory import Principal
from tests.rpc.edge_stage import SCOPES, Heard, Stage, running, unique, usd
from tests.rpc.server_thread import principal
from tests.rpc.test_served import METHODS

MINUTE, HOUR = 60.0, 3600.0


@dataclass(slots=True)
class Guessing:
    """A budget of 10 misses and 6 a minute for a client, 30 and 12 for all, 2 an hour besides."""

    now: float = 1000.0
    budget: LookupBudget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = LookupBudget(
            Settings(
                lookup_misses_per_client_max=10, lookup_misses_per_client_per_minute=6,
                lookup_misses_max=30, lookup_misses_per_minute=12, lookup_misses_base_per_hour=2,
            ),
            monotonic=lambda: self.now,
        )  # fmt: skip

    def waits(self, client: str) -> float | None:
        """Seconds that the client is told to wait; None where it is served."""
        try:
            self.budget.require(_who(client), lambda: True)
        except Rejected as rejected:
            return int(rejected.metadata["retry_after_milliseconds"]) / 1000
        return None

    def miss(self, client: str, times: int = 1, reason: str = "GIFT_CARD_NOT_FOUND") -> None:
        for _ in range(times):
            self.budget.count(_who(client), reason, lambda: True)

    def guess(self, client: str, times: int) -> int:
        """How many of so many wrong guesses are looked at."""
        looked_at = 0
        for _ in range(times):
            if self.waits(client) is None:
                self.miss(client)
                looked_at += 1
        return looked_at


def _who(client: str) -> Principal:
    return principal("own", client, "READ")


@pytest.mark.parametrize("reason", ["GIFT_CARD_NOT_FOUND", "PIN_INCORRECT", "PIN_LOCKED"])
def test_a_client_has_so_many_misses_and_gets_them_back_by_the_minute(reason: str) -> None:
    on = Guessing()
    on.miss("web", 9, reason)
    assert on.waits("web") is None
    on.miss("web", 1, reason)
    assert on.waits("web") == 10
    on.now += 9.9
    assert on.waits("web") == 1
    on.now += 0.2
    assert on.guess("web", 5) == 1
    on.now += HOUR
    assert on.guess("web", 20) == 10


@pytest.mark.parametrize("reason", ["", "PIN_REQUIRED", "INSUFFICIENT_FUNDS", "OVERLOADED"])
def test_what_is_no_miss_costs_nothing(reason: str) -> None:
    on = Guessing()
    on.miss("till", 1000, reason)
    assert on.waits("till") is None


def test_many_at_once_have_to_be_waited_for_later() -> None:
    """They were all let in before the first had missed."""
    on = Guessing()
    on.miss("web", 110)
    assert on.waits("web") == 1010
    on.now += 1009
    assert on.waits("web") == 1


def test_whoever_guesses_stops_no_other_client() -> None:
    on = Guessing()
    assert on.guess("web", 1000) == 10
    assert on.waits("till") is None
    assert on.guess("till", 1000) == 10


def test_when_all_together_have_none_left_who_hardly_misses_is_served() -> None:
    on = Guessing()
    on.miss("till")
    assert sum(on.guess(f"thief {number}", 10) for number in range(3)) == 29
    assert on.guess("late thief", 10) == 2  # the few that nobody takes away
    assert on.waits("late thief") is not None
    assert on.waits("till") is None
    assert on.waits("till without a miss") is None
    on.now += MINUTE
    assert on.guess("late thief", 20) > 2


def test_many_clients_together_get_the_rate_for_all_and_their_few() -> None:
    on = Guessing()
    looked_at = 0
    for _ in range(120):
        looked_at += sum(on.guess(f"thief {number}", 3) for number in range(50))
        on.now += MINUTE
    # 30 at first and 12 a minute for all; 2 at first and 2 an hour for each.
    assert looked_at <= 30 + 12 * 120 + 50 * (2 + 2 * 2) + 50


def test_clients_whose_budget_is_full_again_are_forgotten() -> None:
    on = Guessing()
    for number in range(10_000):
        on.miss(f"client {number}")
    on.now += 2 * HOUR
    on.miss("one more")
    assert len(on.budget._shares) == 1


def test_every_method_with_a_reference_to_a_card_is_known() -> None:
    found = {
        method.name
        for method in METHODS
        if guess_in(getattr(v1, method.input_type.name)) is not None
    }
    assert found == {
        "ActivateGiftCard", "LookupGiftCard", "LoadGiftCard", "RedeemGiftCard", "RedeemGiftCards",
        "AuthorizeGiftCard", "LockGiftCard", "UnlockGiftCard", "CloseGiftCard", "TransferBalance",
        "AdjustGiftCard", "RenderCertificate",
    }  # fmt: skip


# Through the server

CODE, PIN_CODE, OTHERS_CODE = "REAL-CODE-1", "PIN-CODE-1", "OTHERS-CODE-1"
PIN: Final = "7391"
ALLOWED: Final = 8


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    settings: dict[str, Any] = {
        "lookup_misses_per_client_max": ALLOWED, "lookup_misses_per_client_per_minute": 1,
    }  # fmt: skip
    url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with running(url, tmp_path, **settings) as stage:
        stage.thread.add("web", principal("own", "web", SCOPES))
        stage.issue(100_000, code=CODE)
        stage.issue(100_000, program="programs/PIN", code=PIN_CODE, pin=PIN)
        stage.issue(100_000, code=OTHERS_CODE, token="other")
        yield stage


def card(code: str, pin: str = "") -> v1.GiftCardReference:
    return v1.GiftCardReference(code=code, pin=pin)


def look_up(code: str, pin: str = "") -> Message:
    return v1.LookupGiftCardRequest(gift_card=card(code, pin))


def redeem(code: str, pin: str = "") -> Message:
    return v1.RedeemGiftCardRequest(gift_card=card(code, pin), amount=usd(1), request_id=unique())


def exhaust(stage: Stage) -> None:
    for number in range(ALLOWED):
        assert stage.call(look_up(f"NO-SUCH-{number}"), "web").reason == "GIFT_CARD_NOT_FOUND"


def answer(heard: Heard) -> tuple[Any, ...]:
    assert heard.retry_milliseconds is not None
    assert heard.retry_milliseconds > 0
    return heard.code, heard.reason, heard.text, heard.metadata, heard.details, heard.message


GUESSES: Final = {
    "unknown": look_up("NO-SUCH-CODE"),
    "right": look_up(CODE),
    "another merchant's": look_up(OTHERS_CODE),
    "no PIN": look_up(PIN_CODE),
    "wrong PIN": look_up(PIN_CODE, "0000"),
    "right PIN": look_up(PIN_CODE, PIN),
    "redeem unknown": redeem("NO-SUCH-CODE"),
    "redeem right": redeem(CODE),
    "redeem wrong PIN": redeem(PIN_CODE, "0000"),
    "one of several": v1.RedeemGiftCardsRequest(
        gift_cards=[card(CODE), card("NO-SUCH-CODE")], amount=usd(1), request_id="several"),
    "hold": v1.AuthorizeGiftCardRequest(
        gift_card=card(CODE), whole_balance=True, request_id="hold"),
    "load": v1.LoadGiftCardRequest(gift_card=card(CODE), amount=usd(1), request_id="load"),
    "lock": v1.LockGiftCardRequest(gift_card=card(CODE), request_id="lock"),
    "transfer": v1.TransferBalanceRequest(
        source=card(CODE), target=card(PIN_CODE), request_id="transfer"),
    "certificate": v1.RenderCertificateRequest(gift_card=card(CODE)),
}  # fmt: skip


def test_who_has_none_left_gets_one_answer_to_every_guess(stage: Stage) -> None:
    exhaust(stage)
    rows = stage.rows()
    answers = {name: answer(stage.call(request, "web")) for name, request in GUESSES.items()}
    assert {answers[name][:2] for name in answers} == {
        ("RESOURCE_EXHAUSTED", "LOOKUP_BUDGET_EXHAUSTED")
    }
    assert all(each == answers["unknown"] for each in answers.values()), answers
    assert stage.rows() == rows


def test_other_clients_are_served_and_so_is_what_guesses_nothing(stage: Stage) -> None:
    name = stage.issue(1000).name
    exhaust(stage)
    for request in (look_up(CODE), redeem(CODE), redeem(PIN_CODE, PIN)):
        assert stage.call(request).code == "OK"
    by_name = v1.GiftCardReference(name=name)
    for request in (
        v1.GetGiftCardRequest(name=name),
        v1.LookupGiftCardRequest(gift_card=by_name),
        v1.RedeemGiftCardRequest(gift_card=by_name, amount=usd(1), request_id=unique()),
        v1.ReverseTransactionRequest(original_request_id="x", request_id=unique()),
    ):
        assert stage.call(request, "web").code == "OK", request


def test_every_kind_of_miss_is_counted(stage: Stage) -> None:
    """Unknown, another merchant's, a wrong PIN; by look-up and by whatever moves value."""
    misses = [
        GUESSES[name] for name in
        ("unknown", "another merchant's", "wrong PIN", "redeem unknown", "redeem wrong PIN",
         "one of several")
    ]  # fmt: skip
    for request in misses:
        assert stage.call(request, "web").reason in {"GIFT_CARD_NOT_FOUND", "PIN_INCORRECT"}
    for _ in range(ALLOWED - len(misses)):
        assert stage.call(look_up(CODE), "web").code == "OK"
        stage.call(look_up("NO-SUCH-CODE"), "web")
    assert stage.call(look_up(CODE), "web").reason == "LOOKUP_BUDGET_EXHAUSTED"


def test_a_till_that_never_misses_is_never_throttled(stage: Stage) -> None:
    for _ in range(10 * ALLOWED):
        assert stage.call(redeem(CODE), "web").code == "OK"
