"""ProgramService: every method is parse, ask, render."""

import re
from collections.abc import Callable
from dataclasses import fields as fields_of
from typing import Any, Final

from giftcard import v1
from google.protobuf.duration_pb2 import Duration

from server.domain import administration
from server.domain.administration import Effect
from server.domain.currency import POINTS
from server.domain.errors import InvalidField, Rejected
from server.domain.model import Program
from server.rpc import fields, render, setup
from server.rpc.bridge import Bridge
from server.rpc.calls import Call, Rpc
from server.rpc.identity import Directory
from server.rpc.pages import PageTokens
from server.secrets import SecretKeys, new_id
from server.storage import setup_queries

SERVICE: Final = "giftcard.v1.ProgramService"

DENOMINATIONS_MAX: Final = 100
MONTHS_MAX: Final = 1200
DAYS_MAX: Final = 36_500
POINTS_RATE_MAX: Final = 1_000_000

_COLOR: Final = re.compile(r"(?:#[0-9A-Fa-f]{6})?")

#: What an absent field means.
_DEFAULTS: Final = {field.name: field.default for field in fields_of(Program)}

Terms = dict[str, Any]


def _display_name(program: v1.Program) -> Terms:
    return {"display_name": fields.text(program.display_name, "program.display_name")}


def _state(program: v1.Program) -> Terms:
    """Unspecified leaves it as it is."""
    state = fields.known_enum(program.state, v1.Program.State, "program.state")
    return {"retired": state == v1.Program.RETIRED} if state else {}


def _amount(name: str) -> Callable[[v1.Program], Terms]:
    def read(program: v1.Program) -> Terms:
        present = program.HasField(name)  # type: ignore[arg-type]
        return {name: fields.optional_amount(getattr(program, name), present, f"program.{name}")}

    return read


def _denominations(program: v1.Program) -> Terms:
    if len(program.denominations) > DENOMINATIONS_MAX:
        raise InvalidField(
            "program.denominations", f"Must have at most {DENOMINATIONS_MAX} entries."
        )
    return {
        "denominations": tuple(
            fields.amount(value, True, f"program.denominations[{index}]")
            for index, value in enumerate(program.denominations)
        )
    }


def _flag(name: str) -> Callable[[v1.Program], Terms]:
    def read(program: v1.Program) -> Terms:
        present = program.HasField(name)  # type: ignore[arg-type]
        return {name: getattr(program, name) if present else _DEFAULTS[name]}

    return read


def _validity(program: v1.Program) -> Terms:
    terms: Terms = {"validity_months": None, "validity_days": None, "valid_until": None}
    if not program.HasField("validity"):
        return terms
    validity = program.validity
    match validity.WhichOneof("extent"):
        case "months":
            terms["validity_months"] = _count(
                validity.months, MONTHS_MAX, "program.validity.months"
            )
        case "days":
            terms["validity_days"] = _count(validity.days, DAYS_MAX, "program.validity.days")
        case "until":
            terms["valid_until"] = fields.optional_date(
                validity.until, True, "program.validity.until"
            )
        case _:
            raise InvalidField("program.validity", "Must say months, days or until.")
    return terms


def _count(value: int, limit: int, field: str) -> int:
    if not 1 <= value <= limit:
        raise InvalidField(field, f"Must be 1 to {limit}.")
    return value


def _hold_lifetime(program: v1.Program) -> Terms:
    seconds = fields.optional_seconds(
        program.hold_lifetime, program.HasField("hold_lifetime"), "program.hold_lifetime"
    )
    return {"hold_seconds": _DEFAULTS["hold_seconds"] if seconds is None else seconds}


def _code_format(program: v1.Program) -> Terms:
    wanted = fields.code_format(program.code_format, "program.code_format")
    return {
        "code_prefix": wanted.prefix,
        "code_alphabet": wanted.alphabet.name,
        "code_length": wanted.length,
        "code_check": wanted.check.name,
    }


def _points_rate(program: v1.Program) -> Terms:
    rate = program.points_per_major_unit
    if not 0 <= rate <= POINTS_RATE_MAX:
        raise InvalidField("program.points_per_major_unit", f"Must be 0 to {POINTS_RATE_MAX}.")
    return {"points_per_major_unit": rate}


def _certificate_color(program: v1.Program) -> Terms:
    color = program.certificate_color
    if not _COLOR.fullmatch(color):
        raise InvalidField("program.certificate_color", "Must be a colour such as #1F3A5F.")
    return {"certificate_color": color.upper()}


#: Field of the message -> the fields of `Program` that it sets.
_TERMS: Final[dict[str, Callable[[v1.Program], Terms]]] = {
    "display_name": _display_name,
    "state": _state,
    "min_amount": _amount("min_amount"),
    "max_amount": _amount("max_amount"),
    "denominations": _denominations,
    "max_balance": _amount("max_balance"),
    "reload_allowed": _flag("reload_allowed"),
    "return_allowed": _flag("return_allowed"),
    "partial_redeem_allowed": _flag("partial_redeem_allowed"),
    "value_change_allowed": _flag("value_change_allowed"),
    "holds_allowed": _flag("holds_allowed"),
    "validity": _validity,
    "hold_lifetime": _hold_lifetime,
    "code_format": _code_format,
    "pin_required": lambda program: {"pin_required": program.pin_required},
    "points_per_major_unit": _points_rate,
    "certificate_color": _certificate_color,
}


def _terms(program: v1.Program, paths: list[str]) -> Terms:
    terms: Terms = {}
    for path in paths:
        terms |= _TERMS[path](program)
    return terms


def _currency(program: v1.Program) -> str:
    code = fields.currency_code(program.currency_code, "program.currency_code")
    if code == POINTS:
        raise InvalidField("program.currency_code", "Must be an ISO 4217 code such as USD.")
    return code


def _message(program: Program) -> v1.Program:
    def money(minor_units: int | None) -> v1.Money | None:
        return None if minor_units is None else render.money(minor_units, program.unit)

    return v1.Program(
        name=f"programs/{program.code}",
        display_name=program.display_name,
        currency_code=program.unit,
        state=v1.Program.RETIRED if program.retired else v1.Program.ACTIVE,
        version=program.version,
        min_amount=money(program.min_amount),
        max_amount=money(program.max_amount),
        denominations=[render.money(value, program.unit) for value in program.denominations],
        max_balance=money(program.max_balance),
        reload_allowed=program.reload_allowed,
        return_allowed=program.return_allowed,
        partial_redeem_allowed=program.partial_redeem_allowed,
        value_change_allowed=program.value_change_allowed,
        holds_allowed=program.holds_allowed,
        validity=_validity_message(program),
        hold_lifetime=Duration(seconds=program.hold_seconds),
        code_format=v1.Program.CodeFormat(
            prefix=program.code_prefix,
            alphabet=v1.Program.CodeFormat.Alphabet.Value(program.code_alphabet),
            random_length=program.code_length,
            check_digit=v1.Program.CheckDigit.Value(program.code_check),
        ),
        pin_required=program.pin_required,
        points_per_major_unit=program.points_per_major_unit,
        certificate_color=program.certificate_color,
        create_time=render.timestamp(program.create_time),
        update_time=render.timestamp(program.update_time),
        etag=administration.program_etag(program),
    )


def _validity_message(program: Program) -> v1.Program.Validity | None:
    if program.validity_months is not None:
        return v1.Program.Validity(months=program.validity_months)
    if program.validity_days is not None:
        return v1.Program.Validity(days=program.validity_days)
    if program.valid_until is not None:
        return v1.Program.Validity(until=render.calendar_date(program.valid_until))
    return None


class ProgramService:
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
            Rpc("CreateProgram", v1.CreateProgramRequest, self._create, setup.CONFIGURE),
            Rpc("GetProgram", v1.GetProgramRequest, self._get, setup.READ),
            Rpc("ListPrograms", v1.ListProgramsRequest, self._list, setup.READ),
            Rpc("UpdateProgram", v1.UpdateProgramRequest, self._update, setup.CONFIGURE),
        ]

    async def _create(self, request: v1.CreateProgramRequest, call: Call) -> v1.Program:
        code = fields.chosen_id(request.program_id, "program_id")
        wanted = setup.required(request, "program")
        unit = _currency(wanted)
        terms = _terms(wanted, list(_TERMS))
        merchant_id = call.caller.merchant_id
        blank = Program("", 1, merchant_id, code, "", unit)
        # Checked once more on its way into the ledger; here so that a bad program is said to be
        # bad before it is said to exist.
        administration.with_terms(blank, terms)
        command = setup.administer(
            "program", "create", f"programs/{code}", {"terms": terms, "unit": unit}
        )

        async def plan() -> Effect:
            existing = await self._find(call, code)
            now = self._clock()
            named = Program(
                new_id(now), 1, merchant_id, code, "", unit, create_time=now, update_time=now
            )
            program = administration.with_terms(named, terms)
            return administration.create_program(setup.owner(call), program, existing)

        return _answer(await self._changes.carry_out(request, call, command, plan))

    async def _update(self, request: v1.UpdateProgramRequest, call: Call) -> v1.Program:
        wanted = setup.required(request, "program")
        code = fields.chosen_name(wanted.name, "programs", "program.name")
        paths = setup.masked(wanted, request.update_mask, _TERMS)
        terms = _terms(wanted, paths)
        etag = fields.text(wanted.etag, "program.etag")
        # Whoever sends a whole program without a mask sends its currency along; it never changes.
        unit = _currency(wanted) if wanted.currency_code and not request.update_mask.paths else ""
        command = setup.administer(
            "program", "update", f"programs/{code}",
            {"paths": paths, "terms": terms, "etag": etag, "unit": unit},
        )  # fmt: skip

        async def plan() -> Effect:
            current = await self._existing(call, code)
            if unit and unit != current.unit:
                raise InvalidField("program.currency_code", "Cannot be changed.")
            return administration.update_program(
                setup.owner(call), current, terms, etag, self._clock()
            )

        return _answer(await self._changes.carry_out(request, call, command, plan))

    async def _get(self, request: v1.GetProgramRequest, call: Call) -> v1.Program:
        code = fields.chosen_name(request.name, "programs", "name")
        return _message(await self._existing(call, code))

    async def _list(self, request: v1.ListProgramsRequest, call: Call) -> v1.ListProgramsResponse:
        size = fields.page_size(request.page_size)
        after = self._pages.read(request, call)
        state = fields.known_enum(request.state, v1.Program.State, "state")
        retired = state == v1.Program.RETIRED if state else None
        owner = setup.owner(call)
        programs = await self._bridge.read(
            lambda connection: setup_queries.programs_page(
                connection, owner, after, size + 1, retired=retired
            ),
            call.caller.merchant_id,
        )
        codes = [program.code for program in programs]
        return v1.ListProgramsResponse(
            programs=[_message(program) for program in programs[:size]],
            next_page_token=self._pages.next(request, call, codes, size),
        )

    async def _find(self, call: Call, code: str) -> Program | None:
        owner = setup.owner(call)
        return await self._bridge.read(
            lambda connection: setup_queries.program(connection, owner, code),
            call.caller.merchant_id,
        )

    async def _existing(self, call: Call, code: str) -> Program:
        program = await self._find(call, code)
        if program is None:
            raise Rejected("PROGRAM_NOT_FOUND", program=f"programs/{code}")
        return program


def _answer(facts: dict[str, Any]) -> v1.Program:
    raw = facts["resource"]
    return _message(Program(**{**raw, "denominations": tuple(raw["denominations"])}))
