"""Clients that buy, hold, spend and undo without end, and keep a log of what they were told."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests.ack_log import AckLog, Sent
from tests.faults import client as c
from tests.faults.client import Client, Said

_WIDTH: Final = 32
_BACK_OFF_SECONDS: Final = 0.25


@dataclass(slots=True)
class _Wallet:
    """What one worker may use; nobody else does, so that every refusal can be explained."""

    cards: list[str] = field(default_factory=list)
    holds: list[str] = field(default_factory=list)
    spent: list[str] = field(default_factory=list)


class Load:
    """`width` calls in flight from `start` to `stop`; wallets live on between the two.

    `failures` has the calls that ended without the ledger's word, as (code, reason).
    """

    def __init__(
        self,
        log: AckLog,
        dice: random.Random,
        width: int = _WIDTH,
        *,
        timeout_seconds: float = c.TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self.failures: list[Said] = []
        self._log = log
        self._dice = dice
        self._wallets = [_Wallet() for _ in range(width)]
        self._stopping = asyncio.Event()
        self._workers: list[asyncio.Task[None]] = []

    def start(self, client: Client) -> None:
        self._stopping.clear()
        self._workers = [
            asyncio.create_task(self._work(client, wallet)) for wallet in self._wallets
        ]

    async def stop(self) -> None:
        """Starts nothing new and waits for what is in flight."""
        self._stopping.set()
        await asyncio.gather(*self._workers)

    async def _work(self, client: Client, wallet: _Wallet) -> None:
        while not self._stopping.is_set():
            method, request = self._next(wallet)
            sent = self._log.sending(method, request)
            said = await client.call(method, request, timeout_seconds=self._timeout_seconds)
            if settle(self._log, sent, said):
                _remember(wallet, sent)
            else:
                self.failures.append(said)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), _BACK_OFF_SECONDS)

    def _next(self, wallet: _Wallet) -> tuple[str, Any]:
        dice = self._dice
        if not wallet.cards or dice.random() < 0.1:
            return "IssueGiftCard", c.issue(dice.randint(100, 10_000))
        choice = dice.random()
        if choice < 0.2 and wallet.holds:
            hold = wallet.holds.pop(dice.randrange(len(wallet.holds)))
            if dice.random() < 0.3:
                return "VoidHold", c.void(hold)
            return "CaptureHold", c.capture(hold, final=True)
        if choice < 0.3 and wallet.spent:
            return "ReverseTransaction", c.reverse(wallet.spent.pop())
        card = dice.choice(wallet.cards)
        if choice < 0.5:
            return "AuthorizeGiftCard", c.authorize(card, dice.randint(1, 500))
        return "RedeemGiftCard", c.redeem(card, dice.randint(1, 500))


def settle(log: AckLog, sent: Sent, said: Said) -> bool:
    """Notes what the caller learned; False when that is nothing final."""
    if said.ok:
        log.acknowledged(sent, said.message)
    elif said.code == "FAILED_PRECONDITION":
        log.refused(sent, said.reason)
    else:
        log.failed(sent, f"{said.code} {said.reason}".strip())
        return False
    return True


def _remember(wallet: _Wallet, sent: Sent) -> None:
    if sent.answer is None:
        return
    if sent.method == "IssueGiftCard":
        wallet.cards.append(sent.answer.gift_card.name)
    elif sent.method == "AuthorizeGiftCard":
        wallet.holds.append(sent.answer.hold.name)
    elif sent.method == "RedeemGiftCard":
        wallet.spent.append(sent.request_id)
