"""Bars for work that takes long: on a terminal, and nowhere else."""

import sys
from collections.abc import Callable
from typing import Any, Self

import typer


class Progress:
    """One bar for each thing that is done, one after the other.

    The number of steps is known with the first one.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._what = ""
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            self._bar = None

    def of(self, what: str) -> Callable[[int, int], None]:
        return lambda done, steps: self.show(what, done, steps)

    def show(self, what: str, done: int, steps: int) -> None:
        if not sys.stderr.isatty():
            return
        if self._bar is None or what != self._what:
            self.__exit__()
            self._bar = typer.progressbar(length=max(steps, 1), label=what, file=sys.stderr)
            self._what, self._done = what, 0
        self._bar.update(done - self._done)
        self._done = done
