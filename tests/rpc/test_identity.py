"""Who may do what: credentials, scopes, stores, merchants and books."""

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import pytest
from giftcard import v1
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.operations import SECOND
from tests.rpc.edge_stage import SCOPES, SERVICE, Stage, unique, usd
from tests.rpc.server_thread import principal

UNKNOWN_ID: Final = "0" * 32
READ = v1.ListGiftCardsRequest()


def basic(login: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode()).decode()


# Credentials


def client_of(stage: Stage, name: str) -> str:
    """A new API client of "own"; returns its resource name."""
    created = stage.answer(
        v1.CreateApiClientRequest(
            parent="merchants/own",
            api_client_id=name,
            api_client=v1.ApiClient(scopes=[v1.ApiClient.READ]),
        )
    )
    resource: str = created.name
    return resource


def credential_of(stage: Stage, client: str, password: str = "", **parts: Any) -> v1.Credential:
    request = v1.CreateCredentialRequest(
        parent=client, credential=v1.Credential(**parts), password=password
    )
    made: v1.Credential = stage.answer(request)
    return made


@pytest.fixture(scope="module")
def headers(both: Stage) -> dict[str, str]:
    """Authorization headers by what is wrong with them; "token" and "password" are right."""
    usable = client_of(both, "usable")
    token = credential_of(both, usable, kind=v1.Credential.TOKEN)
    credential_of(both, usable, "right password", kind=v1.Credential.PASSWORD, login="login-1")
    end = Timestamp(seconds=both.clock.now // SECOND + 60)
    expired = credential_of(both, usable, kind=v1.Credential.TOKEN, expire_time=end)
    revoked = credential_of(both, client_of(both, "revoked"), kind=v1.Credential.TOKEN)
    both.answer(v1.RevokeCredentialRequest(name=revoked.name))
    disabled_client = client_of(both, "disabled")
    disabled = credential_of(both, disabled_client, kind=v1.Credential.TOKEN)
    both.answer(
        v1.UpdateApiClientRequest(
            api_client=v1.ApiClient(name=disabled_client, state=v1.ApiClient.DISABLED),
            update_mask=FieldMask(paths=["state"]),
        )
    )
    both.clock.advance(60)
    return {
        "token": f"Bearer {token.secret}",
        "token, scheme in capitals": f"BEARER {token.secret}",
        "password": basic("login-1", "right password"),
        "empty": "",
        "no scheme": token.secret,
        "no secret": "Bearer",
        "blank secret": "Bearer ",
        "two blanks": f"Bearer  {token.secret}",
        "other scheme": f"Token {token.secret}",
        "too long": "Bearer " + "x" * 600,
        "unknown token": "Bearer gct_" + "A" * 43,
        "altered token": f"Bearer {token.secret[:-1]}",
        "hash of the token": "Bearer " + "0" * 64,
        "expired": f"Bearer {expired.secret}",
        "revoked": f"Bearer {revoked.secret}",
        "disabled client": f"Bearer {disabled.secret}",
        "wrong password": basic("login-1", "wrong password"),
        "no password": basic("login-1", ""),
        "unknown login": basic("login-2", "right password"),
        "no login": basic("", "right password"),
        "login with NUL": basic("login-1\0", "right password"),
        "token as password": basic("login-1", token.secret),
        "not base64": "Basic !!!",
        "base64 of no text": "Basic /////w==",
        "base64 without colon": "Basic " + base64.b64encode(b"login-1").decode(),
    }


RIGHT: Final = ("token", "token, scheme in capitals", "password")


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_credential_is_let_in(both: Stage, headers: dict[str, str], name: str) -> None:
    metadata = (("authorization", headers[name]),)
    assert both.call(READ, None, metadata=metadata).code == "OK"


def test_whatever_is_wrong_with_a_credential_the_answer_is_the_same(
    both: Stage, headers: dict[str, str]
) -> None:
    nobody = both.call(READ, None)
    assert (nobody.code, nobody.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    assert nobody.details == ("ErrorInfo",)
    assert nobody.metadata == {}
    for name, header in headers.items():
        if name not in RIGHT:
            heard = both.call(READ, None, metadata=(("authorization", header),))
            assert (name, heard.raw) == (name, nobody.raw)


def test_two_credentials_are_none(both: Stage, headers: dict[str, str]) -> None:
    """A proxy may have looked at the other one."""
    for first, second in (("token", "password"), ("token", "token"), ("unknown token", "token")):
        sent = (("authorization", headers[first]), ("authorization", headers[second]))
        assert both.call(READ, None, metadata=sent).reason == "UNAUTHENTICATED"


def test_who_is_unknown_is_not_told_what_else_is_wrong(both: Stage) -> None:
    """The credential comes before the method's scope, the message and the book."""
    path = f"/{SERVICE}/RedeemGiftCard"
    book = (("giftcard-book", "nonsense"),)
    for data in (b"", b"\xff", b"x" * 70_000):
        assert both.raw(path, data, "unknown", book).reason == "UNAUTHENTICATED"


def test_a_revoked_credential_ends_within_five_seconds(both: Stage) -> None:
    made = credential_of(both, client_of(both, unique("client")), kind=v1.Credential.TOKEN)
    assert both.call(READ, made.secret).code == "OK"
    both.answer(v1.RevokeCredentialRequest(name=made.name))
    deadline = time.monotonic() + 5
    while both.call(READ, made.secret).code == "OK":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert both.call(READ, made.secret).reason == "UNAUTHENTICATED"


# Scopes


def test_a_client_undoes_its_own_and_needs_a_scope_for_what_others_did(edge: Stage) -> None:
    edge.thread.add("modest", principal("own", "modest", "REDEEM"))
    edge.thread.add("manager", principal("own", "manager", "MANAGE"))
    card = v1.GiftCardReference(name=edge.issue(1000).name)
    theirs = edge.answer(v1.RedeemGiftCardRequest(gift_card=card, amount=usd(10)))
    own = edge.answer(v1.RedeemGiftCardRequest(gift_card=card, amount=usd(10)), "modest")
    mine = v1.ReverseTransactionRequest(transaction=own.transaction.name)
    other = v1.ReverseTransactionRequest(transaction=theirs.transaction.name, request_id="undo")
    reversed_ = v1.ReverseTransactionResponse.REVERSED
    assert edge.answer(mine, "modest").outcome == reversed_
    assert edge.call(other, "modest").reason == "SCOPE_MISSING"
    assert edge.answer(other, "manager").outcome == reversed_


def test_request_ids_belong_to_their_client(edge: Stage) -> None:
    edge.thread.add("second", principal("own", "second", SCOPES))
    card = v1.GiftCardReference(name=edge.issue(1000).name)
    request = v1.RedeemGiftCardRequest(gift_card=card, amount=usd(10), request_id=unique())
    look_up = v1.LookupTransactionRequest(request_id=request.request_id)
    first = edge.answer(request)
    assert edge.answer(look_up, "second").state == v1.LookupTransactionResponse.NOT_SEEN
    again = edge.answer(request, "second")
    assert not again.replayed
    assert again.transaction.name != first.transaction.name
    assert again.gift_card.balance == usd(980)


# Stores


def test_a_client_of_one_store_is_always_there(edge: Stage) -> None:
    place = v1.Location(country_code="AT", time_zone="UTC")
    edge.answer(v1.CreateLocationRequest(location_id="web", location=place))
    edge.thread.add("in-the-shop", principal("own", "bound", SCOPES, location="shop"))
    card = v1.GiftCardReference(name=edge.issue(1000).name)

    def redeem(location: str) -> Any:
        return edge.call(
            v1.RedeemGiftCardRequest(
                gift_card=card,
                amount=usd(1),
                context=v1.CallContext(location=location),
                request_id=unique(),
            ),
            "in-the-shop",
        )

    for location in ("", "locations/shop"):
        assert redeem(location).message.transaction.context.location == "locations/shop"
    rows = edge.rows()
    for location in ("locations/web", "locations/none"):
        heard = redeem(location)
        assert (heard.code, heard.reason) == ("PERMISSION_DENIED", "LOCATION_FORBIDDEN")
        assert heard.metadata == {"location": "locations/shop"}
    assert edge.rows() == rows


def test_an_administrator_of_one_store_gives_no_reach_beyond_it(edge: Stage) -> None:
    place = v1.Location(country_code="AT", time_zone="UTC")
    edge.answer(v1.CreateLocationRequest(location_id="far", location=place))
    edge.thread.add("store-admin", principal("own", "boss", SCOPES, location="shop"))
    parent = "merchants/own"

    def create(name: str, location: str, who: str) -> Any:
        wanted = v1.ApiClient(scopes=[v1.ApiClient.READ], location=location)
        return edge.call(
            v1.CreateApiClientRequest(
                parent=parent, api_client_id=name, api_client=wanted, request_id=unique()
            ),
            who,
        )

    assert create("inside", "locations/shop", "store-admin").code == "OK"
    assert create("outside", "", "own").code == "OK"
    outside = f"{parent}/apiClients/outside"
    token = credential_of(edge, outside, kind=v1.Credential.TOKEN)
    moved = v1.ApiClient(name=f"{parent}/apiClients/inside")
    requests = (
        v1.UpdateApiClientRequest(api_client=moved, update_mask=FieldMask(paths=["location"])),
        v1.UpdateApiClientRequest(api_client=v1.ApiClient(name=outside, display_name="mine")),
        v1.CreateCredentialRequest(
            parent=outside, credential=v1.Credential(kind=v1.Credential.TOKEN)
        ),
        v1.RotateCredentialRequest(name=token.name),
        v1.RevokeCredentialRequest(name=token.name),
    )
    rows = edge.rows()
    for request in requests:
        request.request_id = unique()
        heard = edge.call(request, "store-admin")
        assert (heard.code, heard.reason) == ("PERMISSION_DENIED", "LOCATION_FORBIDDEN"), request
    for location in ("", "locations/far"):
        assert create("more", location, "store-admin").reason == "LOCATION_FORBIDDEN"
    assert edge.rows() == rows
    assert edge.call(READ, token.secret).code == "OK"


# Merchants and books


@dataclass(frozen=True, slots=True)
class Things:
    """What somebody has: a card by name and code, a hold, a transaction and its request id."""

    card: str
    code: str
    hold: str
    transaction: str
    request_id: str

    def by_code(self) -> v1.GiftCardReference:
        return v1.GiftCardReference(code=self.code)

    def by_name(self) -> v1.GiftCardReference:
        return v1.GiftCardReference(name=self.card)


NOTHING = Things(
    f"giftCards/{UNKNOWN_ID}", "NOBODYS-CODE", f"holds/{UNKNOWN_ID}",
    f"transactions/{UNKNOWN_ID}", "never-sent",
)  # fmt: skip

#: Every way to name something of somebody else's; `mine` is a card that the caller may use.
REACHES: Final[dict[str, Callable[[Things, v1.GiftCardReference], Message]]] = {
    "activate": lambda t, mine: v1.ActivateGiftCardRequest(gift_card=t.by_code(), amount=usd(1)),
    "get": lambda t, mine: v1.GetGiftCardRequest(name=t.card),
    "lookup by code": lambda t, mine: v1.LookupGiftCardRequest(gift_card=t.by_code()),
    "lookup by name": lambda t, mine: v1.LookupGiftCardRequest(gift_card=t.by_name()),
    "update": lambda t, mine: v1.UpdateGiftCardRequest(
        gift_card=v1.GiftCard(name=t.card, batch="stolen")),
    "load by code": lambda t, mine: v1.LoadGiftCardRequest(gift_card=t.by_code(), amount=usd(1)),
    "load by name": lambda t, mine: v1.LoadGiftCardRequest(gift_card=t.by_name(), amount=usd(1)),
    "redeem by code": lambda t, mine: v1.RedeemGiftCardRequest(
        gift_card=t.by_code(), amount=usd(1)),
    "redeem by name": lambda t, mine: v1.RedeemGiftCardRequest(
        gift_card=t.by_name(), amount=usd(1)),
    "redeem many": lambda t, mine: v1.RedeemGiftCardsRequest(
        gift_cards=[mine, t.by_name()], amount=usd(1)),
    "refund by name": lambda t, mine: v1.RefundGiftCardRequest(
        transaction=t.transaction, amount=usd(1)),
    "refund by request id": lambda t, mine: v1.RefundGiftCardRequest(
        original_request_id=t.request_id, amount=usd(1)),
    "authorize": lambda t, mine: v1.AuthorizeGiftCardRequest(
        gift_card=t.by_code(), whole_balance=True),
    "capture": lambda t, mine: v1.CaptureHoldRequest(name=t.hold),
    "void": lambda t, mine: v1.VoidHoldRequest(name=t.hold),
    "get hold": lambda t, mine: v1.GetHoldRequest(name=t.hold),
    "list holds": lambda t, mine: v1.ListHoldsRequest(gift_card=t.card),
    "reverse": lambda t, mine: v1.ReverseTransactionRequest(transaction=t.transaction),
    "look up": lambda t, mine: v1.LookupTransactionRequest(request_id=t.request_id),
    "get transaction": lambda t, mine: v1.GetTransactionRequest(name=t.transaction),
    "list transactions": lambda t, mine: v1.ListTransactionsRequest(gift_card=t.card),
    "lock": lambda t, mine: v1.LockGiftCardRequest(gift_card=t.by_code()),
    "unlock": lambda t, mine: v1.UnlockGiftCardRequest(gift_card=t.by_name()),
    "close": lambda t, mine: v1.CloseGiftCardRequest(
        gift_card=t.by_code(), disposition=v1.CloseGiftCardRequest.BREAKAGE),
    "close into it": lambda t, mine: v1.CloseGiftCardRequest(
        gift_card=mine, disposition=v1.CloseGiftCardRequest.TRANSFER,
        transfer_target=t.by_code()),
    "transfer from it": lambda t, mine: v1.TransferBalanceRequest(
        source=t.by_code(), target=mine),
    "transfer to it": lambda t, mine: v1.TransferBalanceRequest(source=mine, target=t.by_name()),
    "adjust": lambda t, mine: v1.AdjustGiftCardRequest(
        gift_card=t.by_code(), amount=usd(-1), context=v1.CallContext(reason="why")),
}  # fmt: skip


@pytest.fixture(scope="module")
def theirs(edge: Stage) -> Things:
    """What the client "own" has in the live book."""
    card = edge.issue(5000, code="OWN-CODE-1")
    reference = v1.GiftCardReference(name=card.name)
    hold = edge.answer(v1.AuthorizeGiftCardRequest(gift_card=reference, amount=usd(100))).hold
    sale = edge.answer(
        v1.RedeemGiftCardRequest(gift_card=reference, amount=usd(100), request_id="own-sale")
    )
    return Things(card.name, "OWN-CODE-1", hold.name, sale.transaction.name, "own-sale")


STRANGERS: Final = {
    "another merchant": {"token": "other"},
    "the training book": {"token": "own", "book": "training"},
}


@pytest.mark.parametrize("stranger", STRANGERS)
@pytest.mark.parametrize("way", REACHES)
def test_what_is_not_yours_looks_like_what_is_not_there(
    edge: Stage, theirs: Things, stranger: str, way: str
) -> None:
    who: dict[str, Any] = STRANGERS[stranger]
    before = edge.answer(v1.GetGiftCardRequest(name=theirs.card))
    mine = v1.GiftCardReference(name=edge.issue(500, **who).name)
    answers = []
    for things in (theirs, NOTHING):
        request = REACHES[way](things, mine)
        if "request_id" in request.DESCRIPTOR.fields_by_name and way != "look up":
            request.request_id = unique()  # type: ignore[attr-defined]
        rows = edge.rows()
        answers.append(edge.call(request, **who))
        assert edge.rows() == rows
    assert answers[0] == answers[1]
    assert answers[0].code == "NOT_FOUND" or answers[0].message.ByteSize() <= 2
    assert edge.answer(v1.GetGiftCardRequest(name=theirs.card)) == before


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_request_id_of_somebody_else_cannot_be_reversed(
    edge: Stage, theirs: Things, stranger: str
) -> None:
    who: dict[str, Any] = STRANGERS[stranger]
    request = v1.ReverseTransactionRequest(original_request_id=theirs.request_id)
    tombstoned = v1.ReverseTransactionResponse.TOMBSTONED
    assert edge.answer(request, **who).outcome == tombstoned
    found = edge.answer(v1.GetTransactionRequest(name=theirs.transaction))
    assert (found.state, found.reversal_transaction) == (v1.Transaction.APPROVED, "")


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_code_that_somebody_else_has_is_free(edge: Stage, theirs: Things, stranger: str) -> None:
    who: dict[str, Any] = STRANGERS[stranger]
    mine = edge.issue(77, code=theirs.code, **who)
    look_up = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=theirs.code))
    assert edge.answer(look_up, **who).gift_card.name == mine.name != theirs.card
    assert edge.answer(look_up).gift_card.name == theirs.card


@pytest.mark.parametrize("stranger", STRANGERS)
def test_lists_show_ones_own_only(edge: Stage, theirs: Things, stranger: str) -> None:
    who: dict[str, Any] = STRANGERS[stranger]
    cards = {card.name for card in edge.answer(v1.ListGiftCardsRequest(), **who).gift_cards}
    holds = {hold.name for hold in edge.answer(v1.ListHoldsRequest(), **who).holds}
    listed = edge.answer(v1.ListTransactionsRequest(page_size=1000), **who).transactions
    assert not {theirs.card} & cards
    assert not {theirs.hold} & holds
    assert not {theirs.transaction} & {each.name for each in listed}
    book = v1.GiftCard.TRAINING if "book" in who else v1.GiftCard.LIVE
    merchant = "merchants/other/" if stranger == "another merchant" else "merchants/own/"
    assert {each.book for each in listed} <= {book}
    assert all(each.api_client.startswith(merchant) for each in listed)


def test_programs_and_locations_of_another_merchant_are_unknown(edge: Stage) -> None:
    edge.answer(
        v1.CreateProgramRequest(program_id="THEIRS", program=v1.Program(currency_code="USD")),
        "other",
    )
    place = v1.Location(country_code="AT", time_zone="UTC")
    edge.answer(v1.CreateLocationRequest(location_id="theirs", location=place), "other")
    issue = v1.IssueGiftCardRequest(program="programs/THEIRS", amount=usd(1), request_id="t-1")
    there = v1.CallContext(location="locations/theirs")
    at = v1.IssueGiftCardRequest(
        program="programs/GC", amount=usd(1), context=there, request_id="t-2"
    )
    assert edge.call(issue).reason == "PROGRAM_NOT_FOUND"
    assert edge.call(at).reason == "LOCATION_NOT_FOUND"
    assert edge.call(issue, "other").code == "OK"
    assert edge.call(at, "other").code == "OK"
