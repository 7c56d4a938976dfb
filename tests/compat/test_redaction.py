"""What the log keeps of a call: a table, and a secret planted anywhere."""

import base64
import json
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from compat_http.redaction import (
    MASK,
    TOO_LARGE,
    Redaction,
    declared_members,
    pretty,
    redact,
    secrets_of,
)
from compat_http.strict_json import exact_number, read
from tests.compat.exchanges import REDACTION

KEPT: list[tuple[str, str]] = [
    # as it came -> as it is kept
    ('{"amount": 5.00, "text": "till 4", "flag": true}', "the same"),
    ('{"text": null, "list": [], "nested": {}}', "the same"),
    ('{"amount": 100.0, "AMOUNT": -0.50}', "the same"),
    ('{"list": [1, {"amount": 2}, [null]]}', "the same"),
    # codes
    ('{"cardID": "99-53235753896117470"}', '{"cardID": "…7470"}'),
    ('{"cardid": "12399"}', '{"cardid": "…99"}'),
    ('{"cardID": 1234567}', '{"cardID": "…567"}'),
    ('{"cardID": "1"}', '{"cardID": "***"}'),
    ('{"cardID": "ab\\u001b[2J"}', '{"cardID": "***"}'),
    ('{"cardID": null, "cards": []}', '{"cardID": null, "cards": []}'),
    ('{"cards": ["GCQ22X9HE1", "GC000000X2"]}', '{"cards": ["…9HE1", "…00X2"]}'),
    ('{"cardID": {"amount": 5}}', '{"cardID": "***"}'),
    # secrets, also where the dialect declares them in its schema
    ('{"pin": "4711"}', '{"pin": "***"}'),
    ('{"PIN": [1, {"amount": 2}]}', '{"PIN": "***"}'),
    # what nobody declared, and its name
    ('{"flag": true, "cvv": "1", "x": {"pin": 1}}', '{"flag": true, "(undeclared members)": 2}'),
    ('{"x": 1}', '{"(undeclared members)": 1}'),
    # the same secret elsewhere, in whatever spelling
    ('{"cardID": "GCQ22X9HE1", "text": "no gcq2-2x9he1"}', '{"cardID": "…9HE1", "text": "***"}'),
    ('{"pin": "4711", "amount": 4711}', '{"pin": "***", "amount": "***"}'),
    ('{"pin": "4711", "amount": 471.1}', '{"pin": "***", "amount": "***"}'),
    ('{"other": "canary", "text": "a canary"}', '{"text": "***", "(undeclared members)": 1}'),
    # too short to be told from ordinary words
    ('{"other": "US", "text": "US"}', '{"text": "US", "(undeclared members)": 1}'),
    # what a terminal would obey, what is endless, what is no amount
    ('{"text": "a\\u001b[2Jb"}', '{"text": "***"}'),
    ('{"text": "a\\nb"}', '{"text": "***"}'),
    ('{"text": "%s"}' % ("x" * 500), '{"text": "%s…"}' % ("x" * 200)),
    ('{"amount": %s}' % ("7" * 40), '{"amount": "***"}'),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "kept"), KEPT)
def test_what_is_kept(sent: str, kept: str) -> None:
    document, _ = read(sent.encode())
    (text,), _ = redact([document], [], REDACTION, [])
    assert text == (sent if kept == "the same" else kept).replace('": ', '":').replace(", ", ",")


def test_numbers_of_answers_keep_their_form() -> None:
    numbers = [exact_number("0.0"), orjson.Fragment("[9]")]
    answer = {"amount": exact_number("100.00"), "list": numbers}
    (text,), _ = redact([answer], [], REDACTION, [])
    assert text == f'{{"amount":100.00,"list":[0.0,"{MASK}"]}}'


@pytest.mark.parametrize("document", ["text", ["12399"], [{"amount": 1}], True, 5])
def test_what_is_no_object_is_not_kept(document: Any) -> None:
    assert redact([document], [], REDACTION, [])[0] == ['"***"']


def test_one_document_masks_the_other_and_the_texts() -> None:
    request, answer = {"cardID": "12399", "text": "a"}, {"text": "no card 12399 here", "amount": 1}
    own = ["GC10", "GC12399", "x" * 300]
    documents, texts = redact([request, answer, None], own, REDACTION, [])
    assert documents == ['{"cardID":"…99","text":"a"}', '{"text":"***","amount":1}', ""]
    assert texts == ["GC10", MASK, "x" * 200 + "…"]


def test_nothing_declared_is_nothing_kept() -> None:
    documents, _ = redact([{"a": 1, "b": {"c": 2}}], [], Redaction(), [])
    assert documents == ['{"(undeclared members)":2}']


@pytest.mark.parametrize(
    "document",
    [
        {"list": list(range(100_000))},
        {"cards": [f"code{n:06}" for n in range(2_000)], "list": ["text"] * 2_000},
    ],
)
def test_work_is_bounded(document: Any) -> None:
    documents, texts = redact([document, {"amount": 1}], ["a", "secret-1"], REDACTION, ["secret-1"])
    assert documents == [TOO_LARGE, TOO_LARGE]
    assert texts == ["a", MASK]


def test_what_is_declared_stands_in_the_schema() -> None:
    schemas = [
        {"oneOf": [{"properties": {"cardID": {"type": "string", "example": {"properties": 1}}}}]},
        {"properties": {"Outer": {"type": "array", "items": {"properties": {"Inner": {}}}}}},
        {"properties": {"properties": {"properties": {"deep": {}}}}},
    ]
    assert declared_members(schemas) == {"cardid", "outer", "inner", "properties", "deep"}


def test_for_people_numbers_stay_as_they_were_written() -> None:
    assert pretty('{"amount": 100.00, "list": [1, {}], "text": "é"}') == (
        '{\n  "amount": 100.00,\n  "list": [\n    1,\n    {}\n  ],\n  "text": "é"\n}'
    )
    assert pretty(TOO_LARGE) == TOO_LARGE


_PAIR = base64.b64encode(b"till:canary-pass:word").decode()
CREDENTIALS: list[tuple[str, tuple[str, ...]]] = [
    ("Bearer canary-token", ("canary-token",)),
    (f"Basic {_PAIR}", (_PAIR, "canary-pass:word")),
    ("basic bm9jb2xvbg==", ("bm9jb2xvbg==", "")),
    ("Basic canary!", ("canary!",)),
    ("Basic /w==", ("/w==",)),
    ("", ()),
    ("canary", ()),
]


@pytest.mark.parametrize(("authorization", "secrets"), CREDENTIALS)
def test_what_is_secret_in_a_credential(authorization: str, secrets: tuple[str, ...]) -> None:
    assert secrets_of(authorization) == secrets


SECRET_TEXT = st.text("ABCDEFGHJKMNPQRSTVWXYZ0123456789", min_size=10, max_size=20)
WORDS = st.text(max_size=12)
NAMES = st.one_of(st.sampled_from(sorted(REDACTION.declared)), st.just("other"), WORDS)


def _tree(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    deeper = st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=4)
        ),
        max_leaves=12,
    )
    return st.dictionaries(NAMES, deeper, max_size=6)


@settings(max_examples=200, deadline=None)
@given(data=st.data(), secret=SECRET_TEXT, known=st.booleans())
def test_a_planted_secret_never_survives(data: st.DataObject, secret: str, known: bool) -> None:
    """Known to the shim, or only standing somewhere as a code, a secret or an undeclared member:
    it is masked there and in every text, name and number of both documents.
    """
    spelled = st.sampled_from([
        secret, secret.lower(), f"{secret[:4]}-{secret[4:]}", " ".join(secret), f"<{secret}>",
        f"x{secret}y",
    ])  # fmt: skip
    leaves = st.one_of(
        spelled, st.none(), st.booleans(), st.integers(), WORDS, spelled.map(lambda t: {t: t})
    )
    request, answer = data.draw(_tree(leaves)), data.draw(_tree(leaves))
    texts = data.draw(st.lists(st.one_of(spelled, WORDS), max_size=3))
    if not known:
        name = data.draw(st.sampled_from(["cardID", "pin", "other"]))
        # Two spellings of a name are two members, but this one must stay.
        assume(name in request or name.casefold() not in {each.casefold() for each in request})
        place = data.draw(st.sampled_from([secret, [secret], [[secret]], {"text": secret}]))
        (request if data.draw(st.booleans()) else answer)[name] = place
    documents, kept = redact([request, answer], texts, REDACTION, [secret] if known else [])
    for text in (*documents, *kept):
        essence = "".join(filter(str.isalnum, text.casefold()))
        assert secret.casefold() not in essence, text
    for text in documents:
        json.loads(text)


@settings(max_examples=200, deadline=None)
@given(st.integers(10_000, 10**18), st.booleans(), st.sampled_from(["cardID", "pin"]))
def test_a_planted_number_never_survives(number: int, as_text: bool, name: str) -> None:
    secret, other = (str(number), number) if as_text else (number, str(number))
    documents, _ = redact([{name: secret, "amount": other, "list": [other]}], [], REDACTION, [])
    assert str(number) not in documents[0]
