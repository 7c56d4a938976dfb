"""The vendor's tables of fields, and reading a message by them.

The tables serve twice: what is enforced here is what OpenAPI describes.  Members are matched
without regard to letter case, because the vendor itself spells requestIDExternal in two ways;
members that no table knows are ignored.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final

from compat_http import amounts
from compat_http.dialect import Refusal


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of the vendor's: how it is read, raising ValueError with what is wrong with it."""

    read: Callable[[Any], Any]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    name: str
    kind: Kind
    mandatory: bool
    description: str

    @property
    def key(self) -> str:
        return self.name.lower()


def invalid(name: str, problem: str) -> Refusal:
    """The refusal of a member.  Says what is wrong and never what was sent."""
    return Refusal("INVALID_FIELD", 400, f"{name} {problem}.")


# Kinds

_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*")
_CODE: Final = re.compile(r"[ -~]*[!-,.-~][ -~]*")
_COUNTRY: Final = re.compile(r"[A-Za-z]{2}")
_AMOUNT: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_TIMESTAMP: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_FIRST_YEAR: Final = 1970
_TEXT_LENGTH_MAX: Final = 40


def _text(value: Any) -> str:
    if type(value) is not str:
        raise ValueError("must be a string")
    if len(value) > _TEXT_LENGTH_MAX:
        raise ValueError(f"must have at most {_TEXT_LENGTH_MAX} characters")
    if not _PRINTABLE.fullmatch(value):
        raise ValueError("must not contain control characters")
    return value


def _card(value: Any) -> str:
    code = _text(value)
    if not _CODE.fullmatch(code):
        raise ValueError("must be printable ASCII characters")
    return code


def _country(value: Any) -> str:
    if not _COUNTRY.fullmatch(_text(value)):
        raise ValueError("must be an ISO 3166-1 alpha-2 code such as US")
    return str(value).upper()


def _currency(value: Any) -> str:
    if not amounts.is_currency(_text(value)):
        raise ValueError("must be an ISO 4217 code such as USD")
    return str(value)


def _amount(value: Any) -> str:
    """Its text; how many decimals it may have depends on the currency."""
    if not isinstance(value, str):
        raise ValueError("must be a number")  # noqa: TRY004 - kinds say no in one way
    if not _AMOUNT.fullmatch(value):
        raise ValueError("must be a plain decimal number, without sign and exponent")
    return str(value)


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = value.lower() if type(value) is str else ""
    if word not in ("true", "false"):
        raise ValueError("must be true or false")
    return word == "true"


def _date(value: Any) -> date:
    if type(value) is not str or not _DATE.fullmatch(value):
        raise ValueError("must be a date such as 2021-02-20")
    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise ValueError("is no day of the calendar") from None
    if day.year < _FIRST_YEAR:
        raise ValueError(f"must not be before {_FIRST_YEAR}")
    return day


def _timestamp(value: Any) -> datetime:
    match = _TIMESTAMP.fullmatch(value) if type(value) is str else None
    if match is None:
        raise ValueError("must be a timestamp such as 2021-02-21T11:30:25.930Z")
    whole, fraction, zone = match.groups()
    try:
        instant = datetime.fromisoformat(whole + (fraction or "")[:7] + zone.replace("Z", "+00:00"))
    except ValueError:
        raise ValueError("is no instant of the calendar") from None
    if not _FIRST_YEAR < instant.year < 9999:
        raise ValueError(f"must be from {_FIRST_YEAR + 1} to 9998")
    return instant


_STRING: Final = {"type": "string", "minLength": 1, "maxLength": _TEXT_LENGTH_MAX}
TEXT: Final = Kind(_text, {**_STRING, "pattern": f"^{_PRINTABLE.pattern}$"})
CARD: Final = Kind(_card, {**_STRING, "pattern": f"^{_CODE.pattern}$"})
COUNTRY: Final = Kind(_country, {"type": "string", "pattern": "^[A-Za-z]{2}$"})
CURRENCY: Final = Kind(_currency, {"type": "string", "pattern": "^[A-Z]{3}$"})
AMOUNT: Final = Kind(
    _amount,
    {"oneOf": [
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "string", "pattern": r"^[0-9]{1,13}(\.[0-9]{1,4})?$"},
    ]},
)  # fmt: skip
FLAG: Final = Kind(
    _flag,
    {"oneOf": [{"type": "boolean"}, {"type": "string", "pattern": "^([Tt]rue|[Ff]alse)$"}]},
)
DATE: Final = Kind(_date, {"type": "string", "format": "date"})
TIMESTAMP: Final = Kind(_timestamp, {"type": "string", "format": "date-time"})


# Tables.  STATUS, SELL and LOAD are the vendor's; the others are ours, in the vendor's words.

COMMON: Final = (
    Field("requestIDExternal", TEXT, True, "ID of the request. Must be unique."),
    Field("timestamp", TIMESTAMP, True, "Timestamp of the operation (on client side)."),
    Field("trainingFlag", FLAG, True, "Whether the client operates in training mode."),
    Field("operationType", TEXT, True, "Type of the requested gift card operation."),
    Field("cardID", CARD, True, "ID of the gift card relevant to the operation."),
    Field("clientStore", TEXT, True, "Store ID of the client posting the request."),
    Field("clientCountry", COUNTRY, True, "ISO 3166-1 alpha-2 code of the country."),
    Field("clientID", TEXT, True, "ID of the client posting the request."),
)
_REASON: Final = Field("reason", TEXT, False, "Reason code captured during the process.")
_MONEY: Final = (
    Field("amount", AMOUNT, True, "Amount of the operation."),
    Field("currencyCode", CURRENCY, True, "ISO 4217 code of the currency of the operation."),
    Field("clientTrx", TEXT, True, "ID of the client's transaction containing the line item."),
)
_CARD_TYPE: Final = Field("cardTypeCode", TEXT, False, "Type code of the gift card.")
_VALIDITY: Final = (
    Field("validFrom", DATE, False, "First day of validity. Default: the current date."),
    Field("validUntil", DATE, False, "Last day of validity. Default: that of the card or type."),
)
_POLICY: Final = (
    Field("maxBalance", AMOUNT, False, "Maximum balance. Default: the server's."),
    Field("reloadAllowed", FLAG, False, "Whether the card is re-loadable. Default: the server's."),
    Field("returnAllowed", FLAG, False, "Whether it can be returned. Default: the server's."),
    Field(
        "partRedeemAllowed",
        FLAG,
        False,
        "Whether less than all can be redeemed. Default: the server's.",
    ),
)

TABLES: Final[Mapping[str, tuple[Field, ...]]] = {
    "STATUS": COMMON,
    "SELL": (
        *COMMON,
        *_MONEY,
        Field("issuedByClient", FLAG, True, "Whether the gift card was issued by the client."),
        _CARD_TYPE,
        *_VALIDITY,
        *_POLICY,
        _REASON,
    ),
    "LOAD": (*COMMON, *_MONEY, _REASON),
    "REDEEM": (*COMMON, *_MONEY, _REASON),
    "CANCEL": (
        *COMMON,
        Field(
            "originalRequestIDExternal", TEXT, False,
            "requestIDExternal of the operation to cancel. Preferred; it may not have arrived yet.",
        ),
        Field(
            "originalOperationType", TEXT, False,
            "operationType of that operation. Give it where one id was used for several.",
        ),
        Field("amount", AMOUNT, False, "Amount of the original. Mandatory without its ID."),
        Field("currencyCode", CURRENCY, False, "ISO 4217 code of the currency of the amount."),
        Field("clientTrx", TEXT, False, "clientTrx of the original. Mandatory without its ID."),
        _REASON,
    ),
    "CREATE": (
        *COMMON,
        Field("currencyCode", CURRENCY, True, "ISO 4217 code of the currency of the card."),
        _CARD_TYPE,
        *_VALIDITY,
        *_POLICY,
        _REASON,
    ),
    "UPDATE": (*COMMON, _CARD_TYPE, *_VALIDITY, *_POLICY, _REASON),
    "LOCK": (*COMMON, _REASON),
    "UNLOCK": (*COMMON, _REASON),
    "CLOSE": (*COMMON, _REASON),
    "RETURN": (*COMMON, *_MONEY, _REASON),
}  # fmt: skip


# Reading


def folded(document: Mapping[str, Any]) -> dict[str, Any]:
    """Members by their names in lower case.

    Raises:
        Refusal: two spellings of one member disagree.
    """
    members = {name.lower(): value for name, value in document.items()}
    if len(members) != len(document):
        for name, value in document.items():
            if members[name.lower()] != value:
                # The name is one of ours only when a table has it; else it is not repeated.
                raise Refusal("INVALID_FIELD", 400, "A member is given twice with two values.")
    return members


def read(members: Mapping[str, Any], table: tuple[Field, ...]) -> dict[str, Any]:
    """The values of a table's fields by their names; empty and null members count as absent.

    Raises:
        Refusal: the first field, in the table's order, that is missing or wrong.
    """
    values: dict[str, Any] = {}
    for field in table:
        value = members.get(field.name.lower())
        if value is None or value == "":
            if field.mandatory:
                raise invalid(field.name, "is mandatory")
            continue
        try:
            values[field.name] = field.kind.read(value)
        except ValueError as error:
            raise invalid(field.name, str(error)) from None
    return values


def number(name: str, text: str, currency: str) -> int:
    """Minor units of an amount's text; more than nothing.

    Raises:
        Refusal: it has too many decimals, or is 0 or too large.
    """
    try:
        units = amounts.minor_units(text, currency)
    except amounts.AmountError as error:
        raise invalid(name, str(error)) from None
    if units == 0:
        raise invalid(name, "must be greater than 0")
    return units


def schema(operation: str) -> dict[str, Any]:
    """The JSON schema of an operation's message."""
    properties = {
        field.name: {**field.kind.schema, "description": field.description}
        for field in TABLES[operation]
    }
    properties["operationType"] = {"const": operation, "description": "The operation."}
    return {
        "type": "object",
        "title": operation,
        "required": [field.name for field in TABLES[operation] if field.mandatory],
        "properties": properties,
    }
