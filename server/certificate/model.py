"""What a certificate says, and the forms in which it comes."""

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Final

from server.domain import code as codes

_SEPARATORS: Final = re.compile(r"([- ]+)")


class Form(Enum):
    JPEG = "JPEG"
    PNG = "PNG"
    PDF = "PDF"


CONTENT_TYPES: Final = {
    Form.JPEG: "image/jpeg",
    Form.PNG: "image/png",
    Form.PDF: "application/pdf",
}


@dataclass(frozen=True, slots=True, repr=False)
class Certificate:
    """`value` is an amount as text; `color` is `#` and six hexadecimal digits, or empty."""

    merchant: str
    program: str
    value: str
    currency: str
    code: str
    valid_until: date | None
    location: str = ""
    color: str = ""

    @property
    def grouped_code(self) -> str:
        """What is read and typed: as the merchant spelled it, long runs in groups of four."""
        parts = _SEPARATORS.split(self.scanned_code)
        return "".join(
            part if _SEPARATORS.fullmatch(part) else codes.display(part).replace("-", " ")
            for part in parts
        )

    @property
    def scanned_code(self) -> str:
        """What a scanner reads: the code as spelled, unless separators make it too long."""
        code = self.code.strip()
        return code if len(code) <= codes.CODE_LENGTH_MAX else codes.normalize(code)

    @property
    def validity(self) -> str:
        if self.valid_until is None:
            return "Does not expire"
        day = self.valid_until
        return f"{day.day} {_MONTHS[day.month - 1]} {day.year}"


_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
