"""The merchant's set-up: programs, locations and merchants; `access` has clients and credentials.

Pure functions: (what stands now, what is asked for, now) -> the rows to write and the facts to
answer, or a typed no.  A change names the version that it was made from, so that of two that race
one changes no row.  Facts are kept and answered again, so they contain no secret and no cell.
This module must not know SQL, or of the wire more than the paths of fields.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

import orjson

from server.domain import code as codes
from server.domain.commands import Amount, RowChange
from server.domain.currency import AMOUNT_MAX_MINOR_UNITS
from server.domain.errors import InvalidField, Rejected
from server.domain.model import Program

ENABLED: Final = 1
DISABLED: Final = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rows they are, and where those are stored."""

    merchant_id: str
    cell: int


@dataclass(frozen=True, slots=True)
class Merchant:
    id: str
    display_name: str
    time_zone: str
    create_time: int
    update_time: int


@dataclass(frozen=True, slots=True)
class Site:
    """A location with all that is kept of it; `commands.Location` is what the ledger needs."""

    id: str
    code: str
    display_name: str
    country_code: str
    time_zone: str
    entity_code: str
    create_time: int
    update_time: int

    @property
    def etag(self) -> str:
        return etag_of(self.id, self.update_time)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change writes, in this order, and what its answer shows."""

    changes: tuple[RowChange, ...] = ()
    facts: dict[str, object] = field(default_factory=dict)


def etag_of(identifier: str, version: int) -> str:
    """Changes with every update (https://google.aip.dev/154)."""
    return f'"{identifier[-8:]}-{version}"'


def program_etag(program: Program) -> str:
    return etag_of(program.id, program.version)


def require_etag(given: str, current: str) -> None:
    if given and given != current:
        raise Rejected("ETAG_MISMATCH")


def require_new(existing: object, resource: str) -> None:
    if existing is not None:
        raise Rejected("RESOURCE_EXISTS", resource=resource)


def next_time(now: int, last: int) -> int:
    """Every update moves the time, since it is the version: even one in the same microsecond."""
    return max(now, last + 1)


# Merchants and locations


def home_cell(merchant_id: str) -> int:
    """Where a merchant's rows live: 63 bits, never 0, the same wherever it is computed."""
    return int.from_bytes(sha256(merchant_id.encode()).digest()[:8], "big") >> 1 or 1


def create_merchant(merchant: Merchant, existing: Merchant | None) -> Effect:
    require_new(existing, f"merchants/{merchant.id}")
    values = {
        **asdict(merchant), "home_cell": home_cell(merchant.id), "cells": 1, "state": ENABLED,
    }  # fmt: skip
    return Effect((RowChange("merchant", values),), {"resource": asdict(merchant)})


def create_location(owner: Owner, site: Site, existing: Site | None) -> Effect:
    require_new(existing, f"locations/{site.code}")
    values = {**asdict(site), "merchant_id": owner.merchant_id, "cell": owner.cell}
    return Effect((RowChange("location", values),), {"resource": asdict(site)})


def update_location(
    owner: Owner, current: Site, terms: Mapping[str, Any], etag: str, now: int
) -> Effect:
    """`terms` are the fields of `Site` that change."""
    require_etag(etag, current.etag)
    changed = replace(current, **terms, update_time=next_time(now, current.update_time))
    keys = {
        "merchant_id": owner.merchant_id, "code": current.code, "cell": owner.cell,
        "update_time": current.update_time,
    }  # fmt: skip
    change = RowChange("location", {**terms, "update_time": changed.update_time}, keys)
    return Effect((change,), {"resource": asdict(changed)})


# Programs


def with_terms(program: Program, terms: Mapping[str, Any]) -> Program:
    """A program with other terms: fields of `Program`, money still as `Amount`s.

    Raises InvalidField where the terms do not fit the currency or each other.
    """
    values: dict[str, Any] = {}
    for name, value in terms.items():
        if isinstance(value, Amount):
            values[name] = _in_currency(program, value, f"program.{name}")
        elif name == "denominations":
            values[name] = tuple(
                _in_currency(program, each, f"program.denominations[{index}]")
                for index, each in enumerate(value)
            )
        else:
            values[name] = value
    changed = replace(program, **values)
    _check_amounts(changed)
    _check_code_format(changed)
    return changed


def _in_currency(program: Program, amount: Amount, field_path: str) -> int:
    if amount.unit != program.unit:
        raise InvalidField(
            f"{field_path}.currency_code", f"Must be the program's currency, {program.unit}."
        )
    return amount.minor_units


def _check_amounts(program: Program) -> None:
    least = program.min_amount or 1
    most = program.max_amount or AMOUNT_MAX_MINOR_UNITS
    limit = program.max_balance or AMOUNT_MAX_MINOR_UNITS
    values = program.denominations
    if least > most:
        raise InvalidField("program.max_amount", "Must not be below min_amount.")
    if any(after <= before for before, after in pairwise(values)):
        raise InvalidField("program.denominations", "Must rise, each amount once.")
    if values and not least <= values[0] <= values[-1] <= most:
        raise InvalidField("program.denominations", "Must lie from min_amount to max_amount.")
    if limit < (values[-1] if values else least):
        raise InvalidField("program.max_balance", "Must not be below min_amount or a denomination.")
    if not program.value_change_allowed and len(values) != 1:
        raise InvalidField(
            "program.denominations", "Must be one amount where value_change_allowed is false."
        )


def _check_code_format(program: Program) -> None:
    try:
        codes.require_generatable(
            codes.CodeFormat(
                program.code_prefix,
                codes.CodeAlphabet[program.code_alphabet],
                program.code_length,
                codes.CodeCheck[program.code_check],
            )
        )
    except codes.CodeFormatError as error:
        raise InvalidField("program.code_format", str(error)) from error


def _version_row(owner: Owner, program: Program) -> RowChange:
    values: dict[str, object] = {
        "program_id": program.id, "version": program.version, "cell": owner.cell,
        "body": orjson.dumps(program).decode(), "create_time": program.update_time,
    }  # fmt: skip
    return RowChange("program_version", values)


def create_program(owner: Owner, program: Program, existing: Program | None) -> Effect:
    """`program` is version 1, made by `with_terms`."""
    require_new(existing, f"programs/{program.code}")
    values: dict[str, object] = {
        "id": program.id, "merchant_id": owner.merchant_id, "code": program.code,
        "cell": owner.cell, "version": program.version, "create_time": program.create_time,
    }  # fmt: skip
    changes = (RowChange("program", values), _version_row(owner, program))
    return Effect(changes, {"resource": asdict(program)})


def update_program(
    owner: Owner, current: Program, terms: Mapping[str, Any], etag: str, now: int
) -> Effect:
    """The next version; versions never change, so cards keep the rules they were sold under."""
    require_etag(etag, program_etag(current))
    changed = replace(
        with_terms(current, terms),
        version=current.version + 1,
        update_time=next_time(now, current.update_time),
    )
    keys = {
        "merchant_id": owner.merchant_id, "code": current.code, "cell": owner.cell,
        "version": current.version,
    }  # fmt: skip
    # The guarded row first: who lost the race must not meet the winner's version as a duplicate.
    changes = (
        RowChange("program", {"version": changed.version}, keys),
        _version_row(owner, changed),
    )
    return Effect(changes, {"resource": asdict(changed)})
