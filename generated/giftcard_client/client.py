"""The client: one connection, the contract's stubs on it, and the end of unknown outcomes."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import grpc
from giftcard.v1 import (
    AdminServiceStub,
    CustomerServiceStub,
    GiftCardServiceStub,
    LocationServiceStub,
    LookupTransactionRequest,
    LookupTransactionResponse,
    ProgramServiceStub,
    ReverseTransactionRequest,
)

from giftcard_client.calls import Calls
from giftcard_client.errors import GiftcardError
from giftcard_client.reasons import OutcomeUnknown, Unavailable
from giftcard_client.retry import RetryPolicy

_LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")
_RESOLVE_PATIENCE_SECONDS: Final = 60.0
_REVERSALS: Final = uuid.UUID("6a1d2f0e-53a5-4d0c-9a4e-0f6f5c1f7b11")

_OPTIONS: Final = (
    # Tries are counted here, where it is known what they mean.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # A connection that swallows everything is noticed and replaced while there is patience left.
    ("grpc.keepalive_time_ms", 12_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    # Of gRPC's own pings too, in whose place no other is sent: by itself it waits a minute.
    ("grpc.http2.ping_timeout_ms", 3_000),
    ("grpc.min_reconnect_backoff_ms", 3_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """Files in PEM format, read when the client is made.

    `ca_file` holds whom to trust, the system's own authorities without it.  The other two are what
    this client proves itself with to a server that asks for a certificate (mTLS).
    """

    ca_file: Path | str | None = None
    certificate_file: Path | str | None = None
    key_file: Path | str | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """The channel credentials of these files.  Raises OSError where one cannot be read."""
        ca, certificate, key = (
            None if name is None else Path(name).read_bytes()
            for name in (self.ca_file, self.certificate_file, self.key_file)
        )
        if (certificate is None) != (key is None):
            raise ValueError("A client certificate and its key are given together.")
        return grpc.ssl_channel_credentials(ca, key, certificate)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an unknown outcome was resolved.  It does not change any more by itself.

    `applied`: the request was carried out, and it stands.  Otherwise no money is moved by it, now
    or later: it was refused, sealed before it arrived, or reversed.
    """

    applied: bool
    #: The transaction that tells so, and the cards and customers as it left them.
    found: LookupTransactionResponse


class GiftcardClient:
    """The services of `giftcard.v1` on one connection.  Make it where an event loop runs.

        async with GiftcardClient("127.0.0.1:50051", token="demo-service-token") as client:
            answer = await client.gift_cards.RedeemGiftCard(RedeemGiftCardRequest(...))

    The stubs are the generated ones.  What is added to every call:

    - A request without `request_id` is given one, in the message itself and before it is sent: the
      same message sent again is the same request, and is never carried out twice.
    - UNAVAILABLE, OUTCOME_UNKNOWN, OVERLOADED and lost answers are tried again under the same id,
      as `retry` says.  `timeout` of a call replaces its `patience_seconds`.
    - An error is raised as the class of its reason, below GiftcardError.  OutcomeUnknown is
      raised whenever any try of a writing call may have been carried out: see `resolve_unknown`.
    """

    def __init__(
        self,
        server: str,
        *,
        token: str | Callable[[], str],
        tls: Tls | None = None,
        plaintext: bool = False,
        book: Literal["live", "training"] = "live",
        retry: RetryPolicy | None = None,
    ) -> None:
        """Connects to `server`, host:port, with the first call.

        Args:
            token: the API client's, or what gives it at each try, where tokens are rotated.
            tls: whom to trust and what to prove oneself with.  Without it the connection is not
                encrypted, which other hosts than this one are spared unless `plaintext` is set.
            book: `training` keeps all calls of this client away from live cards.
            retry: how often and how long; the defaults of RetryPolicy without it.
        """
        if tls is None and not plaintext and server.rpartition(":")[0] not in _LOOPBACK:
            raise ValueError(f"{server} is another host: give `tls`, or insist with `plaintext`.")
        own_token = token
        calls = Calls(
            token=own_token if callable(own_token) else lambda: own_token,
            book=book,
            policy=retry or RetryPolicy(),
        )
        self._channel = (
            grpc.aio.insecure_channel(server, options=_OPTIONS, interceptors=[calls])
            if tls is None
            else grpc.aio.secure_channel(
                server, tls.credentials(), options=_OPTIONS, interceptors=[calls]
            )
        )
        self.gift_cards = GiftCardServiceStub(self._channel)
        self.customers = CustomerServiceStub(self._channel)
        self.programs = ProgramServiceStub(self._channel)
        self.locations = LocationServiceStub(self._channel)
        self.admin = AdminServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection, and with it what is still being called."""
        await self._channel.close()

    async def resolve_unknown(
        self,
        unknown: GiftcardError | str,
        *,
        by: Literal["lookup", "retry", "reversal"] = "lookup",
        patience_seconds: float = _RESOLVE_PATIENCE_SECONDS,
    ) -> Outcome:
        """Makes an unknown outcome known, and final.

        - `lookup` asks what became of the request, and seals its id if it never arrived: a late
          arrival is then refused.
        - `retry` sends the request again first, so that it is carried out if it can be.
        - `reversal` undoes it first, arrived or not.

        Any of them may be repeated, also after one failed or this process was restarted.

        Args:
            unknown: the error, or the request's id, kept from before.  A retry needs the error.
            patience_seconds: how long to try in all.

        Raises:
            OutcomeUnknown: the service did not answer in this time; make the same call again.
            NotReversible: what the request did is not of the kind that a reversal undoes.
            GiftcardError: the service does not let this caller ask.
        """
        request_id = unknown if isinstance(unknown, str) else unknown.request_id
        if not request_id:
            raise ValueError("There is no request id to resolve.")
        if by == "retry" and isinstance(unknown, str):
            raise ValueError("A retry needs the error, which knows the request.")
        end = time.monotonic() + patience_seconds
        try:
            if by == "retry" and not isinstance(unknown, str):
                await self._send_again(unknown, patience_seconds)
            elif by == "reversal":
                await self.gift_cards.ReverseTransaction(
                    ReverseTransactionRequest(
                        original_request_id=request_id,
                        # The same each time: a reversal is repeated, not reversed.
                        request_id=f"reversal-{uuid.uuid5(_REVERSALS, request_id)}",
                    ),
                    timeout=patience_seconds,
                )
            found = await self.gift_cards.LookupTransaction(
                LookupTransactionRequest(request_id=request_id, seal=True),
                timeout=max(end - time.monotonic(), 1.0),
            )
        except (OutcomeUnknown, Unavailable) as failed:
            again = OutcomeUnknown("It could not be found out in time.", code=failed.code)
            if not isinstance(unknown, str):
                again.request, again.method = unknown.request, unknown.method
            raise again from failed
        done = found.state == LookupTransactionResponse.APPROVED
        return Outcome(done and not found.transaction.reversal_transaction, found)

    async def _send_again(self, unknown: GiftcardError, patience_seconds: float) -> None:
        service, _, method = unknown.method.removeprefix("/").partition("/")
        stubs: dict[str, Any] = {
            "giftcard.v1.GiftCardService": self.gift_cards,
            "giftcard.v1.CustomerService": self.customers,
            "giftcard.v1.ProgramService": self.programs,
            "giftcard.v1.LocationService": self.locations,
            "giftcard.v1.AdminService": self.admin,
        }
        try:
            await getattr(stubs[service], method)(unknown.request, timeout=patience_seconds)
        except (OutcomeUnknown, Unavailable):
            raise
        except GiftcardError:
            # A refusal, or the request cannot be carried out: the look-up makes that final.
            return
