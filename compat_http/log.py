"""Logs of the shim's own running: JSON lines of fixed sentences and chosen fields.

What tills ask and are answered is not here: that is the exchange log.  Of an exception only its
type and where it was raised are kept, since its words can hold what a caller sent.
"""

import logging
import sys
import traceback
from typing import IO, Final

import orjson

_FIELDS: Final = ("method", "count", "address")


class JsonFormatter(logging.Formatter):
    """One line for each record."""

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.startswith("giftcard")
        line: dict[str, object] = {
            "time": int(record.created * 1_000_000),
            "level": record.levelname,
            "logger": record.name,
            # Libraries format values into their messages; only our own are sentences.
            "message": record.getMessage() if ours else record.msg,
        }
        for name in _FIELDS:
            if name in record.__dict__:
                line[name] = record.__dict__[name]
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            frames = traceback.extract_tb(error.__traceback__)
            line["error"] = type(error).__name__
            line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return orjson.dumps(line, default=str).decode()


def configure(stream: IO[str] = sys.stderr) -> None:
    """Everything to one stream; libraries speak from WARNING on."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("giftcard").setLevel(logging.INFO)
    logging.captureWarnings(True)
