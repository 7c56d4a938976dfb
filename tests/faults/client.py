"""A client of the gift card service that tells an answer from a failure, and why it failed."""

import asyncio
import base64
import itertools
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from giftcard import v1
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from tests.grpc_server import LOGIN, PASSWORD, PROGRAM, TOKEN

SERVICE: Final = "/giftcard.v1.GiftCardService/"
METADATA: Final = (("authorization", f"Bearer {TOKEN}"),)
BASIC: Final = (
    ("authorization", "Basic " + base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()),
)
TIMEOUT_SECONDS: Final = 30.0
INITIAL: Final = 1_000_000
_TRIES_MAX: Final = 20
_RETRY_SECONDS: Final = 0.05

#: What the edge says when it did not decide, so that the same request may be sent again.
UNDECIDED: Final = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED"})


@dataclass(frozen=True, slots=True)
class Said:
    """How a call ended: `message` is None unless it was answered.

    `reason` and `metadata` are of the ErrorInfo, empty where gRPC itself gave up: then `details`
    has its words.  `retry_seconds` is of the RetryInfo.
    """

    code: str
    message: Any = None
    reason: str = ""
    retry_seconds: float | None = None
    metadata: Mapping[str, str] | None = None
    details: str = ""

    @property
    def ok(self) -> bool:
        return self.code == "OK"


def said_by(error: grpc.RpcError) -> Said:
    """What a failed call says; the code of a call cut short comes without an ErrorInfo."""
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    if status is None:
        return Said(error.code().name, details=error.details() or "")
    reason, retry, metadata = "", None, {}
    for detail in status.details:
        info, delay = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(delay):
            retry = delay.retry_delay.ToNanoseconds() / 1e9
    return Said(error.code().name, None, reason, retry, metadata)


class Client:
    """Spreads calls over several connections, each with its own socket."""

    def __init__(self, channels: Sequence[grpc.aio.Channel]) -> None:
        self.channels = channels
        self._stubs = itertools.cycle([v1.GiftCardServiceStub(channel) for channel in channels])

    async def call(
        self,
        method: str,
        request: Any,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        metadata: Any = METADATA,
    ) -> Said:
        """One try."""
        try:
            message = await getattr(next(self._stubs), method)(
                request, metadata=metadata, timeout=timeout_seconds
            )
        except grpc.aio.AioRpcError as error:
            return said_by(error)
        return Said("OK", message)

    async def settle(self, method: str, request: Any) -> Said:
        """Sends the same request until the ledger's word is known, as every caller should."""
        said = await self.call(method, request)
        for _ in range(_TRIES_MAX):
            if said.code not in UNDECIDED:
                return said
            await asyncio.sleep(said.retry_seconds or _RETRY_SECONDS)
            said = await self.call(method, request)
        raise AssertionError(f"{method} is not answered: {said}")

    async def read(self, method: str, request: Any) -> Any:
        """The answer to a question, asked again where the server could not look."""
        said = await self.settle(method, request)
        assert said.ok, f"{method}: {said}"
        return said.message

    async def answer(self, method: str, request: Any) -> Any:
        """The answer of a call that must succeed."""
        said = await self.call(method, request)
        assert said.ok, f"{method}: {said}"
        return said.message

    async def issue(self, minor_units: int = INITIAL, count: int = 1) -> list[str]:
        """Names of new cards."""
        answers = await asyncio.gather(
            *(self.answer("IssueGiftCard", issue(minor_units)) for _ in range(count))
        )
        return [answer.gift_card.name for answer in answers]

    async def card(self, name: str) -> v1.GiftCard:
        found: v1.GiftCard = await self.read("GetGiftCard", v1.GetGiftCardRequest(name=name))
        return found

    async def lookup(self, request_id: str) -> v1.LookupTransactionResponse:
        found: v1.LookupTransactionResponse = await self.read(
            "LookupTransaction", v1.LookupTransactionRequest(request_id=request_id)
        )
        return found

    async def state(self, request_id: str) -> str:
        """What became of a request: NOT_SEEN, APPROVED, REFUSED or SEALED."""
        return v1.LookupTransactionResponse.State.Name((await self.lookup(request_id)).state)

    async def transactions(self, card: str = "") -> list[v1.Transaction]:
        """All transactions, or those of a card, by paging to the end."""
        found: list[v1.Transaction] = []
        token = ""
        while True:
            page = await self.read(
                "ListTransactions",
                v1.ListTransactionsRequest(gift_card=card, page_size=100, page_token=token),
            )
            found += page.transactions
            token = page.next_page_token
            if not token:
                return found

    async def holds(self, card: str) -> list[v1.Hold]:
        found: list[v1.Hold] = []
        token = ""
        while True:
            request = v1.ListHoldsRequest(gift_card=card, page_size=100, page_token=token)
            page = await self.read("ListHolds", request)
            found += page.holds
            token = page.next_page_token
            if not token:
                return found


@asynccontextmanager
async def connected(*addresses: str, channels: int = 4) -> AsyncIterator[Client]:
    """A client with `channels` connections to each address."""
    # What gRPC would repeat unseen must be seen here, and channels must not share a connection.
    options = (("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1))
    opened = [
        grpc.aio.insecure_channel(address, options=options)
        for _ in range(channels)
        for address in addresses
    ]
    try:
        yield Client(opened)
    finally:
        for channel in opened:
            await channel.close()


# Requests


def unique() -> str:
    return uuid.uuid4().hex


def dollars(minor_units: int) -> v1.Money:
    return v1.Money(minor_units=minor_units, currency_code="USD")


def card_ref(name: str) -> v1.GiftCardReference:
    return v1.GiftCardReference(name=name)


def card_by_name(card: str) -> v1.GetGiftCardRequest:
    return v1.GetGiftCardRequest(name=card)


def issue(minor_units: int = INITIAL) -> v1.IssueGiftCardRequest:
    return v1.IssueGiftCardRequest(
        program=PROGRAM, amount=dollars(minor_units), request_id=unique()
    )


def redeem(card: str, minor_units: int, request_id: str = "") -> v1.RedeemGiftCardRequest:
    return v1.RedeemGiftCardRequest(
        gift_card=card_ref(card), amount=dollars(minor_units), request_id=request_id or unique()
    )


def load(card: str, minor_units: int) -> v1.LoadGiftCardRequest:
    return v1.LoadGiftCardRequest(
        gift_card=card_ref(card), amount=dollars(minor_units), request_id=unique()
    )


def transfer(source: str, target: str, minor_units: int) -> v1.TransferBalanceRequest:
    return v1.TransferBalanceRequest(
        source=card_ref(source), target=card_ref(target), amount=dollars(minor_units),
        request_id=unique(),
    )  # fmt: skip


def authorize(
    card: str, minor_units: int, request_id: str = "", seconds: int = 0
) -> v1.AuthorizeGiftCardRequest:
    request = v1.AuthorizeGiftCardRequest(
        gift_card=card_ref(card), amount=dollars(minor_units), request_id=request_id or unique()
    )
    if seconds:
        request.expire_after.seconds = seconds
    return request


def capture(hold: str, minor_units: int = 0, *, final: bool = False) -> v1.CaptureHoldRequest:
    """All that remains, unless an amount is given."""
    amount = dollars(minor_units) if minor_units else None
    return v1.CaptureHoldRequest(name=hold, amount=amount, final=final, request_id=unique())


def void(hold: str) -> v1.VoidHoldRequest:
    return v1.VoidHoldRequest(name=hold, request_id=unique())


def reverse(original_request_id: str) -> v1.ReverseTransactionRequest:
    return v1.ReverseTransactionRequest(
        original_request_id=original_request_id, request_id=unique()
    )
