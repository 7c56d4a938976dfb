"""Codes for cards to come, points, and certificates, through the running edge."""

import io
from collections import Counter

import pypdfium2
import pytest
import zxingcpp
from giftcard import v1
from google.protobuf.duration_pb2 import Duration
from PIL import Image

from server.verify import verify
from tests.rpc.edge_stage import SCOPES, Heard, Stage, unique, usd
from tests.rpc.server_thread import principal

FORMS = {
    v1.RenderCertificateRequest.FORMAT_UNSPECIFIED: "image/jpeg",
    v1.RenderCertificateRequest.JPEG: "image/jpeg",
    v1.RenderCertificateRequest.PNG: "image/png",
    v1.RenderCertificateRequest.PDF: "application/pdf",
}
WEB = v1.Program.CodeFormat(
    prefix="WEB-", alphabet=v1.Program.CodeFormat.DIGITS, random_length=16,
    check_digit=v1.Program.NONE,
)  # fmt: skip


def reserve(count: int = 1, **parts: object) -> v1.ReserveCodesRequest:
    usual = {"program": "programs/GC", "agency": "Website", "count": count}
    return v1.ReserveCodesRequest(**{**usual, "request_id": unique(), **parts})  # type: ignore[arg-type]


def issue(code: str, **parts: object) -> v1.IssueGiftCardRequest:
    usual = {"program": "programs/GC", "amount": usd(500), "code": code}
    return v1.IssueGiftCardRequest(**{**usual, "request_id": unique(), **parts})  # type: ignore[arg-type]


def together(stage: Stage, requests: list[v1.IssueGiftCardRequest]) -> list[Heard]:
    sent = [stage.begin(request) for request in requests]
    return [stage.wait(each) for each in sent]


# Reserved codes


def test_no_more_codes_are_made_than_the_server_allows(both: Stage) -> None:
    answer = both.answer(reserve(10_000, code_format=WEB, program=""))
    assert len(answer.codes) == answer.reservation.code_count == 500
    assert len(set(answer.codes)) == 500
    assert all(code.startswith("WEB-") and len(code) == 20 for code in answer.codes)


def test_a_replay_has_the_same_codes_whatever_became_of_them(both: Stage) -> None:
    request = reserve(4, expire_after=Duration(seconds=60))
    first = both.answer(request)
    both.answer(issue(first.codes[2]))
    both.answer(v1.ReleaseCodesRequest(codes=[first.codes[0]]))
    both.clock.advance(120)
    # Its time is over, so it may be taken as if it had never been reserved.
    both.answer(issue(first.codes[1]))
    again = both.call(request)
    assert again.replayed
    assert list(again.message.codes) == list(first.codes)
    assert again.message.reservation == first.reservation
    released = both.answer(v1.ReleaseCodesRequest(reservation=first.reservation.name))
    counts = released.reservation
    assert (counts.code_count, counts.used_count, counts.released_count) == (4, 2, 2)
    heard = both.call(issue(first.codes[3], require_reserved_code=True))
    assert heard.reason == "CODE_NOT_RESERVED"


def test_one_of_many_gets_a_reserved_code(both: Stage) -> None:
    codes = both.answer(reserve(8)).codes
    for code in codes:
        heard = together(both, [issue(code, require_reserved_code=True) for _ in range(16)])
        assert Counter(each.reason for each in heard) == {"": 1, "CODE_EXISTS": 15}


def test_a_reserved_code_keeps_its_spelling(both: Stage) -> None:
    (code,) = both.answer(reserve(code_format=WEB, program="")).codes
    request = issue(f" {code.lower().replace('-', ' ')}")
    first = both.answer(request).gift_card
    assert first.code == code
    again = both.call(request)
    assert again.replayed
    assert again.message.gift_card.code == code


def test_a_reservation_is_its_merchants_alone(both: Stage) -> None:
    made = both.answer(reserve(2))
    name = made.reservation.name
    for token, book in (("other", None), ("own", "training")):
        heard = both.call(
            v1.ReleaseCodesRequest(reservation=name, request_id=unique()), token, book=book
        )
        assert heard.reason == "CODE_RESERVATION_NOT_FOUND"
        by_code = v1.ReleaseCodesRequest(codes=list(made.codes), request_id=unique())
        assert both.answer(by_code, token, book=book).released_count == 0
        taken = both.call(issue(made.codes[0], require_reserved_code=True), token, book=book)
        assert taken.reason == "CODE_NOT_RESERVED"
        # The same code is another one in another merchant's or book's hands.
        assert both.call(issue(made.codes[0]), token, book=book).code == "OK"
    assert both.answer(issue(made.codes[0], require_reserved_code=True)).gift_card.code
    assert both.answer(v1.ReleaseCodesRequest(reservation=name)).released_count == 1


def test_reserved_codes_survive_a_crash(both: Stage) -> None:
    request = reserve(3)
    first = both.answer(request)
    both.restart(kill=True)
    again = both.call(request)
    assert again.replayed
    assert list(again.message.codes) == list(first.codes)
    assert both.answer(issue(first.codes[0], require_reserved_code=True)).gift_card.code


# Points


def test_points_are_spent_with_the_scope_to_redeem(both: Stage) -> None:
    both.answer(v1.CreateCustomerRequest(customer_id="scopes"))
    both.thread.add("seller", principal("own", "seller", SCOPES.replace("REDEEM ", "")))
    request = issue("", customer="customers/scopes", points_to_redeem=1)
    heard = both.call(request, "seller")
    assert (heard.code, heard.reason) == ("PERMISSION_DENIED", "SCOPE_MISSING")
    assert heard.metadata == {"scope": "REDEEM"}
    assert both.call(request).reason == "POINTS_NOT_ALLOWED"


def test_customers_are_their_merchants_and_books_alone(both: Stage) -> None:
    places = (("own", None), ("own", "training"), ("other", None))
    for points, (token, book) in enumerate(places, start=1):
        both.answer(v1.CreateCustomerRequest(customer_id="place"), token, book=book)
        earn = v1.EarnPointsRequest(customer="customers/place", points=points)
        both.answer(earn, token, book=book)
    for points, (token, book) in enumerate(places, start=1):
        get = v1.GetCustomerRequest(name="customers/place")
        assert both.answer(get, token, book=book).point_balance == points


def test_customers_are_listed_by_number_and_never_as_cards(both: Stage) -> None:
    both.thread.add("lister", principal("lister", "till", SCOPES))
    both.answer(
        v1.CreateMerchantRequest(
            merchant_id="lister", merchant=v1.Merchant(display_name="L", time_zone="UTC")
        ),
        "platform",
    )
    for number in ("3", "10", "2"):
        both.answer(v1.CreateCustomerRequest(customer_id=number), "lister")
    found, token = [], ""
    while True:
        request = v1.ListCustomersRequest(page_size=2, page_token=token)
        page = both.answer(request, "lister")
        found += [customer.name for customer in page.customers]
        token = page.next_page_token
        if not token:
            break
    assert found == ["customers/10", "customers/2", "customers/3"]
    assert not both.answer(v1.ListGiftCardsRequest(), "lister").gift_cards
    heard = both.call(v1.ListHoldsRequest(page_token="AAAA"), "lister")
    assert heard.reason == "PAGE_TOKEN_INVALID"


def test_64_purchases_with_the_points_for_eight(both: Stage) -> None:
    program = v1.Program(currency_code="USD", points_per_major_unit=100)
    both.answer(v1.CreateProgramRequest(program_id="RUSH", program=program))
    both.answer(v1.CreateCustomerRequest(customer_id="rush"))
    both.answer(v1.EarnPointsRequest(customer="customers/rush", points=4_000))
    heard = together(both, [
        issue("", program="programs/RUSH", customer="customers/rush", points_to_redeem=500)
        for _ in range(64)
    ])  # fmt: skip
    assert Counter(each.reason for each in heard) == {"": 8, "INSUFFICIENT_POINTS": 56}
    left = both.answer(v1.GetCustomerRequest(name="customers/rush"))
    assert left.point_balance == left.available_points == 0


# Certificates


def scanned(answer: v1.RenderCertificateResponse) -> dict[str, str]:
    """Kind of code -> what it says, as a scanner reads it off the picture or the drawn page."""
    if answer.content_type == "application/pdf":
        picture: Image.Image = pypdfium2.PdfDocument(answer.content)[0].render(scale=3).to_pil()
    else:
        picture = Image.open(io.BytesIO(answer.content))
        assert Image.MIME[str(picture.format)] == answer.content_type
    found = zxingcpp.read_barcodes(picture.convert("RGB"))
    return {str(each.format).replace(" ", ""): each.text for each in found}


@pytest.mark.parametrize(("form", "content_type"), FORMS.items())
def test_a_certificate_carries_the_code(edge: Stage, form: int, content_type: str) -> None:
    card = edge.issue(7500, code_format=WEB)
    for reference in (v1.GiftCardReference(name=card.name), v1.GiftCardReference(code=card.code)):
        request = v1.RenderCertificateRequest(gift_card=reference, format=form)  # type: ignore[arg-type]
        answer = edge.answer(request)
        assert answer.content_type == content_type
        assert scanned(answer) == {"Code128": card.code, "QRCode": card.code}


def test_a_certificate_says_who_what_until_when_and_where(edge: Stage) -> None:
    place = v1.Location(display_name="Am Graben", country_code="AT", time_zone="Europe/Vienna")
    edge.answer(v1.CreateLocationRequest(location_id="graben", location=place))
    program = v1.Program(
        currency_code="EUR", display_name="Bücherscheck",
        validity=v1.Program.Validity(months=36), certificate_color="#C8102E",
    )  # fmt: skip
    edge.answer(v1.CreateProgramRequest(program_id="BOOKS", program=program))
    issued = edge.answer(v1.IssueGiftCardRequest(
        program="programs/BOOKS", amount=v1.Money(minor_units=12_345, currency_code="EUR"),
        context=v1.CallContext(location="locations/graben"),
    )).gift_card  # fmt: skip
    request = v1.RenderCertificateRequest(
        gift_card=v1.GiftCardReference(name=issued.name), format=v1.RenderCertificateRequest.PDF
    )
    page = pypdfium2.PdfDocument(edge.answer(request).content)[0]
    words = page.get_textpage().get_text_range()
    last = issued.valid_until
    for each in ("own", "Bücherscheck", "123.45", "EUR", f"{last.day} ", str(last.year),
                 "Am Graben"):  # fmt: skip
        assert each in words


def test_a_certificate_shows_what_the_card_is_worth_now(edge: Stage) -> None:
    card = edge.issue(5000)
    redeem = v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(name=card.name), amount=usd(1999)
    )
    edge.answer(redeem)
    request = v1.RenderCertificateRequest(
        gift_card=v1.GiftCardReference(name=card.name), format=v1.RenderCertificateRequest.PDF
    )
    page = pypdfium2.PdfDocument(edge.answer(request).content)[0]
    assert "30.01" in page.get_textpage().get_text_range()


def test_the_pin_is_wanted_with_the_code_and_not_with_the_name(edge: Stage) -> None:
    card = edge.issue(100, program="programs/PIN", pin="1234", code="CERT-PIN")

    def draw(**reference: str) -> Heard:
        return edge.call(v1.RenderCertificateRequest(gift_card=v1.GiftCardReference(**reference)))

    assert draw(code="CERT-PIN").reason == "PIN_REQUIRED"
    assert draw(code="CERT-PIN", pin="9999").reason == "PIN_INCORRECT"
    assert draw(code="CERT-PIN", pin="1234").code == "OK"
    assert draw(name=card.name).code == "OK"


def test_a_code_that_is_not_stored_is_not_printed(edge: Stage) -> None:
    card = edge.issue(100, code="HASH-ONLY")
    card_id = card.name.removeprefix("giftCards/")
    with edge.thread.database.connect_reader() as reader:
        assert reader.exec_driver_sql(
            "SELECT length(ciphertext) FROM code WHERE card_id = ?", (card_id,)
        ).scalar_one()
    sealed = "UPDATE code SET ciphertext = X'' WHERE card_id = ?"
    with edge.thread.database.writer.begin() as writer:
        writer.exec_driver_sql(sealed, (card_id,))
    reference = v1.GiftCardReference(name=card.name)
    heard = edge.call(v1.RenderCertificateRequest(gift_card=reference))
    assert (heard.code, heard.reason) == ("FAILED_PRECONDITION", "CODE_NOT_STORED")


def test_another_merchants_card_has_no_certificate(edge: Stage) -> None:
    theirs = edge.issue(100, "other")
    reference = v1.GiftCardReference(name=theirs.name)
    heard = edge.call(v1.RenderCertificateRequest(gift_card=reference))
    assert heard.reason == "GIFT_CARD_NOT_FOUND"


def test_the_books_are_in_order_after_all_of_it(both: Stage) -> None:
    report = verify(both.thread.database)
    assert report.ok, [str(problem) for problem in report.problems]
    assert report.counts["reserved codes"] > 500
