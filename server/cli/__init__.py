"""The command line `giftcard`: serves, checks, sets up, and does at a prompt what a till does.

Whatever touches a card or the set-up goes through the contract, to a running server or to one
inside this process; only `verify`, `migrate` and `demo load` open the database themselves.
Settings come from the environment, and a token only from there, never from an argument.

Exit statuses: 0 done; 1 refused, or found wrong; 2 not usable as asked or configured; 3 nobody
knows whether it was done (asking again with the same request id is safe).

Heavy modules are imported by the commands that need them, so that help comes at once.
"""

__all__ = ["main"]


def main() -> None:
    """The console script."""
    import logging
    import sys

    from server import log
    from server.cli.root import app

    # Errors of our own threads; what a command has to say it says in a sentence.
    log.configure(sys.stderr, logging.ERROR)
    app(prog_name="giftcard")
