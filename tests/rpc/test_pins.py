"""Guessing a PIN: five tries a client, however many guess at once and whatever dies meanwhile."""

import dataclasses
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from giftcard import v1

from tests.postgres import Postgres
from tests.rpc.edge_stage import SCOPES, Client, Stage, heard_error, running, unique, usd
from tests.rpc.server_thread import ServerThread, principal

PIN = "7391"
GUESSES = [f"{number:04}" for number in range(64)]


@pytest.fixture(params=["SQLite", "PostgreSQL"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    if request.param == "SQLite":
        with running(f"sqlite:///{tmp_path / 'giftcard.db'}", tmp_path) as stage:
            yield stage
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    name = f"pins_{uuid.uuid4().hex}"
    with running(postgres.create_database(name), tmp_path) as stage:
        yield stage
    postgres.drop_database(name)


def look_up(card: str, pin: str) -> v1.LookupGiftCardRequest:
    return v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(name=card, pin=pin))


def redeem(card: str, pin: str) -> v1.RedeemGiftCardRequest:
    return v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(name=card, pin=pin), amount=usd(1), request_id=unique()
    )


def reasons(clients: list[Client], requests: list[Any], token: str) -> Counter[str]:
    """Sends all at once, turn about over the clients; the answers, "" where it was granted."""
    begun = [
        (clients[n % len(clients)], clients[n % len(clients)].begin(request, token))
        for n, request in enumerate(requests)
    ]
    return Counter(client.wait(future).reason for client, future in begun)


def pin_card(stage: Stage) -> str:
    stage.thread.add("web", principal("own", "web", "READ REDEEM"))
    name: str = stage.issue(1000, program="programs/PIN", pin=PIN).name
    return name


@pytest.mark.parametrize("ask", [look_up, redeem])
def test_of_many_guesses_at_once_five_are_looked_at(stage: Stage, ask: Any) -> None:
    """The right one too, when it comes sixth."""
    card = pin_card(stage)
    heard = reasons([stage], [ask(card, pin) for pin in [*GUESSES, PIN]], "web")
    assert heard == {"PIN_INCORRECT": 5, "PIN_LOCKED": 60}


def test_a_second_process_gives_no_more_tries(stage: Stage) -> None:
    if stage.thread.settings.database_url.startswith("sqlite"):
        return  # it has one process only
    card = pin_card(stage)
    settings = dataclasses.replace(stage.thread.settings, grpc_address="127.0.0.1:0")
    other = ServerThread(
        settings, stage.thread.keys, stage.clock, operators=dict(stage.thread.operators)
    )
    other.start()
    client = Client(other.port)
    try:
        heard = reasons([stage, client], [look_up(card, pin) for pin in [*GUESSES, PIN]], "web")
    finally:
        client.close()
        other.stop()
    assert heard["PIN_INCORRECT"] + heard[""] <= 6
    assert heard["PIN_INCORRECT"] == 5


def test_a_crash_gives_no_tries_back(stage: Stage) -> None:
    card = pin_card(stage)
    answered: Counter[str] = Counter()
    for start in (0, 3, 6):
        begun = [stage.begin(look_up(card, pin), "web") for pin in GUESSES[start : start + 3]]
        answered[stage.wait(begun[0]).reason] += 1
        stage.restart(kill=True)
        answered.update(Counter(_reason(future) for future in begun[1:]))
    heard = reasons([stage], [look_up(card, pin) for pin in [*GUESSES[9:], PIN]], "web")
    answered += heard
    assert answered["PIN_INCORRECT"] <= 5
    assert "" not in answered
    assert heard["PIN_LOCKED"] >= 51
    assert stage.call(look_up(card, PIN), "web").reason == "PIN_LOCKED"


def _reason(future: Any) -> str:
    """What was heard of a call that the crash may have cut off."""
    try:
        future.result()
    except grpc.RpcError as error:
        return heard_error(error).reason or "cut off"
    except Exception:  # noqa: BLE001 - the channel was closed
        return "cut off"
    return ""


def test_the_till_goes_on_while_others_guess(stage: Stage) -> None:
    card = pin_card(stage)
    stage.thread.add("shop", principal("own", "shop", SCOPES))
    for _ in range(3):
        heard = reasons([stage], [look_up(card, pin) for pin in GUESSES], "web")
        assert heard["PIN_LOCKED"] >= 59
        assert stage.call(redeem(card, PIN), "shop").code == "OK"
        assert stage.call(look_up(card, PIN), "shop").code == "OK"


def test_the_right_pin_leaves_no_row(stage: Stage) -> None:
    card = pin_card(stage)
    rows = stage.rows()
    for _ in range(3):
        assert stage.call(look_up(card, PIN), "web").code == "OK"
    assert stage.rows() == rows
