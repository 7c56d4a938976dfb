"""Asking for what must not stand on a command line: codes, PINs, passwords."""

import sys

import typer

from server.cli.output import UNUSABLE, CommandError


def ask_secret(what: str) -> str:
    """Asks without echo on a terminal; elsewhere reads the next line of standard input."""
    if sys.stdin.isatty():
        answer: str = typer.prompt(what, hide_input=True, err=True)
    else:
        answer = sys.stdin.readline().rstrip("\r\n")
    if not answer:
        raise CommandError(f"{what}: nothing was given on standard input.", UNUSABLE)
    return answer
