"""The way to a server: a running one, or one inside this process; and its no as a sentence."""

import asyncio
import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
from giftcard import v1
from google.rpc import error_details_pb2, status_pb2

from server.cli.output import REFUSED, UNKNOWN, UNUSABLE, CommandError
from server.local import local_server
from server.settings import from_environment, is_loopback

Request = TypeVar("Request")
Response = TypeVar("Response")

TOKEN_VARIABLE: Final = "GIFTCARD_TOKEN"  # noqa: S105 - the name of the variable
#: PEM files for a server with TLS: who signs its certificate (else the usual authorities), and
#: for mTLS the client's own.
CA_VARIABLE: Final = "GIFTCARD_CA_FILE"
CLIENT_CERTIFICATE_VARIABLE: Final = "GIFTCARD_CLIENT_CERTIFICATE_FILE"
CLIENT_KEY_VARIABLE: Final = "GIFTCARD_CLIENT_KEY_FILE"
PAGE_SIZE: Final = 1000

_TIMEOUT_SECONDS: Final = 20
#: Where gRPC carries an error's details (https://grpc.io/docs/guides/error/).
_STATUS_KEY: Final = "grpc-status-details-bin"
_UNKNOWN_CODES: Final = (
    grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
)  # fmt: skip


class Link:
    """Asks one server, one call after the other; `replayed` tells of the last answer."""

    def __init__(
        self, runner: asyncio.Runner, channel: grpc.aio.Channel, token: str, address: str
    ) -> None:
        self._runner = runner
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._address = address
        self.channel = channel
        self.cards = v1.GiftCardServiceStub(channel)
        self.customers = v1.CustomerServiceStub(channel)
        self.programs = v1.ProgramServiceStub(channel)
        self.locations = v1.LocationServiceStub(channel)
        self.admin = v1.AdminServiceStub(channel)
        self.replayed = False

    def ask(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request
    ) -> Response:
        """The answer.  Raises CommandError for the server's no, or for none at all."""
        return self._runner.run(self._ask(method, request))

    async def _ask(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[Request, Response]", request: Request
    ) -> Response:
        call = method(request, metadata=self._metadata, timeout=_TIMEOUT_SECONDS)
        try:
            response = await call
        except grpc.aio.AioRpcError as error:
            raise _refusal(error, getattr(request, "request_id", ""), self._address) from None
        trailing = dict(await call.trailing_metadata())
        self.replayed = trailing.get("giftcard-replayed") == "true"
        return response


@contextlib.contextmanager
def connect(server: str, merchant_id: str = "", *, plaintext: bool = False) -> Iterator[Link]:
    """Links to `server`, or to one of our own where that is empty.

    Raises CommandError, NoSuchMerchantError, or one of `server.__main__.CANNOT_START`.
    """
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        try:
            yield runner.run(_open(stack, runner, server, merchant_id, plaintext))
        finally:
            runner.run(_close(stack))


async def _close(stack: contextlib.AsyncExitStack) -> None:
    await stack.aclose()


async def _open(
    stack: contextlib.AsyncExitStack,
    runner: asyncio.Runner,
    server: str,
    merchant_id: str,
    plaintext: bool,
) -> Link:
    credentials: grpc.ChannelCredentials | None = None
    if server:
        credentials = _credentials(server, plaintext=plaintext)
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token:
            raise CommandError(
                f"Set {TOKEN_VARIABLE} to the token to call {server} with (an argument would show"
                " it to everybody on this machine).",
                UNUSABLE,
            )
        address = server
    else:
        settings = from_environment(os.environ)
        access = await stack.enter_async_context(local_server(settings, merchant_id))
        address, token = access.address, access.token
    channel = (
        grpc.aio.secure_channel(address, credentials)
        if credentials is not None
        else grpc.aio.insecure_channel(address)
    )
    await stack.enter_async_context(channel)
    return Link(runner, channel, token, address)


def _credentials(server: str, *, plaintext: bool) -> grpc.ChannelCredentials | None:
    """None: no TLS.  Whoever names an authority wants TLS, also to this machine."""
    ca = _file(CA_VARIABLE)
    if plaintext or (ca is None and is_loopback("--server", server)):
        return None
    return grpc.ssl_channel_credentials(
        ca, _file(CLIENT_KEY_VARIABLE), _file(CLIENT_CERTIFICATE_VARIABLE)
    )


def _file(variable: str) -> bytes | None:
    """What the file that a variable names holds; None where it names none."""
    path = os.environ.get(variable, "")
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"{variable} cannot be read: {error.strerror}.", UNUSABLE) from None


def pages(link: Link, method: Any, request: Any, field: str) -> list[Any]:
    """All entries of a list, page by page."""
    found: list[Any] = []
    request.page_size = PAGE_SIZE
    while True:
        answer = link.ask(method, request)
        found += getattr(answer, field)
        if not answer.next_page_token:
            return found
        request.page_token = answer.next_page_token


def new_request_id(given: str) -> str:
    return given or str(uuid.uuid4())


def require_merchant(server: str, merchant_id: str) -> None:
    """Our own server's operator belongs to no merchant until it is told one."""
    if not server and not merchant_id:
        raise CommandError("Say for which merchant: --merchant ID.", UNUSABLE)


# The server's no


def _refusal(error: grpc.aio.AioRpcError, request_id: str, address: str) -> CommandError:
    reason, metadata, violations = _details(error)
    if not reason:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            sentence = f"No server answers at {address}."
        else:
            sentence = f"The server at {address} answered {error.code().name}."
        return _unknown(sentence, request_id)
    facts = ", ".join(f"{name}={value}" for name, value in sorted(metadata.items()))
    sentence = f"{reason}: {error.details()}" + (f" ({facts})" if facts else "")
    if violations:
        sentence = f"{reason}: " + "; ".join(violations)
    if reason == "UNAUTHENTICATED":
        sentence += f" It was taken from {TOKEN_VARIABLE}."
    if error.code() in _UNKNOWN_CODES and reason == "OUTCOME_UNKNOWN":
        return _unknown(sentence, request_id)
    return CommandError(sentence, REFUSED)


def _unknown(sentence: str, request_id: str) -> CommandError:
    if not request_id:
        return CommandError(sentence, REFUSED)
    return CommandError(
        f"{sentence} Whether it was done is not known. Run the same command again with"
        f" --request-id {request_id}",
        UNKNOWN,
    )


def _details(error: grpc.aio.AioRpcError) -> tuple[str, dict[str, str], list[str]]:
    """Reason, metadata and field violations of an error; an empty reason where it has none."""
    reason, metadata, violations = "", {}, []
    packed = dict(error.trailing_metadata() or ()).get(_STATUS_KEY, b"")
    for detail in status_pb2.Status.FromString(bytes(packed)).details:
        info = error_details_pb2.ErrorInfo()
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(bad):
            violations = [f"{each.field}: {each.description}" for each in bad.field_violations]
    return reason, metadata, violations
