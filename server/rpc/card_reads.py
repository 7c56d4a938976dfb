"""The methods of GiftCardService that change nothing: get, look up, list."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from giftcard import v1

from server.domain import commands as c
from server.domain.errors import InvalidField, Rejected
from server.domain.model import Card
from server.domain.record import CardView, Record
from server.ledger.reader import CardQuery
from server.rpc import fields, parse, render
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.outcomes import StoredRefusal, approved
from server.rpc.pages import PageTokens
from server.secrets import SecretKeys, new_id
from server.storage import queries

READ: Final = frozenset({"READ"})

#: What tells that a card exists, whoever has its PIN.  A client that can only read shows balances
#: to holders, and is not told.
_NOT_FOR_HOLDERS: Final = frozenset({"PIN_REQUIRED", "PIN_INCORRECT", "PIN_LOCKED"})


async def find_customer(bridge: Bridge, caller: c.Caller, name: str) -> Card:
    """The customer's points as they stand."""
    found = await bridge.read(
        lambda connection: queries.customer(
            connection, caller.merchant_id, caller.book, caller.cell, name
        ),
        caller.merchant_id,
    )
    if found is None:
        raise Rejected("CUSTOMER_NOT_FOUND", customer=f"customers/{name}")
    return found


class CardReads:
    def __init__(self, bridge: Bridge, keys: SecretKeys, *, clock: Callable[[], int]) -> None:
        self._bridge = bridge
        self._keys = keys
        self._clock = clock
        self._pages = PageTokens(keys)

    def rpcs(self) -> list[Rpc]:
        methods: tuple[tuple[type[Any], Callable[[Any, Call], Awaitable[Any]]], ...] = (
            (v1.GetGiftCardRequest, self._get),
            (v1.LookupGiftCardRequest, self._lookup),
            (v1.ListGiftCardsRequest, self._list_cards),
            (v1.GetHoldRequest, self._get_hold),
            (v1.ListHoldsRequest, self._list_holds),
            (v1.GetTransactionRequest, self._get_transaction),
            (v1.ListTransactionsRequest, self._list_transactions),
        )
        return [
            Rpc(request.DESCRIPTOR.name.removesuffix("Request"), request, method, READ)
            for request, method in methods
        ]

    async def _get(self, request: v1.GetGiftCardRequest, call: Call) -> v1.GiftCard:
        card_id = fields.opaque_name(request.name, "giftCards", "name")
        card = await self._bridge.card(CardQuery(call.caller, c.CardRef(id=card_id)))
        return v1.GiftCard(**render.card_now(card, self._clock()))

    async def _lookup(
        self, request: v1.LookupGiftCardRequest, call: Call
    ) -> v1.LookupGiftCardResponse:
        try:
            card, checked = await self.find(request, call, pin_for_name=True)
        except (Rejected, StoredRefusal) as no:
            reason = no.refusal.reason if isinstance(no, StoredRefusal) else no.reason
            if call.principal.scopes == READ and reason in _NOT_FOR_HOLDERS:
                raise Rejected("GIFT_CARD_NOT_FOUND") from None
            raise
        shown = render.card_fields(checked) if checked else render.card_now(card, self._clock())
        return v1.LookupGiftCardResponse(gift_card=shown)

    async def find(
        self,
        request: v1.LookupGiftCardRequest | v1.RenderCertificateRequest,
        call: Call,
        *,
        pin_for_name: bool,
    ) -> tuple[Card, CardView | None]:
        """The card referred to, its PIN checked; after a check that was counted also as it is now.

        `pin_for_name` wants the PIN of a card that is named by its resource name, too.
        """
        intake = parse.Intake(self._keys, call.caller)
        ref = intake.card(request.gift_card, request.HasField("gift_card"), "gift_card")
        hashes = (ref.code_hash, *intake.aliases.get(ref.code_hash, ())) if ref.code_hash else ()
        card = await self._bridge.card(CardQuery(call.caller, ref, hashes))
        checked = None
        if card.pin_hash is not None and (ref.code_hash or pin_for_name):
            checked = await self._check_pin(card, intake.pins.get(ref), call)
        return card, checked

    async def _check_pin(self, card: Card, pin: str | None, call: Call) -> CardView | None:
        """Every try takes its turn with the writer, so that none is free, however many come at
        once; a right one without earlier mistakes leaves no row.

        Returns the card as it is after a write.
        """
        if pin is None:
            raise Rejected("PIN_REQUIRED")
        named = c.CardRef(id=card.id)
        envelope = c.Envelope(
            call.caller,
            f"pin/{new_id(self._clock())}",
            c.CheckPin(named),
            location=c.Location(time_zone=call.principal.time_zone),
            received_time=call.received_time,
            pins={named: pin},
        )
        answer = await self._bridge.decide(envelope)
        return approved(answer).result.cards[0] if answer.record is not None else None

    async def _list_cards(
        self, request: v1.ListGiftCardsRequest, call: Call
    ) -> v1.ListGiftCardsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        program = (
            fields.chosen_name(request.program, "programs", "program") if request.program else None
        )
        state = fields.known_enum(request.state, v1.GiftCard.State, "state") or None
        batch = fields.text(request.batch, "batch") or None
        reference = fields.text(request.external_reference, "external_reference") or None
        last_four = fields.text(request.code_last_four, "code_last_four", limit=4).upper() or None
        caller = call.caller
        cards = await self._bridge.read(
            lambda connection: queries.cards_page(
                connection,
                caller.merchant_id,
                caller.book,
                caller.cell,
                program_code=program,
                state=state,
                batch=batch,
                external_reference=reference,
                last_four=last_four,
                after_id=after,
                limit=size + 1,
            ),
            caller.merchant_id,
        )
        now = self._clock()
        return v1.ListGiftCardsResponse(
            gift_cards=[render.card_now(card, now) for card in cards[:size]],
            next_page_token=self._pages.next(request, call, [card.id for card in cards], size),
        )

    async def _get_hold(self, request: v1.GetHoldRequest, call: Call) -> v1.Hold:
        hold_id = fields.opaque_name(request.name, "holds", "name")
        caller = call.caller
        found = await self._bridge.read(
            lambda connection: queries.hold(
                connection, caller.merchant_id, caller.book, caller.cell, hold_id
            ),
            caller.merchant_id,
        )
        if found is None:
            raise Rejected("HOLD_NOT_FOUND")
        return v1.Hold(**render.hold_now(found, caller.merchant_id, self._clock()))

    async def _list_holds(self, request: v1.ListHoldsRequest, call: Call) -> v1.ListHoldsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        card_id = await self._owner_id(request, call)
        state = fields.known_enum(request.state, v1.Hold.State, "state") or None
        caller, now = call.caller, self._clock()
        holds = await self._bridge.read(
            lambda connection: queries.holds_page(
                connection,
                caller.merchant_id,
                caller.book,
                caller.cell,
                now=now,
                card_id=card_id,
                state=state,
                after_id=after,
                limit=size + 1,
            ),
            caller.merchant_id,
        )
        merchant_id = caller.merchant_id
        return v1.ListHoldsResponse(
            holds=[render.hold_now(found, merchant_id, now) for found in holds[:size]],
            next_page_token=self._pages.next(
                request, call, [found.hold.id for found in holds], size
            ),
        )

    async def _owner_id(
        self, request: v1.ListHoldsRequest | v1.ListTransactionsRequest, call: Call
    ) -> str | None:
        """The card to list by: the one that is named, or the points of the customer."""
        if not request.customer:
            if not request.gift_card:
                return None
            return fields.opaque_name(request.gift_card, "giftCards", "gift_card")
        if request.gift_card:
            raise InvalidField("customer", "Must not be set with gift_card.")
        name = fields.chosen_name(request.customer, "customers", "customer")
        return (await find_customer(self._bridge, call.caller, name)).id

    async def _get_transaction(
        self, request: v1.GetTransactionRequest, call: Call
    ) -> v1.Transaction:
        name = fields.opaque_name(request.name, "transactions", "name")
        return v1.Transaction(**render.described_transaction(await self._described(name, call)))

    async def _described(self, transaction_id: str, call: Call) -> queries.Described:
        caller = call.caller
        place = (caller.merchant_id, int(caller.book), caller.cell)
        found = await self._bridge.read(
            lambda connection: queries.described(
                connection, [queries.transaction(connection, *place, transaction_id)]
            ),
            caller.merchant_id,
        )
        if not found:
            raise Rejected("TRANSACTION_NOT_FOUND")
        return found[0]

    async def found(self, record: Record, call: Call) -> v1.LookupTransactionResponse:
        """What became of a request, and of its cards since then."""
        described = await self._described(record.id, call)
        asked = (
            CardQuery(call.caller, c.CardRef(id=view.id), or_wallet=True)
            for view in record.result.cards
        )
        cards = await asyncio.gather(*map(self._bridge.card, asked))
        return render.lookup(described, cards, self._clock())

    async def _list_transactions(
        self, request: v1.ListTransactionsRequest, call: Call
    ) -> v1.ListTransactionsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        card_id = await self._owner_id(request, call)
        location = (
            fields.chosen_name(request.location, "locations", "location")
            if request.location
            else None
        )
        receipt = fields.text(request.receipt, "receipt") or None
        start, end = fields.period(
            request.start_time if request.HasField("start_time") else None,
            request.end_time if request.HasField("end_time") else None,
        )
        caller = call.caller
        found = await self._bridge.read(
            lambda connection: queries.described(
                connection,
                queries.transactions_page(
                    connection,
                    caller.merchant_id,
                    caller.book,
                    caller.cell,
                    card_id=card_id,
                    location_id=location,
                    receipt=receipt,
                    start_time=start,
                    end_time=end,
                    after=after,
                    limit=size + 1,
                ),
            ),
            caller.merchant_id,
        )
        ids = [item.record.id for item in found]
        return v1.ListTransactionsResponse(
            transactions=[render.described_transaction(item) for item in found[:size]],
            next_page_token=self._pages.next(request, call, ids, size),
        )
