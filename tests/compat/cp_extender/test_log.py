"""What the log keeps of CP Extender's calls: enough to find them, and no id, number or token."""

import json
from pathlib import Path
from typing import Final

import pytest

from tests.cli.giftcard import run
from tests.compat.exchanges import files_of, url_of
from tests.compat.stage import ShimServer, call
from tests.grpc_server import GrpcServer

SHOP: Final = {"Authorization": "Bearer demo-cp-token"}
CUSTOMER: Final = "2059378440"
CARD: Final = "99-58504335524900568"
PLANTED: Final = "CANARY7731905528"


@pytest.fixture(scope="module")
def kept(demo_server: GrpcServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the log of some calls, whose ids are reserved by the demo."""
    directory = tmp_path_factory.mktemp("cp-log")
    environment = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(directory)}
    with ShimServer(demo_server.address, directory, environment=environment) as shim:
        address = shim.start()

        def post(target: str, members: dict[str, object]) -> dict[str, str]:
            said = call(address, "POST", target, json.dumps(members).encode(), SHOP)
            found: dict[str, str] = said.json if said.body else {}
            return found

        post("/Giftcard/ReserveIds", {"Agency": "Website", "RequestName": "Web007"})
        sale = {"GiftCardCode": "GC", "GiftCardValue": 100, "SaleId": "S-log"}
        post("/Giftcard/Create", {**sale, "GiftCardId": CARD, "CustomerNumber": CUSTOMER})
        wanted = {"Type": "giftcard", "Ref": CARD, "SaleId": "S-hold", "RequestedAmount": 40}
        held = post("/Giftcard/Authorize", wanted)
        post("/Authorize/Confirm", {"Ref": CARD, "AuthCode": held["AuthCode"]})
        post("/Loyalty/Earn", {"CustomerNumber": CUSTOMER, "Points": 5, "Reference": "S-earn"})
        call(address, "GET", f"/Giftcard/{CARD}/BalanceCheck", None, SHOP)
        call(address, "GET", f"/Giftcard/Certificate/{CARD}", None, SHOP)
        call(address, "GET", f"/Loyalty/{CUSTOMER}/BalanceCheck", None, SHOP)
        post("/SSO/Login", {"UserName": "web", "Password": "demo-cp-token"})
        post("/SSO/Login", {"UserName": "web", "Password": PLANTED})
        post("/Giftcard/Create", {**sale, "Pin": PLANTED, PLANTED: PLANTED, "SaleId": PLANTED,
                                  "GiftCardId": PLANTED})  # fmt: skip
        call(address, "GET", f"/Giftcard/{PLANTED}/BalanceCheck?pin={PLANTED}", None,
             {"Authorization": f"Bearer {PLANTED}"})  # fmt: skip
        assert shim.stop() == 0
    return directory


def test_no_secret_is_kept(kept: Path) -> None:
    written = files_of(kept) + (kept / "shim.log").read_bytes()
    assert b"S-hold" in written
    for secret in (CUSTOMER, CARD, CARD[3:], PLANTED, "demo-cp-token"):
        assert secret.encode() not in written, secret


def test_each_call_can_be_found(kept: Path) -> None:
    settings = {"GIFTCARD_EXCHANGE_DATABASE_URL": url_of(kept)}
    done = run(kept, "log", "list", "--json", settings=settings)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["exchanges"]
    told = [
        (each["operation"], each["status"], each["codeLastFour"], each["requestId"])
        for each in reversed(found)
    ]
    auth_code = told[3][3]
    assert auth_code.startswith("G")
    assert told == [
        ("Giftcard.ReserveIds", 200, "", "Web007"),
        ("Giftcard.Create", 200, "0568", "S-log"),
        ("Giftcard.Authorize", 200, "0568", "S-hold"),
        ("Authorize.Confirm", 204, "0568", auth_code),
        ("Loyalty.Earn", 204, "8440", "S-earn"),
        ("Giftcard.card_id.BalanceCheck", 200, "0568", ""),
        ("Giftcard.Certificate.card_id", 200, "0568", ""),
        ("Loyalty.customer_id.BalanceCheck", 200, "8440", ""),
        ("SSO.Login", 200, "", ""),
        ("SSO.Login", 401, "", ""),
        ("Giftcard.Create", 400, "5528", "***"),
        ("Giftcard.card_id.BalanceCheck", 401, "5528", ""),
    ]
