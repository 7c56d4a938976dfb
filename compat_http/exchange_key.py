"""The key that protects what the queue of reversals must keep for a while: callers' credentials.

The file is JSON, ``{"key": "<base64url, 32 bytes>"}``, readable by its owner only.  One made for
development says ``"development": true`` too, and production refuses it.  The key protects what
is queued and nothing else: it can be replaced whenever no reversal waits.

No message repeats any part of the file, and causes are cut off, for parsers' exceptions carry what
they parsed.
"""

import base64
import hmac
import json
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_FILE_BYTES_MAX: Final = 4096
_KEY_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}")
# 32 random bytes have fewer distinct values than this less than once in 10**16 keys.
_DISTINCT_BYTES_MIN: Final = 16


class ExchangeKeyError(Exception):
    """The key cannot be used; one sentence that says what to do."""


class ExchangeKey:
    """Seals credentials (AES-256-GCM) and recognizes them without opening them (HMAC-SHA-256)."""

    __slots__ = ("_cipher", "_digest_key")

    def __init__(self, key: bytes) -> None:
        # Two purposes, two keys.
        self._digest_key = hmac.digest(key, b"giftcard exchange: digest", "sha256")
        self._cipher = AESGCM(hmac.digest(key, b"giftcard exchange: seal", "sha256"))

    def digest(self, text: str) -> bytes:
        """32 bytes: the same for the same text, and no help in guessing it without the key."""
        return hmac.digest(self._digest_key, text.encode("utf-8", "surrogatepass"), "sha256")

    def seal(self, text: str, belongs_to: bytes) -> bytes:
        """Nonce and ciphertext, which open only with the same `belongs_to`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(
            nonce, text.encode("utf-8", "surrogatepass"), belongs_to
        )

    def open(self, sealed: bytes, belongs_to: bytes) -> str:
        """Raises ExchangeKeyError: sealed with another key, for another row, or altered."""
        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], belongs_to)
        except (InvalidTag, ValueError):
            raise ExchangeKeyError("A queued credential does not open with this key.") from None
        return plain.decode("utf-8", "surrogatepass")


def load_key(path: Path, *, production: bool) -> ExchangeKey:
    """Reads the key; outside production makes the file first where there is none.

    Raises:
        ExchangeKeyError: anything wrong with the file or its key.
    """
    if not production and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        create_key_file(path, development=True)
    return ExchangeKey(_parse(_read_owner_only(path), production=production))


def create_key_file(path: Path, *, development: bool = False) -> None:
    """Writes a new random key that only its owner can read.  Never overwrites.

    Raises:
        ExchangeKeyError: the file exists, or cannot be written.
    """
    document: dict[str, object] = {"key": secrets.token_urlsafe(_KEY_BYTES)}
    if development:
        document["development"] = True
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # The umask may have taken even the owner's rights away.
            os.fchmod(descriptor, 0o600)
            file.write(json.dumps(document) + "\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise ExchangeKeyError(
            "The exchange key file exists already and is not overwritten."
        ) from None
    except OSError as error:
        raise ExchangeKeyError(
            f"The exchange key file cannot be written: {error.strerror}."
        ) from None


def _read_owner_only(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Asked of the open file, so that nobody can swap it in between.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ExchangeKeyError("The exchange key file is not a regular file.")
            if stat.S_IMODE(status.st_mode) not in (0o400, 0o600):
                raise ExchangeKeyError("The exchange key file must have mode 0600 (chmod 600 it).")
            if status.st_uid != os.geteuid():
                raise ExchangeKeyError("The exchange key file must belong to whoever runs this.")
            return file.read(_FILE_BYTES_MAX)
    except OSError as error:
        raise ExchangeKeyError(
            f"The exchange key file cannot be read: {error.strerror}."
            " Make one: giftcard log create-key PATH"
        ) from None


def _parse(content: bytes, *, production: bool) -> bytes:
    try:
        document: Any = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    text = document.get("key") if isinstance(document, dict) else None
    if not isinstance(text, str) or not _KEY_TEXT.fullmatch(text):
        raise ExchangeKeyError(
            f'The exchange key file must be {{"key": "…"}} with {_KEY_BYTES} bytes in base64url.'
        )
    if production and document.get("development", False):
        raise ExchangeKeyError(
            "The exchange key file was made for development, which production refuses."
            " Make one: giftcard log create-key PATH"
        )
    key = base64.urlsafe_b64decode(text + "=")
    if production and len(set(key)) < _DISTINCT_BYTES_MIN:
        raise ExchangeKeyError("The exchange key is not random.")
    return key
