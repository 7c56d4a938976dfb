"""The tree of commands, and the one place where an error becomes a sentence and a status."""

from importlib.metadata import entry_points
from typing import Any, Final

import typer
from typer.core import TyperGroup

from server.cli import admin, backup, call, card, customer, demo, operate
from server.cli.output import say

#: Group of entry points by which a package adds a typer app below `giftcard`, under its name.
COMMANDS: Final = "giftcard.commands"


class _Commands(TyperGroup):
    """What a person can do something about ends in one sentence, all else in a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort):
            raise
        except Exception as error:
            from server.cli.problems import explain

            explained = explain(error)
            if explained is None:
                raise
            sentence, status = explained
            say(f"giftcard: {sentence}")
            raise typer.Exit(status) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    # A traceback with local variables would show codes and tokens.
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Keeps gift cards and their money.\n\n"
    "Settings come from the environment, such as GIFTCARD_DATABASE_URL, GIFTCARD_GRPC_ADDRESS and"
    " GIFTCARD_KEY_FILE.\n\n"
    "[bold]First steps[/bold]\n\n\b"
    "  GIFTCARD_DEMO=1 giftcard serve\n"
    "  export GIFTCARD_SERVER=127.0.0.1:50051 GIFTCARD_TOKEN=demo-service-token\n"
    "  giftcard card show 12399\n"
    "  giftcard card redeem 12399 5.00",
)
operate.add_to(app)
backup.add_to(app)
app.add_typer(admin.app, name="admin")
app.add_typer(card.app, name="card")
app.add_typer(customer.app, name="customer")
call.add_to(app)
app.add_typer(demo.app, name="demo")
for contributed in sorted(entry_points(group=COMMANDS)):
    app.add_typer(contributed.load(), name=contributed.name)
