"""A text that does not print itself."""

import hmac
from typing import Final, NoReturn

_REDACTED: Final = "Secret(redacted)"


class Secret:
    """A code, PIN, password or token on its way through the program.

    Formatting, logging and pickling do not reveal the text; only `reveal` does. Comparison
    takes the same time wherever two texts differ. Not hashable, so it cannot become a key of
    some dictionary that is logged one day.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Returns the text itself."""
        return self._text

    def __repr__(self) -> str:
        return _REDACTED

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return _REDACTED

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        return bool(self._text)

    def __reduce__(self) -> NoReturn:
        raise TypeError("A secret cannot be pickled or copied.")


def _bytes(text: str) -> bytes:
    # A header may smuggle in lone surrogates; they must compare unequal, not raise.
    return text.encode("utf-8", "surrogatepass")
