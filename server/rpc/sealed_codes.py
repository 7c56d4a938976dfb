"""Codes on their way into the database and out of it: hashed to be found, encrypted to be shown.

A ciphertext is bound to the hash beside it, so that it opens in its own row only.
"""

from server.domain import code as codes
from server.domain import commands as c
from server.domain.model import Program
from server.secrets import SecretKeys
from server.storage.directory import SealedCode


def code_material(keys: SecretKeys, caller: c.Caller, code: str) -> c.CodeMaterial:
    """What is stored of a code that belongs to no card yet."""
    normalized = codes.normalize(code)
    code_hash = keys.code_hash(caller.merchant_id, caller.book, normalized)
    return c.CodeMaterial(
        "",
        code_hash,
        keys.encrypt_code(code, code_hash),
        codes.last_four(normalized),
        keys.current_version,
    )


def open_code(keys: SecretKeys, sealed: SealedCode) -> str:
    """The code in the spelling in which it was given or made."""
    return keys.decrypt_code(sealed.ciphertext, sealed.code_hash)


def code_format(program: Program) -> codes.CodeFormat:
    return codes.CodeFormat(
        program.code_prefix,
        codes.CodeAlphabet[program.code_alphabet],
        program.code_length,
        codes.CodeCheck[program.code_check],
    )
