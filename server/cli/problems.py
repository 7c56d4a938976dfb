"""Errors as sentences: what went wrong, and what to do about it."""

from server.__main__ import CANNOT_START, CANNOT_START_STATUS
from server.cli.output import REFUSED, UNUSABLE, CommandError
from server.local import NoSuchMerchantError
from server.storage.copies import CopyError
from server.storage.database import UnknownOutcomeError, is_unreachable


def explain(error: Exception) -> tuple[str, int] | None:
    """The sentence and the exit status; None for what should never happen."""
    if isinstance(error, CommandError):
        return str(error), error.status
    if isinstance(error, CANNOT_START):
        return str(error), CANNOT_START_STATUS
    if isinstance(error, CopyError):
        return str(error), REFUSED
    if isinstance(error, NoSuchMerchantError):
        return str(error), UNUSABLE
    if isinstance(error, UnknownOutcomeError):
        return "It is not known whether the database kept it. Look before doing it again.", 3
    if is_unreachable(error):
        return f"The database does not answer: {_cause(error)}.", REFUSED
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}.", REFUSED
    return None


def _cause(error: Exception) -> str:
    """The driver's first words where they cannot contain a value: before any statement."""
    original = getattr(error, "orig", None) or error
    if getattr(error, "statement", None) is not None:
        return type(original).__name__
    lines = str(original).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(original).__name__
