"""`python -m tests.bench` measures the figures; `python -m tests.bench profile redeem` says where
the time goes."""

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from tests.bench import report
from tests.bench.bench import CARDS, Bench, Options
from tests.bench.figures import GOALS
from tests.bench.load import ROOT, BenchError, Generator, find_generator
from tests.bench.machine import facts
from tests.bench.plots import plot
from tests.bench.profile import SUBJECTS, profile
from tests.bench.stage import Stage
from tests.postgres import PostgresUnavailableError
from tests.postgres_programs import find_programs

_VAR: Final = ROOT / "var"
_WARM_UP_SECONDS: Final = 1.0
_PROFILE_SECONDS: Final = 10.0
MANY_CARDS: Final = 1_000_000


class _Progress:
    """One line for each step, with the minutes and seconds since the start."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def __call__(self, text: str) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self._started), 60)
        print(f"{minutes:02d}:{seconds:02d}  {text}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__, allow_abbrev=False)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one run (5)")
    parser.add_argument("--rounds", type=int, default=5, help="how often each run repeats (5)")
    parser.add_argument(
        "--only", action="append", choices=list(GOALS), metavar="FIGURE",
        help=f"measure this figure; may be given several times: {', '.join(GOALS)}",
    )  # fmt: skip
    parser.add_argument(
        "--cards", type=int, default=MANY_CARDS, metavar="COUNT",
        help=f"growth: redemptions over so many cards ({MANY_CARDS:,}); the first time they are"
        " seeded, some 20,000 a second, and stay in --kept",
    )  # fmt: skip
    parser.add_argument(
        "--few-cards", type=int, default=CARDS, metavar="COUNT",
        help=f"cards over which all else is measured ({CARDS})",
    )  # fmt: skip
    parser.add_argument(
        "--in-flight", type=int, default=64, metavar="CALLS",
        help="calls in flight for each server process (64)",
    )  # fmt: skip
    parser.add_argument(
        "--kept", type=Path, default=_VAR / "bench", metavar="FOLDER",
        help="where databases with many cards stay between runs (var/bench)",
    )  # fmt: skip
    parser.add_argument(
        "--no-curves", action="store_true", help="leave out the plots and the profiles"
    )
    parser.add_argument("--generator", choices=("auto", "go", "python"), default="auto")
    parser.add_argument("--output", type=Path, default=_VAR / "bench.json")
    commands = parser.add_subparsers(dest="command")
    command = commands.add_parser("profile", help="where the time of one method goes")
    command.add_argument("subject", choices=SUBJECTS)
    command.add_argument("--seconds", type=float, default=_PROFILE_SECONDS, dest="profile_seconds")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    only = frozenset(arguments.only or GOALS)
    return Options(
        seconds=arguments.seconds,
        warm_up_seconds=min(_WARM_UP_SECONDS, arguments.seconds),
        rounds=arguments.rounds,
        only=only,
        in_flight=arguments.in_flight,
        cards=arguments.few_cards,
        many_cards=arguments.cards,
        kept=arguments.kept,
        curves=not (arguments.only or arguments.no_curves),
    )


def _bench(arguments: argparse.Namespace, say: _Progress) -> None:
    options = _options(arguments)
    generator = find_generator(arguments.generator, say)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o755)  # PostgreSQL may have to run as another account
        machine = facts(directory)
        with Stage(directory, say) as stage:
            bench = Bench(options, generator, stage, say)
            bench.run()
    conditions = {
        "seconds": options.seconds, "rounds": options.rounds, "in_flight": options.in_flight,
        "cards": options.cards, "many_cards": options.many_cards, "generator": generator.name,
        "postgresql": find_programs().version() if _has_postgres(options) else "",
    }  # fmt: skip
    content = report.document(machine, conditions, bench)
    report.write(arguments.output, content)
    print(f"\n{report.tables(content)}\n")
    say(f"Written to {arguments.output.name}")
    if options.curves:
        for path in plot(content, arguments.output.parent):
            say(f"Plotted {path.name}")
        for subject in SUBJECTS:
            _profile(subject, _PROFILE_SECONDS, generator, arguments.output.parent, say)


def _profile(
    subject: str, seconds: float, generator: Generator, folder: Path, say: _Progress
) -> None:
    """Where the time goes, beside the numbers."""
    path = folder / f"profile-{subject}.txt"
    print(f"\n{profile(subject, seconds, generator, path, say)}\n")
    say(f"Written to {path.name}")


def _has_postgres(options: Options) -> bool:
    return any("pg" in name for name in options.only)


def main(given: list[str]) -> int:
    """Returns the exit status: 0 whatever the figures are, 1 when they could not be measured."""
    arguments = _parser().parse_args(given)
    say = _Progress()
    try:
        if arguments.command == "profile":
            generator = find_generator(arguments.generator, say)
            _profile(arguments.subject, arguments.profile_seconds, generator, _VAR, say)
        else:
            _bench(arguments, say)
    except (BenchError, PostgresUnavailableError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
