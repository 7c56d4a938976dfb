"""LocationService: every method is parse, ask, render."""

import re
from collections.abc import Callable
from typing import Any, Final

from giftcard import v1

from server.domain import administration
from server.domain.administration import Effect, Site
from server.domain.errors import InvalidField, Rejected
from server.rpc import fields, render, setup
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.identity import Directory
from server.rpc.pages import PageTokens
from server.secrets import SecretKeys, new_id
from server.storage import setup_queries

SERVICE: Final = "giftcard.v1.LocationService"

_COUNTRY_CODE = re.compile(r"[A-Z]{2}")


def _country_code(value: str, field: str) -> str:
    if not _COUNTRY_CODE.fullmatch(value):
        raise InvalidField(field, "Must be a country code of two capital letters, such as US.")
    return value


#: Field of the message -> the field of `Site` that it sets, and how it is read.
_TERMS: Final[dict[str, tuple[str, Callable[[str, str], str]]]] = {
    "display_name": ("display_name", fields.text),
    "country_code": ("country_code", _country_code),
    "time_zone": ("time_zone", fields.time_zone),
    "legal_entity": ("entity_code", fields.text),
}


def _terms(location: v1.Location, paths: list[str]) -> dict[str, str]:
    found = {}
    for path in paths:
        name, read = _TERMS[path]
        found[name] = read(getattr(location, path), f"location.{path}")
    return found


def _message(site: Site) -> v1.Location:
    return v1.Location(
        name=f"locations/{site.code}",
        display_name=site.display_name,
        country_code=site.country_code,
        time_zone=site.time_zone,
        legal_entity=site.entity_code,
        create_time=render.timestamp(site.create_time),
        update_time=render.timestamp(site.update_time),
        etag=site.etag,
    )


class LocationService:
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
        self._changes = setup.Changes(bridge, directory)
        self._pages = PageTokens(keys)

    def rpcs(self) -> list[Rpc]:
        """Every method of the service."""
        return [
            Rpc("CreateLocation", v1.CreateLocationRequest, self._create, setup.CONFIGURE),
            Rpc("GetLocation", v1.GetLocationRequest, self._get, setup.READ),
            Rpc("ListLocations", v1.ListLocationsRequest, self._list, setup.READ),
            Rpc("UpdateLocation", v1.UpdateLocationRequest, self._update, setup.CONFIGURE),
        ]

    async def _create(self, request: v1.CreateLocationRequest, call: Call) -> v1.Location:
        code = fields.chosen_id(request.location_id, "location_id")
        terms = _terms(setup.required(request, "location"), list(_TERMS))
        command = setup.administer("location", "create", f"locations/{code}", terms)

        async def plan() -> Effect:
            existing = await self._find(call, code)
            now = self._clock()
            site = Site(id=new_id(now), code=code, create_time=now, update_time=now, **terms)
            return administration.create_location(setup.owner(call), site, existing)

        return _answer(await self._changes.carry_out(request, call, command, plan))

    async def _update(self, request: v1.UpdateLocationRequest, call: Call) -> v1.Location:
        location = setup.required(request, "location")
        code = fields.chosen_name(location.name, "locations", "location.name")
        paths = setup.masked(location, request.update_mask, _TERMS)
        terms = _terms(location, paths)
        etag = fields.text(location.etag, "location.etag")
        command = setup.administer(
            "location", "update", f"locations/{code}", {"terms": terms, "etag": etag}
        )

        async def plan() -> Effect:
            current = await self._existing(call, code)
            return administration.update_location(
                setup.owner(call), current, terms, etag, self._clock()
            )

        return _answer(await self._changes.carry_out(request, call, command, plan))

    async def _get(self, request: v1.GetLocationRequest, call: Call) -> v1.Location:
        code = fields.chosen_name(request.name, "locations", "name")
        return _message(await self._existing(call, code))

    async def _list(self, request: v1.ListLocationsRequest, call: Call) -> v1.ListLocationsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        owner = setup.owner(call)
        sites = await self._bridge.read(
            lambda connection: setup_queries.locations_page(connection, owner, after, size + 1),
            call.caller.merchant_id,
        )
        return v1.ListLocationsResponse(
            locations=[_message(site) for site in sites[:size]],
            next_page_token=self._pages.next(request, call, [site.code for site in sites], size),
        )

    async def _find(self, call: Call, code: str) -> Site | None:
        owner = setup.owner(call)
        return await self._bridge.read(
            lambda connection: setup_queries.location(connection, owner, code),
            call.caller.merchant_id,
        )

    async def _existing(self, call: Call, code: str) -> Site:
        site = await self._find(call, code)
        if site is None:
            raise Rejected("LOCATION_NOT_FOUND", location=f"locations/{code}")
        return site


def _answer(facts: dict[str, Any]) -> v1.Location:
    return _message(Site(**facts["resource"]))
