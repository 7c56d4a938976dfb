"""A merchant's set-up as administrators see it: never a hash of a secret."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Select, select

from server.domain.model import Program
from server.storage import loading, schema

_MERCHANT: Final = schema.merchant
_LOCATION: Final = schema.location
_CLIENT: Final = schema.api_client
_CREDENTIAL: Final = schema.credential
_PROGRAM: Final = schema.program
_VERSION: Final = schema.program_version


@dataclass(frozen=True, slots=True)
class MerchantRow:
    """A tenant.  Times in microseconds since the epoch."""

    id: str
    home_cell: int
    display_name: str
    time_zone: str
    state: int
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class LocationRow:
    """A store; `code` is the merchant's own name for it."""

    id: str
    code: str
    display_name: str
    country_code: str
    time_zone: str
    entity_code: str
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class ClientRow:
    """Who calls; `location_code` is empty unless the client is bound to one store."""

    id: str
    merchant_id: str
    display_name: str
    scopes: frozenset[str]
    location_code: str
    state: int
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class CredentialRow:
    """How a client proves who it is, without what would let anybody else prove it."""

    id: str
    client_id: str
    kind: int
    login: str
    expire_time: int | None
    revoke_time: int | None
    create_time: int


def merchants_page(
    connection: Connection, *, after_id: str | None = None, limit: int
) -> list[MerchantRow]:
    """Up to `limit` merchants with an id above `after_id`."""
    query = _merchants().order_by(_MERCHANT.c.id).limit(limit)
    if after_id is not None:
        query = query.where(_MERCHANT.c.id > after_id)
    return [MerchantRow(*row) for row in connection.execute(query)]


def merchant(connection: Connection, merchant_id: str) -> MerchantRow | None:
    query = _merchants().where(_MERCHANT.c.id == merchant_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else MerchantRow(*row)


def _merchants() -> Select[Any]:
    return select(*(_MERCHANT.c[name] for name in MerchantRow.__dataclass_fields__))


def locations_page(
    connection: Connection,
    merchant_id: str,
    cell: int,
    *,
    after_code: str | None = None,
    limit: int,
) -> list[LocationRow]:
    """Up to `limit` locations with a code above `after_code`."""
    query = _locations(merchant_id, cell).order_by(_LOCATION.c.code).limit(limit)
    if after_code is not None:
        query = query.where(_LOCATION.c.code > after_code)
    return [LocationRow(*row) for row in connection.execute(query)]


def location(connection: Connection, merchant_id: str, cell: int, code: str) -> LocationRow | None:
    query = _locations(merchant_id, cell).where(_LOCATION.c.code == code)
    row = connection.execute(query).one_or_none()
    return None if row is None else LocationRow(*row)


def _locations(merchant_id: str, cell: int) -> Select[Any]:
    return select(*(_LOCATION.c[name] for name in LocationRow.__dataclass_fields__)).where(
        _LOCATION.c.merchant_id == merchant_id, _LOCATION.c.cell == cell
    )


def programs_page(
    connection: Connection,
    merchant_id: str,
    cell: int,
    *,
    after_code: str | None = None,
    limit: int,
) -> list[Program]:
    """The newest versions of up to `limit` programs with a code above `after_code`."""
    query = _programs(merchant_id, cell).order_by(_PROGRAM.c.code).limit(limit)
    if after_code is not None:
        query = query.where(_PROGRAM.c.code > after_code)
    return [loading.to_program(row[0]) for row in connection.execute(query)]


def program(connection: Connection, merchant_id: str, cell: int, code: str) -> Program | None:
    """The newest version."""
    query = _programs(merchant_id, cell).where(_PROGRAM.c.code == code)
    body = connection.execute(query).scalar_one_or_none()
    return None if body is None else loading.to_program(body)


def _programs(merchant_id: str, cell: int) -> Select[Any]:
    newest = (
        (_VERSION.c.program_id == _PROGRAM.c.id)
        & (_VERSION.c.version == _PROGRAM.c.version)
        & (_VERSION.c.cell == _PROGRAM.c.cell)
    )
    return (
        select(_VERSION.c.body)
        .join_from(_PROGRAM, _VERSION, newest)
        .where(_PROGRAM.c.merchant_id == merchant_id, _PROGRAM.c.cell == cell)
    )


def clients_page(
    connection: Connection,
    merchant_id: str,
    cell: int,
    *,
    after_id: str | None = None,
    limit: int,
) -> list[ClientRow]:
    """Up to `limit` API clients with an id above `after_id`."""
    query = _clients(merchant_id, cell).order_by(_CLIENT.c.id).limit(limit)
    if after_id is not None:
        query = query.where(_CLIENT.c.id > after_id)
    return [_to_client(row) for row in connection.execute(query)]


def client(connection: Connection, merchant_id: str, cell: int, client_id: str) -> ClientRow | None:
    query = _clients(merchant_id, cell).where(_CLIENT.c.id == client_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else _to_client(row)


def _clients(merchant_id: str, cell: int) -> Select[Any]:
    return select(*(_CLIENT.c[name] for name in ClientRow.__dataclass_fields__)).where(
        _CLIENT.c.merchant_id == merchant_id, _CLIENT.c.cell == cell
    )


def _to_client(row: Any) -> ClientRow:
    values = [*row[:3], frozenset(orjson.loads(row[3])), *row[4:]]
    return ClientRow(*values)


def credentials_of(
    connection: Connection, merchant_id: str, cell: int, client_id: str
) -> list[CredentialRow]:
    """All credentials of a client, oldest first; the revoked ones too."""
    query = (
        select(*(_CREDENTIAL.c[name] for name in CredentialRow.__dataclass_fields__))
        .where(
            _CREDENTIAL.c.merchant_id == merchant_id,
            _CREDENTIAL.c.client_id == client_id,
            _CREDENTIAL.c.cell == cell,
        )
        .order_by(_CREDENTIAL.c.id)
    )
    return [CredentialRow(*row) for row in connection.execute(query)]
