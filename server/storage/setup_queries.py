"""The set-up as the rules of `domain.administration` and `domain.access` take it.

The statements are those of `queries`; here their rows become the domain's nouns, and what only a
change needs to know is asked: whose rows, which credential, is a login free.
"""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from server.domain.access import Client, Credential
from server.domain.administration import Merchant, Owner, Site
from server.domain.model import Program
from server.storage import queries, schema

Noun = TypeVar("Noun")

_PROGRAMS_AT_A_TIME = 200


def _as(noun: type[Noun], row: Any, **more: Any) -> Noun:
    """A row as a noun with the same names; `more` are those that the row has otherwise."""
    names = {field.name for field in fields(noun)} - more.keys()  # type: ignore[arg-type]
    return noun(**{name: getattr(row, name) for name in names}, **more)


def _client(row: Any) -> Client:
    return _as(Client, row, scopes=tuple(sorted(row.scopes)))


def owner(connection: Connection, merchant_id: str) -> Owner | None:
    """Where a merchant's rows are to be written."""
    row = queries.merchant(connection, merchant_id)
    return None if row is None else Owner(row.id, row.home_cell)


def merchant(connection: Connection, merchant_id: str) -> Merchant | None:
    row = queries.merchant(connection, merchant_id)
    return None if row is None else _as(Merchant, row)


def merchants_page(connection: Connection, after: str | None, limit: int) -> list[Merchant]:
    rows = queries.merchants_page(connection, after_id=after, limit=limit)
    return [_as(Merchant, row) for row in rows]


def location(connection: Connection, whose: Owner, code: str) -> Site | None:
    row = queries.location(connection, whose.merchant_id, whose.cell, code)
    return None if row is None else _as(Site, row)


def locations_page(
    connection: Connection, whose: Owner, after: str | None, limit: int
) -> list[Site]:
    rows = queries.locations_page(
        connection, whose.merchant_id, whose.cell, after_code=after, limit=limit
    )
    return [_as(Site, row) for row in rows]


def program(connection: Connection, whose: Owner, code: str) -> Program | None:
    return queries.program(connection, whose.merchant_id, whose.cell, code)


def programs_page(
    connection: Connection,
    whose: Owner,
    after: str | None,
    limit: int,
    *,
    retired: bool | None,
) -> list[Program]:
    """Whether a program is retired stands in its body, so each is looked at: there are few."""
    found: list[Program] = []
    for each in _programs(connection, whose, after):
        if retired is None or each.retired is retired:
            found.append(each)
        if len(found) == limit:
            break
    return found


def _programs(connection: Connection, whose: Owner, after: str | None) -> Iterator[Program]:
    while True:
        page = queries.programs_page(
            connection, whose.merchant_id, whose.cell, after_code=after,
            limit=_PROGRAMS_AT_A_TIME,
        )  # fmt: skip
        yield from page
        if len(page) < _PROGRAMS_AT_A_TIME:
            return
        after = page[-1].code


def client(connection: Connection, whose: Owner, client_id: str) -> Client | None:
    row = queries.client(connection, whose.merchant_id, whose.cell, client_id)
    return None if row is None else _client(row)


def clients_page(
    connection: Connection, whose: Owner, after: str | None, limit: int
) -> list[Client]:
    rows = queries.clients_page(
        connection, whose.merchant_id, whose.cell, after_id=after, limit=limit
    )
    return [_client(row) for row in rows]


def credentials(connection: Connection, whose: Owner, client_id: str) -> list[Credential]:
    """All of a client's credentials, newest first; those that ended too."""
    rows = queries.credentials_of(connection, whose.merchant_id, whose.cell, client_id)
    return [_as(Credential, row, merchant_id=whose.merchant_id) for row in reversed(rows)]


def login_is_taken(connection: Connection, login: str) -> bool:
    """Whether anybody on this server has this login; a revoked one is free again."""
    table = schema.credential
    query = select(table.c.id).where(table.c.login == login, table.c.revoke_time.is_(None))
    return connection.execute(query).first() is not None
