"""The keys under which codes and PINs are hashed and codes are encrypted.

Several versions may be loaded at once, so that keys can be rotated: the current one writes,
all of them read. A version holds a *pepper* for HMAC-SHA-256 (RFC 2104) and a key for
AES-256-GCM (NIST SP 800-38D).
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.secrets.errors import SecretsError

KEY_BYTES: Final = 32
"""Length of a pepper and of an encryption key, in bytes."""

KEY_VERSION_MAX: Final = 255
"""Versions are 1..255: a ciphertext names its version in one byte."""

_NONCE_BYTES: Final = 12
_TAG_BYTES: Final = 16
_HEADER_BYTES: Final = 1 + _NONCE_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class KeyVersion:
    """One version of the keys: 32 bytes each.

    Raises:
        SecretsError: another length.
    """

    pepper: bytes
    encryption_key: bytes
    _hmac: hmac.HMAC = field(init=False, compare=False)
    _cipher: AESGCM = field(init=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.pepper) != KEY_BYTES or len(self.encryption_key) != KEY_BYTES:
            raise SecretsError(f"A pepper and an encryption key must have {KEY_BYTES} bytes each.")
        # Set up once: preparing a key costs more than a short message does.
        object.__setattr__(self, "_hmac", hmac.new(self.pepper, digestmod="sha256"))
        object.__setattr__(self, "_cipher", AESGCM(self.encryption_key))

    def __repr__(self) -> str:
        return "KeyVersion(redacted)"

    def digest(self, message: bytes) -> bytes:
        """Returns the 32-byte HMAC-SHA-256 of a message under the pepper."""
        mac = self._hmac.copy()
        mac.update(message)
        return mac.digest()

    def encrypt(self, nonce: bytes, plain: bytes, associated_data: bytes) -> bytes:
        """Returns ciphertext and tag. A nonce must never come twice under one key."""
        return self._cipher.encrypt(nonce, plain, associated_data)

    def decrypt(self, nonce: bytes, sealed: bytes, associated_data: bytes) -> bytes:
        """Returns the plain bytes.

        Raises:
            cryptography.exceptions.InvalidTag: wrong key, other associated data, or tampering.
        """
        return self._cipher.decrypt(nonce, sealed, associated_data)


class SecretKeys:
    """All loaded key versions and the operations on them. Immutable and thread-safe."""

    __slots__ = ("_current", "_current_version", "_versions")

    def __init__(self, current_version: int, versions: Mapping[int, KeyVersion]) -> None:
        """Raises SecretsError if the current version is missing or a number is not 1..255."""
        if not all(1 <= number <= KEY_VERSION_MAX for number in versions):
            raise SecretsError(f"Key versions must be numbered 1 to {KEY_VERSION_MAX}.")
        if current_version not in versions:
            raise SecretsError("The current key version is not among the key versions.")
        self._current_version = current_version
        self._current = versions[current_version]
        # Current first, then newest to oldest: the order in which a look-up most likely hits.
        self._versions = {current_version: self._current} | {
            number: versions[number] for number in sorted(versions, reverse=True)
        }

    def __repr__(self) -> str:
        numbers = sorted(self._versions)
        return f"SecretKeys(current={self._current_version}, versions={numbers}, redacted)"

    @property
    def current_version(self) -> int:
        """Number of the version that writes, to store beside a code hash."""
        return self._current_version

    def code_hash(self, merchant_id: str, book: int, normalized_code: str) -> bytes:
        """Returns the 32-byte look-up key of a code under the current version.

        Args:
            merchant_id: id of the merchant that owns the code.
            book: number of the book (live or training).
            normalized_code: see `server.domain.code.normalize`.
        """
        return self._current.digest(_code_message(merchant_id, book, normalized_code))

    def code_hashes_all_versions(
        self, merchant_id: str, book: int, normalized_code: str
    ) -> tuple[bytes, ...]:
        """Returns the look-up keys of a code under all versions, the oldest one first.

        While a rotation is under way a card is stored under any one of them. The oldest stays
        the same through a rotation, so it can stand for the code in a request's meaning.
        """
        message = _code_message(merchant_id, book, normalized_code)
        return tuple(self._versions[number].digest(message) for number in sorted(self._versions))

    def encrypt_code(self, plain: str, associated_data: bytes) -> bytes:
        """Encrypts a code for the owner to reprint: version byte, 12-byte nonce, AES-256-GCM.

        Args:
            plain: the code, in the spelling to print.
            associated_data: what the ciphertext belongs to, such as the card id; it opens only
                with the same bytes, so a ciphertext copied to another row is useless.

        Random nonces are safe for 2**32 codes under one key version (SP 800-38D, 8.3).
        """
        version_byte = self._current_version.to_bytes()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = self._current.encrypt(
            nonce, plain.encode(), _sealed_context(version_byte, associated_data)
        )
        return version_byte + nonce + sealed

    def decrypt_code(self, ciphertext: bytes, associated_data: bytes) -> str:
        """Returns the code that `encrypt_code` sealed, under whichever version.

        Raises:
            SecretsError: version not loaded, other associated data, or altered bytes.
        """
        if len(ciphertext) < _HEADER_BYTES + _TAG_BYTES:
            raise SecretsError("The encrypted code is too short.")
        version = self._version(ciphertext[0])
        nonce, sealed = ciphertext[1:_HEADER_BYTES], ciphertext[_HEADER_BYTES:]
        try:
            plain = version.decrypt(nonce, sealed, _sealed_context(ciphertext[:1], associated_data))
        except InvalidTag:
            raise SecretsError(
                "The encrypted code does not open with its key: other row, or altered."
            ) from None
        return plain.decode()

    def pin_hash(self, card_id: str, pin: str) -> bytes:
        """Returns version byte and HMAC (33 bytes) of a card's PIN.

        A PIN has too few possibilities for any hash to protect: only the key outside the
        database does, so a slow hash would add cost and no safety.
        """
        message = _pin_message(card_id, pin)
        return self._current_version.to_bytes() + self._current.digest(message)

    def new_pin_mark(self, merchant_id: str, request_id: str, pin: str) -> bytes:
        """Returns what tells the PIN that a request sets from any other, for its fingerprint.

        Made with the oldest version, like a code's part in it, and of no use to compare the PINs
        of two requests.
        """
        return self._versions[min(self._versions)].digest(
            _message("new-pin", merchant_id, request_id, pin)
        )

    def pin_matches(self, card_id: str, pin: str, stored_hash: bytes) -> bool:
        """Tells whether a PIN is the one stored, in time that does not depend on where it differs.

        Raises:
            SecretsError: the version of the stored hash is not loaded.
        """
        version = self._version(stored_hash[0] if stored_hash else 0)
        return hmac.compare_digest(version.digest(_pin_message(card_id, pin)), stored_hash[1:])

    def _version(self, number: int) -> KeyVersion:
        try:
            return self._versions[number]
        except KeyError:
            raise SecretsError(f"Key version {number} is not loaded.") from None


def _code_message(merchant_id: str, book: int, normalized_code: str) -> bytes:
    # Lengths before the fields: no two triples give the same bytes. The first word keeps code
    # and PIN hashes apart. Changing this line loses every stored code.
    return (
        f"code:{len(merchant_id)}:{merchant_id}{book:d}:{len(normalized_code)}:{normalized_code}"
    ).encode()


def _pin_message(card_id: str, pin: str) -> bytes:
    # surrogatepass: a PIN is a stranger's text and must be merely wrong, never an exception.
    return f"pin:{len(card_id)}:{card_id}{len(pin)}:{pin}".encode("utf-8", "surrogatepass")


def _message(*parts: str) -> bytes:
    # A length before each part, as above.
    return "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")


def _sealed_context(version_byte: bytes, associated_data: bytes) -> bytes:
    return b"code" + version_byte + associated_data
