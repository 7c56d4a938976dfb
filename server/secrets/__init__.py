"""Keys, tokens, passwords, ids: whatever is random, and what must never be printed.

Knows how secrets are hashed, encrypted, loaded and compared. Must not know SQL, protobuf or any
business rule. Keys live outside the database, so that a stolen database gives no code away.
"""

from server.secrets.credentials import (
    TOKEN_PREFIX,
    PasswordVerifier,
    hash_password,
    new_token,
    token_hash,
)
from server.secrets.errors import SecretsError
from server.secrets.ids import new_id
from server.secrets.key_file import (
    create_development_keys,
    create_key_file,
    load_keys,
)
from server.secrets.keys import KEY_BYTES, KeyVersion, SecretKeys
from server.secrets.redacted import Secret

__all__ = [
    "KEY_BYTES",
    "TOKEN_PREFIX",
    "KeyVersion",
    "PasswordVerifier",
    "Secret",
    "SecretKeys",
    "SecretsError",
    "create_development_keys",
    "create_key_file",
    "hash_password",
    "load_keys",
    "new_id",
    "new_token",
    "token_hash",
]
