"""Tokens and passwords of API clients: making, hashing at rest, checking.

Must not know who a credential belongs to; expiry, scopes and revocation are the caller's.
"""

import hashlib
import hmac
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

TOKEN_PREFIX: Final = "gct_"  # noqa: S105 (the part that is no secret)
"""Makes a leaked token recognizable to people and to secret scanners."""

PASSWORD_BYTES_MAX: Final = 1024

_TOKEN_RANDOM_BYTES: Final = 32
_CACHE_SECONDS: Final = 300
_CACHE_ENTRIES_MAX: Final = 4096
_CONCURRENT_HASHES_MAX: Final = 2
_NANOSECONDS_PER_SECOND: Final = 1_000_000_000

# 19 MiB, two passes, one lane: the least that the OWASP Password Storage Cheat Sheet accepts.
# Not more, because tills send the password with every call, so a stranger's wrong guesses are
# a load on our processors; the cost stands in each hash and can be raised later.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)


def new_token() -> str:
    """Returns a new bearer token: ``gct_`` and 43 base64url characters (256 random bits)."""
    return TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_RANDOM_BYTES)


def token_hash(token: str) -> bytes:
    """Returns the SHA-256 of a token, its form at rest and its look-up key.

    No salt and no slow hash: 256 random bits cannot be guessed. Any text is accepted, since it
    is a stranger's.
    """
    return hashlib.sha256(_bytes(token)).digest()


def hash_password(password: str) -> str:
    """Returns the Argon2id hash (RFC 9106) of a password, in the usual ``$argon2id$`` text.

    Takes some 20 ms and 19 MiB: never on an event loop.

    Raises:
        ValueError: empty, or above 1024 bytes.
    """
    encoded = _bytes(password)
    if not 1 <= len(encoded) <= PASSWORD_BYTES_MAX:
        raise ValueError(f"Password must have 1 to {PASSWORD_BYTES_MAX} bytes.")
    return _HASHER.hash(encoded)


class PasswordVerifier:
    """Checks passwords, remembering answers so that a repeat costs no Argon2id.

    The cache keeps no password: its keys are HMACs, under a key of this process, of stored hash
    and password. A new stored hash is therefore a new entry, and a changed password takes effect
    at once. Right and wrong answers are kept apart, so that guessing cannot push out the former.
    At most two Argon2id computations run at a time, whatever arrives.

    Thread-safe; `verify_password` may block, so an event loop asks `remembered_answer` first.
    """

    __slots__ = (
        "_cache_key",
        "_lock",
        "_monotonic_nanoseconds",
        "_right",
        "_slots",
        "_unknown_user_hash",
        "_wrong",
    )

    def __init__(self, monotonic_nanoseconds: Callable[[], int] = time.monotonic_ns) -> None:
        """Costs one Argon2id computation.

        Args:
            monotonic_nanoseconds: a clock that never steps back.
        """
        self._cache_key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._monotonic_nanoseconds = monotonic_nanoseconds
        self._right = _ExpiringSet()
        self._wrong = _ExpiringSet()
        self._slots = threading.BoundedSemaphore(_CONCURRENT_HASHES_MAX)
        self._unknown_user_hash = hash_password(secrets.token_urlsafe(_TOKEN_RANDOM_BYTES))

    def __repr__(self) -> str:
        return "PasswordVerifier(redacted)"

    def verify_password(self, password: str, stored_hash: str | None) -> bool:
        """Tells whether a password fits a stored hash.

        Args:
            password: what the caller sent; any text.
            stored_hash: result of `hash_password`, or None for a user who does not exist: the
                same work is then done, so that time does not tell the two apart.

        A stored hash that is no Argon2id hash fits no password.
        """
        answer = self.remembered_answer(password, stored_hash)
        if answer is not None:
            return answer
        known_hash, encoded, cache_entry = self._entry(password, stored_hash)
        with self._slots:
            # While this call waited for its turn, another may have found the answer.
            answer = self._remembered(cache_entry)
            if answer is not None:
                return answer
            answer = _argon2_matches(known_hash, encoded)
            with self._lock:
                kept_until = (
                    self._monotonic_nanoseconds() + _CACHE_SECONDS * _NANOSECONDS_PER_SECOND
                )
                (self._right if answer else self._wrong).add(cache_entry, kept_until)
        return answer

    def remembered_answer(self, password: str, stored_hash: str | None) -> bool | None:
        """What `verify_password` answers without any Argon2id, or None.  Never blocks for long."""
        _, encoded, cache_entry = self._entry(password, stored_hash)
        if not 1 <= len(encoded) <= PASSWORD_BYTES_MAX:
            return False
        return self._remembered(cache_entry)

    def _entry(self, password: str, stored_hash: str | None) -> tuple[str, bytes, bytes]:
        encoded = _bytes(password)
        known_hash = self._unknown_user_hash if stored_hash is None else stored_hash
        message = f"{len(known_hash)}:{known_hash}".encode() + encoded
        return known_hash, encoded, hmac.digest(self._cache_key, message, "sha256")

    def _remembered(self, cache_entry: bytes) -> bool | None:
        with self._lock:
            now = self._monotonic_nanoseconds()
            if self._right.contains(cache_entry, now):
                return True
            if self._wrong.contains(cache_entry, now):
                return False
        return None


class _ExpiringSet:
    """Entries with an end, oldest dropped first when full. Not thread-safe."""

    __slots__ = ("_kept_until",)

    def __init__(self) -> None:
        self._kept_until: OrderedDict[bytes, int] = OrderedDict()

    def add(self, entry: bytes, kept_until: int) -> None:
        self._kept_until[entry] = kept_until
        self._kept_until.move_to_end(entry)
        if len(self._kept_until) > _CACHE_ENTRIES_MAX:
            self._kept_until.popitem(last=False)

    def contains(self, entry: bytes, now: int) -> bool:
        return self._kept_until.get(entry, now) > now


def _argon2_matches(stored_hash: str, password: bytes) -> bool:
    try:
        return _HASHER.verify(stored_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _bytes(text: str) -> bytes:
    # surrogatepass: text from a header must be merely wrong, never an exception.
    return text.encode("utf-8", "surrogatepass")
