"""Commands for credentials.  A secret is printed once, when it is made, and never again."""

from typing import TYPE_CHECKING, Annotated

import typer

from server.cli.options import (
    Json,
    MerchantOfClient,
    Plaintext,
    Reason,
    RequestId,
    ServerAddress,
    teach,
)
from server.cli.output import (
    REPLAYED,
    UNUSABLE,
    CommandError,
    as_json,
    facts,
    list_resources,
    print_json,
    say,
    show_resource,
)

if TYPE_CHECKING:
    from giftcard import v1

app = typer.Typer(
    no_args_is_help=True, help="What clients prove themselves with: tokens, or logins."
)

Expires = Annotated[
    str,
    typer.Option(
        "--expires",
        metavar="TIME",
        help="When it stops working, such as 2027-12-31. Default: never.",
        show_default=False,
    ),
]
Name = Annotated[
    str,
    typer.Argument(
        metavar="NAME",
        help="merchants/.../credentials/..., as `list` shows it.",
        show_default=False,
    ),
]

_ONCE = (
    "This is the only time that the secret is shown. Keep it where the client finds it; the"
    " server does not know it any more."
)


@app.command(
    "create",
    help=teach(
        "Make a token for a client, or a login with a password for a legacy system.\n\n"
        "The secret is printed this one time.",
        "giftcard admin token create till --merchant acme --expires 2027-12-31",
        "giftcard admin token create pos --merchant acme --login store-7",
    ),
)
def create_token(
    client_id: Annotated[str, typer.Argument(metavar="CLIENT", show_default=False)],
    merchant: MerchantOfClient,
    login: Annotated[
        str,
        typer.Option(
            "--login", metavar="NAME", help="Make a login with this name.", show_default=False
        ),
    ] = "",
    ask_password: Annotated[
        bool,
        typer.Option(
            "--ask-password",
            help="Ask for the password instead of making one.",
            show_default=False,
        ),
    ] = False,
    expires: Expires = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.ask import ask_secret
    from server.cli.connect import connect, new_request_id

    if ask_password and not login:
        raise CommandError("--ask-password is for a --login; the server makes tokens.", UNUSABLE)
    kind = v1.Credential.PASSWORD if login else v1.Credential.TOKEN
    request = v1.CreateCredentialRequest(
        parent=f"merchants/{merchant}/apiClients/{client_id}",
        credential=v1.Credential(kind=kind, login=login, expire_time=text.to_moment(expires)),
        password=ask_secret("Password") if ask_password else "",
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, plaintext=plaintext) as link:
        credential = link.ask(link.admin.CreateCredential, request)
        _show_new(credential, json, link.replayed, request.request_id, given=ask_password)


@app.command(
    "list",
    help=teach(
        "List a client's credentials, ended ones included, without their secrets.",
        "giftcard admin token list till --merchant acme",
    ),
)
def list_tokens(
    client_id: Annotated[str, typer.Argument(metavar="CLIENT", show_default=False)],
    merchant: MerchantOfClient,
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli.connect import connect, pages

    request = v1.ListCredentialsRequest(parent=f"merchants/{merchant}/apiClients/{client_id}")
    with connect(server, plaintext=plaintext) as link:
        found = pages(link, link.admin.ListCredentials, request, "credentials")
    list_resources("credentials", found, json, _facts)


@app.command(
    "revoke",
    help=teach(
        "End a credential for good, within 5 seconds.",
        "giftcard admin token revoke merchants/acme/apiClients/till/credentials/019a...",
    ),
)
def revoke_token(
    name: Name,
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1

    from server.cli import text
    from server.cli.connect import connect, new_request_id

    request = v1.RevokeCredentialRequest(
        name=name, context=text.context(reason=reason), request_id=new_request_id(request_id)
    )
    with connect(server, plaintext=plaintext) as link:
        credential = link.ask(link.admin.RevokeCredential, request)
        show_resource(credential, _facts(credential), json, link, request.request_id)


@app.command(
    "rotate",
    help=teach(
        "Make a second credential like an existing one; the old one works on for a while.\n\n"
        "The new secret is printed this one time.",
        "giftcard admin token rotate merchants/acme/apiClients/till/credentials/019a..."
        " --overlap-hours 48",
    ),
)
def rotate_token(
    name: Name,
    overlap_hours: Annotated[
        int, typer.Option("--overlap-hours", min=0, help="How long the old one works on.")
    ] = 24,
    ask_password: Annotated[
        bool,
        typer.Option("--ask-password", help="Ask for the new password.", show_default=False),
    ] = False,
    expires: Expires = "",
    reason: Reason = "",
    request_id: RequestId = "",
    json: Json = False,
    server: ServerAddress = "",
    plaintext: Plaintext = False,
) -> None:
    from giftcard import v1
    from google.protobuf.duration_pb2 import Duration

    from server.cli import text
    from server.cli.ask import ask_secret
    from server.cli.connect import connect, new_request_id

    request = v1.RotateCredentialRequest(
        name=name,
        overlap=Duration(seconds=overlap_hours * 3600),
        expire_time=text.to_moment(expires),
        password=ask_secret("Password") if ask_password else "",
        context=text.context(reason=reason),
        request_id=new_request_id(request_id),
    )
    with connect(server, plaintext=plaintext) as link:
        answer = link.ask(link.admin.RotateCredential, request)
        _show_new(answer.credential, json, link.replayed, request.request_id, given=ask_password)
        if not json:
            old = answer.previous_credential
            end = text.moment(old.expire_time) or text.moment(old.revoke_time)
            say(f"The old credential works until {end}.")


def _show_new(
    credential: "v1.Credential", json: bool, replayed: bool, request_id: str, *, given: bool
) -> None:
    """A new credential with its secret, unless the person who asked typed it in."""
    if json:
        shown = as_json(credential, secrets=not given)
        print_json({**shown, "requestId": request_id, "replayed": replayed})
    else:
        facts({
            **_facts(credential),
            "secret": "" if given else credential.secret,
            "request id": request_id,
            "replayed": REPLAYED if replayed else "",
        })  # fmt: skip
    if replayed:
        say("The secret was shown when this was first asked. Lost it? Revoke and make another.")
    elif not given:
        say(_ONCE)


def _facts(credential: "v1.Credential") -> dict[str, str]:
    from giftcard import v1

    from server.cli import text

    return {
        "credential": credential.name,
        "kind": v1.Credential.Kind.Name(credential.kind),
        "state": v1.Credential.State.Name(credential.state),
        "login": credential.login,
        "created": text.moment(credential.create_time),
        "expires": text.moment(credential.expire_time),
        "revoked": text.moment(credential.revoke_time),
    }
