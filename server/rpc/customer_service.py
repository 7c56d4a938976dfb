"""CustomerService: every method is parse, ask, render."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from giftcard import v1

from server.domain import commands as c
from server.domain.errors import InvalidField
from server.rpc import fields, render, setup
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.card_reads import READ, find_customer
from server.rpc.envelopes import Intaker
from server.rpc.identity import Directory
from server.rpc.outcomes import approved
from server.rpc.pages import PageTokens
from server.secrets import SecretKeys
from server.storage import queries

SERVICE: Final = "giftcard.v1.CustomerService"

UPDATABLE: Final = ("external_reference", "labels")


def _name(value: str, field: str = "customer") -> str:
    return fields.chosen_name(value, "customers", field)


def _terms(customer: v1.Customer) -> dict[str, Any]:
    return {
        "external_reference": fields.text(
            customer.external_reference, "customer.external_reference"
        ),
        "labels": fields.labels(dict(customer.labels), "customer.labels"),
    }


# Requests to commands


def _create(request: v1.CreateCustomerRequest) -> c.Command:
    name = fields.chosen_id(request.customer_id, "customer_id")
    return c.CreateCustomer(name, **_terms(request.customer))


def _update(request: v1.UpdateCustomerRequest) -> c.Command:
    customer = setup.required(request, "customer")
    name = _name(customer.name, "customer.name")
    paths = setup.masked(customer, request.update_mask, UPDATABLE)
    etag = fields.text(customer.etag, "customer.etag")
    return c.UpdateCustomer(name, tuple(paths), **_terms(customer), etag=etag)


def _earn(request: v1.EarnPointsRequest) -> c.Command:
    return c.EarnPoints(
        _name(request.customer),
        fields.points(request.points, "points"),
        fields.optional_date(request.expire_date, request.HasField("expire_date"), "expire_date"),
    )


def _adjust(request: v1.AdjustPointsRequest) -> c.Command:
    fields.text(request.context.reason, "context.reason", limit=255, required=True)
    points = fields.points(request.points, "points", signed=True)
    return c.AdjustPoints(_name(request.customer), points)


def _authorize(request: v1.AuthorizePointsRequest) -> c.Command:
    which = request.WhichOneof("extent")
    if which is None or (which == "whole_balance" and not request.whole_balance):
        raise InvalidField("points", "Is required, unless whole_balance is true.")
    return c.AuthorizePoints(
        _name(request.customer),
        fields.points(request.points, "points") if which == "points" else None,
        request.allow_partial,
        fields.optional_seconds(
            request.expire_after, request.HasField("expire_after"), "expire_after"
        ),
        fields.text(request.sale_reference, "sale_reference"),
    )


# Stored decisions to answers


def _resource(answered: render.Answered) -> v1.Customer:
    return v1.Customer(**render.customer_fields(answered.record.result.cards[0]))


def _earned(answered: render.Answered) -> v1.EarnPointsResponse:
    return v1.EarnPointsResponse(customer=_resource(answered), **answered.common)


def _adjusted(answered: render.Answered) -> v1.AdjustPointsResponse:
    return v1.AdjustPointsResponse(customer=_resource(answered), **answered.common)


def _authorized(answered: render.Answered) -> v1.AuthorizePointsResponse:
    return v1.AuthorizePointsResponse(
        customer=_resource(answered),
        hold=answered.hold(),
        approved_points=answered.record.approved or 0,
        **answered.common,
    )


class CustomerService:
    def __init__(
        self,
        bridge: Bridge,
        directory: Directory,
        keys: SecretKeys,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._bridge = bridge
        self._clock = clock
        self._intaker = Intaker(directory)
        self._pages = PageTokens(keys)

    def rpcs(self) -> list[Rpc]:
        """Every method of the service."""
        writes: tuple[tuple[type[Any], Any, Any, str], ...] = (
            (v1.CreateCustomerRequest, _create, _resource, "SELL"),
            (v1.UpdateCustomerRequest, _update, _resource, "MANAGE"),
            (v1.EarnPointsRequest, _earn, _earned, "SELL"),
            (v1.AdjustPointsRequest, _adjust, _adjusted, "ADJUST"),
            (v1.AuthorizePointsRequest, _authorize, _authorized, "REDEEM"),
        )
        rpcs = [
            Rpc(
                request.DESCRIPTOR.name.removesuffix("Request"),
                request,
                self._writing(parse, answer),
                frozenset({scope}),
            )
            for request, parse, answer, scope in writes
        ]
        return [
            *rpcs,
            Rpc("GetCustomer", v1.GetCustomerRequest, self._get, READ),
            Rpc("ListCustomers", v1.ListCustomersRequest, self._list, READ),
        ]

    def _writing(
        self, parse: Callable[[Any], c.Command], answer: Callable[[render.Answered], Any]
    ) -> Callable[[Any, Call], Awaitable[Any]]:
        async def write(request: Any, call: Call) -> Any:
            envelope = await self._intaker.envelope(request, call, parse(request))
            decided = await self._bridge.decide(envelope)
            call.replayed = decided.replayed
            return answer(render.Answered(approved(decided), decided.replayed))

        return write

    async def _get(self, request: v1.GetCustomerRequest, call: Call) -> v1.Customer:
        found = await find_customer(self._bridge, call.caller, _name(request.name, "name"))
        return v1.Customer(**render.customer_now(found, self._clock()))

    async def _list(self, request: v1.ListCustomersRequest, call: Call) -> v1.ListCustomersResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        caller = call.caller
        found = await self._bridge.read(
            lambda connection: queries.customers_page(
                connection,
                caller.merchant_id,
                caller.book,
                caller.cell,
                after=after,
                limit=size + 1,
            ),
            caller.merchant_id,
        )
        now = self._clock()
        names = [wallet.customer for wallet in found]
        return v1.ListCustomersResponse(
            customers=[render.customer_now(wallet, now) for wallet in found[:size]],
            next_page_token=self._pages.next(request, call, names, size),
        )
