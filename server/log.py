"""Structured logs: JSON lines whose fields are chosen here.

Messages are fixed sentences.  Of an exception only its type and where it was raised are kept:
the words of a driver's error can contain the values of a statement.
"""

import logging
import sys
import traceback
from typing import IO

import orjson

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}
_EXTRA_FIELDS = frozenset({"method", "count", "path", "port", "revision", "signal", "address"})


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": int(record.created * 1_000_000),
            "level": record.levelname,
            "logger": record.name,
            # Libraries format values into their messages; only our own are sentences.
            "message": record.getMessage() if record.name.startswith("giftcard") else record.msg,
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


def configure(stream: IO[str] = sys.stderr, level: int = logging.INFO) -> None:
    """Sends everything to one stream; libraries speak from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("giftcard").setLevel(level)
    logging.captureWarnings(True)
