"""Mutants of the money modules, and the tests that should kill them.

    python -m tests.prove.mutants server/domain/holds.py      # which mutants survive
    python -m tests.prove.mutants --part 2/4                  # the second quarter of all of them

The survivors are kept in var/.  cosmic-ray makes the mutants; their source exists in memory only.
A worker process for each processor imports all that tests need but the product; for each mutant it
forks, puts the mutant in the place of its module and runs the module's fast tests.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import importlib.abc
import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol, TypeVar

ROOT: Final = Path(__file__).parent.parent.parent
#: Not one of these reads a clock, a file or a network; all of them look at the rules of money.
_DOMAIN_TESTS: Final = tuple(
    f"tests/domain/test_decisions_{name}.py"
    for name in (
        "spend",
        "holds",
        "refunds",
        "undo",
        "moves",
        "points",
        "rules",
        "life",
        "codes",
        "bounds",
    )
)
_DOMAIN: Final = (
    "spending", "holds", "reversal", "transfer", "points", "customers", "lifecycle", "decision",
    "rules",
)  # fmt: skip
#: The money modules, each with the tests that are expected to notice a change of it.
TESTS: Final[dict[str, tuple[str, ...]]] = {
    **{f"server/domain/{name}.py": _DOMAIN_TESTS for name in _DOMAIN},
    "server/domain/model.py": ("tests/domain/test_model.py", *_DOMAIN_TESTS),
    "server/domain/currency.py": ("tests/domain/test_currency.py",),
    "compat_http/amounts.py": ("tests/compat/test_amounts.py",),
}
#: Changes that a hurried person could make.  Left out is what cannot even be imported (operators in
#: annotations) and what means the same (`is` for `==`).
_OPERATORS: Final = re.compile(
    r"core/(NumberReplacer|AddNot|ZeroIterationForLoop|ReplaceAndWithOr|ReplaceOrWithAnd"
    r"|ReplaceTrueWithFalse|ReplaceFalseWithTrue|ReplaceBreakWithContinue|ReplaceContinueWithBreak"
    r"|ExceptionReplacer|ReplaceUnaryOperator_(Delete_Not|USub_UAdd|Delete_USub)"
    r"|ReplaceComparisonOperator_(Is_IsNot|IsNot_Is|In_NotIn|NotIn_In)"
    r"|ReplaceComparisonOperator_(Eq|NotEq|Lt|LtE|Gt|GtE)_(Eq|NotEq|Lt|LtE|Gt|GtE)"
    r"|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mul_Add|Mod_FloorDiv"
    r"|FloorDiv_Mod|Pow_Mul))"
)
_UNSEEN: Final = re.compile(r"\s*(assert |@lru_cache)")
_TIMEOUT_SECONDS: Final = 60
#: How many mutants are tried before people hear of them.
_BETWEEN_REPORTS: Final = 100


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module; `place` of the operator in the module, counted from 0."""

    path: str
    operator: str
    place: int
    line: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator}"

    def source(self) -> str:
        """The changed module."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        changed = mutate_code(
            (ROOT / self.path).read_text(), get_operator(self.operator)(), self.place
        )
        assert changed is not None, f"{self} changes nothing"
        return str(changed)

    def compiles(self) -> bool:
        try:
            compile(self.source(), self.path, "exec")
        except SyntaxError:
            return False
        return True

    def difference(self) -> str:
        """The changed lines, old and new, for people."""
        old, new = (ROOT / self.path).read_text().splitlines(), self.source().splitlines()
        changed = difflib.unified_diff(old, new, n=0, lineterm="")
        return "\n".join(line for line in changed if line[:2] not in ("--", "++", "@@"))


def mutants_of(path: str) -> list[Mutant]:
    """All mutants of a module, in the order of its lines.

    Not of assertions and of the sizes of caches: what those change no caller can see.  The star of
    a parameter is no operator: what would not even compile is left out.
    """
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    text = (ROOT / path).read_text()
    lines, tree = text.splitlines(), get_ast(text)
    found: list[Mutant] = []
    for name in filter(_OPERATORS.fullmatch, operator_names()):
        operator = get_operator(name)()
        places = (
            start for node in ast_nodes(tree) for start, _ in operator.mutation_positions(node)
        )
        found += [Mutant(path, name, place, line) for place, (line, _) in enumerate(places)]
    seen = [each for each in found if not _UNSEEN.match(lines[each.line - 1])]
    seen = [each for each in seen if "BinaryOperator" not in each.operator or each.compiles()]
    return sorted(seen, key=lambda each: (each.line, each.operator, each.place))


class Change(Protocol):
    """A module with something else in it."""

    @property
    def path(self) -> str: ...

    def source(self) -> str: ...


ChangeT = TypeVar("ChangeT", bound=Change)


def survivors(changes: Sequence[ChangeT]) -> list[ChangeT]:
    """Those that no test noticed.

    Raises:
        RuntimeError: the tests are red without any mutant, or the worker broke.
    """
    workers = min(os.cpu_count() or 1, len(changes))
    stripes = [changes[number::workers] for number in range(workers)]
    with ThreadPoolExecutor(workers or 1) as pool:
        left = {id(change) for found in pool.map(_survivors, stripes) for change in found}
    return [change for change in changes if id(change) in left]


def _survivors(changes: Sequence[ChangeT]) -> list[ChangeT]:
    """What one worker finds."""
    paths = dict.fromkeys(change.path for change in changes)
    # Unchanged at the beginning and at the end: in between, whatever went wrong would kill too.
    unchanged = [{"path": path, "source": (ROOT / path).read_text()} for path in paths]
    changed = [{"path": change.path, "source": change.source()} for change in changes]
    work = [*unchanged, *changed, *unchanged]
    done = subprocess.run(
        [sys.executable, "-m", "tests.prove.mutants", "--worker"],
        input="\n".join(map(json.dumps, work)),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'generated'}",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
    )
    passed = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0 or len(passed) != len(work):
        raise RuntimeError(f"the worker broke: {done.stderr[-2000:]}")
    count = len(paths)
    if not all(passed[:count] + passed[-count:]):
        raise RuntimeError("the tests are red without any mutant")
    return [change for change, green in zip(changes, passed[count:-count], strict=True) if green]


# The worker


def _work() -> None:
    """Reads changed modules as JSON lines; answers true for each that all tests pass with."""
    importlib.import_module("hypothesis.stateful")
    pytest = importlib.import_module("pytest")
    for line in sys.stdin:
        change = json.loads(line)
        child = os.fork()
        if child == 0:
            _run_tests(pytest, change["path"], change["source"])
        print(json.dumps(_passed(child)), flush=True)


def _run_tests(pytest: ModuleType, path: str, source: str) -> None:
    """Ends the process; its status is pytest's."""
    signal.alarm(_TIMEOUT_SECONDS)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    status: Any = 1
    try:
        module = path.removesuffix(".py").replace("/", ".")
        sys.meta_path.insert(0, _InItsPlace(module, path, source))
        # Neither the project's settings nor its plugins, which cost more than these tests.
        status = pytest.main(
            ["-c", os.devnull, "--rootdir", str(ROOT), "--import-mode=importlib", "-x", "-q",
             "--noconftest", "-p", "_hypothesis_pytestplugin", "--hypothesis-seed=0",
             "-p", "no:cacheprovider", *TESTS[path]]
        )  # fmt: skip
    finally:
        os._exit(int(status))


def _passed(child: int) -> bool:
    _, status = os.waitpid(child, 0)
    return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


class _InItsPlace(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Imports one module from a text."""

    def __init__(self, module: str, path: str, source: str) -> None:
        self._module = module
        self._path = path
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._module:
            return None
        return importlib.util.spec_from_loader(fullname, self, origin=self._path)

    def get_source(self, fullname: str) -> str:
        return self._source


def main(arguments: list[str]) -> int:
    """Prints the survivors of the modules that are named, or of all, and keeps them in var/."""
    if arguments == ["--worker"]:
        _work()
        return 0
    parser = argparse.ArgumentParser(prog="python -m tests.prove.mutants")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="a module; all when left out")
    parser.add_argument("--part", default="1/1", metavar="N/M", help="the Nth of M parts")
    chosen = parser.parse_args(arguments)
    number, parts = map(int, chosen.part.split("/"))
    mutants = [mutant for path in chosen.paths or TESTS for mutant in mutants_of(path)]
    tried = mutants[len(mutants) * (number - 1) // parts : len(mutants) * number // parts]
    kept = ROOT / "var" / f"mutants-{number}-of-{parts}.txt"
    kept.parent.mkdir(exist_ok=True)
    killed = 0
    with kept.open("w") as file:
        for start in range(0, len(tried), _BETWEEN_REPORTS):
            piece = tried[start : start + _BETWEEN_REPORTS]
            left = survivors(piece)
            killed += len(piece) - len(left)
            lines = [f"{each}\n{each.difference()}\n" for each in left]
            lines.append(f"{killed} of {start + len(piece)} killed\n")
            file.write("".join(lines))
            print("".join(lines), end="", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
