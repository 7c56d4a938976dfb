"""Structured logs: JSON lines whose fields are chosen here.

Messages are fixed sentences.  Of an exception only its type and where it was raised are kept:
the words of a driver's error can contain the values of a statement.  Of what a library says only
its fixed words are kept, for what it fills in can be anything that passed through it.
"""

import logging
import os
import sys
import threading
import traceback
import warnings
from typing import IO, TextIO

import orjson

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_EXTRA_FIELDS = frozenset(
    {"method", "count", "path", "port", "revision", "signal", "address", "warning", "checks"}
)


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": int(record.created * 1_000_000),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        for name in _EXTRA_FIELDS & record.__dict__.keys():
            line[name] = record.__dict__[name]
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            line["error"] = type(error).__name__
            cause = error.__cause__
            line["cause"] = type(cause).__name__ if cause is not None else ""
            frames = traceback.extract_tb(error.__traceback__)
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return orjson.dumps(line, default=str).decode()


def _message(record: logging.LogRecord) -> str:
    if record.name.partition(".")[0] == "giftcard":
        return record.getMessage()
    # Without arguments the text was put together before it came here.
    fixed = record.msg if record.args and isinstance(record.msg, str) else "a library spoke"
    return f"{fixed} ({record.module}:{record.lineno})"


def _log_end_of_thread(hook: threading.ExceptHookArgs) -> None:
    error = hook.exc_value
    if error is not None:
        logging.getLogger("giftcard").error("a thread ended with an error", exc_info=error)


def _log_unraisable(hook: "sys.UnraisableHookArgs") -> None:
    error = hook.exc_value
    logging.getLogger("giftcard").error("an error could not be raised", exc_info=error)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Without its words, like an error."""
    place = {"warning": category.__name__, "path": f"{filename}:{lineno}"}
    logging.getLogger("giftcard").warning("a library warned", extra=place)


def configure(stream: IO[str] = sys.stderr, level: int = logging.INFO) -> None:
    """Sends everything to one stream; libraries speak from WARNING on."""
    # gRPC's core writes lines of its own, and what it has to say comes as an error as well.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("giftcard").setLevel(level)
    warnings.showwarning = _log_warning
    threading.excepthook = _log_end_of_thread
    sys.unraisablehook = _log_unraisable
