"""What is taken for JSON, and how a refusal names the place."""

import contextlib
from typing import Any

import pytest

from compat_http.strict_json import JsonError, Number, exact_number, read, write

TAKEN: list[tuple[bytes, Any]] = [
    (b"{}", {}),
    (b' \r\n\t{"a": "b"} ', {"a": "b"}),
    (b'{"a": 5.00}', {"a": "5.00"}),
    (b'{"a": 0.1000, "b": -0, "c": 12345678901234567890}',
     {"a": "0.1000", "b": "-0", "c": "12345678901234567890"}),
    (b'{"a": true, "b": false, "c": null, "d": []}',
     {"a": True, "b": False, "c": None, "d": []}),
    ('{"a": "Müller"}'.encode(), {"a": "Müller"}),
    (b'{"a": "\\u00fc\\ud83d\\ude00\\n"}', {"a": "ü😀\n"}),
    (b'{"a": {"b": 1}, "c": {"b": 1}}', {"a": {"b": "1"}, "c": {"b": "1"}}),
    (b"[" * 16 + b"]" * 16, [[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]),
    (b'{"' + b"[" * 50 + b'": 1}', {"[" * 50: "1"}),
    (b'{"a": "1e5 NaN"}', {"a": "1e5 NaN"}),
]  # fmt: skip

REFUSED: list[tuple[bytes, str]] = [
    (b"", "line 1, column 1: the body is empty"),
    (b" \n ", "line 1, column 1: the body is empty"),
    (b"\xef\xbb\xbf{}", "line 1, column 1: a byte order mark is not taken; send plain UTF-8"),
    (b'{\n"a": "\xff"}', "line 2, column 7: not valid UTF-8"),
    (b'{"a": "\xc3"}', "line 1, column 8: not valid UTF-8"),
    (b'{"a": "\xed\xa0\x80"}', "line 1, column 8: not valid UTF-8"),
    ('{"a": 1}'.encode("utf-16"), "line 1, column 1: not valid UTF-8"),
    (b"{", "line 1, column 2: expecting property name enclosed in double quotes"),
    (b'{"a": 1} x', "line 1, column 10: extra data"),
    (b'{"a": 1\n"b": 2}', "line 2, column 1: expecting ',' delimiter"),
    (b"{'a': 1}", "line 1, column 2: expecting property name enclosed in double quotes"),
    (b'{"a": 01}', "line 1, column 8: expecting ',' delimiter"),
    (b'{"a": +1}', "line 1, column 7: expecting value"),
    (b'{"a": .5}', "line 1, column 7: expecting value"),
    (b'{"a": 5.}', "line 1, column 8: expecting ',' delimiter"),
    ('{"a": \u0661}'.encode(), "line 1, column 7: expecting value"),
    (b'{"a": 0x10}', "line 1, column 8: expecting ',' delimiter"),
    (b'{"a": 1e5}', "line 1, column 7: an exponent is not taken for a number"),
    (b'{"a": 1.5E+2}', "line 1, column 7: an exponent is not taken for a number"),
    (b'{"a": 1e999}', "line 1, column 7: an exponent is not taken for a number"),
    (b'{"b": "1e5",\n "a": 1e5}', "line 2, column 7: an exponent is not taken for a number"),
    (b'{"a": NaN}', "line 1, column 7: this value is not taken for a number"),
    (b'{"a": Infinity}', "line 1, column 7: this value is not taken for a number"),
    (b'{"a": -Infinity}', "line 1, column 7: this value is not taken for a number"),
    (b'{"a": 1, "a": 1}', "line 1, column 10: the member stands there twice"),
    (b'{"a": 1,\n "\\u0061": 1}', "line 2, column 2: the member stands there twice"),
    (b'{"c": {"a": 1}, "b": [{"a": 1, "a": 2}]}',
     "line 1, column 32: the member stands there twice"),
    (b"[" * 17 + b"]" * 17, "line 1, column 17: nested deeper than 16"),
    (b'{"a":' * 17, "line 1, column 81: nested deeper than 16"),
    (b"[" * 60000, "line 1, column 17: nested deeper than 16"),
    (b'{"a": "\\ud800"}', "line 1, column 7: half a surrogate pair"),
    (b'{"\\udc00": 1}', "line 1, column 2: half a surrogate pair"),
    (b'{"a": "\n"}', "line 1, column 8: invalid control character at"),
    (b'{"a": "\\x"}', "line 1, column 8: invalid \\escape"),
    (b'{"a": "b}', "line 1, column 7: unterminated string starting at"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "document"), TAKEN, ids=range(len(TAKEN)))
def test_taken(body: bytes, document: Any) -> None:
    assert read(body) == (document, 0)


@pytest.mark.parametrize(("body", "words"), REFUSED, ids=range(len(REFUSED)))
def test_refused(body: bytes, words: str) -> None:
    with pytest.raises(JsonError) as caught:
        read(body)
    assert str(caught.value).startswith(words)


def test_numbers_are_told_from_strings() -> None:
    document, _ = read(b'{"a": 5.00, "b": "5.00"}')
    assert (type(document["a"]), type(document["b"])) == (Number, str)


MENDED: list[tuple[bytes, Any, int]] = [
    (b'{"a": "x"\n"b": 2}', {"a": "x", "b": "2"}, 1),
    (b'{"a": 1 "b": 2 "c": 3}', {"a": "1", "b": "2", "c": "3"}, 2),
    (b'{"a": true "b": {"c": 1 "d": 2}}', {"a": True, "b": {"c": "1", "d": "2"}}, 2),
    (b'{"a": {} "b": [] "c": ","}', {"a": {}, "b": [], "c": ","}, 2),
    (b'{"a": 1, "b": 2}', {"a": "1", "b": "2"}, 0),
]
NOT_MENDED: list[bytes] = [
    b'{"a": ["x" "y"]}',
    b'{"a": 1 "b"}',
    b'{"a" 1}',
    b'{"a": 1,, "b": 2}',
    b'{"a": 1, "b": 2,}',
    b'{"a": 1 b: 2}',
    b'{"a": 1 "a": 2}',
    b'{"a": 1e5 "b": 2}',
    b"{" + b" ".join(b'"%d": 1' % number for number in range(20)) + b"}",
]


@pytest.mark.parametrize(("body", "document", "count"), MENDED, ids=range(len(MENDED)))
def test_a_missing_comma_is_put_in_where_that_is_wanted(
    body: bytes, document: Any, count: int
) -> None:
    assert read(body, repairs_commas=True) == (document, count)
    if count:
        with pytest.raises(JsonError):
            read(body)


@pytest.mark.parametrize("body", NOT_MENDED, ids=range(len(NOT_MENDED)))
def test_nothing_else_is_mended(body: bytes) -> None:
    with pytest.raises(JsonError):
        read(body, repairs_commas=True)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + b'\\"' * 32000,
        b'{"a": "' + b"\\" * 65000,
        b'"' * 65000,
        b'{"' + b"\\u0061" * 10000 + b'": 1}',
        b"[1," * 20000,
        b"-" * 65000,
        b"1" * 65000,
        b'{"a": ' + b"9" * 65000 + b"}",
    ],
    ids=range(8),
)
def test_no_body_keeps_the_reader_busy(body: bytes) -> None:
    """Reading is linear: what is over in a moment would take minutes if it were quadratic."""
    with contextlib.suppress(JsonError):
        read(body)


def test_writing() -> None:
    document = {"b": exact_number("5.00"), "a": "ü", "c": [True, None, exact_number("0.0")]}
    assert write(document) == '{"b":5.00,"a":"ü","c":[true,null,0.0]}'.encode()
