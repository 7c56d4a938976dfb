"""Page tokens: opaque, and good only for the list they came from.

A token is the last key of its page, bound by a keyed digest to the caller and to every filter of
the request (https://google.aip.dev/158): changed filters, another merchant's token or a made-up
one are refused rather than answered with a wrong page.
"""

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Any

from server.domain.errors import Rejected
from server.rpc.calls import Call
from server.secrets import SecretKeys

_DIGEST_BYTES = 12


class PageTokens:
    def __init__(self, keys: SecretKeys) -> None:
        self._keys = keys

    def read(self, request: Any, call: Call) -> str | None:
        """The key after which the page starts; None for the first page."""
        token = request.page_token
        if not token:
            return None
        try:
            raw = base64.urlsafe_b64decode(token.encode("ascii"))
            key = raw[_DIGEST_BYTES:].decode("ascii")
        except (binascii.Error, UnicodeError, ValueError) as error:
            raise Rejected("PAGE_TOKEN_INVALID") from error
        if not hmac.compare_digest(raw[:_DIGEST_BYTES], self._digest(request, call, key)):
            raise Rejected("PAGE_TOKEN_INVALID")
        return key

    def next(self, request: Any, call: Call, keys: Sequence[str], size: int) -> str:
        """The token after the `size` first of `keys`; empty when there are no more."""
        if len(keys) <= size:
            return ""
        key = keys[size - 1]
        return base64.urlsafe_b64encode(
            self._digest(request, call, key) + key.encode("ascii")
        ).decode("ascii")

    def _digest(self, request: Any, call: Call, key: str) -> bytes:
        bound = type(request)()
        bound.CopyFrom(request)
        bound.ClearField("page_token")
        bound.ClearField("page_size")
        text = f"{type(request).__name__}|{key}|{bound.SerializeToString(deterministic=True).hex()}"
        return self._keys.code_hash(call.caller.merchant_id, call.caller.book, text)[:_DIGEST_BYTES]
