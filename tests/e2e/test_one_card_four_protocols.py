"""One card, sold, read, authorised, paid and closed through four APIs: one balance everywhere."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import grpc
from giftcard import v1

from compat_http.strict_json import exact_number as n
from tests.compat import speak
from tests.compat.stage import Said, ShimServer
from tests.faults.checks import check_books
from tests.grpc_server import GrpcServer

CARD: Final = "77FOUR0001"
_SERVICE_TOKEN: Final = (("authorization", "Bearer demo-service-token"),)


@dataclass(frozen=True, slots=True)
class Shown:
    """The three figures of a card; None where a protocol does not show one."""

    balance: str | None
    held: str | None
    available: str | None


def ok(said: Said, status: int = 200) -> Said:
    assert said.status == status, said.body
    return said


def amount(value: object) -> str:
    return f"{Decimal(str(value)):.2f}"


def shown(shim: str, stub: Any) -> dict[str, Shown]:
    """What each protocol says of the card now."""
    till = ok(speak.retail7(shim, "STATUS", CARD, "look")).json
    shop = ok(speak.cp(shim, f"/Giftcard/{CARD}/BalanceCheck")).json["GiftCard"]
    kiosk = ok(speak.resico(shim, "GET", f"/cards/{CARD}")).json
    depot = ok(speak.iwarehouse(shim, card=CARD.lower())).json
    card = lookup(stub)
    figures = (card.balance, card.held, card.available)
    return {
        "retail7": Shown(amount(till["balance"]), None, amount(till["availableBalance"])),
        "cp": Shown(*(amount(shop[m]) for m in ("Balance", "OpenAuthorizations",
                                                "AvailableBalance"))),
        "resico": Shown(*(amount(kiosk[m]) for m in ("currentBalance", "reservedBalance",
                                                     "availableBalance"))),
        "iwarehouse": Shown(None, None, amount(depot["CardBalance"])),
        "grpc": Shown(*(amount(Decimal(each.minor_units) / 100) for each in figures)),
    }  # fmt: skip


def lookup(stub: Any) -> Any:
    request = v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=CARD))
    return stub.LookupGiftCard(request, metadata=_SERVICE_TOKEN, timeout=20).gift_card


def test_one_card_four_protocols(database_url: str, tmp_path: Path) -> None:
    with (
        GrpcServer(database_url, tmp_path, environment={"GIFTCARD_DEMO": "1"}) as server,
        ShimServer(server.start(), tmp_path) as shim,
    ):
        address = shim.start()
        channel: Any
        with grpc.insecure_channel(server.address) as channel:
            _live(address, v1.GiftCardServiceStub(channel))
        assert shim.stop() == 0
        assert server.stop() == 0
    check_books(database_url)


def _live(shim: str, stub: Any) -> None:
    def everywhere(balance: str, held: str, available: str) -> None:
        for protocol, figures in shown(shim, stub).items():
            for name, expected in (("balance", balance), ("held", held), ("available", available)):
                told = getattr(figures, name)
                assert told in (None, expected), f"{protocol} shows {figures}, not {expected}"

    ok(speak.retail7(shim, "SELL", CARD, "S1", amount=n("100.00"), issuedByClient=True))
    everywhere("100.00", "0.00", "100.00")

    assert ok(speak.iwarehouse(shim, card=CARD.lower())).json["CardCode"] == CARD

    wanted: dict[str, Any] = {
        "Type": "giftcard",
        "Ref": CARD,
        "SaleId": "WB-1",
        "RequestedAmount": n("40.00"),
    }
    authorized = ok(speak.cp(shim, "/Giftcard/Authorize", **wanted))
    assert b'"AuthorizedAmount":40.00' in authorized.body.replace(b" ", b"")
    everywhere("100.00", "40.00", "60.00")
    code = authorized.json["AuthCode"]
    ok(speak.cp(shim, "/Authorize/Confirm", Ref=CARD, AuthCode=code), 204)
    everywhere("60.00", "0.00", "60.00")

    pay = f"/transactions/{speak.CONSUMER}/cards/{CARD}"
    refused = speak.resico(shim, "POST", pay, amount=n("60.01"))
    assert (refused.status, refused.json["error"]) == (422, "INSUFFICIENT_FUNDS")
    ok(speak.resico(shim, "POST", pay, amount=n("59.99")))
    everywhere("0.01", "0.00", "0.01")
    ok(speak.resico(shim, "POST", pay, amount=n("0.01")))
    everywhere("0.00", "0.00", "0.00")

    closed = ok(speak.retail7(shim, "CLOSE", CARD, "C1")).json
    assert (closed["cardStatus"], closed["balance"]) == ("Closed", 0)
    everywhere("0.00", "0.00", "0.00")
    assert lookup(stub).state == v1.GiftCard.CLOSED
    assert _words(shim) == {"retail7": "Closed", "cp": "voided", "resico": "Closed",
                            "iwarehouse": False}  # fmt: skip
    moved = stub.ListTransactions(
        v1.ListTransactionsRequest(gift_card=lookup(stub).name), metadata=_SERVICE_TOKEN, timeout=20
    )
    kinds = sorted(v1.Transaction.Kind.Name(each.kind) for each in moved.transactions
                   if each.state == v1.Transaction.APPROVED)  # fmt: skip
    assert kinds == ["AUTHORIZE", "CAPTURE", "CLOSE", "ISSUE", "REDEEM", "REDEEM"]


def _words(shim: str) -> dict[str, object]:
    """How each protocol says what the card's state is."""
    return {
        "retail7": ok(speak.retail7(shim, "STATUS", CARD, "look")).json["cardStatus"],
        "cp": ok(speak.cp(shim, f"/giftcard/balancecheck/{CARD}")).json["GiftCard"]["Status"],
        "resico": ok(speak.resico(shim, "GET", f"/cards/{CARD}")).json["status"],
        "iwarehouse": ok(speak.iwarehouse(shim, card=CARD)).json["CardActive"],
    }
