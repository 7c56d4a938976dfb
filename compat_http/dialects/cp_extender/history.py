"""What happened to a gift card, or to a customer's points, line by line, oldest first."""

from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from giftcard import v1

from compat_http.dialect import Rpc
from compat_http.dialects.cp_extender import answers

_PAGE_SIZE: Final = 1000

_KINDS: Final = v1.Transaction
#: `Issued` is the vendor's word; the others are ours.
ACTIVITIES: Final[Mapping[int, str]] = {
    _KINDS.ACTIVATE: "Issued",
    _KINDS.ISSUE: "Issued",
    _KINDS.LOAD: "Loaded",
    _KINDS.REDEEM: "Redeemed",
    _KINDS.REDEEM_MANY: "Redeemed",
    _KINDS.CAPTURE: "Redeemed",
    _KINDS.REFUND: "Refunded",
    _KINDS.REVERSE: "Reversed",
    _KINDS.CLOSE: "Closed",
    _KINDS.TRANSFER: "Transferred",
    _KINDS.ADJUST: "Adjusted",
}


class Movement(NamedTuple):
    """A transaction that changed the balance, and by how much."""

    transaction: v1.Transaction
    amount: v1.Money


def of_card(name: str) -> Generator[Rpc, Any, list[dict[str, Any]]]:
    """The lines of a gift card."""
    moved = yield from movements(name, v1.ListTransactionsRequest(gift_card=name))
    locations = yield from location_names(moved)
    return [
        {
            "Activity": ACTIVITIES.get(each.transaction.kind, "Changed"),
            **line(each, answers.number(each.amount), locations),
        }
        for each in moved
    ]


def line(movement: Movement, amount: Any, locations: Mapping[str, str | None]) -> dict[str, Any]:
    """What a line says besides its activity."""
    transaction = movement.transaction
    return {
        "Date": answers.day(transaction.business_date),
        "Amount": amount,
        "Location": locations[transaction.context.location],
        "Document": transaction.context.receipt or None,
    }


def movements(
    owner: str, request: v1.ListTransactionsRequest, start: datetime | None = None
) -> Generator[Rpc, Any, list[Movement]]:
    """What moved value of the owner, a card or a customer, since `start`; oldest first."""
    request.page_size = _PAGE_SIZE
    if start is not None:
        request.start_time.FromDatetime(start)
    moved: list[Movement] = []
    while True:
        page = yield Rpc("ListTransactions", request)
        for transaction in page.transactions:
            moved += [
                Movement(transaction, entry.amount)
                for entry in transaction.entries
                if owner in (entry.gift_card, entry.customer) and entry.amount.minor_units
            ]
        if not page.next_page_token:
            return moved[::-1]
        following = v1.ListTransactionsRequest()
        following.CopyFrom(request)
        following.page_token = page.next_page_token
        request = following


def location_names(
    moved: list[Movement],
) -> Generator[Rpc, Any, dict[str, str | None]]:
    """The display names of the locations where it happened; None for nowhere."""
    names: dict[str, str | None] = {"": None}
    for each in moved:
        location = each.transaction.context.location
        if location not in names:
            found = yield Rpc("GetLocation", v1.GetLocationRequest(name=location))
            names[location] = found.display_name
    return names
