"""Reading bodies: members in any letter case, numbers as numbers or strings.

The vendor prints numbers both ways (`"GiftCardValue":50`, `"PointsToRedeem":"5000"`), so both are
taken everywhere.  Empty and null members count as absent; members that are not known are ignored.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from compat_http import amounts
from compat_http.amounts import AmountError
from compat_http.dialects.cp_extender.answers import bad_request

_PRINTABLE: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*")
_WHOLE: Final = re.compile(r"([0-9]{1,15})(?:\.0{1,4})?")
_DATE: Final = re.compile(
    r"([0-9]{2})/([0-9]{2})/([0-9]{4})(?: ([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,3}))?)?"
)
#: What the contract keeps of a text.
TEXT_LENGTH_MAX: Final = 128


class Members:
    """The members of one body, or the parameters of one query."""

    __slots__ = ("_values",)

    def __init__(self, document: Mapping[str, Any] | None) -> None:
        """Raises Refusal where two spellings of one member disagree."""
        self._values: dict[str, Any] = {}
        for name, value in (document or {}).items():
            folded = name.casefold()
            if self._values.setdefault(folded, value) != value:
                # The name may be a stranger's, so it is not repeated.
                raise bad_request("a member is given twice with two values")

    def has(self, name: str) -> bool:
        return self._values.get(name.casefold()) not in (None, "")

    def text(self, name: str, *, limit: int = TEXT_LENGTH_MAX) -> str:
        """A string, or a number as it was written; "" where there is none.

        Raises:
            Refusal: something else, too long, or with control characters.
        """
        if not self.has(name):
            return ""
        value = self._values[name.casefold()]
        if not isinstance(value, str):
            raise bad_request(f"{name} must be a string")
        if len(value) > limit:
            raise bad_request(f"{name} must have at most {limit} characters")
        if not _PRINTABLE.fullmatch(value):
            raise bad_request(f"{name} must not contain control characters")
        return str(value)

    def required(self, name: str) -> str:
        """Raises Refusal: there is none."""
        text = self.text(name)
        if not text.strip():
            raise bad_request(f"{name} is required")
        return text

    def whole(self, name: str) -> int:
        """A whole number, 0 where there is none.

        Raises:
            Refusal: not a whole number, or negative.
        """
        text = self.text(name)
        match = _WHOLE.fullmatch(text or "0")
        if match is None:
            raise bad_request(f"{name} must be a whole number")
        return int(match.group(1))

    def points(self, name: str) -> int:
        """At least one point.

        Raises:
            Refusal: none, or not a number of points.
        """
        points = self.whole(name)
        if not 0 < points <= amounts.MINOR_UNITS_MAX:
            raise bad_request(f"{name} must be greater than 0")
        return points

    def minor_units(self, name: str, currency: str) -> int:
        """An amount, which may be 0.

        Raises:
            Refusal: not an exact amount of the currency.
        """
        try:
            return amounts.minor_units(self.text(name), currency)
        except AmountError as error:
            raise bad_request(f"{name} {error}") from None

    def instant(self, name: str) -> datetime | None:
        """MM/dd/yyyy HH:mm:ss.fff in UTC; of a bare day its first instant.

        Raises:
            Refusal: no such instant.
        """
        text = self.text(name)
        if not text:
            return None
        match = _DATE.fullmatch(text)
        if match is None:
            raise bad_request(f"{name} must have the form MM/dd/yyyy HH:mm:ss.fff")
        month, of_month, year, hour, minute, second, fraction = match.groups("0")
        try:
            instant = datetime(
                int(year), int(month), int(of_month), int(hour), int(minute), int(second),
                int(fraction.ljust(6, "0")), UTC,
            )  # fmt: skip
        except ValueError:
            raise bad_request(f"{name} is no instant of the calendar") from None
        if not 1970 < instant.year < 9999:
            raise bad_request(f"{name} must be from 1971 to 9998")
        return instant
