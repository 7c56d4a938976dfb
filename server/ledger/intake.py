"""What makes two requests the same: the request key and the fingerprint.

The key says which request this is, the fingerprint what it means.  Both are hashes, so one
fixed-length column serves every set-wise look-up.
"""

from dataclasses import dataclass
from hashlib import sha256

import orjson

from server.domain.commands import Caller, Envelope


@dataclass(frozen=True, slots=True)
class Request:
    """An envelope with what identifies it."""

    envelope: Envelope
    key: bytes
    canonical: str
    fingerprint: bytes


def request_of(envelope: Envelope) -> Request:
    canonical = canonical_command(envelope)
    key = request_key(envelope.caller, envelope.request_id)
    return Request(envelope, key, canonical, fingerprint(canonical))


def request_key(caller: Caller, request_id: str) -> bytes:
    """SHA-256 over merchant, book, client and request id.

    The parts are separated by a character that none of them can contain.
    """
    text = f"{caller.merchant_id}\x1f{caller.book:d}\x1f{caller.client_id}\x1f{request_id}"
    return sha256(text.encode()).digest()


def canonical_command(envelope: Envelope) -> str:
    """The command and its context as JSON, without secrets: the meaning of the request."""
    return orjson.dumps(
        [envelope.command.kind.name, envelope.command, envelope.context],
        option=orjson.OPT_SORT_KEYS,
    ).decode()


def fingerprint(canonical: str) -> bytes:
    return sha256(canonical.encode()).digest()
