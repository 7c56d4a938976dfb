"""`make prove`: runs the long suites, shows what they saw, and publishes it in PROOF.md.

A whole run, green or red, writes PROOF.md; one that was narrowed by -k or
paths, or that certified another database, does not.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy.engine import make_url

from tests.bench.machine import facts
from tests.postgres import PostgresUnavailableError
from tests.postgres_programs import find_programs
from tests.prove import published
from tests.prove.plugin import STAGES, begun_directory
from tests.prove.published import ROOT

_JSON: Final = ROOT / "var" / "prove.json"
#: pytest's own words for a run that came to its end: all green, some red, nothing to run.
_ENDED: Final = (0, 1, 5)
#: At push size no test takes this long, unless something hangs.
_HANGS_SECONDS: Final = 900


def main(arguments: list[str]) -> int:
    given = _parser().parse_args(arguments)
    if given.guarantees:
        published.rewrite_guarantees()
        return 0
    if given.publish:
        published.write_again()
        return 0
    seed = random.SystemRandom().getrandbits(32) if given.seed is None else given.seed
    command = _command(given, seed)
    print(f"  {command}\n", flush=True)
    content = {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _commit(),
        "command": command,
        "size": given.size,
        "seed": seed,
        "machine": _machine(),
    }
    started = time.monotonic()
    statuses = _run(given, seed)
    content["seconds"] = round(time.monotonic() - started)
    content |= _found(statuses, content)
    content["outcome"] = "green" if _is_green(content) else "red"
    _JSON.parent.mkdir(parents=True, exist_ok=True)
    _JSON.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    print(published.terminal_table(content))
    if not (given.keyword or given.path or given.database_url):
        published.write(content)
        print(f"\n  {published.PATH.name} is written.")
    return 0 if content["outcome"] == "green" else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make prove", description=__doc__, allow_abbrev=False)
    parser.add_argument(
        "--size", choices=("push", "release"), default="push",
        help="push: within 25 minutes on two cores; release: as far as the promises ask",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, help="replays a run; a new one unless given")
    parser.add_argument(
        "--database-url", metavar="URL",
        help="certify this PostgreSQL-compatible server: the SQLAlchemy URL of a database whose"
        " user may create others",
    )  # fmt: skip
    parser.add_argument("-k", dest="keyword", metavar="NAME", help="only tests of this name")
    parser.add_argument("path", nargs="*", help="only tests below these")
    parser.add_argument(
        "--guarantees", action="store_true",
        help="run nothing: write the table of guarantees into PROOF.md anew",
    )  # fmt: skip
    parser.add_argument(
        "--publish", action="store_true",
        help="run nothing: write PROOF.md anew from the last run and the last make bench",
    )  # fmt: skip
    return parser


def _command(given: argparse.Namespace, seed: int) -> str:
    words = ["--size", given.size, "--seed", str(seed)]
    if given.database_url:
        words += ["--database-url", make_url(given.database_url).render_as_string()]
    if given.keyword:
        words += ["-k", f"'{given.keyword}'" if " " in given.keyword else given.keyword]
    return f'make prove ARGS="{" ".join([*words, *given.path])}"'


def _run(given: argparse.Namespace, seed: int) -> dict[str, int]:
    """Runs one stage after the other, its lanes at once, and tells the exit status of each."""
    took: dict[str, float] = json.loads(published.SECONDS.read_text())
    if _JSON.exists():
        took |= json.loads(_JSON.read_text()).get("modules", {})
    for lane in itertools.chain(*STAGES):
        # How long modules took, and nothing that could pass for this run's.
        _json_of(lane).write_text(json.dumps({"running": "", "suites": [], "modules": took}))
    begun = begun_directory(_JSON)
    shutil.rmtree(begun, ignore_errors=True)
    begun.mkdir()
    statuses: dict[str, int] = {}
    for stage in STAGES:
        started = {lane: subprocess.Popen(_pytest(given, seed, lane), cwd=ROOT) for lane in stage}
        statuses |= {lane: process.wait() for lane, process in started.items()}
    return statuses


def _json_of(lane: str) -> Path:
    return _JSON.with_stem(f"{_JSON.stem}-{lane}")


def _pytest(given: argparse.Namespace, seed: int, lane: str) -> list[str]:
    command = [sys.executable, "-m", "pytest", "-m", "", "-q", "--no-header", "--color=auto"]
    # pytest's cache is one for all lanes.
    command += ["-o", "console_output_style=classic", "-p", "no:cacheprovider"]
    command += ["--prove-json", str(_json_of(lane)), "--lane", lane]
    command += ["--size", given.size, "--seed", str(seed), f"--hypothesis-seed={seed}"]
    if given.size == "push":
        command += ["-o", f"faulthandler_timeout={_HANGS_SECONDS}"]
        command += ["-o", "faulthandler_exit_on_timeout=true"]
    if given.database_url:
        command += ["--database-url", given.database_url]
    if given.keyword:
        command += ["-k", given.keyword]
    return [*command, *(given.path or ["tests"])]


def _found(statuses: dict[str, int], content: dict[str, Any]) -> dict[str, Any]:
    """What the lanes left in their files; one that broke off is a red line of its own."""
    suites: list[dict[str, Any]] = []
    modules: dict[str, float] = {}
    for lane, status in statuses.items():
        found = json.loads(_json_of(lane).read_text())
        suites += found["suites"]
        ran = {each["test"].partition("::")[0] for each in found["suites"]}
        modules |= {
            module: took
            for module, took in found["modules"].items()
            if module in ran or module not in modules
        }
        running = found["running"]
        if status not in _ENDED or running:
            what = f"broke off with status {status} in {running or 'the collection of tests'}"
            suites.append(
                {
                    "suite": "The run itself", "figures": {}, "test": running,
                    "seed": content["seed"], "size": content["size"], "cases": 1, "seconds": 0,
                    "outcome": "failed", "why": what, "replay": content["command"],
                }
            )  # fmt: skip
    return {"suites": suites, "modules": modules}


def _is_green(content: dict[str, Any]) -> bool:
    outcomes = [line["outcome"] for line in content["suites"]]
    return "passed" in outcomes and "failed" not in outcomes


def _commit() -> str:
    """The commit that was run, and whether files differ from it."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = [line for line in _git("status", "--porcelain").splitlines() if line]
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    others = [line for line in changed if Path(line[3:]) != Path(published.PATH.name)]
    return f"{commit} and changes" if others else commit


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True, cwd=ROOT)
    return done.stdout.strip("\n")


def _machine() -> dict[str, Any]:
    directory = ROOT / "var"
    directory.mkdir(exist_ok=True)
    try:
        postgresql = find_programs().version()
    except PostgresUnavailableError:
        postgresql = "none"
    return {**facts(directory), "postgresql": postgresql}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
