"""What a call may fail with.  `giftcard_client.reasons` has one class for each reason."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, Self, TypeVar, overload

import grpc
from google.protobuf.message import Message

_T = TypeVar("_T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def instant(text: str) -> datetime:
    """An instant of an error's metadata: microseconds since 1970, UTC."""
    return _EPOCH + timedelta(microseconds=int(text))


class Metadata(Generic[_T]):
    """An entry of an error's metadata under the attribute's own name, read as its type.

    None where the service did not send it.
    """

    def __init__(self, read: Callable[[str], _T]) -> None:
        self._read = read
        self._key = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name

    @overload
    def __get__(self, error: None, owner: type) -> Self: ...
    @overload
    def __get__(self, error: "GiftcardError", owner: type) -> _T | None: ...
    def __get__(self, error: "GiftcardError | None", owner: type) -> Self | _T | None:
        if error is None:
            return self
        text = error.metadata.get(self._key)
        return None if text is None else self._read(text)


class GiftcardError(Exception):
    """A call failed.  Catch the subclass of a reason, or this one for all of them.

    `reason` is the name of an `ErrorReason`; empty where it was not the service that spoke, but a
    proxy or gRPC itself.  A reason newer than this library comes as this class with that `reason`.
    """

    reason: str = ""
    #: The resource name of the decision that stands behind the error, `transactions/…`.
    transaction = Metadata(str)

    def __init__(
        self,
        message: str,
        *,
        code: grpc.StatusCode,
        reason: str | None = None,
        metadata: Mapping[str, str] | None = None,
        field_violations: Mapping[str, str] | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        #: A sentence for developers; never decide by it.
        self.message = message
        self.code = code
        if reason is not None:
            self.reason = reason
        #: Whatever varies in the message, by name.
        self.metadata = dict(metadata or {})
        #: What each wrong field must be, by the field's path.
        self.field_violations = dict(field_violations or {})
        #: How long the service asks to wait before the next try.
        self.retry_after_seconds = retry_after_seconds
        #: The request as it was sent, with its request id.  May hold a code or PIN: not for logs.
        self.request: Message | None = None
        #: The method's full name, such as `/giftcard.v1.GiftCardService/RedeemGiftCard`.
        self.method = ""

    def __str__(self) -> str:
        return f"{self.reason or self.code.name}: {self.message}"

    @property
    def request_id(self) -> str:
        """The id of the request that failed; empty where its method takes none."""
        request: Any = self.request
        return getattr(request, "request_id", "")

    @property
    def replayed(self) -> bool:
        """Whether this was answered before, to an earlier try under the same request id."""
        return self.metadata.get("replayed") == "true"


class Refusal(GiftcardError):
    """The service decided: no.  The same request id gets the same answer for ever."""
