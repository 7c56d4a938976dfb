"""Certificates as files: what a scanner and a reader find on them, in every form."""

import io
from datetime import date
from typing import Final

import pypdfium2
import pytest
import zxingcpp
from PIL import Image

from server.certificate import Certificate, Form
from server.certificate.drawing import PLAIN_BLUE, draw

PLAIN: Final = Certificate(
    "Demo merchant", "Gift card", "100.00", "USD", "WEB-9198262557214413", None,
    "Kirbys Gourmet Gifts",
)  # fmt: skip
#: Longer than anything should be, in letters that not every typeface has.
FULL: Final = Certificate(
    "Kaffeerösterei Größenwahn & Söhne, Žižkov und Łódź, seit 1897 am Markt", "Подарочная карта",
    "10000000000.00", "KWD", "W" * 40, date(2028, 2, 29), "Laden " * 12, "#F2C14E",
)  # fmt: skip


def certificate(code: str, **parts: object) -> Certificate:
    usual: dict[str, object] = {
        "merchant": "M", "program": "P", "value": "1.00", "currency": "USD", "valid_until": None,
    }  # fmt: skip
    return Certificate(code=code, **{**usual, **parts})  # type: ignore[arg-type]


def picture(content: bytes, form: Form) -> Image.Image:
    if form is not Form.PDF:
        found = Image.open(io.BytesIO(content))
        assert found.format == form.value
        return found.convert("RGB")
    document = pypdfium2.PdfDocument(content)
    assert len(document) == 1
    drawn: Image.Image = document[0].render(scale=4).to_pil()
    return drawn.convert("RGB")


def scanned(content: bytes, form: Form) -> dict[str, str]:
    """Kind of code -> what it says."""
    found = zxingcpp.read_barcodes(picture(content, form))
    return {str(each.format).replace(" ", ""): each.text for each in found}


def words(content: bytes) -> str:
    document = pypdfium2.PdfDocument(content)
    return str(document[0].get_textpage().get_text_range())


@pytest.mark.parametrize("form", Form, ids=lambda form: form.name)
@pytest.mark.parametrize("given", [PLAIN, FULL], ids=["plain", "full"])
def test_bars_and_squares_say_the_code(given: Certificate, form: Form) -> None:
    assert scanned(draw(given, form), form) == {"Code128": given.code, "QRCode": given.code}


@pytest.mark.parametrize(
    ("code", "read"),
    [
        ("12399", "12399"),
        ("7", "7"),
        ("99-53235753896117470", "99-53235753896117470"),
        ("7K3M9QXA2B4C6D8F", "7K3M9QXA2B4C6D8F"),
        ("gift card 0815", "gift card 0815"),
        ("!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~", "!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~"),
        ("A" + "-" * 60 + "B", "AB"),
    ],
)
def test_any_code_can_be_scanned(code: str, read: str) -> None:
    assert scanned(draw(certificate(code), Form.PNG), Form.PNG) == {"Code128": read, "QRCode": read}


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("12399", "12399"),
        ("WEB-9198262557214413", "WEB-9198 2625 5721 4413"),
        ("99-53235753896117470", "99-5323 5753 8961 17470"),
        ("7K3M9QXA2B4C6D8F", "7K3M 9QXA 2B4C 6D8F"),
        ("7k3m-9qxa", "7k3m-9qxa"),
        ("A" + "-" * 60 + "B", "AB"),
    ],
)
def test_a_person_reads_the_code_in_groups(code: str, shown: str) -> None:
    assert certificate(code).grouped_code == shown


def test_a_person_finds_everything_on_it() -> None:
    found = words(draw(PLAIN, Form.PDF))
    for each in (
        "Demo merchant", "Gift card", "100.00", "USD", "WEB-9198 2625 5721 4413",
        "Does not expire", "From", "Kirbys Gourmet Gifts",
    ):  # fmt: skip
        assert each in found


def test_nothing_that_matters_is_cut_off() -> None:
    found = words(draw(FULL, Form.PDF))
    assert "10000000000.00" in found
    assert "29 February 2028" in found
    assert "Подарочная карта" in found
    assert " ".join(["WWWW"] * 10) in found
    assert FULL.merchant in found
    # A place may have any name; the rest of one this long is left out.
    assert "Laden Laden" in found
    assert "…" in words(draw(certificate("1", location="L" * 128), Form.PDF))


def test_what_is_not_known_is_not_there() -> None:
    found = words(draw(certificate("12399"), Form.PDF))
    assert "From" not in found
    assert "Valid until" not in found


@pytest.mark.parametrize("color", ["", "#FFFFFF", "#000000", "#C8102E"])
def test_the_band_has_the_colour_of_the_program(color: str) -> None:
    image = picture(draw(certificate("12399", color=color), Form.PNG), Form.PNG)
    expected = (color or PLAIN_BLUE).removeprefix("#")
    assert image.getpixel((5, 5)) == tuple(bytes.fromhex(expected))


def test_a_picture_is_large_enough_to_print_and_small_enough_to_send() -> None:
    jpeg = draw(PLAIN, Form.JPEG)
    assert picture(jpeg, Form.JPEG).size == (1786, 1259)
    assert 20_000 < len(jpeg) < 500_000
    assert len(draw(PLAIN, Form.PDF)) < 100_000


@pytest.mark.parametrize("form", Form, ids=lambda form: form.name)
def test_the_same_card_gives_the_same_file(form: Form) -> None:
    assert draw(PLAIN, form) == draw(PLAIN, form)
