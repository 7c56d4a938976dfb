"""Unknown, somebody else's, without its PIN: what a guesser hears must not tell them apart."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from giftcard import v1

from server.secrets import SecretKeys
from server.storage import loading
from tests.rpc.edge_stage import Heard, Stage, usd
from tests.rpc.server_thread import principal

PIN = "7391"
UNKNOWN_NAME = "giftCards/" + "0" * 32


@pytest.fixture(scope="module")
def stage(both: Stage) -> Stage:
    both.issue(5000, code="PLAIN-1")
    both.issue(5000, code="WITH-PIN-1", program="programs/PIN", pin=PIN)
    both.issue(5000, code="LOCKED-PIN-1", program="programs/PIN", pin=PIN)
    both.issue(5000, code="THEIRS-1", token="other")
    both.issue(5000, code="THEIRS-PIN-1", token="other", program="programs/PIN", pin=PIN)
    both.issue(5000, code="TRAINING-1", book="training")
    both.thread.add("web", principal("own", "web", "READ"))
    for _ in range(6):
        both.call(look_up("LOCKED-PIN-1", "0000"), "web")
    return both


def look_up(code: str, pin: str = "") -> v1.LookupGiftCardRequest:
    return v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=code, pin=pin))


#: Guesses, all of which a client that shows balances to holders hears alike.
GUESSES = {
    "unknown": look_up("NO-SUCH-1"),
    "unknown, with a PIN": look_up("NO-SUCH-1", "0000"),
    "another merchant's": look_up("THEIRS-1"),
    "another merchant's, with a PIN": look_up("THEIRS-1", "0000"),
    "another merchant's, with its PIN": look_up("THEIRS-PIN-1", PIN),
    "of the other book": look_up("TRAINING-1"),
    "no PIN": look_up("WITH-PIN-1"),
    "wrong PIN": look_up("WITH-PIN-1", "0000"),
    "locked, right PIN": look_up("LOCKED-PIN-1", PIN),
    "locked, wrong PIN": look_up("LOCKED-PIN-1", "0000"),
}


def all_of(stage: Stage, request: Any, token: str) -> tuple[Heard, list[tuple[str, Any]]]:
    """Status, reason, message, metadata and every trailing header."""
    future = stage.begin(request, token)
    heard = stage.wait(future)
    return heard, sorted(future.trailing_metadata() or ())


def test_who_shows_balances_cannot_tell_a_guess_from_another(stage: Stage) -> None:
    first = all_of(stage, GUESSES["unknown"], "web")
    assert first[0].reason == "GIFT_CARD_NOT_FOUND"
    assert first[0].details == ("ErrorInfo",)
    for name, request in GUESSES.items():
        assert (name, all_of(stage, request, "web")) == (name, first)


def test_who_shows_balances_sees_the_right_ones(stage: Stage) -> None:
    stage.thread.add("another web", principal("own", "web2", "READ"))
    for request in (look_up("PLAIN-1"), look_up("WITH-PIN-1", PIN)):
        assert stage.call(request, "another web").message.gift_card.balance == usd(5000)


def test_a_till_is_told_what_to_ask_the_customer_for(stage: Stage) -> None:
    heard = {name: stage.call(request).reason for name, request in GUESSES.items()}
    assert heard["no PIN"] == "PIN_REQUIRED"
    assert heard["wrong PIN"] == "PIN_INCORRECT"
    assert heard["locked, right PIN"] == ""  # who guessed was another client
    for name in GUESSES:
        if name.startswith(("unknown", "another", "of the")):
            assert heard[name] == "GIFT_CARD_NOT_FOUND"


def test_unknown_and_foreign_codes_cost_the_same_work(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted, not timed: hashes of codes and PINs, and queries of codes and cards."""
    done: Counter[str] = Counter()

    def counted(owner: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapper(*arguments: Any, **named: Any) -> Any:
            done[name] += 1
            return original(*arguments, **named)

        monkeypatch.setattr(owner, name, wrapper)

    for name in ("code_hashes_all_versions", "pin_matches", "pin_hash"):
        counted(SecretKeys, name)
    for name in ("card_ids_of_codes", "load_cards", "load_records", "select_in"):
        counted(loading, name)
    work: dict[str, Counter[str]] = {}
    for name in list(GUESSES)[:6]:
        done.clear()
        stage.call(GUESSES[name], "web")
        work[name] = Counter(done)
    assert work["unknown"]["code_hashes_all_versions"] == 1
    assert work["unknown"]["pin_matches"] == 0
    same = {name: count for name, count in work.items() if count != work["unknown"]}
    assert same == {}
