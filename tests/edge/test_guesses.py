"""Guessing codes and PINs at the live edge: nothing to be learned, throttled, no card locked.

Three clients of one merchant: a shop page that shows balances (READ), whose token a guesser has; a
till whose token was stolen (READ, REDEEM); and a till that does its work meanwhile, with the card
whose PIN the others try.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
from giftcard import v1

from tests.edge.envoy import UNLIMITED, Edge
from tests.prove.proof import Proof
from tests.rpc.edge_stage import Heard, Stage, authorization, heard_error, running, unique, usd

PIN: Final = "7391"
PIN_CODE, LOCKED_CODE, PLAIN_CODE, THEIRS = "GUESS-PIN-1", "GUESS-PIN-2", "GUESS-1", "GUESS-THEIRS"
AT_ONCE: Final = 64
#: The service's own budgets, as they are where nobody sets them.
MISSES, MISSES_PER_MINUTE = 100, 30
SETTINGS: Final = {
    "GIFTCARD_DEMO": "0",
    "GIFTCARD_LOOKUP_MISSES_PER_CLIENT_MAX": str(MISSES),
    "GIFTCARD_LOOKUP_MISSES_PER_CLIENT_PER_MINUTE": str(MISSES_PER_MINUTE),
    "GIFTCARD_LOOKUP_MISSES_MAX": "3000",
}
UNKNOWN_TO_ALL: Final = ("GIFT_CARD_NOT_FOUND", "LOOKUP_BUDGET_EXHAUSTED")


@dataclass(frozen=True, slots=True)
class Tokens:
    page: str
    stolen: str
    till: str


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Tokens]:
    """A database with two merchants, before any edge serves it."""
    directory = tmp_path_factory.mktemp("guesses")
    with running(f"sqlite:///{directory / 'giftcard.db'}", directory) as stage:
        for code in (PIN_CODE, LOCKED_CODE):
            stage.issue(10**9, code=code, program="programs/PIN", pin=PIN)
        stage.issue(10**9, code=PLAIN_CODE)
        stage.issue(10**9, code=THEIRS, token="other", program="programs/PIN", pin=PIN)
        read, redeem = v1.ApiClient.READ, v1.ApiClient.REDEEM
        made = Tokens(
            _token(stage, "page", [read]),
            _token(stage, "stolen", [read, redeem]),
            _token(stage, "till", [read, redeem]),
        )
    return directory, made


def _token(stage: Stage, name: str, scopes: list[Any]) -> str:
    client = stage.answer(
        v1.CreateApiClientRequest(
            parent="merchants/own", api_client_id=name, api_client=v1.ApiClient(scopes=scopes)
        )
    ).name
    secret: str = stage.answer(
        v1.CreateCredentialRequest(
            parent=client, credential=v1.Credential(kind=v1.Credential.TOKEN)
        )
    ).secret
    return secret


@pytest.fixture
def edge(tokens: tuple[Path, Tokens]) -> Iterator[Edge]:
    """Anew for each test, so that nobody has missed yet; Envoy's buckets would hide ours."""
    with Edge(tokens[0], environment=SETTINGS, changes=UNLIMITED) as running_edge:
        running_edge.start()
        yield running_edge
        assert running_edge.stop() == 0


@dataclass(slots=True)
class Attack:
    """What was heard, by what was guessed."""

    token: Tokens
    choose: random.Random
    heard: dict[str, Counter[tuple[Any, ...]]] = field(default_factory=dict)
    till: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    _cards: Any = None

    async def run(self, edge: Edge, guesses: int) -> None:
        started = time.monotonic()
        async with edge.channel() as channel:
            self._cards = v1.GiftCardServiceStub(channel)
            left = iter(range(guesses))
            over = asyncio.Event()
            till = asyncio.create_task(self._work(over))
            await asyncio.gather(*(self._guess(left) for _ in range(AT_ONCE)))
            over.set()
            await till
            for _ in range(3):
                await self._redeem()
        self.seconds = time.monotonic() - started

    async def _guess(self, left: Iterator[int]) -> None:
        for number in left:
            kind, request, token = self._next(number)
            method = (
                self._cards.LookupGiftCard
                if isinstance(request, v1.LookupGiftCardRequest)
                else self._cards.RedeemGiftCard
            )
            heard = await _heard(method, request, token)
            answer = (heard.code, heard.reason, heard.text, tuple(sorted(heard.metadata)))
            self.heard.setdefault(kind, Counter())[answer] += 1

    def _next(self, number: int) -> tuple[str, Any, str]:
        pin = f"{self.choose.randrange(7000):04}"  # never the right one
        code = f"{self.choose.randrange(10**16):016}"
        kind = ("unknown", "unknown with PIN", "foreign", "foreign with PIN", "wrong PIN",
                "no PIN", "stolen: wrong PIN", "stolen: unknown")[number % 8]  # fmt: skip
        card = {
            "unknown": v1.GiftCardReference(code=code),
            "unknown with PIN": v1.GiftCardReference(code=code, pin=pin),
            "foreign": v1.GiftCardReference(code=THEIRS),
            "foreign with PIN": v1.GiftCardReference(code=THEIRS, pin=pin),
            "wrong PIN": v1.GiftCardReference(code=PIN_CODE, pin=pin),
            "no PIN": v1.GiftCardReference(code=PIN_CODE),
            "stolen: wrong PIN": v1.GiftCardReference(code=LOCKED_CODE, pin=pin),
            "stolen: unknown": v1.GiftCardReference(code=code, pin=pin),
        }[kind]
        if kind.startswith("stolen"):
            request = v1.RedeemGiftCardRequest(
                gift_card=card, amount=usd(1), request_id=unique("guess")
            )
            return kind, request, self.token.stolen
        return kind, v1.LookupGiftCardRequest(gift_card=card), self.token.page

    async def _work(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._redeem()
            await asyncio.sleep(0.05)

    async def _redeem(self) -> None:
        """At its till each card is good, with its PIN."""
        for code, pin in ((PIN_CODE, PIN), (LOCKED_CODE, PIN), (PLAIN_CODE, "")):
            request = v1.RedeemGiftCardRequest(
                gift_card=v1.GiftCardReference(code=code, pin=pin),
                amount=usd(1),
                request_id=unique("till"),
            )
            heard = await _heard(self._cards.RedeemGiftCard, request, self.token.till)
            self.till[heard.reason or heard.code] += 1

    def looked_at(self, prefix: str) -> int:
        """Guesses of a client that were not turned away."""
        return sum(
            count
            for kind, answers in self.heard.items()
            if kind.startswith("stolen") == (prefix == "stolen")
            for answer, count in answers.items()
            if answer[1] != "LOOKUP_BUDGET_EXHAUSTED"
        )


async def _heard(method: Any, request: Any, token: str) -> Heard:
    metadata = (("authorization", authorization(token)),)
    try:
        return Heard("OK", await method(request, metadata=metadata, timeout=60))
    except grpc.aio.AioRpcError as error:
        return heard_error(error)


def attack(edge: Edge, token: Tokens, guesses: int, seed: random.Random) -> Attack:
    """Carries it out and checks what must hold, however many guesses there are."""
    done = Attack(token, seed)
    asyncio.run(done.run(edge, guesses))
    page = {kind: answers for kind, answers in done.heard.items() if "stolen" not in kind}
    told = {answer for answers in page.values() for answer in answers}
    assert {answer[1] for answer in told} == set(UNKNOWN_TO_ALL), told
    assert len(told) == 2, told  # word for word, and with the same metadata
    assert all(len(answers) == 2 for answers in page.values()), page
    tries = sum(
        count for answer, count in done.heard["stolen: wrong PIN"].items()
        if answer[1] == "PIN_INCORRECT"
    )  # fmt: skip
    assert tries <= 5 + done.seconds // 900 * 5
    assert {answer[0] for answers in done.heard.values() for answer in answers} & {"OK"} == set()
    allowed = MISSES + AT_ONCE + MISSES_PER_MINUTE * (done.seconds / 60 + 1)
    assert done.looked_at("page") <= allowed
    assert done.looked_at("stolen") <= allowed
    assert set(done.till) == {"OK"}, done.till
    return done


def test_some_thousand_guesses(edge: Edge, tokens: tuple[Path, Tokens]) -> None:
    attack(edge, tokens[1], 3000, random.Random(20260301))


@pytest.mark.slow
def test_a_hundred_thousand_guesses(edge: Edge, tokens: tuple[Path, Tokens], proof: Proof) -> None:
    guesses = proof.cases(push=100_000, release=1_000_000)
    done = attack(edge, tokens[1], guesses, proof.random("guesses"))
    proof.report(
        "Guesses of codes and PINs at the edge",
        guesses=guesses,
        looked_at=done.looked_at("page") + done.looked_at("stolen"),
        redeemed_meanwhile=done.till["OK"],
        seconds=round(done.seconds),
    )
