"""Draws a certificate as a page of vectors; pictures are made of that same page.

Everything is placed in points from the lower left corner of a landscape A5 page.  Bars and modules
are whole pixels of the pictures, so that scanners read those as well as the printed page.
"""

import io
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby
from typing import Any, Final

import pypdfium2
import segno
from reportlab.graphics.barcode import code128
from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A5, landscape
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from server.certificate.model import Certificate, Form

WIDTH, HEIGHT = landscape(A5)
MARGIN: Final = 34.0
BAND_HEIGHT: Final = 150.0
PIXELS_PER_POINT: Final = 3
PIXEL: Final = 1 / PIXELS_PER_POINT

LIGHT, REGULAR, MEDIUM = "Roboto-Light", "Roboto-Regular", "Roboto-Medium"
PLAIN_BLUE: Final = "#1F3A5F"
_INK: Final = HexColor("#1B1B1F")
_QUIET_INK: Final = HexColor("#6B6F76")
_WHITE: Final = HexColor("#FFFFFF")

#: Smaller type is not read.  The longest code and the greatest amount are well above it.
_SIZE_MIN: Final = 6.5

_QR_SIZE: Final = 118.0
_BARCODE_HEIGHT: Final = 58.0
_QUIET_MODULES: Final = 10
_MODULE_PIXELS_MAX: Final = 5
_JPEG_QUALITY: Final = 92


def draw(certificate: Certificate, form: Form) -> bytes:
    """The certificate as a file."""
    page = _page(certificate)
    return page if form is Form.PDF else _picture(page, form)


@cache
def _load_fonts() -> None:
    folder = files("font_roboto") / "files"
    for name in (LIGHT, REGULAR, MEDIUM):
        pdfmetrics.registerFont(TTFont(name, io.BytesIO((folder / f"{name}.ttf").read_bytes())))


def _page(certificate: Certificate) -> bytes:
    _load_fonts()
    buffer = io.BytesIO()
    # Invariant: no time and no chance in the file, so that the same card gives the same bytes.
    canvas = Canvas(buffer, pagesize=(WIDTH, HEIGHT), invariant=1)
    canvas.setTitle("Gift card")
    canvas.setAuthor(certificate.merchant)
    _draw_band(canvas, certificate)
    _draw_code(canvas, certificate)
    _draw_qr(canvas, certificate.scanned_code)
    _draw_facts(canvas, certificate)
    _draw_barcode(canvas, certificate.scanned_code)
    canvas.save()
    return buffer.getvalue()


def _text(
    canvas: Any,
    x: float,
    y: float,
    words: str,
    font: str,
    size: float,
    color: Color,
    *,
    width: float,
    right: bool = False,
) -> None:
    """One line, made smaller until it fits; only words that would be too small are cut off."""
    natural = pdfmetrics.stringWidth(words, font, size)
    if natural > width:
        size = size * width / natural
    if size < _SIZE_MIN:
        size = _SIZE_MIN
        words = _shortened(words, font, size, width)
    canvas.setFont(font, size)
    canvas.setFillColor(color)
    (canvas.drawRightString if right else canvas.drawString)(x, y, words)


def _shortened(words: str, font: str, size: float, width: float) -> str:
    while words and pdfmetrics.stringWidth(words + "…", font, size) > width:
        words = words[:-1]
    return words + "…"


def _draw_band(canvas: Any, certificate: Certificate) -> None:
    """Who gives how much, on the merchant's colour."""
    color = HexColor(certificate.color or PLAIN_BLUE)
    bright = 299 * color.red + 587 * color.green + 114 * color.blue > 620
    ink = _INK if bright else _WHITE
    faint = Color(ink.red, ink.green, ink.blue, alpha=0.72)
    canvas.setFillColor(color)
    canvas.rect(0, HEIGHT - BAND_HEIGHT, WIDTH, BAND_HEIGHT, stroke=0, fill=1)
    # A quiet curve of light gives the band some depth without a picture.
    canvas.saveState()
    band = canvas.beginPath()
    band.rect(0, HEIGHT - BAND_HEIGHT, WIDTH, BAND_HEIGHT)
    canvas.clipPath(band, stroke=0)
    canvas.setFillColor(Color(ink.red, ink.green, ink.blue, alpha=0.07))
    canvas.circle(WIDTH - 60, HEIGHT + 40, 210, stroke=0, fill=1)
    canvas.circle(WIDTH - 10, HEIGHT + 70, 150, stroke=0, fill=1)
    canvas.restoreState()

    half = (WIDTH - 2 * MARGIN) * 0.52
    top = HEIGHT - MARGIN
    _text(canvas, MARGIN, top - 10, certificate.program, REGULAR, 13, faint, width=half)
    _text(
        canvas, MARGIN, HEIGHT - BAND_HEIGHT + MARGIN, certificate.merchant, MEDIUM, 25, ink,
        width=half,
    )  # fmt: skip
    rest = WIDTH - 2 * MARGIN - half - 14
    baseline = HEIGHT - BAND_HEIGHT + MARGIN
    _text(
        canvas, WIDTH - MARGIN, baseline, certificate.value, LIGHT, 58, ink, width=rest, right=True
    )
    _text(
        canvas, WIDTH - MARGIN, top - 10, certificate.currency, REGULAR, 13, faint, width=rest,
        right=True,
    )  # fmt: skip


def _draw_code(canvas: Any, certificate: Certificate) -> None:
    y = HEIGHT - BAND_HEIGHT - 40
    width = WIDTH - 2 * MARGIN - _QR_SIZE - 24
    _label(canvas, MARGIN, y, "Code")
    _text(canvas, MARGIN, y - 29, certificate.grouped_code, MEDIUM, 26, _INK, width=width)


def _label(canvas: Any, x: float, y: float, words: str) -> None:
    _text(canvas, x, y, words, REGULAR, 10, _QUIET_INK, width=200)


def _draw_facts(canvas: Any, certificate: Certificate) -> None:
    facts = [("Valid until" if certificate.valid_until else "Validity", certificate.validity)]
    if certificate.location:
        facts.append(("From", certificate.location))
    y = HEIGHT - BAND_HEIGHT - 104
    column = (WIDTH - 2 * MARGIN - _QR_SIZE - 24) / 2
    for number, (label, words) in enumerate(facts):
        x = MARGIN + number * column
        _label(canvas, x, y, label)
        _text(canvas, x, y - 18, words, REGULAR, 14, _INK, width=column - 12)


def _draw_qr(canvas: Any, code: str) -> None:
    modules = segno.make_qr(code, error="m").matrix
    count = len(modules)
    module = int(_QR_SIZE * PIXELS_PER_POINT / count) * PIXEL
    left = _on_pixel(WIDTH - MARGIN - count * module)
    top = _on_pixel(HEIGHT - BAND_HEIGHT - 26)
    for row, line in enumerate(modules, start=1):
        _draw_bars(canvas, left, top - row * module, module, module, line)


def _draw_barcode(canvas: Any, code: str) -> None:
    """Code 128 across the page, as wide as whole pixels allow."""
    bars = _code128_bars(code)
    quiet = 2 * _QUIET_MODULES
    fitting = int((WIDTH - MARGIN) * PIXELS_PER_POINT / (len(bars) + quiet))
    module = min(max(fitting, 1), _MODULE_PIXELS_MAX) * PIXEL
    left = _on_pixel((WIDTH - len(bars) * module) / 2)
    _draw_bars(canvas, left, _on_pixel(MARGIN), module, _BARCODE_HEIGHT, bars)


def _code128_bars(code: str) -> list[bool]:
    """Dark or light, module by module."""
    barcode: Any = code128.Code128(code, quiet=0)
    barcode.validate()
    barcode.encode()
    barcode.decompose()
    bars: list[bool] = []
    dark = True
    # A letter is a width: capitals of bars, small ones of the spaces between them.
    for letter in barcode.decomposed:
        width = "abcd".index(letter.lower()) + 1
        bars += [dark] * width
        dark = not dark
    return bars


def _draw_bars(
    canvas: Any,
    left: float,
    bottom: float,
    module: float,
    height: float,
    modules: Sequence[Any],
) -> None:
    """Neighbouring dark modules in one rectangle, so that no hairline shows between them."""
    canvas.setFillColor(_INK)
    at = 0
    for dark, run in groupby(modules, key=bool):
        width = len(list(run))
        if dark:
            canvas.rect(left + at * module, bottom, width * module, height, stroke=0, fill=1)
        at += width


def _on_pixel(points: float) -> float:
    return round(points * PIXELS_PER_POINT) * PIXEL


def _picture(page: bytes, form: Form) -> bytes:
    document = pypdfium2.PdfDocument(page)
    try:
        picture = document[0].render(scale=PIXELS_PER_POINT).to_pil().convert("RGB")
    finally:
        document.close()
    buffer = io.BytesIO()
    dots = round(72 * PIXELS_PER_POINT)
    if form is Form.JPEG:
        # Without subsampling: it would smear colour over the edges of type and bars.
        picture.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0, dpi=(dots, dots))
    else:
        picture.save(buffer, "PNG", optimize=True, dpi=(dots, dots))
    return buffer.getvalue()
