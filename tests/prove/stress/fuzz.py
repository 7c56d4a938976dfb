"""Targets for fuzzing: each takes any bytes and may only answer, or refuse in the known way.

    python -m tests.prove.stress.fuzz json 100000 7      # target, inputs, seed; needs atheris

Any other exception is a finding: atheris prints it with the input and ends with a status.
"""

from __future__ import annotations

import datetime as dt
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from giftcard import v1
from google.protobuf.message import DecodeError

from compat_http import amounts, strict_json
from server.domain import calendar, code, currency
from server.domain.commands import Caller
from server.domain.errors import DomainError
from server.rpc import parse
from server.secrets import SecretKeys, create_development_keys, load_keys

_UNITS: Final = ("USD", "JPY", "KWD")
_SEEDS: Final[dict[str, tuple[bytes, ...]]] = {
    "json": (b'{"amount": 57.23, "a": [1, null, true], "b": "\\u00e9"}', b'{"a": {"b": {}}}'),
    "amount": (b"57.23", b"0.005", b"9007199254740993", b"1e308"),
    "date": (b"2024-02-29", b"9999-12-30"),
    "code": (b"GC-Q22X-9HE1", b"4111 1111 1111 1111"),
    "protobuf": tuple(
        bytes([number]) + request.SerializeToString()
        for number, request in enumerate(
            (
                v1.IssueGiftCardRequest(program="programs/GC", request_id="r"),
                v1.RedeemGiftCardRequest(
                    gift_card=v1.GiftCardReference(code="12345678", pin="1234"),
                    amount=v1.Money(minor_units=1, currency_code="USD"),
                    request_id="r",
                ),
            )
        )
    ),
}
_PARSE: Final[tuple[tuple[Any, Any], ...]] = (
    (v1.IssueGiftCardRequest, parse.issue), (v1.RedeemGiftCardRequest, parse.redeem),
    (v1.CreateGiftCardRequest, parse.create), (v1.RedeemGiftCardsRequest, parse.redeem_many),
    (v1.AuthorizeGiftCardRequest, parse.authorize), (v1.CaptureHoldRequest, parse.capture),
    (v1.RefundGiftCardRequest, parse.refund), (v1.ReverseTransactionRequest, parse.reverse),
    (v1.LoadGiftCardRequest, parse.load), (v1.UpdateGiftCardRequest, parse.update),
    (v1.CloseGiftCardRequest, parse.close), (v1.TransferBalanceRequest, parse.transfer),
    (v1.AdjustGiftCardRequest, parse.adjust), (v1.ActivateGiftCardRequest, parse.activate),
)  # fmt: skip


def _keys() -> SecretKeys:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "keys.json"
        create_development_keys(path)
        return load_keys(path, None, production=False)


_KEYS: Final = _keys()


def _json(data: bytes) -> None:
    """What is read can be written, and is then read as the same."""
    for repairs in (False, True):
        try:
            found, _ = strict_json.read(data, repairs_commas=repairs)
        except strict_json.JsonError:
            continue
        assert strict_json.read(strict_json.write(found))[0] == found


def _amount(data: bytes) -> None:
    """What the parsers take is written back to the same amount, and both take the same."""
    text = data.decode("utf-8", "replace")
    for unit in _UNITS:
        taken: list[int] = []
        try:
            taken.append(currency.parse_amount(text, unit))
            written = currency.format_amount(taken[0], unit)
            assert currency.parse_amount(written, unit) == taken[0]
        except currency.AmountError:
            pass
        try:
            taken.append(amounts.minor_units(text, unit))
            assert amounts.minor_units(amounts.decimal_text(taken[-1], unit), unit) == taken[-1]
        except amounts.AmountError:
            pass
        assert len(set(taken)) <= 1, taken


def _date(data: bytes) -> None:
    """A day that is taken has a first and a last instant, in this order."""
    try:
        day = dt.date.fromisoformat(data.decode("ascii", "replace"))
        calendar.validate_date(day)
    except ValueError:
        return
    for zone in ("UTC", "Pacific/Apia", "America/New_York"):
        assert calendar.start_of_validity(day, zone) <= calendar.end_of_validity(day, zone)


def _code(data: bytes) -> None:
    """A code that is taken stays what it is however often it is read."""
    try:
        found = code.normalize(data.decode("utf-8", "replace"))
    except code.CodeFormatError:
        return
    assert code.normalize(found) == found
    assert code.normalize(code.display(found)) == found
    code.looks_like_payment_card(found)


def _protobuf(data: bytes) -> None:
    """The first byte chooses the request."""
    request_type, parsed = _PARSE[data[0] % len(_PARSE)] if data else _PARSE[0]
    try:
        request = request_type.FromString(data[1:])
        parsed(request, parse.Intake(_KEYS, Caller("m", "c", 1)))
    except (DecodeError, DomainError):
        pass


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    "json": _json, "amount": _amount, "date": _date, "code": _code, "protobuf": _protobuf,
}  # fmt: skip


def main(arguments: list[str]) -> None:
    """Runs one target under atheris; the process ends with it."""
    import atheris

    name, inputs, seed = arguments
    with tempfile.TemporaryDirectory() as corpus:
        for number, data in enumerate(_SEEDS[name]):
            (Path(corpus) / str(number)).write_bytes(data)
        modules = (strict_json, amounts, calendar, code, currency, parse)
        for module in modules:
            for value in vars(module).values():
                if getattr(value, "__module__", "") == module.__name__ and callable(value):
                    _instrument(atheris, value)
        limits = [f"-runs={inputs}", f"-seed={seed}", "-max_len=512", "-rss_limit_mb=1024"]
        atheris.Setup(["fuzz", *limits, f"-artifact_prefix={corpus}/", corpus], TARGETS[name])
        atheris.Fuzz()


def _instrument(atheris: Any, function: Any) -> None:
    """Lets atheris see which branches are taken, where it can."""
    if hasattr(function, "__code__"):
        atheris.instrument_func(function)


if __name__ == "__main__":
    main(sys.argv[1:])
