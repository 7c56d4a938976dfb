"""The examples of docs/sdk/python.md do what the page says they do."""

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import pytest

from tests.client.till import INITIAL, balance, client, issue, redeem
from tests.grpc_server import GrpcServer

PAGE: Final = (Path(__file__).parents[2] / "docs/sdk/python.md").read_text()


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The functions of the page by name."""
    functions: dict[str, Any] = {"__name__": "page"}
    for text in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        exec(text, functions)
    return functions


async def test_paying(server: GrpcServer, example: dict[str, Any]) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        assert await example["pay"](till, redeem(card))
        assert await balance(till, card) == INITIAL - 1


async def test_after_a_restart(server: GrpcServer, example: dict[str, Any]) -> None:
    async with client(server.address) as till:
        done = redeem(await issue(till))
        await till.gift_cards.RedeemGiftCard(done)
        lost = f"lost/{done.request_id}"
        found = await example["after_a_restart"](till, [done.request_id, lost])
        assert found == {done.request_id: True, lost: False}


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_customer_who_walks_away(
    server: GrpcServer, example: dict[str, Any], leaves: bool
) -> None:
    """Whatever had become of the request by then, nothing is taken from who leaves."""
    async with client(server.address) as till:
        card = await issue(till)
        cancelled = asyncio.Event()
        if leaves:
            cancelled.set()
        sale = redeem(card, request_id=f"sale/{card}")
        assert await example["pay_unless_cancelled"](till, sale, cancelled) == (not leaves)
        assert await balance(till, card) == INITIAL - (not leaves)


async def test_refusals_in_words(server: GrpcServer, example: dict[str, Any]) -> None:
    async with client(server.address) as till:
        card = await issue(till)
        answer = await example["redeem"](till, redeem(card))
        assert answer.approved_amount.minor_units == 1
        told = await example["redeem"](till, redeem(card, INITIAL))
        assert told == f"Only {INITIAL - 1} are left on this card."
        nobodys = redeem(f"giftCards/{'f' * 32}")
        assert await example["redeem"](till, nobodys) == "There is no such card."
        with pytest.raises(ValueError, match="minor_units"):
            await example["redeem"](till, redeem(card, -1))
