"""Resico over real HTTP against the real server: each conversation is a golden on disk.

Every scenario makes its own cards, so that none depends on another.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from compat_http.strict_json import exact_number as n
from compat_http.strict_json import write
from tests.compat.goldens import Goldens, Step
from tests.compat.resico.requests import body
from tests.compat.stage import ShimServer, basic, call

BASE: Final = "/api/giftcards/v1"
TOKEN: Final = {"Authorization": "Bearer demo-resico-token"}
#: Another client of the same merchant, which works for the location Website only.
OTHER: Final = {"Authorization": "Bearer demo-cp-token"}
CONSUMER: Final = "demo-consumer"


def get(card: str, headers: Mapping[str, str] = TOKEN) -> Step:
    return Step("GET", f"{BASE}/cards/{card}", "", headers)


def post(path: str, text: str, headers: Mapping[str, str] = TOKEN, key: str = "") -> Step:
    more = {"Idempotency-Key": key} if key else {}
    typed = {"Content-Type": "application/json", **more}
    return Step("POST", f"{BASE}/{path}", text, {**headers, **typed})


def whole(name: str, **members: Any) -> str:
    return write(body(name, **members)).decode()


def sell(card: str, key: str = "", **members: Any) -> Step:
    """Sells the card for 57.23; each scenario starts with it.  The number is the scenario's."""
    members = {"transactionNo": card[-8:], **members}
    return post(f"cards/{card}", whole("sellCard", **members), key=key)


def use(card: str, amount: str, key: str = "", *, consumer: str = CONSUMER, **more: Any) -> Step:
    headers = more.pop("headers", TOKEN)
    text = whole("useCard", amount=n(amount), **more)
    return post(f"transactions/{consumer}/cards/{card}", text, headers, key)


def reserve(card: str, key: str = "", headers: Mapping[str, str] = TOKEN, **members: Any) -> Step:
    return post(f"reserve/{card}", whole("reserveCard", **members), headers, key)


def cancel(card: str, headers: Mapping[str, str] = TOKEN, method: str = "GET") -> Step:
    return Step(method, f"{BASE}/cancelreserve/{card}", "", headers)


def other_reserves(card: str) -> Step:
    return reserve(card, headers=OTHER, locationCode="Website")


SCENARIOS: Final[dict[str, list[Step]]] = {
    # The bodies of a sale and a reservation as the vendor prints them.
    "vendor-examples": [
        post("cards/RSEXAMPLE1",
             '{"amount": 57.23, "transactionNo": "00000045", "locationCode": "SHOP1"}'),
        get("RSEXAMPLE1"),
        post("reserve/RSEXAMPLE1", '{"locationCode": "SHOP1"}'),
        cancel("RSEXAMPLE1"),
        post(f"transactions/{CONSUMER}/cards/RSEXAMPLE1", '{"amount": 10.00}'),
    ],
    # Cards that came about otherwise: of other dialects, expired, for sale, of a fixed amount.
    "cards-of-others": [get("GCQ22X9HE1"), get("1234567"), get("gcq22x9he1")],
    # Repeats
    "sale-repeated": [
        sell("RSREPEAT01"),
        sell("RSREPEAT01"),
        sell("RSREPEAT01", amount="57.23"),
        use("RSREPEAT01", "7.23"),
        sell("RSREPEAT01"),
    ],
    "sale-conflicts": [
        sell("RSEXISTS01"),
        sell("RSEXISTS01", amount=n("57.24")),
        sell("RSEXISTS01", transactionNo="other"),
        sell("RSEXISTS01", locationCode="99"),
        sell("1234567"),
        # Two cards on one receipt.
        sell("RSEXISTS02", transactionNo="RSEXISTS"),
        sell("RSEXISTS03", transactionNo="RSEXISTS"),
    ],
    "idempotency-key": [
        sell("RSKEYED001", "key-1"),
        sell("RSKEYED001", "key-1"),
        sell("RSKEYED001", "key-1", amount=n("50.00")),
        use("RSKEYED001", "7.23", "key-2"),
        use("RSKEYED001", "7.23", "key-2"),
        use("RSKEYED001", "7.24", "key-2"),
        use("RSKEYED001", "100.00", "key-3"),
        use("RSKEYED001", "100.00", "key-3"),
        reserve("RSKEYED001", "key-2"),
        reserve("RSKEYED001", "key-2"),
        get("RSKEYED001"),
    ],
    "use-without-a-key": [
        sell("RSUSE00001"),
        use("RSUSE00001", "7.23"),
        use("RSUSE00001", "7.23"),
        use("RSUSE00001", "42.77", transactionNo="77", locationCode="99"),
        use("RSUSE00001", "0.01"),
    ],
    # Reservations
    "reserve-and-cancel": [
        sell("RSRESERV01"),
        reserve("RSRESERV01"),
        reserve("RSRESERV01"),
        get("RSRESERV01"),
        cancel("RSRESERV01"),
        cancel("RSRESERV01"),
        reserve("RSRESERV01"),
        cancel("RSRESERV01", method="POST"),
        get("RSRESERV01"),
    ],
    "reserve-and-use": [
        sell("RSRESERV02"),
        reserve("RSRESERV02"),
        use("RSRESERV02", "57.24"),
        use("RSRESERV02", "7.23"),
        use("RSRESERV02", "50.00"),
        cancel("RSRESERV02"),
    ],
    "reserved-by-another": [
        sell("RSRESERV03"),
        other_reserves("RSRESERV03"),
        use("RSRESERV03", "7.23"),
        reserve("RSRESERV03"),
        # Not this caller's to cancel.
        cancel("RSRESERV03"),
        use("RSRESERV03", "7.23"),
        cancel("RSRESERV03", OTHER),
        use("RSRESERV03", "7.23"),
    ],
    "reserve-refused": [
        reserve("DYN0000001"),
        cancel("DYN0000001"),
        sell("RSRESERV04"),
        use("RSRESERV04", "57.23"),
        reserve("RSRESERV04"),
        reserve("GCQ22X9HE1"),
        reserve("1234567"),
        reserve("RSRESERV04", locationCode="NOWHERE"),
    ],
    "cancelling-ahead-of-time": [
        sell("RSAHEAD001"),
        reserve("RSAHEAD001"),
        Step("HEAD", f"{BASE}/cancelreserve/RSAHEAD001", "", TOKEN),
        cancel("RSAHEAD001", {**TOKEN, "Sec-Purpose": "prefetch;prerender"}),
        cancel("RSAHEAD001", {**TOKEN, "Purpose": "prefetch"}),
        cancel("RSAHEAD001", {**TOKEN, "X-Moz": "prefetch"}),
        get("RSAHEAD001", {**TOKEN, "Sec-Purpose": "prefetch"}),
        Step("HEAD", f"{BASE}/cards/RSAHEAD001", "", TOKEN),
    ],
    # Refusals
    "unauthorized": [
        get("12399", {"Accept": "*/*"}),
        get("12399", {"Authorization": "Bearer wrong"}),
        get("12399", basic("demo-pos", "demo-pos")),
        use("12399", "1.00", consumer="wrong"),
        # A key of another client than the token's.
        use("12399", "1.00", headers=OTHER),
        use("12399", "1.00", headers={"Authorization": "Bearer wrong"}),
    ],
    "not-found": [
        get("RSNOWHERE1"),
        use("RSNOWHERE1", "1.00"),
        reserve("RSNOWHERE1"),
        cancel("RSNOWHERE1"),
        get("x" * 41),
        sell("x" * 41),
    ],
    "unprocessable": [
        sell("RSFIELDS01", amount=n("57.235")),
        sell("RSFIELDS01", amount="57,23"),
        sell("RSFIELDS01", amount=n("0.00")),
        sell("RSFIELDS01", amount=n("-1.00")),
        sell("RSFIELDS01", amount=n("0.99")),
        sell("RSFIELDS01", amount=n("500.01")),
        sell("RSFIELDS01", transactionNo="123456789"),
        sell("RSFIELDS01", transactionNo=...),
        sell("RSFIELDS01", locationCode="NOWHERE"),
        sell("RSFIELDS01", locationCode=...),
        sell("RSFIELDS02"),
        use("RSFIELDS02", "57.24"),
        use("1234567", "1.00"),
        use("GCQ22X9HE1", "1.00"),
    ],
    "malformed": [
        post("cards/RSFIELDS03", '{"amount": 57.23,}'),
        post("cards/RSFIELDS03", '{"amount": 5e2}'),
        post("reserve/RSFIELDS03", "[]"),
        post("reserve/RSFIELDS03", ""),
    ],
    "methods": [
        Step("DELETE", f"{BASE}/cards/12399", "", TOKEN),
        Step("GET", f"{BASE}/reserve/12399", "", TOKEN),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", SCENARIOS)
def test_golden(untouched_shim: ShimServer, goldens: Goldens, name: str) -> None:
    goldens.check(name, untouched_shim.address, SCENARIOS[name], ())


def test_no_golden_is_left_over(goldens: Goldens) -> None:
    assert {path.stem for path in goldens.folder.glob("*.txt")} == set(SCENARIOS)


def test_a_number_is_taken_from_the_path_as_it_is_written(shim: ShimServer) -> None:
    """Escaped, in any case, with spaces and hyphens: it is the same card."""
    step = sell("RSPATH0001")
    call(shim.address, step.method, step.target, step.body.encode(), step.headers)
    for spelled, status in (
        ("rspath0001", 200), ("RS%50ATH0001", 200), ("RS-PATH%200001", 200), ("RSPATH0001/", 404),
        ("RSPATH%2F0001", 404), ("%C3%84", 404), ("%FF", 404), ("%00", 404), ("%0A", 404),
    ):  # fmt: skip
        said = call(shim.address, "GET", f"{BASE}/cards/{spelled}", None, TOKEN)
        assert said.status == status, spelled
