"""Loads the keys from a file or an environment variable, and makes a new key file.

The document, in both places, is JSON::

    {"current": 1,
     "versions": {"1": {"pepper": "<base64url, 32 bytes>",
                        "encryption_key": "<base64url, 32 bytes>"}}}

A file made for development says ``"development": true`` too, and production refuses it. To
rotate, add a version and make it current; keep the old one until no code is stored under it.

No message here repeats any part of the document, and causes are cut off (``from None``), for
the exceptions of parsers carry what they parsed.
"""

import base64
import json
import os
import re
import secrets
import stat
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from server.secrets.errors import SecretsError
from server.secrets.keys import KEY_BYTES, KEY_VERSION_MAX, KeyVersion, SecretKeys

_OWNER_ONLY_MODES: Final = (0o400, 0o600)
_DOCUMENT_BYTES_MAX: Final = 65_536
_KEY_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{43}=?")
_VERSION_TEXT: Final = re.compile(r"[1-9][0-9]{0,2}")
# 32 random bytes have fewer distinct values than this less than once in 10**16 keys.
_DISTINCT_BYTES_MIN: Final = 16


def load_keys(key_file: Path | None, keys_json: str | None, *, production: bool) -> SecretKeys:
    """Loads the keys from exactly one of two places.

    Args:
        key_file: path from ``GIFTCARD_KEY_FILE``; must be the process owner's, mode 0600 or 0400.
        keys_json: the document itself, from ``GIFTCARD_KEYS``.
        production: also refuse development keys, and keys that no random source made.

    Raises:
        SecretsError: nothing given, both given, or anything wrong with it, in one sentence.
    """
    if key_file is not None and keys_json is not None:
        raise SecretsError("Set GIFTCARD_KEY_FILE or GIFTCARD_KEYS, not both.")
    if key_file is not None:
        return _parse(_read_owner_only(key_file), "The key file", production=production)
    if keys_json is not None:
        return _parse(keys_json.encode(), "GIFTCARD_KEYS", production=production)
    raise SecretsError(
        "No keys: set GIFTCARD_KEY_FILE to a key file (giftcard keys create PATH makes one), or"
        " GIFTCARD_KEYS."
    )


def create_development_keys(path: Path) -> None:
    """Writes a new key file for development and demos; production refuses to load it.

    Raises:
        SecretsError: see `create_key_file`.
    """
    create_key_file(path, development=True)


def create_key_file(path: Path, *, development: bool = False) -> None:
    """Writes a new key file with fresh random keys, readable by its owner only.

    Never overwrites: whoever loses the keys loses the look-up of every code.

    Raises:
        SecretsError: the file exists, or cannot be written.
    """
    document: dict[str, object] = {
        "current": 1,
        "versions": {
            "1": {
                "pepper": secrets.token_urlsafe(KEY_BYTES),
                "encryption_key": secrets.token_urlsafe(KEY_BYTES),
            }
        },
    }
    if development:
        document["development"] = True
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            # The umask may have taken even the owner's rights away.
            os.fchmod(descriptor, 0o600)
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(descriptor)
    except FileExistsError:
        raise SecretsError("The key file exists already and is not overwritten.") from None
    except OSError as error:
        raise SecretsError(f"The key file cannot be written: {error.strerror}.") from None


def _read_owner_only(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a named pipe must not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            # Asked of the open file, so that nobody can swap it in between.
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise SecretsError("The key file is not a regular file.")
            if stat.S_IMODE(status.st_mode) not in _OWNER_ONLY_MODES:
                raise SecretsError("The key file must have mode 0600 or 0400 (chmod 600 it).")
            if status.st_uid != os.geteuid():
                raise SecretsError("The key file must belong to the user who runs the service.")
            content = file.read(_DOCUMENT_BYTES_MAX + 1)
    except OSError as error:
        raise SecretsError(f"The key file cannot be read: {error.strerror}.") from None
    if len(content) > _DOCUMENT_BYTES_MAX:
        raise SecretsError("The key file is too large.")
    return content


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError
    return fields


def _parse(content: bytes, source: str, *, production: bool) -> SecretKeys:
    try:
        document = json.loads(content, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError):
        raise SecretsError(f"{source} is not a JSON document with unique fields.") from None
    if (
        not isinstance(document, dict)
        or not {"current", "versions"} <= document.keys() <= {"current", "versions", "development"}
        or type(document["current"]) is not int
        or not isinstance(document["versions"], dict)
        or type(document.get("development", False)) is not bool
    ):
        raise SecretsError(f'{source} must contain "current" (a number) and "versions".')
    if production and document.get("development", False):
        raise SecretsError(f"{source} holds development keys, which production refuses.")
    versions = {
        _version_number(text, source): _key_version(fields, f"{source}, version {text}")
        for text, fields in document["versions"].items()
    }
    if production:
        _refuse_weak(versions, source)
    return SecretKeys(document["current"], versions)


def _version_number(text: str, source: str) -> int:
    if _VERSION_TEXT.fullmatch(text) is None or int(text) > KEY_VERSION_MAX:
        raise SecretsError(f"{source} must number its versions 1 to {KEY_VERSION_MAX}.")
    return int(text)


def _key_version(fields: object, source: str) -> KeyVersion:
    if not isinstance(fields, dict) or fields.keys() != {"pepper", "encryption_key"}:
        raise SecretsError(f'{source} must contain "pepper" and "encryption_key" only.')
    return KeyVersion(
        _key_bytes(fields["pepper"], f"{source}: pepper"),
        _key_bytes(fields["encryption_key"], f"{source}: encryption_key"),
    )


def _key_bytes(text: object, source: str) -> bytes:
    if not isinstance(text, str) or _KEY_TEXT.fullmatch(text) is None:
        raise SecretsError(f"{source} must be {KEY_BYTES} bytes in base64url (43 characters).")
    return base64.urlsafe_b64decode(text.rstrip("=") + "=")


def _refuse_weak(versions: dict[int, KeyVersion], source: str) -> None:
    keys = [key for pair in versions.values() for key in (pair.pepper, pair.encryption_key)]
    if any(_is_weak(key) for key in keys):
        raise SecretsError(f"{source} holds a key that is not random; make keys with a generator.")
    if len(set(keys)) != len(keys):
        raise SecretsError(f"{source} uses one key for two purposes; every key must be its own.")


def _is_weak(key: bytes) -> bool:
    """Tells whether bytes are a constant, a pattern, a count or typed text, not random."""
    steps = {(after - before) % 256 for before, after in pairwise(key)}
    is_typed_text = all(0x20 <= byte < 0x7F for byte in key)
    return len(set(key)) < _DISTINCT_BYTES_MIN or len(steps) == 1 or is_typed_text
