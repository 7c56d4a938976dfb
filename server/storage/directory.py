"""The set-up that the edge needs with every call: credentials, locations, programs.

Read one at a time and kept by the edge for a moment, so plain queries serve.
"""

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Connection, select

from server.domain.commands import Location
from server.domain.model import Program
from server.storage import loading, schema

ENABLED = 1


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a credential speaks for.  `expire_time` is in microseconds, None is never."""

    merchant_id: str
    client_id: str
    cell: int
    time_zone: str
    scopes: frozenset[str]
    location_code: str
    expire_time: int | None
    password_hash: str | None = None


def principal_of_token(connection: Connection, token_hash: bytes) -> Principal | None:
    return _principal(connection, schema.credential.c.token_hash == token_hash)


def principal_of_login(connection: Connection, login: str) -> Principal | None:
    return _principal(connection, schema.credential.c.login == login)


def _principal(connection: Connection, which: ColumnElement[bool]) -> Principal | None:
    """None for what is unknown, revoked, disabled or out of date, without saying which."""
    credential, client, merchant = schema.credential, schema.api_client, schema.merchant
    row = connection.execute(
        select(
            client.c.merchant_id,
            client.c.id,
            client.c.cell,
            merchant.c.time_zone,
            client.c.scopes,
            client.c.location_code,
            credential.c.expire_time,
            credential.c.password_hash,
        )
        .join(
            client,
            (client.c.merchant_id == credential.c.merchant_id)
            & (client.c.id == credential.c.client_id)
            & (client.c.cell == credential.c.cell),
        )
        .join(merchant, merchant.c.id == client.c.merchant_id)
        .where(
            which,
            credential.c.revoke_time.is_(None),
            client.c.state == ENABLED,
            merchant.c.state == ENABLED,
        )
    ).one_or_none()
    if row is None:
        return None
    return Principal(*row[:4], frozenset(orjson.loads(row[4])), *row[5:])


def location_by_code(connection: Connection, merchant_id: str, code: str) -> Location | None:
    table = schema.location
    row = connection.execute(
        select(table.c.code, table.c.time_zone, table.c.entity_code, table.c.country_code).where(
            table.c.merchant_id == merchant_id, table.c.code == code
        )
    ).one_or_none()
    return None if row is None else Location(*row)


def program_by_code(connection: Connection, merchant_id: str, code: str) -> Program | None:
    """The newest version of a program."""
    table, version = schema.program, schema.program_version
    body = connection.execute(
        select(version.c.body)
        .join(table, (table.c.id == version.c.program_id) & (table.c.version == version.c.version))
        .where(table.c.merchant_id == merchant_id, table.c.code == code)
    ).scalar_one_or_none()
    return None if body is None else loading.to_program(body)


@dataclass(frozen=True, slots=True, repr=False)
class SealedCode:
    """An encrypted code, and the hash that it is bound to."""

    code_hash: bytes
    ciphertext: bytes


def sealed_code(connection: Connection, card_id: str, cell: int) -> SealedCode | None:
    """A card's own code."""
    table = schema.code
    found = _sealed(connection, table.c.card_id == card_id, cell, table.c.create_time, limit=1)
    return found[0] if found else None


def reserved_codes(connection: Connection, reservation_id: str, cell: int) -> list[SealedCode]:
    """The codes of a reservation in the order in which they were made."""
    table = schema.code
    return _sealed(connection, table.c.reservation_id == reservation_id, cell, table.c.line)


def _sealed(
    connection: Connection,
    which: ColumnElement[bool],
    cell: int,
    order: ColumnElement[Any],
    limit: int | None = None,
) -> list[SealedCode]:
    table = schema.code
    query = select(table.c.code_hash, table.c.ciphertext).where(which, table.c.cell == cell)
    rows = connection.execute(query.order_by(order).limit(limit))
    return [SealedCode(bytes(row[0]), bytes(row[1])) for row in rows]
