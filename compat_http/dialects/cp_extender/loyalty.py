"""Loyalty points: earning them and looking at them.

The vendor names the five members of the balance and two activities, `Historical Summary` and
`Pending Charge`; how a line looks beside that is ours, like the lines of a gift card.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from giftcard import v1

from compat_http.dialect import LegacyRequest, Operation, Reply, Rpc
from compat_http.dialects.cp_extender import answers, history
from compat_http.dialects.cp_extender.answers import bad_request
from compat_http.dialects.cp_extender.members import Members
from compat_http.dialects.cp_extender.names import customer_name
from compat_http.dialects.cp_extender.tries import fresh
from compat_http.settings import CpSettings

_REASON_LENGTH_MAX: Final = 255
_PAST: Final = timedelta(days=365)


def earn(request: LegacyRequest, config: CpSettings) -> Operation:
    """Credits points.  Nothing tells a repeat from a second reward, so each call earns."""
    members = Members(request.document)
    message = v1.EarnPointsRequest(
        customer=customer_name(members.required("CustomerNumber")),
        points=members.points("Points"),
        request_id=fresh("earn", request),
    )
    message.context.reason = members.text("Reason", limit=_REASON_LENGTH_MAX)
    message.context.receipt = members.text("Reference")
    yield Rpc("EarnPoints", message)
    return Reply(204)


def balance_check(request: LegacyRequest, config: CpSettings) -> Operation:
    """Points now, and what moved them from startDate to endDate."""
    name = customer_name(request.path["customer_id"])
    members = Members({**request.query, **(request.document or {})})
    end = members.instant("endDate") or request.now
    start = members.instant("startDate") or end - _PAST
    if end < start:
        raise bad_request("endDate must not be before startDate")
    customer: v1.Customer = yield Rpc("GetCustomer", v1.GetCustomerRequest(name=name))
    wanted = v1.ListTransactionsRequest(customer=name)
    moved = yield from history.movements(name, wanted, start)
    before = customer.point_balance - sum(each.amount.minor_units for each in moved)
    shown = [each for each in moved if each.transaction.decide_time.ToDatetime(end.tzinfo) < end]
    locations = yield from history.location_names(shown)
    lines = [_summary(start, before)]
    lines += [history.line(each, each.amount.minor_units, locations) for each in shown]
    if customer.held_points:
        lines += yield from _pending(name)
    return Reply(
        200,
        {
            "PointBalance": customer.point_balance,
            "OpenAuthorizations": customer.held_points,
            "PendingPointsEarned": 0,
            "AvailablePointBalance": customer.available_points,
            "History": lines,
        },
    )


def _summary(start: datetime, points: int) -> dict[str, Any]:
    """All that was before, so that the lines add up to the balance."""
    return {
        "Activity": "Historical Summary", "Date": answers.day_of(start), "Amount": points,
        "Location": None, "Document": None,
    }  # fmt: skip


def _pending(name: str) -> Any:
    """What open authorizations keep."""
    request = v1.ListHoldsRequest(customer=name, state=v1.Hold.OPEN, page_size=1000)
    page = yield Rpc("ListHolds", request)
    return [
        {
            "Activity": "Pending Charge",
            "Date": answers.day_of(hold.create_time.ToDatetime()),
            "Amount": -hold.remaining_amount.minor_units,
            "Location": None,
            "Document": hold.sale_reference or None,
        }
        for hold in page.holds
    ]
