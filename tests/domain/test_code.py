import itertools
import re
import secrets
import string
from collections.abc import Callable

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st

from server.domain.code import (
    DEFAULT_CODE_FORMAT,
    CodeAlphabet,
    CodeCheck,
    CodeFormat,
    CodeFormatError,
    check_symbol_ok,
    corrected,
    crockford_check_symbol,
    display,
    generate,
    has_shape,
    last_four,
    looks_like_payment_card,
    luhn_check_digit,
    luhn_ok,
    normalize,
    require_generatable,
)

CROCKFORD, DIGITS, ALPHANUMERIC = CodeAlphabet
NONE, LUHN, CROCKFORD_CHECK = CodeCheck
NUMERIC = CodeFormat("", DIGITS, 19, LUHN)


def in_turn(*numbers: int) -> Callable[[int], int]:
    """A random source that yields these numbers, again and again."""
    endless = itertools.cycle(numbers)
    return lambda below: next(endless) % below


def default_codes() -> st.SearchStrategy[str]:
    # A number whose check symbol would be awkward is refused; one of the next is not.
    return st.integers(0, 32**15 - 1).map(
        lambda number: generate(DEFAULT_CODE_FORMAT, in_turn(number, *range(10)))
    )


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WEB-9198262557214413", "WEB9198262557214413"),
        ("web 9198 2625 5721 4413", "WEB9198262557214413"),
        ("99-53235753896117470", "9953235753896117470"),
        ("12399", "12399"),
        ("0012399", "0012399"),
        ("00-12 399", "0012399"),
        ("gcq22x9he1", "GCQ22X9HE1"),
        ("OIL0-1", "OIL01"),  # given codes keep O, I and L
        (" 12399 ", "12399"),
        ("gc_1/2.3*", "GC_1/2.3*"),
        ("0", "0"),
        ("A" * 40, "A" * 40),
        ("-".join("A" * 40), "A" * 40),
    ],
)
def test_normalize(text: str, code: str) -> None:
    assert normalize(text) == code
    assert normalize(code) == code


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "--", " - ", "A" * 41),
        *("12\t399", "12399\n", "12399\r", "12\x00399", "12399\x7f", "\x1b[31m12399"),
        "\uff11\uff12\uff13",  # full-width digits
        "\u0661\u0662\u0663",  # Arabic-Indic digits
        "12\u00a0399",  # no-break space
        "12\u2013399",  # en dash
        "\u0421ARD1",  # Cyrillic
        "stra\u00dfe",  # upper() makes it longer
        "\u017fecret",  # upper() makes it ASCII
        "\u0131d1",
        "\ud800",
    ],
)
def test_normalize_refuses(text: str) -> None:
    with pytest.raises(CodeFormatError) as caught:
        normalize(text)
    assert isinstance(caught.value, ValueError)
    assert not text.strip(" -") or text not in str(caught.value)


@given(st.text(string.printable, max_size=60))
def test_every_spelling_of_a_code_is_one_code(text: str) -> None:
    try:
        code = normalize(text)
    except CodeFormatError:
        return
    assert normalize(code) == code
    assert normalize(code.lower()) == code
    assert normalize(display(code)) == code
    assert normalize(" ".join(code)) == code


@pytest.mark.parametrize(
    ("code", "shown", "end"),
    [
        ("0", "0", ""),
        ("12", "12", "2"),
        ("12399", "12399", "99"),
        ("1234567", "1234567", "567"),
        ("12345678", "12345678", "5678"),
        ("123456789", "1234-56789", "6789"),
        ("GCQ22X9HE1", "GCQ2-2X9H-E1", "9HE1"),
        ("7K3M9QXA7K3M9QX0", "7K3M-9QXA-7K3M-9QX0", "9QX0"),
        ("WEB9198262557214413", "WEB9-1982-6255-7214-413", "4413"),
    ],
)
def test_display_and_last_four(code: str, shown: str, end: str) -> None:
    assert display(code) == shown
    assert last_four(code) == end


@pytest.mark.parametrize(
    ("digits", "is_right"),
    [
        ("79927398713", True),
        ("79927398710", False),
        ("4111111111111111", True),
        ("378282246310005", True),
        ("00", True),
        ("18", True),
        ("0", False),
        ("", False),
        ("7992739871A", False),
        ("\u0661\u0668", False),
    ],
)
def test_luhn(digits: str, is_right: bool) -> None:
    assert luhn_ok(digits) == is_right


@given(st.text(string.digits, min_size=1, max_size=20), st.data())
def test_luhn_finds_each_wrong_digit(digits: str, data: st.DataObject) -> None:
    whole = digits + luhn_check_digit(digits)
    assert luhn_ok(whole)
    place = data.draw(st.integers(0, len(whole) - 1))
    other = data.draw(st.sampled_from(string.digits.replace(whole[place], "")))
    assert not luhn_ok(whole[:place] + other + whole[place + 1 :])


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        *(("", "0"), ("0", "0"), ("1", "1"), ("Z", "Z"), ("10", "*"), ("14", "U")),
        *(("15", "0"), ("16J", "D"), ("O", "0"), ("IL", crockford_check_symbol("11"))),
    ],
)
def test_crockford_check_symbol(text: str, symbol: str) -> None:
    assert crockford_check_symbol(text) == symbol


@pytest.mark.parametrize("text", ["U", "a", "-", "1*", "\u0661"])
def test_crockford_check_symbol_refuses(text: str) -> None:
    with pytest.raises(CodeFormatError):
        crockford_check_symbol(text)


@given(default_codes(), st.data())
def test_default_check_finds_each_wrong_symbol_and_each_swap(
    code: str, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, 15))
    other = data.draw(st.sampled_from(CROCKFORD.value.replace(code[place], "")))
    assert not check_symbol_ok(code[:place] + other + code[place + 1 :], DEFAULT_CODE_FORMAT)
    place = data.draw(st.integers(0, 14))
    swapped = code[:place] + code[place + 1] + code[place] + code[place + 2 :]
    assert check_symbol_ok(swapped, DEFAULT_CODE_FORMAT) == (swapped == code)


@pytest.mark.parametrize(
    ("prefix", "alphabet", "length", "check", "total_length"),
    [
        ("", CROCKFORD, 15, CROCKFORD_CHECK, 16),
        ("GOLD", CROCKFORD, 15, CROCKFORD_CHECK, 20),
        ("GC", ALPHANUMERIC, 8, NONE, 10),
        ("", CROCKFORD, 8, NONE, 8),
        ("", DIGITS, 13, NONE, 13),
        ("", DIGITS, 19, LUHN, 20),
        ("99", DIGITS, 17, LUHN, 20),
        ("WEB", DIGITS, 16, LUHN, 20),
        ("", DIGITS, 16, CROCKFORD_CHECK, 17),
        ("222", DIGITS, 15, LUHN, 19),  # 2220 is no brand's, so one in ten is usable
        ("4", DIGITS, 15, NONE, 16),
        ("4", DIGITS, 19, LUHN, 21),
        ("A" * 16, CROCKFORD, 23, CROCKFORD_CHECK, 40),
    ],
)
def test_generate(
    prefix: str, alphabet: CodeAlphabet, length: int, check: CodeCheck, total_length: int
) -> None:
    code_format = CodeFormat(prefix, alphabet, length, check)
    assert code_format.total_length == total_length
    codes = {generate(code_format, secrets.randbelow) for _ in range(200)}
    assert len(codes) == 200
    for code in codes:
        assert len(code) == total_length
        assert code.startswith(prefix)
        assert normalize(code) == code
        assert code.isalnum()
        assert has_shape(code, code_format)
        assert check_symbol_ok(code, code_format)
        assert not looks_like_payment_card(code)
        if check is LUHN:
            assert luhn_ok("".join(symbol for symbol in code if symbol.isdigit()))


@pytest.mark.parametrize(
    ("prefix", "length", "check", "shape"),
    [
        ("WEB-", 16, NONE, r"WEB-\d{16}"),
        ("99-", 17, NONE, r"99-\d{17}"),
        ("A-B-", 13, LUHN, r"A-B-\d{14}"),
        ("4-", 14, LUHN, ""),
    ],
)
def test_hyphens_of_a_prefix_are_seen_and_mean_nothing(
    prefix: str, length: int, check: CodeCheck, shape: str
) -> None:
    code_format = CodeFormat(prefix, DIGITS, length, check)
    if not shape:
        with pytest.raises(CodeFormatError, match="payment card"):
            require_generatable(code_format)
        return
    code = generate(code_format, secrets.randbelow)
    assert re.fullmatch(shape, code)
    assert len(normalize(code)) == code_format.total_length
    assert check_symbol_ok(normalize(code), code_format)


def test_generate_uses_the_whole_alphabet() -> None:
    symbols = set("".join(generate(DEFAULT_CODE_FORMAT, secrets.randbelow) for _ in range(300)))
    assert symbols == set(CROCKFORD.value)


@given(st.integers(0, 32**15 - 1), st.integers(0, 32**15 - 1))
def test_generate_maps_each_number_to_its_own_code(first: int, second: int) -> None:
    code_format = CodeFormat("", CROCKFORD, 15, NONE)
    try:
        codes = generate(code_format, in_turn(first)), generate(code_format, in_turn(second))
    except CodeFormatError:
        reject()  # one of them, all digits, would pass for a payment card
    assert (codes[0] == codes[1]) == (first == second)


def test_generate_draws_again_when_the_result_is_a_payment_card() -> None:
    # The first number, written backwards, would make 4111 1111 1111 111 and the Luhn digit 1.
    code = generate(CodeFormat("", DIGITS, 15, LUHN), in_turn(int("111111111111114"), 7))
    assert code == "700000000000000" + luhn_check_digit("700000000000000")


def test_generate_gives_up_on_a_broken_random_source() -> None:
    with pytest.raises(CodeFormatError, match="random source"):
        generate(CodeFormat("", DIGITS, 15, LUHN), in_turn(int("111111111111114")))


@pytest.mark.parametrize(
    ("prefix", "alphabet", "length", "check", "complaint"),
    [
        ("", DIGITS, 12, NONE, "40 bits"),
        ("", DIGITS, 12, LUHN, "40 bits"),
        ("", CROCKFORD, 7, CROCKFORD_CHECK, "40 bits"),
        ("", ALPHANUMERIC, 7, NONE, "40 bits"),
        ("LONGPREFIX", DIGITS, 4, NONE, "40 bits"),
        ("4", DIGITS, 14, LUHN, "payment card"),
        ("41", DIGITS, 13, LUHN, "payment card"),
        ("6011", DIGITS, 14, LUHN, "payment card"),
        ("23", DIGITS, 14, LUHN, "payment card"),  # all of 2300 to 2399 is a brand's
    ],
)
def test_not_generatable(
    prefix: str, alphabet: CodeAlphabet, length: int, check: CodeCheck, complaint: str
) -> None:
    code_format = CodeFormat(prefix, alphabet, length, check)
    with pytest.raises(CodeFormatError, match=complaint):
        require_generatable(code_format)
    with pytest.raises(CodeFormatError, match=complaint):
        generate(code_format, secrets.randbelow)


@pytest.mark.parametrize(
    ("prefix", "alphabet", "length", "check"),
    [
        ("gc", CROCKFORD, 15, NONE),
        ("-GC", CROCKFORD, 15, NONE),
        ("G--C", CROCKFORD, 15, NONE),
        ("-", CROCKFORD, 15, NONE),
        ("G C", CROCKFORD, 15, NONE),
        ("\u00c4", CROCKFORD, 15, NONE),
        ("A" * 17, CROCKFORD, 15, NONE),
        ("", CROCKFORD, 0, NONE),
        ("", CROCKFORD, -1, NONE),
        ("", CROCKFORD, 41, NONE),
        ("", CROCKFORD, 40, CROCKFORD_CHECK),
        ("AB", DIGITS, 38, LUHN),
        ("", CROCKFORD, 15, LUHN),
        ("", ALPHANUMERIC, 15, LUHN),
        ("", ALPHANUMERIC, 15, CROCKFORD_CHECK),
        ("FUN", CROCKFORD, 15, CROCKFORD_CHECK),
    ],
)
def test_format_refused(prefix: str, alphabet: CodeAlphabet, length: int, check: CodeCheck) -> None:
    with pytest.raises(CodeFormatError):
        CodeFormat(prefix, alphabet, length, check)


@pytest.mark.parametrize(
    ("code", "code_format", "is_right"),
    [
        ("79927398713", CodeFormat("", DIGITS, 10, LUHN), True),
        ("79927398714", CodeFormat("", DIGITS, 10, LUHN), False),
        ("7992739871", CodeFormat("", DIGITS, 10, LUHN), False),  # too short
        ("AB79927398713", CodeFormat("AB", DIGITS, 10, LUHN), True),
        ("BA79927398713", CodeFormat("AB", DIGITS, 10, LUHN), False),
        ("79927398713", CodeFormat("79", DIGITS, 8, LUHN), True),  # digits of the prefix count
        ("14U", CodeFormat("", CROCKFORD, 2, CROCKFORD_CHECK), True),  # the full standard
        ("10*", CodeFormat("", CROCKFORD, 2, CROCKFORD_CHECK), True),
        ("140", CodeFormat("", CROCKFORD, 2, CROCKFORD_CHECK), False),
        ("UU0", CodeFormat("", CROCKFORD, 2, CROCKFORD_CHECK), False),
        ("GCQ22X9HE1", CodeFormat("GC", ALPHANUMERIC, 8, NONE), True),
        ("GCQ22X9HE", CodeFormat("GC", ALPHANUMERIC, 8, NONE), False),
        ("WEB9198262557214413", DEFAULT_CODE_FORMAT, False),
    ],
)
def test_check_symbol(code: str, code_format: CodeFormat, is_right: bool) -> None:
    assert check_symbol_ok(code, code_format) == is_right


@given(st.integers(0, 32**15 - 1), st.data())
def test_a_misread_generated_code_is_corrected(number: int, data: st.DataObject) -> None:
    code_format = CodeFormat("GOLD", CROCKFORD, 15, CROCKFORD_CHECK)
    code = generate(code_format, in_turn(number, *range(10)))
    misreadings = {"0": "0O", "1": "1IL"}
    misread = "GOLD" + "".join(
        data.draw(st.sampled_from(misreadings.get(symbol, symbol))) for symbol in code[4:]
    )
    assert corrected(misread, code_format) == (None if misread == code else code)


@pytest.mark.parametrize(
    ("code", "code_format", "result"),
    [
        ("O" * 16, DEFAULT_CODE_FORMAT, "0" * 16),
        ("0" * 16, DEFAULT_CODE_FORMAT, None),  # nothing to correct
        ("O" * 15 + "1", DEFAULT_CODE_FORMAT, None),  # the check symbol does not hold
        ("O" * 15, DEFAULT_CODE_FORMAT, None),  # another shape: a given code
        ("WEBO198262557214413", DEFAULT_CODE_FORMAT, None),
        ("OOOOOOOOOOOOOO", CodeFormat("", DIGITS, 14, NONE), None),
        ("OOOOOOOOO", CodeFormat("", ALPHANUMERIC, 9, NONE), None),
        ("OIL", CodeFormat("O", CROCKFORD, 2, NONE), "O11"),  # the prefix stays
    ],
)
def test_corrected(code: str, code_format: CodeFormat, result: str | None) -> None:
    assert corrected(code, code_format) == result


@pytest.mark.parametrize(
    ("code", "looks_like"),
    [
        ("4111111111111111", True),
        ("4222222222222", True),
        ("5555555555554444", True),
        ("2223003122003222", True),
        ("378282246310005", True),
        ("6011111111111117", True),
        ("3530111333300000", True),
        ("30569309025904", True),
        ("36227206271667", True),
        ("4111111111111112", False),  # no valid Luhn digit
        ("222000000000000" + luhn_check_digit("222000000000000"), False),
        ("799273987130000" + luhn_check_digit("799273987130000"), False),
        ("411111111111", False),  # 12 digits
        ("41111111111111111111", False),  # 20 digits
        ("A111111111111111", False),
        ("9953235753896117470", False),
    ],
)
def test_looks_like_payment_card(code: str, looks_like: bool) -> None:
    assert looks_like_payment_card(code) == looks_like
