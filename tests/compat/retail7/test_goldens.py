"""RETAIL7 over real HTTP against the real server: each conversation is a golden on disk.

Every scenario makes its own cards, so that none depends on another.
"""

import re
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

import pytest

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.goldens import Goldens, Step
from tests.compat.retail7.messages import message
from tests.compat.stage import ShimServer, basic

PATH: Final = "/retail7/giftcards"
TILL: Final = basic("demo-pos", "demo-pos")
VOLATILE: Final = (
    (re.compile(r'"transactionID":"[0-9a-f]{32}"'), '"transactionID":"…"'),
    (re.compile(r'"timestamp":"[0-9T:.-]+Z"'), '"timestamp":"…"'),
)


def post(body: str, **headers: str) -> Step:
    return Step("POST", PATH, body, headers or TILL)


def ask(operation: str, card: str, request_id: str, **members: Any) -> Step:
    """One message of the till, about a card of its scenario."""
    whole = message(operation, cardID=card, requestIDExternal=f"{card}/{request_id}", **members)
    return post(write(whole).decode())


def sell(card: str, **members: Any) -> Step:
    """Issues the card with 25.00, which every scenario starts with."""
    base = {"amount": n("25.00"), "issuedByClient": True}
    return ask("SELL", card, "0", **{**base, **members})


SCENARIOS: Final[dict[str, list[Step]]] = {
    # Operations
    "status": [sell("77STATUS01"), ask("STATUS", "77STATUS01", "1")],
    "sell-issued-by-client": [
        ask("SELL", "77SELL0001", "1", amount="25.00", issuedByClient="True", cardTypeCode="GC",
            maxBalance="100.00", reloadAllowed="false", returnAllowed=True, partRedeemAllowed=True,
            validFrom="2026-01-01", validUntil="2099-12-31", reason="gift"),
        ask("SELL", "77SELL0002", "1", issuedByClient=True),
    ],
    "create-and-sell": [
        ask("CREATE", "77CREATE01", "1", validUntil="2099-12-31", reloadAllowed=False),
        ask("STATUS", "77CREATE01", "2"),
        ask("SELL", "77CREATE01", "3"),
    ],
    "load": [sell("77LOAD0001"), ask("LOAD", "77LOAD0001", "1", amount=n("5.5"))],
    "redeem": [
        sell("77REDEEM01"),
        ask("REDEEM", "77REDEEM01", "1"),
        ask("REDEEM", "77REDEEM01", "2", amount=n("20.00")),
    ],
    "update": [
        sell("77UPDATE01"),
        ask("UPDATE", "77UPDATE01", "1", reloadAllowed=False, maxBalance=n("50.00"),
            validFrom="2026-01-01", validUntil="2099-12-31"),
        ask("LOAD", "77UPDATE01", "2"),
    ],
    "lock-and-unlock": [
        sell("77LOCK0001"),
        ask("LOCK", "77LOCK0001", "1", reason="lost"),
        ask("LOCK", "77LOCK0001", "2"),
        ask("REDEEM", "77LOCK0001", "3"),
        ask("UNLOCK", "77LOCK0001", "4"),
        ask("REDEEM", "77LOCK0001", "5"),
    ],
    "close": [
        sell("77CLOSE001"),
        ask("CLOSE", "77CLOSE001", "1"),
        ask("REDEEM", "77CLOSE001", "2", amount=n("25.00")),
        ask("CLOSE", "77CLOSE001", "3"),
        ask("CLOSE", "77CLOSE001", "4"),
        ask("LOAD", "77CLOSE001", "5"),
    ],
    "return": [
        sell("77RETURN01", returnAllowed=True),
        ask("RETURN", "77RETURN01", "1"),
        ask("RETURN", "77RETURN01", "2", amount=n("25.00")),
        ask("RETURN", "77RETURN01", "2", amount=n("25.00")),
        ask("RETURN", "77RETURN01", "3", amount=n("25.00")),
        sell("77RETURN02"),
        ask("RETURN", "77RETURN02", "1", amount=n("25.00")),
        sell("77RETURN03", returnAllowed=True),
        ask("REDEEM", "77RETURN03", "1"),
        ask("RETURN", "77RETURN03", "2", amount=n("20.00")),
    ],
    "cancel": [
        sell("77CANCEL01"),
        ask("REDEEM", "77CANCEL01", "1"),
        ask("CANCEL", "77CANCEL01", "2", originalRequestIDExternal="77CANCEL01/1"),
        ask("CANCEL", "77CANCEL01", "2", originalRequestIDExternal="77CANCEL01/1"),
        ask("CANCEL", "77CANCEL01", "3", originalRequestIDExternal="77CANCEL01/1"),
        # Its repeat is not told that it was done.
        ask("REDEEM", "77CANCEL01", "1"),
    ],
    "cancel-of-a-sale": [
        sell("77CANCEL02"),
        ask("REDEEM", "77CANCEL02", "1"),
        ask("CANCEL", "77CANCEL02", "2", originalRequestIDExternal="77CANCEL02/0",
            originalOperationType=...),
        ask("STATUS", "77CANCEL02", "3"),
    ],
    "cancel-overtakes-its-original": [
        sell("77CANCEL03"),
        ask("CANCEL", "77CANCEL03", "1", originalRequestIDExternal="77CANCEL03/2"),
        ask("REDEEM", "77CANCEL03", "2"),
        ask("CANCEL", "77CANCEL03", "3", originalRequestIDExternal="77CANCEL03/4",
            originalOperationType=...),
        ask("LOAD", "77CANCEL03", "4"),
    ],
    "cancel-by-receipt": [
        sell("77CANCEL04"),
        ask("REDEEM", "77CANCEL04", "1", clientTrx="receipt-1"),
        ask("REDEEM", "77CANCEL04", "2", clientTrx="receipt-2"),
        ask("REDEEM", "77CANCEL04", "3", clientTrx="receipt-2"),
        *(
            ask("CANCEL", "77CANCEL04", f"c{number}", originalRequestIDExternal=..., amount="5.00",
                clientTrx=receipt)
            for number, receipt in enumerate(["receipt-1", "receipt-1", "receipt-2", "receipt-3"])
        ),
    ],
    "cancel-refused": [
        sell("77CANCEL05"),
        sell("77CANCEL06"),
        ask("REDEEM", "77CANCEL05", "1"),
        ask("CANCEL", "77CANCEL06", "2", originalRequestIDExternal="77CANCEL05/1"),
        ask("CANCEL", "77CANCEL05", "3", originalRequestIDExternal="77CANCEL05/1", amount="1.00"),
        ask("CANCEL", "77CANCEL05", "4", originalOperationType="STATUS"),
        ask("CANCEL", "77CANCEL05", "5", originalRequestIDExternal=...),
    ],
    "training": [
        ask("SELL", "77TRAIN001", "1", trainingFlag="true", issuedByClient=True),
        ask("STATUS", "77TRAIN001", "2", trainingFlag=True),
        ask("STATUS", "77TRAIN001", "3"),
        # The live card of the same number, under the same id.
        ask("SELL", "77TRAIN001", "1", issuedByClient=True, amount=n("7.00")),
        ask("REDEEM", "77TRAIN001", "4", trainingFlag=True),
        ask("STATUS", "77TRAIN001", "5"),
    ],
    # The request id
    "retry": [
        sell("77RETRY001"),
        sell("77RETRY001"),
        ask("REDEEM", "77RETRY001", "1"),
        ask("REDEEM", "77RETRY001", "1", timestamp="2026-03-01T12:00:00Z"),
        ask("REDEEM", "77RETRY001", "1", amount="5.00", clientCountry="us"),
        ask("REDEEM", "77RETRY001", "2", amount=n("100.00")),
        ask("REDEEM", "77RETRY001", "2", amount=n("100.00")),
        ask("STATUS", "77RETRY001", "1"),
        ask("LOAD", "77RETRY001", "1"),
    ],
    "request-id-reused": [
        sell("77REUSED01"),
        ask("REDEEM", "77REUSED01", "1"),
        ask("REDEEM", "77REUSED01", "1", amount=n("6.00")),
        ask("REDEEM", "77REUSED01", "1", clientTrx="another"),
        ask("REDEEM", "77REUSED01", "1", reason="another"),
        # Another store or client has ids of its own.
        ask("REDEEM", "77REUSED01", "1", clientStore="SHOP1"),
        ask("REDEEM", "77REUSED01", "1", clientID="8"),
    ],
    "two-spellings-of-the-request-id": [
        sell("77SPELL001"),
        post(write(message("STATUS", cardID="77SPELL001", requestIDExternal=...)
                   | {"requestIDexternal": "a"}).decode()),
        post(write(message("STATUS", cardID="77SPELL001", requestIDExternal=...)
                   | {"requestIDexternal": "a", "requestIDExternal": "b"}).decode()),
        post(write(message("STATUS", cardID="77SPELL001", requestIDExternal=...)).decode()),
    ],
    # Refusals of the service
    "not-found": [
        ask(operation, "77NOWHERE1", operation)
        for operation in ("STATUS", "SELL", "LOAD", "REDEEM", "UPDATE", "LOCK", "UNLOCK", "CLOSE",
                          "RETURN")
    ],
    "exists": [
        sell("77EXISTS01"),
        ask("SELL", "77EXISTS01", "1", issuedByClient=True),
        ask("CREATE", "77EXISTS01", "2"),
        ask("SELL", "77EXISTS01", "3"),
    ],
    "not-sold-yet": [
        ask("CREATE", "77FORSALE1", "1"),
        *(
            ask(operation, "77FORSALE1", operation)
            for operation in ("LOAD", "REDEEM", "LOCK", "UNLOCK")
        ),
    ],
    "validity": [
        sell("77VALID001", validFrom="2099-01-01"),
        ask("REDEEM", "77VALID001", "1"),
        sell("77VALID002"),
        ask("UPDATE", "77VALID002", "1", validFrom="2021-01-01", validUntil="2021-12-31"),
        ask("REDEEM", "77VALID002", "2"),
        ask("STATUS", "77VALID002", "3"),
    ],
    "currency": [
        sell("77EURO0001", currencyCode="EUR"),
        sell("77EURO0002"),
        ask("LOAD", "77EURO0002", "1", currencyCode="EUR"),
        ask("REDEEM", "77EURO0002", "2", currencyCode="EUR"),
        ask("CREATE", "77EURO0003", "3", currencyCode="EUR"),
    ],
    "rules-and-limits": [
        sell("77RULES001", amount=n("0.99")),
        sell("77RULES002", amount=n("500.01")),
        sell("77RULES003", maxBalance=n("25.00")),
        ask("LOAD", "77RULES003", "1"),
        sell("77RULES004", reloadAllowed=False),
        ask("LOAD", "77RULES004", "1"),
        sell("77RULES005", partRedeemAllowed=False),
        ask("REDEEM", "77RULES005", "1"),
        ask("REDEEM", "77RULES005", "2", amount=n("25.00")),
        ask("REDEEM", "77RULES005", "3"),
        sell("77RULES006", cardTypeCode="GC25", amount=n("30.00")),
        sell("77RULES007", cardTypeCode="GC25"),
        sell("77RULES008", cardTypeCode="UNKNOWN"),
        sell("77RULES009", clientStore="9999"),
        sell("77RULES010"),
        ask("REDEEM", "77RULES010", "1", amount=n("25.01")),
    ],
    # Refusals of the shim
    "fields": [
        ask("REDEEM", "77FIELD001", "1", amount=...),
        ask("REDEEM", "77FIELD001", "1", amount=n("5.001")),
        ask("REDEEM", "77FIELD001", "1", currencyCode="usd"),
        ask("REDEEM", "77FIELD001", "1", clientTrx="x" * 41),
        ask("REDEEM", "77FIELD001", "1", timestamp="yesterday"),
        ask("REDEEM", "77FIELD001", "1", trainingFlag="perhaps"),
        ask("REDEEM", "77FIELD001", "1", operationType="PAY"),
    ],
    "malformed": [
        post('{\n"requestIDExternal": "GC10"\n"timestamp": "2021-02-21T11:30:25.930Z"\n}'),
        post('{"amount": 5e2}'),
        post('{"amount": NaN}'),
        post('{"amount": 5, "amount": 6}'),
        post('["STATUS"]'),
        post(" "),
    ],
    "methods": [
        Step("GET", PATH, "", TILL),
        Step("HEAD", PATH, "", TILL),
        Step("PUT", PATH, "{}", TILL),
    ],
    "credentials": [
        post("{}", Accept="*/*"),
        post(write(message("STATUS")).decode(), **basic("demo-pos", "wrong")),
        post(write(message("STATUS")).decode(), **basic("nobody", "demo-pos")),
        post(write(message("STATUS")).decode(), Authorization="Bearer wrong"),
        post(write(message("STATUS")).decode(), Authorization="Digest x"),
        post(write(message("STATUS", cardID="12399")).decode(),
             Authorization="Bearer demo-service-token"),
    ],
    # A client bound to another store.
    "another-store": [
        post(write(message("REDEEM", cardID="77STORE001")).decode(), **basic("demo", "demo")),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_golden(shim: ShimServer, goldens: Goldens, name: str) -> None:
    today = datetime.now(ZoneInfo("America/New_York")).date().isoformat()
    volatile = (*VOLATILE, (re.compile(f'"validFrom":"{today}"'), '"validFrom":"(today)"'))
    goldens.check(name, shim.address, SCENARIOS[name], volatile)


def test_no_golden_is_left_over(goldens: Goldens) -> None:
    assert {path.stem for path in goldens.folder.glob("*.txt")} >= set(SCENARIOS)
