"""The key file and what the key does."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from compat_http.exchange_key import ExchangeKey, ExchangeKeyError, create_key_file, load_key

KEY = "q3J0c9XyUu0m5b1xqk8V0rZ7f2Yt4o6sN9aLwHdGiEA"


def test_a_new_key_is_private_random_and_never_overwritten(tmp_path: Path) -> None:
    path, other = tmp_path / "key.json", tmp_path / "other.json"
    create_key_file(path)
    create_key_file(other)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() != other.read_text()
    with pytest.raises(ExchangeKeyError, match="exists already"):
        create_key_file(path)
    load_key(path, production=True)


def test_outside_production_it_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "key.json"
    sealed = load_key(path, production=False).seal("text", b"row")
    assert load_key(path, production=False).open(sealed, b"row") == "text"
    with pytest.raises(ExchangeKeyError, match="made for development"):
        load_key(path, production=True)


def test_what_is_sealed_opens_only_where_it_belongs() -> None:
    key, other = ExchangeKey(b"k" * 32), ExchangeKey(b"o" * 32)
    sealed = key.seal("Bearer é\udcff", b"row")
    assert key.open(sealed, b"row") == "Bearer é\udcff"
    assert key.seal("Bearer é\udcff", b"row") != sealed
    altered = [sealed[:-1] + bytes([sealed[-1] ^ 1]), sealed[:20], b"", bytes(40)]
    attempts = [(other, sealed, b"row"), (key, sealed, b"other")]
    for opener, text, place in [*attempts, *((key, each, b"row") for each in altered)]:
        with pytest.raises(ExchangeKeyError, match="does not open"):
            opener.open(text, place)


def test_a_digest_needs_the_key() -> None:
    key, other = ExchangeKey(b"k" * 32), ExchangeKey(b"o" * 32)
    assert key.digest("a") == key.digest("a")
    assert len({key.digest("a"), key.digest("b"), other.digest("a")}) == 3


def _mode(mode: int) -> Callable[[Path], None]:
    return lambda path: path.chmod(mode)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir(mode=0o700)


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    ("readable by others", _mode(0o644), "mode 0600"),
    ("writable by the group", _mode(0o620), "mode 0600"),
    ("missing", Path.unlink, "giftcard log create-key"),
    ("a directory", _directory, "regular file|cannot be"),
    ("empty", lambda path: path.write_text(""), "32 bytes in base64url"),
    ("not JSON", lambda path: path.write_text(KEY), "32 bytes in base64url"),
    ("a list", lambda path: path.write_text("[]"), "32 bytes in base64url"),
    ("deep", lambda path: path.write_text("[" * 4000), "32 bytes in base64url"),
    ("short", lambda path: path.write_text(json.dumps({"key": KEY[:-1]})), "32 bytes in base64url"),
    ("a pattern", lambda path: path.write_text(json.dumps({"key": "A" * 43})), "not random"),
]


@pytest.mark.parametrize(("spoil", "sentence"), [row[1:] for row in BAD], ids=[r[0] for r in BAD])
def test_a_key_file_that_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], sentence: str
) -> None:
    path = tmp_path / "key.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps({"key": KEY}))
    load_key(path, production=True)
    spoil(path)
    with pytest.raises(ExchangeKeyError, match=sentence) as refused:
        load_key(path, production=True)
    assert KEY[:-1] not in str(refused.value)
    assert refused.value.__cause__ is None
