"""Who calls: the credential in the metadata, and what it may do.

Looked-up credentials, locations and programs are kept for a moment.  That moment is how long a
revoked credential can still be used, so it is short.
"""

import asyncio
import base64
import binascii
import time
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from server.domain.commands import Location
from server.domain.errors import Rejected
from server.domain.model import Program
from server.rpc.bridge import Bridge
from server.secrets import PasswordVerifier, token_hash
from server.storage import directory
from server.storage.directory import Principal

Key = TypeVar("Key")
Value = TypeVar("Value")

_TOKEN_LENGTH_MAX = 512
#: Passwords that may wait for their slow hash: some two seconds' worth.
_PASSWORDS_WAITING_MAX = 100


class _Shortly(Generic[Key, Value]):
    """Remembers answers for `seconds`; at most `limit` of them.

    `misses` remembers "there is none" too: whoever guesses credentials shall not reach the
    database with each guess, but who has just created a location shall find it at once.  Where it
    does, one look-up is for all who ask meanwhile: a thousand calls that come together would
    otherwise keep those of every other merchant from being recognised.
    """

    def __init__(self, seconds: float, *, misses: bool, limit: int = 10_000) -> None:
        self._seconds = seconds
        self._misses = misses
        self._limit = limit
        self._entries: dict[Key, tuple[float, Value]] = {}
        self._loading: dict[Key, asyncio.Future[Value]] = {}

    async def get(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        entry = self._entries.get(key)
        if entry is not None and time.monotonic() < entry[0]:
            return entry[1]
        if not self._misses:
            return await self._load(key, load)
        loading = self._loading.get(key)
        if loading is None:
            loading = self._loading[key] = asyncio.ensure_future(self._load(key, load))
            loading.add_done_callback(lambda _: self._loading.pop(key))
        # Whoever asked first may go away; the others still want to know.
        return await asyncio.shield(loading)

    async def _load(self, key: Key, load: Callable[[], Awaitable[Value]]) -> Value:
        now = time.monotonic()
        value = await load()
        if value is None and not self._misses:
            return value
        if len(self._entries) >= self._limit:
            self._entries.clear()
        self._entries[key] = (now + self._seconds, value)
        return value


class Directory:
    """Asynchronous look-ups of the set-up, remembered shortly."""

    def __init__(
        self,
        bridge: Bridge,
        *,
        clock: Callable[[], int],
        passwords: PasswordVerifier,
        remember_seconds: float = 2.0,
        operators: Mapping[bytes, Principal] = MappingProxyType({}),
    ) -> None:
        self._operators = operators
        self._bridge = bridge
        self._clock = clock
        self._passwords = passwords
        self._passwords_waiting = 0
        self._principals: _Shortly[bytes, Principal | None] = _Shortly(
            remember_seconds, misses=True
        )
        self._logins: _Shortly[str, Principal | None] = _Shortly(remember_seconds, misses=True)
        self._locations: _Shortly[tuple[str, str], Location | None] = _Shortly(
            remember_seconds, misses=False
        )
        self._programs: _Shortly[tuple[str, str], Program | None] = _Shortly(
            remember_seconds, misses=False
        )

    async def principal(self, authorization: str | bytes | None) -> Principal:
        """Raises Rejected UNAUTHENTICATED, in one way for everything that can be wrong, or
        OVERLOADED."""
        scheme, _, secret = str(authorization or "").partition(" ")
        if not secret or len(secret) > _TOKEN_LENGTH_MAX:
            raise Rejected("UNAUTHENTICATED")
        if scheme.lower() == "bearer":
            found = await self._of_token(secret)
        elif scheme.lower() == "basic":
            found = await self._of_password(secret)
        else:
            raise Rejected("UNAUTHENTICATED")
        if found is None or (found.expire_time is not None and found.expire_time <= self._clock()):
            raise Rejected("UNAUTHENTICATED")
        return found

    async def _of_token(self, token: str) -> Principal | None:
        key = token_hash(token)
        if key in self._operators:
            return self._operators[key]
        return await self._principals.get(
            key, lambda: self._bridge.read(lambda c: directory.principal_of_token(c, key))
        )

    async def _of_password(self, encoded: str) -> Principal | None:
        try:
            login, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        if not (login and login.isprintable()):  # a token's login is empty; NUL breaks a database
            return None
        found = await self._logins.get(
            login, lambda: self._bridge.read(lambda c: directory.principal_of_login(c, login))
        )
        stored = found.password_hash if found is not None else None
        return found if await self._fits(password, stored) else None

    async def _fits(self, password: str, stored: str | None) -> bool:
        """A till that calls again does not wait behind whoever tries passwords out."""
        known = self._passwords.remembered_answer(password, stored)
        if known is not None:
            return known
        if self._passwords_waiting >= _PASSWORDS_WAITING_MAX:
            raise Rejected("OVERLOADED", retry_after_milliseconds=1000)
        self._passwords_waiting += 1
        try:
            return await asyncio.to_thread(self._passwords.verify_password, password, stored)
        finally:
            self._passwords_waiting -= 1

    async def location(self, merchant_id: str, code: str) -> Location:
        found = await self._locations.get(
            (merchant_id, code),
            lambda: self._bridge.read(
                lambda c: directory.location_by_code(c, merchant_id, code), merchant_id
            ),
        )
        if found is None:
            raise Rejected("LOCATION_NOT_FOUND", location=f"locations/{code}")
        return found

    async def program(self, merchant_id: str, code: str) -> Program:
        found = await self._programs.get(
            (merchant_id, code),
            lambda: self._bridge.read(
                lambda c: directory.program_by_code(c, merchant_id, code), merchant_id
            ),
        )
        if found is None:
            raise Rejected("PROGRAM_NOT_FOUND", program=f"programs/{code}")
        return found
