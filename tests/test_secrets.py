import base64
import copy
import hashlib
import hmac
import json
import os
import pickle
import re
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.secrets import (
    KeyVersion,
    PasswordVerifier,
    Secret,
    SecretKeys,
    SecretsError,
    create_development_keys,
    create_key_file,
    credentials,
    hash_password,
    load_keys,
    new_token,
    token_hash,
)

PEPPER_1, KEY_1, PEPPER_2, KEY_2 = (hashlib.sha256(bytes([number])).digest() for number in range(4))
OLD = KeyVersion(PEPPER_1, KEY_1)
NEW = KeyVersion(PEPPER_2, KEY_2)
KEYS = SecretKeys(1, {1: OLD})
ROTATING = SecretKeys(2, {1: OLD, 2: NEW})
MERCHANT = "0190f2e279b070008000000000000000"
LIVE, TRAINING = 1, 2
TEXTS = st.text(st.characters(codec="utf-8"), max_size=50)


def text_of(key: bytes) -> str:
    return base64.urlsafe_b64encode(key).decode().rstrip("=")


def document(**changes: object) -> dict[str, Any]:
    version = {"pepper": text_of(PEPPER_1), "encryption_key": text_of(KEY_1)}
    return {"current": 1, "versions": {"1": version | changes}}


# --- keys -----------------------------------------------------------------------------------------


def test_code_hash_is_the_documented_hmac() -> None:
    # Written out, because a change of this line would lose every stored code.
    message = b"code:32:0190f2e279b0700080000000000000001:5:12399"
    assert KEYS.code_hash(MERCHANT, LIVE, "12399") == hmac.digest(PEPPER_1, message, "sha256")


def test_code_hashes_differ_in_each_field() -> None:
    cases = [
        (MERCHANT, LIVE, "12399"),
        (MERCHANT, TRAINING, "12399"),
        (MERCHANT, LIVE, "012399"),
        (MERCHANT[:-1], LIVE, "12399"),
        (MERCHANT[:-1] + "1", LIVE, "12399"),
        # The same characters, cut elsewhere.
        ("m1", 1, "1"),
        ("m", 11, "1"),
        ("m", 1, "11"),
        ("m1", 11, ""),
        ("", 1, "m11"),
    ]
    hashes = {keys.code_hash(*case) for case in cases for keys in (KEYS, ROTATING)}
    assert len(hashes) == 2 * len(cases)


@given(st.tuples(TEXTS, st.integers(0, 99), TEXTS), st.tuples(TEXTS, st.integers(0, 99), TEXTS))
def test_code_hash_is_one_to_one(one: tuple[str, int, str], other: tuple[str, int, str]) -> None:
    assert (KEYS.code_hash(*one) == KEYS.code_hash(*other)) == (one == other)


def test_look_up_during_rotation_covers_all_versions_oldest_first() -> None:
    case = (MERCHANT, LIVE, "12399")
    new_only = SecretKeys(2, {2: NEW})
    assert ROTATING.code_hashes_all_versions(*case) == (
        KEYS.code_hash(*case),
        new_only.code_hash(*case),
    )
    assert SecretKeys(1, {1: OLD, 2: NEW}).code_hashes_all_versions(*case) == (
        KEYS.code_hash(*case),
        new_only.code_hash(*case),
    )
    assert ROTATING.code_hash(*case) == new_only.code_hash(*case)
    assert ROTATING.current_version == 2


@given(TEXTS, st.binary(max_size=64))
def test_encryption_round_trip(plain: str, associated_data: bytes) -> None:
    ciphertext = KEYS.encrypt_code(plain, associated_data)
    assert len(ciphertext) == 1 + 12 + len(plain.encode()) + 16
    assert KEYS.decrypt_code(ciphertext, associated_data) == plain
    assert ROTATING.decrypt_code(ciphertext, associated_data) == plain
    assert KEYS.encrypt_code(plain, associated_data) != ciphertext  # another nonce
    assert ROTATING.encrypt_code(plain, associated_data)[0] == 2


def test_no_altered_ciphertext_opens() -> None:
    # Both versions hold the same keys, so that only the sealed version byte tells them apart.
    keys = SecretKeys(1, {1: OLD, 2: OLD, 3: NEW})
    ciphertext = keys.encrypt_code("WEB-9198262557214413", b"card")
    altered = [
        ciphertext[:place] + bytes([ciphertext[place] ^ 1 << bit]) + ciphertext[place + 1 :]
        for place in range(len(ciphertext))
        for bit in range(8)
    ]
    cut = [ciphertext[:length] for length in range(len(ciphertext))]
    for wrong in [*altered, *cut, ciphertext + b"\0", b"\2" + ciphertext[1:]]:
        with pytest.raises(SecretsError):
            keys.decrypt_code(wrong, b"card")
    for associated_data in (b"", b"other card", b"card\0", b"\1card"):
        with pytest.raises(SecretsError):
            keys.decrypt_code(ciphertext, associated_data)


def test_ciphertext_of_a_version_that_is_not_loaded() -> None:
    with pytest.raises(SecretsError, match="version 2 is not loaded"):
        KEYS.decrypt_code(ROTATING.encrypt_code("12399", b"card"), b"card")


@pytest.mark.parametrize(
    ("card_id", "pin", "matches"),
    [
        ("card", "1234", True),
        ("card", "1235", False),
        ("card", "01234", False),
        ("card", "", False),
        ("card", "1234 ", False),
        ("card", "\uff11\uff12\uff13\uff14", False),
        ("card", "\ud800", False),  # a stranger's text is wrong, not an exception
        ("other", "1234", False),
        ("card1", "234", False),
    ],
)
def test_pin(card_id: str, pin: str, matches: bool) -> None:
    stored = KEYS.pin_hash("card", "1234")
    assert len(stored) == 33
    assert KEYS.pin_matches(card_id, pin, stored) == matches
    assert ROTATING.pin_matches(card_id, pin, stored) == matches
    assert ROTATING.pin_matches(card_id, pin, ROTATING.pin_hash("card", "1234")) == matches


@pytest.mark.parametrize("stored", [b"", b"\2" + bytes(32), b"\0"])
def test_pin_hash_of_a_version_that_is_not_loaded(stored: bytes) -> None:
    with pytest.raises(SecretsError):
        KEYS.pin_matches("card", "1234", stored)


def test_cut_pin_hash_matches_nothing() -> None:
    stored = KEYS.pin_hash("card", "1234")
    assert not KEYS.pin_matches("card", "1234", stored[:-1])
    assert not KEYS.pin_matches("card", "1234", stored[:1])


def test_pin_and_code_hashes_are_apart() -> None:
    assert KEYS.pin_hash("card", "1234")[1:] != KEYS.code_hash("card", 1, "1234")


@pytest.mark.parametrize(
    ("current", "numbers"), [(1, []), (2, [1]), (0, [0]), (256, [256]), (1, [1, 0]), (1, [1, 256])]
)
def test_key_versions_refused(current: int, numbers: list[int]) -> None:
    with pytest.raises(SecretsError):
        SecretKeys(current, dict.fromkeys(numbers, OLD))


@pytest.mark.parametrize(("pepper", "key"), [(31, 32), (32, 31), (33, 32), (32, 16), (0, 32)])
def test_key_length_refused(pepper: int, key: int) -> None:
    with pytest.raises(SecretsError):
        KeyVersion(bytes(pepper), bytes(key))


# --- loading --------------------------------------------------------------------------------------


def test_keys_of_file_and_environment_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    from_file = load_keys(path, None, production=True)
    from_environment = load_keys(None, path.read_text(), production=True)
    ciphertext = from_file.encrypt_code("12399", b"card")
    assert from_environment.decrypt_code(ciphertext, b"card") == "12399"
    assert from_environment.code_hash("m", 1, "1") == from_file.code_hash("m", 1, "1")


def test_rotation_document() -> None:
    version = document()["versions"]["1"]
    new_version = {"pepper": text_of(PEPPER_2) + "=", "encryption_key": text_of(KEY_2) + "="}
    text = json.dumps({"current": 2, "versions": {"1": version, "2": new_version}})
    keys = load_keys(None, text, production=True)
    case = (MERCHANT, LIVE, "12399")
    assert keys.code_hashes_all_versions(*case) == ROTATING.code_hashes_all_versions(*case)


def test_development_keys_are_refused_in_production(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_development_keys(path)
    assert load_keys(path, None, production=False).current_version == 1
    with pytest.raises(SecretsError, match="development"):
        load_keys(path, None, production=True)


def test_every_key_file_is_new_and_private(tmp_path: Path) -> None:
    old_umask = os.umask(0o777)
    try:
        create_key_file(tmp_path / "one")
    finally:
        os.umask(old_umask)
    create_key_file(tmp_path / "two")
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600
    texts = [(tmp_path / name).read_text() for name in ("one", "two")]
    secrets_found = re.findall(r"[\w-]{43}", "".join(texts))
    assert len(set(secrets_found)) == 4


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    before = path.read_bytes()
    with pytest.raises(SecretsError, match="exists already"):
        create_key_file(path)
    assert path.read_bytes() == before
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SecretsError):
        create_key_file(tmp_path / "link")
    assert not (tmp_path / "elsewhere").exists()
    with pytest.raises(SecretsError, match="cannot be written"):
        create_key_file(tmp_path / "no folder" / "keys.json")


@pytest.mark.parametrize(
    ("mode", "is_accepted"),
    [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o644, False), (0o700, False)],
)
def test_key_file_mode(tmp_path: Path, mode: int, is_accepted: bool) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    path.chmod(mode)
    for production in (False, True):
        if is_accepted:
            load_keys(path, None, production=production)
        else:
            with pytest.raises(SecretsError, match="mode 0600"):
                load_keys(path, None, production=production)


def missing(path: Path) -> None:
    path.unlink()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def huge(path: Path) -> None:
    path.write_bytes(b" " * 70_000)


@pytest.mark.parametrize("spoil", [missing, folder, pipe, huge])
def test_key_file_refused(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    spoil(path)
    with pytest.raises(SecretsError, match="key file"):
        load_keys(path, None, production=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_key_file_of_another_user(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    os.chown(path, 65_534, -1)
    with pytest.raises(SecretsError, match="belong to the user"):
        load_keys(path, None, production=False)


@pytest.mark.parametrize(("has_file", "has_text"), [(False, False), (True, True)])
def test_exactly_one_source(tmp_path: Path, has_file: bool, has_text: bool) -> None:
    path = tmp_path / "keys.json"
    create_key_file(path)
    text = path.read_text()
    with pytest.raises(SecretsError, match="GIFTCARD_KEY_FILE"):
        load_keys(path if has_file else None, text if has_text else None, production=False)


VERSION_TEXT = json.dumps(document()["versions"]["1"])


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "null", "[]", '"canary"', "1", "[" * 100_000, "NaN"),
        '{"current": 1}',
        '{"versions": {}}',
        '{"current": 1, "versions": {}}',
        '{"current": 1, "versions": []}',
        f'{{"current": "1", "versions": {{"1": {VERSION_TEXT}}}}}',
        f'{{"current": true, "versions": {{"1": {VERSION_TEXT}}}}}',
        f'{{"current": 1.0, "versions": {{"1": {VERSION_TEXT}}}}}',
        f'{{"current": 2, "versions": {{"1": {VERSION_TEXT}}}}}',
        f'{{"current": 1, "current": 1, "versions": {{"1": {VERSION_TEXT}}}}}',
        f'{{"current": 1, "versions": {{"1": {VERSION_TEXT}, "1": {VERSION_TEXT}}}}}',
        f'{{"current": 1, "versions": {{"1": {VERSION_TEXT}}}, "extra": 1}}',
        f'{{"current": 1, "versions": {{"1": {VERSION_TEXT}}}, "development": 1}}',
        f'{{"current": 1, "versions": {{"01": {VERSION_TEXT}}}}}',
        f'{{"current": 0, "versions": {{"0": {VERSION_TEXT}}}}}',
        f'{{"current": 256, "versions": {{"256": {VERSION_TEXT}}}}}',
        f'{{"current": 1, "versions": {{"1": {VERSION_TEXT}, "\u0661": {VERSION_TEXT}}}}}',
        json.dumps(document(extra="")),
        json.dumps(document(pepper=None)),
        json.dumps(document(pepper="")),
        json.dumps(document(pepper=text_of(PEPPER_1[:31]))),
        json.dumps(document(pepper=text_of(PEPPER_1 + b"x"))),
        json.dumps(document(encryption_key=text_of(KEY_1[:16]))),
        json.dumps(document(encryption_key="+" * 43)),
        json.dumps(document(encryption_key=text_of(KEY_1) + "==")),
        json.dumps(document(encryption_key=text_of(KEY_1) + "\n")),
    ],
)
def test_document_refused(text: str) -> None:
    for production in (False, True):
        with pytest.raises(SecretsError) as caught:
            load_keys(None, text, production=production)
        message = str(caught.value)
        assert message.endswith(".")
        assert len(message) < 120
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        for secret in ("canary", text_of(PEPPER_1)[:20], text_of(KEY_1)[:20]):
            assert secret not in message


@pytest.mark.parametrize(
    "key",
    [
        bytes(32),
        b"\xff" * 32,
        b"changeme" * 4,
        b"correct horse battery staple 123",
        bytes(range(32)),
        bytes(range(200, 136, -2)),
        PEPPER_1[:8] * 4,
        KEY_1,  # the pepper again as encryption key
    ],
)
def test_weak_keys_are_refused_in_production(key: bytes) -> None:
    text = json.dumps(document(pepper=text_of(key)))
    with pytest.raises(SecretsError) as caught:
        load_keys(None, text, production=True)
    assert text_of(key) not in str(caught.value)
    load_keys(None, text, production=False)


def test_a_key_used_by_two_versions_is_refused_in_production() -> None:
    version = document()["versions"]["1"]
    text = json.dumps({"current": 2, "versions": {"1": version, "2": version}})
    with pytest.raises(SecretsError, match="every key must be its own"):
        load_keys(None, text, production=True)


# --- tokens and passwords -------------------------------------------------------------------------


def test_tokens() -> None:
    tokens = {new_token() for _ in range(1000)}
    assert len(tokens) == 1000
    assert all(re.fullmatch(r"gct_[A-Za-z0-9_-]{43}", token) for token in tokens)
    assert token_hash("gct_x") == hashlib.sha256(b"gct_x").digest()
    assert len(token_hash("\ud800")) == 32  # any text of a stranger has a hash


@pytest.fixture(scope="module")
def stored() -> str:
    return hash_password("demo-pos")


class Clock:
    nanoseconds = 0

    def __call__(self) -> int:
        return self.nanoseconds


@pytest.fixture
def argon2_calls(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Records each password that costs an Argon2id computation, and computes it as always."""
    calls = []
    compute = credentials._argon2_matches

    def recorded(stored_hash: str, password: bytes) -> bool:
        calls.append(password)
        return compute(stored_hash, password)

    monkeypatch.setattr(credentials, "_argon2_matches", recorded)
    return calls


@pytest.mark.parametrize(
    ("password", "is_right"),
    [
        ("demo-pos", True),
        ("demo-po", False),
        ("Demo-pos", False),
        ("demo-pos ", False),
        ("", False),
        ("x" * 1025, False),
        ("\ud800", False),
    ],
)
def test_password(stored: str, password: str, is_right: bool) -> None:
    verifier = PasswordVerifier()
    assert stored.startswith("$argon2id$")
    assert verifier.verify_password(password, stored) is is_right
    assert verifier.verify_password(password, stored) is is_right


@pytest.mark.parametrize("stored_hash", [None, "", "plain", "$argon2id$v=19$broken", "$2b$12$x"])
def test_password_of_nobody(stored_hash: str | None) -> None:
    assert not PasswordVerifier().verify_password("demo-pos", stored_hash)


def test_a_repeat_costs_no_argon2(stored: str, argon2_calls: list[bytes]) -> None:
    clock = Clock()
    verifier = PasswordVerifier(clock)
    for _ in range(3):
        assert verifier.verify_password("demo-pos", stored)
        assert not verifier.verify_password("wrong", stored)
        assert not verifier.verify_password("demo-pos", None)
    assert argon2_calls == [b"demo-pos", b"wrong", b"demo-pos"]
    clock.nanoseconds = 300 * 10**9 - 1
    assert verifier.verify_password("demo-pos", stored)
    assert len(argon2_calls) == 3
    clock.nanoseconds += 1  # 300 seconds
    assert verifier.verify_password("demo-pos", stored)
    assert len(argon2_calls) == 4


def test_a_changed_password_takes_effect_at_once(stored: str, argon2_calls: list[bytes]) -> None:
    verifier = PasswordVerifier()
    assert verifier.verify_password("demo-pos", stored)
    changed = hash_password("other")
    assert not verifier.verify_password("demo-pos", changed)
    assert verifier.verify_password("other", changed)
    assert len(argon2_calls) == 3


def test_wrong_guesses_do_not_push_out_right_answers(
    stored: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def cheap(stored_hash: str, password: bytes) -> bool:
        calls.append(password)
        return password == b"demo-pos"

    monkeypatch.setattr(credentials, "_argon2_matches", cheap)
    verifier = PasswordVerifier()
    assert verifier.verify_password("demo-pos", stored)
    guesses = [f"guess {number}" for number in range(5000)]
    assert not any(verifier.verify_password(guess, stored) for guess in guesses)
    assert len(calls) == 5001
    assert verifier.verify_password("demo-pos", stored)
    assert not verifier.verify_password(guesses[-1], stored)
    assert len(calls) == 5001
    assert not verifier.verify_password(guesses[0], stored)  # the oldest guess was dropped
    assert len(calls) == 5002


def test_many_callers_at_once_cost_little(stored: str, argon2_calls: list[bytes]) -> None:
    verifier = PasswordVerifier()
    answers: list[bool] = []
    threads = [
        threading.Thread(
            target=lambda: answers.append(verifier.verify_password("demo-pos", stored))
        )
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [True] * 16
    assert len(argon2_calls) <= 2


@pytest.mark.parametrize("password", ["", "x" * 1025])
def test_password_cannot_be_set(password: str) -> None:
    with pytest.raises(ValueError, match="1 to 1024"):
        hash_password(password)


# --- nothing prints itself ------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [Secret("canary"), OLD, KEYS, ROTATING, PasswordVerifier()])
def test_nothing_prints_itself(thing: object) -> None:
    shown = f"{thing} {thing!r} {thing!s} {[thing]} {(thing,)} %s %r" % (thing, thing)
    assert "redacted" in shown
    for secret in (b"canary", PEPPER_1, KEY_1, PEPPER_2, KEY_2):
        assert secret.decode("latin-1") not in shown
        assert repr(secret)[2:-1] not in shown
        assert secret.hex() not in shown
        assert text_of(secret) not in shown


def test_secret() -> None:
    secret = Secret("canary")
    assert secret.reveal() == "canary"
    assert secret == Secret("canary")
    assert secret != Secret("canarz")
    assert secret != Secret("\ud800")
    assert secret != "canary"
    assert Secret("x")
    assert not Secret("")
    assert f"{secret:>40}" == "Secret(redacted)"
    assert not hasattr(secret, "__dict__")
    for leak in (pickle.dumps, copy.copy, copy.deepcopy, hash, json.dumps):
        with pytest.raises(TypeError) as caught:
            leak(secret)
        assert "canary" not in str(caught.value)
