"""What the service's own books say, over gRPC, of the demo merchant's cards and customers."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp

_METADATA: Final = (("authorization", "Bearer demo-service-token"),)


class Books:
    """Reads; `state` is all that a request can have changed."""

    def __init__(self, channel: Any) -> None:
        self._cards: Any = v1.GiftCardServiceStub(channel)
        self._customers: Any = v1.CustomerServiceStub(channel)
        self._since = Timestamp()
        self.mark()

    def mark(self) -> None:
        """From now on cards are counted."""
        self._since.GetCurrentTime()

    def _read(self, method: Any, message: Any) -> Any:
        return method(message, metadata=_METADATA, timeout=20)

    def card(self, code: str) -> Any:
        """None: there is none."""
        reference = v1.GiftCardReference(code=code)
        try:
            found = self._read(
                self._cards.LookupGiftCard, v1.LookupGiftCardRequest(gift_card=reference)
            )
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return found.gift_card

    def state(self, code: str) -> tuple[Any, ...]:
        """Of a card what it has and how often what was done with it.

        Of "" the customer's points, and how many cards were issued since `mark`.
        """
        if not code:
            customer = self._read(
                self._customers.GetCustomer, v1.GetCustomerRequest(name="customers/2059378440")
            )
            issued = self._done(v1.ListTransactionsRequest(start_time=self._since))["ISSUE"]
            return customer.point_balance, customer.held_points, issued
        card = self.card(code)
        if card is None:
            return ()
        done = self._done(v1.ListTransactionsRequest(gift_card=card.name))
        figures = (card.balance.minor_units, card.held.minor_units, card.available.minor_units)
        return (v1.GiftCard.State.Name(card.state), *figures, tuple(sorted(done.items())))

    def _done(self, request: v1.ListTransactionsRequest) -> Counter[str]:
        """How often what was done and not undone."""
        request.page_size = 1000
        listed = self._read(self._cards.ListTransactions, request)
        assert not listed.next_page_token
        return Counter(
            v1.Transaction.Kind.Name(each.kind)
            for each in listed.transactions
            if each.state == v1.Transaction.APPROVED and not each.reversal_transaction
        )


@contextmanager
def books_of(address: str) -> Iterator[Books]:
    channel: Any
    with grpc.insecure_channel(address) as channel:
        yield Books(channel)
