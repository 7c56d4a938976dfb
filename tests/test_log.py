"""The log: JSON lines that hold no word of a stranger, whoever speaks."""

import asyncio
import io
import logging
import sys
import threading
import warnings
from collections.abc import Callable, Iterator

import orjson
import pytest

from server import log

SECRET = "canary-5f1c"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where the log goes; what was configured before is put back."""
    root, ours = logging.getLogger(), logging.getLogger("giftcard")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    with pytest.MonkeyPatch.context() as patch:
        for module, hook in (
            (threading, "excepthook"), (sys, "unraisablehook"), (warnings, "showwarning"),
        ):  # fmt: skip
            patch.setattr(module, hook, getattr(module, hook))
        written = io.StringIO()
        log.configure(written)
        yield written
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def _fail(*_: object) -> None:
    raise ValueError(SECRET)


def of_a_handler() -> None:
    try:
        _fail()
    except ValueError:
        logging.getLogger("giftcard.rpc").exception("a handler failed", extra={"method": "/x"})


def of_a_library() -> None:
    logging.getLogger("library").warning("cannot read %s", SECRET)


def of_a_library_that_formats() -> None:
    logging.getLogger("library").warning(f"cannot read {SECRET}")  # noqa: G004 - what libraries do


def of_a_stranger_called_alike() -> None:
    logging.getLogger("giftcards").warning(f"cannot read {SECRET}")  # noqa: G004 - the same


def of_a_callback_of_the_loop() -> None:
    async def call() -> None:
        asyncio.get_running_loop().call_soon(_fail, SECRET)
        await asyncio.sleep(0)

    asyncio.run(call())


def of_a_task_that_nobody_awaits() -> None:
    async def fail() -> None:
        _fail()

    async def call() -> None:
        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    asyncio.run(call())


def of_a_thread() -> None:
    thread = threading.Thread(target=_fail, args=(SECRET,))
    thread.start()
    thread.join()


def of_a_finalizer() -> None:
    class Finalized:
        __del__ = _fail

    Finalized()


def of_a_warning() -> None:
    warnings.warn(SECRET, stacklevel=1)


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    ("happens", "message", "error"),
    [
        (of_a_handler, "a handler failed", "ValueError"),
        (of_a_library, "cannot read %s", None),
        (of_a_library_that_formats, "a library spoke", None),
        (of_a_stranger_called_alike, "a library spoke", None),
        (of_a_callback_of_the_loop, "a library spoke", "ValueError"),
        (of_a_task_that_nobody_awaits, "a library spoke", "ValueError"),
        (of_a_thread, "a thread ended with an error", "ValueError"),
        (of_a_finalizer, "an error could not be raised", "ValueError"),
        (of_a_warning, "a library warned", None),
    ],
)
def test_what_happened_is_told_without_what_it_was_about(
    stream: io.StringIO,
    capfd: pytest.CaptureFixture[str],
    happens: Callable[[], None],
    message: str,
    error: str | None,
) -> None:
    happens()
    (line,) = map(orjson.loads, stream.getvalue().splitlines())
    assert line["message"].startswith(message)
    assert line.get("error") == error
    assert SECRET not in stream.getvalue()
    # Nothing goes past the log either.
    assert capfd.readouterr() == ("", "")
    if error is not None:
        assert any("_fail" in frame for frame in line["where"])
