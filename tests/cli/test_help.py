"""Help teaches: every command says what it does and shows what to type."""

from collections.abc import Iterator
from typing import Any

import pytest
import typer.main

from server.cli.root import app
from tests.cli.conftest import Giftcard

COMMANDS = {
    "serve", "verify", "backup", "restore", "migrate", "call",
    "keys create",
    "demo load", "demo show",
    "admin merchant create", "admin merchant list", "admin merchant show",
    "admin location create", "admin location list",
    "admin program create", "admin program list", "admin program show",
    "admin client create", "admin client list", "admin client disable", "admin client enable",
    "admin token create", "admin token list", "admin token revoke", "admin token rotate",
    "card show", "card issue", "card activate", "card load", "card redeem", "card hold",
    "card capture", "card void", "card reverse", "card lookup", "card history",
    "log list", "log show", "log reversals", "log create-key", "log forget-reversal",
    "card reserve", "card release", "card certificate",
    "customer create", "customer list", "customer show", "customer earn", "customer adjust",
    "customer hold",
}  # fmt: skip


def _walk(command: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
        return
    for name, child in children.items():
        yield from _walk(child, f"{path} {name}".strip())


TREE = dict(_walk(typer.main.get_command(app)))


def test_these_are_the_commands() -> None:
    assert set(TREE) == COMMANDS


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_help_of_a_command_teaches(giftcard: Giftcard, path: str) -> None:
    result = giftcard(*path.split(), "--help")
    assert result.exit_code == 0
    # Lines are broken to the width of a terminal.
    text = " ".join(result.output.split())
    assert f"giftcard {path}" in text
    assert "Example" in text


@pytest.mark.parametrize(
    "group", ["", "admin", "card", "customer", "demo", "keys", "log", "admin token"]
)
def test_help_of_a_group_names_its_commands(giftcard: Giftcard, group: str) -> None:
    result = giftcard(*group.split(), "--help")
    below = {
        path.removeprefix(f"{group} " if group else "").split()[0]
        for path in COMMANDS
        if path.startswith(group)
    }
    assert result.exit_code == 0
    assert {name for name in below if name not in result.output} == set()


@pytest.mark.parametrize("path", sorted(COMMANDS))
def test_no_command_takes_a_token(path: str) -> None:
    """Arguments can be seen by everybody on the machine."""
    names = {name for parameter in TREE[path].params for name in parameter.opts}
    assert not names & {"--token", "--password", "--pin", "--secret"}


@pytest.mark.parametrize(
    "path",
    sorted(
        COMMANDS
        - {"serve", "migrate", "keys create", "log create-key", "log forget-reversal", "demo load"}
    ),
)
def test_what_prints_data_prints_json(path: str) -> None:
    assert any("--json" in parameter.opts for parameter in TREE[path].params)


@pytest.mark.parametrize(
    "path",
    sorted(
        path for path in COMMANDS
        if path.split()[-1] in {
            "create", "revoke", "rotate", "disable", "enable", "issue", "activate", "load",
            "redeem", "hold", "capture", "void", "reverse", "reserve", "release", "earn", "adjust",
        } and path not in {"keys create", "demo load"}
    ),
)  # fmt: skip
def test_what_writes_takes_a_request_id(path: str) -> None:
    assert any("--request-id" in parameter.opts for parameter in TREE[path].params)
