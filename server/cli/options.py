"""Options that many commands share, and how help texts are put together."""

from typing import Annotated, Final

import typer

_CONNECTION: Final = "Which server"

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.", show_default=False)]
ServerAddress = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="GIFTCARD_SERVER",
        metavar="HOST:PORT",
        help="Ask this server, with the token in GIFTCARD_TOKEN, by TLS unless it is on this"
        " machine (GIFTCARD_CA_FILE names its authorities, GIFTCARD_CLIENT_CERTIFICATE_FILE and"
        " GIFTCARD_CLIENT_KEY_FILE your own certificate). Without it the command runs a server of"
        " its own on the configured database.",
        show_default=False,
        rich_help_panel=_CONNECTION,
    ),
]
Plaintext = Annotated[
    bool,
    typer.Option(
        "--plaintext",
        help="No TLS although the server is not on this machine: the token can be read on the way.",
        show_default=False,
        rich_help_panel=_CONNECTION,
    ),
]
Merchant = Annotated[
    str,
    typer.Option(
        "--merchant",
        metavar="ID",
        help="The merchant it is about. With --server the token says so.",
        show_default=False,
        rich_help_panel=_CONNECTION,
    ),
]
MerchantOfClient = Annotated[
    str, typer.Option("--merchant", metavar="ID", help="The client's merchant.")
]
RequestId = Annotated[
    str,
    typer.Option(
        "--request-id",
        metavar="ID",
        help="Makes asking again safe: the same id gets the same answer. Default: a new UUID.",
        show_default=False,
    ),
]
Card = Annotated[
    str,
    typer.Argument(
        metavar="CARD",
        help="Name (giftCards/...) or code; - asks for the code, so that it stays out of the"
        " shell's history.",
        show_default=False,
    ),
]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 25.00.", show_default=False)]
Currency = Annotated[str, typer.Option("--currency", metavar="CODE", help="ISO 4217 code.")]
AskPin = Annotated[
    bool, typer.Option("--ask-pin", help="Ask for the card's PIN.", show_default=False)
]
Location = Annotated[
    str,
    typer.Option("--location", metavar="ID", help="The location's id.", show_default=False),
]
Receipt = Annotated[
    str,
    typer.Option("--receipt", metavar="TEXT", help="The till's receipt.", show_default=False),
]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", help="Why; kept with it.", show_default=False),
]


def teach(summary: str, *examples: str) -> str:
    """A help text: what the command does, then what to type."""
    lines = "\n".join(f"  {example}" for example in examples)
    title = "Example" if len(examples) == 1 else "Examples"
    return f"{summary}\n\n[bold]{title}[/bold]\n\n\b{lines}" if examples else summary
