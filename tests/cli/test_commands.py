"""Commands without a server running: each runs one inside itself, on the configured database."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from server.local import local_server
from server.settings import Settings
from server.storage.database import Database
from tests.cli.conftest import Giftcard

M = ("--merchant", "demo")


def _facts(output: str) -> dict[str, str]:
    """What `facts` printed: names and values in two columns."""
    pairs = [line.split("  ", 1) for line in output.splitlines() if "  " in line]
    return {name: value.strip() for name, value in pairs}


def _ok(result: Any) -> dict[str, str]:
    assert result.exit_code == 0, result.output
    return _facts(result.stdout)


def _json(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.usefixtures("demo_loaded")
def test_the_walk_of_a_card(giftcard: Giftcard) -> None:
    """Issue, redeem, hold, capture, void, reverse, look up, list: all at a prompt."""
    issued = _ok(giftcard("card", "issue", "GC", "50.00", "--location", "1001", *M))
    card = issued["card"]
    assert issued["balance"] == "50.00 USD"
    assert "code" not in issued
    redeemed = _ok(giftcard("card", "redeem", card, "5.00", "--request-id", "r-1", *M))
    assert (redeemed["balance"], redeemed["request id"]) == ("45.00 USD", "r-1")
    assert "replayed" not in redeemed
    again = _ok(giftcard("card", "redeem", card, "5.00", "--request-id", "r-1", *M))
    assert again["balance"] == "45.00 USD"
    assert again["replayed"].startswith("yes")
    assert again["transaction"] == redeemed["transaction"]
    held = _ok(giftcard("card", "hold", card, "20.00", "--sale", "order-17", *M))
    assert (held["balance"], held["available"]) == ("45.00 USD", "25.00 USD")
    captured = _ok(giftcard("card", "capture", held["hold"], "8.00", *M))
    assert (captured["balance"], captured["captured"]) == ("37.00 USD", "8.00 USD")
    voided = _ok(giftcard("card", "void", held["hold"], *M))
    assert (voided["balance"], voided["released"]) == ("37.00 USD", "12.00 USD")
    loaded = _ok(giftcard("card", "load", card, "3.00", *M))
    assert loaded["balance"] == "40.00 USD"
    reversed_ = _ok(giftcard("card", "reverse", "r-1", *M))
    assert (reversed_["balance"], reversed_["outcome"]) == ("45.00 USD", "REVERSED")
    looked = _ok(giftcard("card", "lookup", "r-1", *M))
    assert (looked["state"], looked["transaction"]) == ("APPROVED", redeemed["transaction"])
    shown = giftcard("card", "show", card, *M)
    assert _ok(shown)["balance"] == "45.00 USD"
    kinds = [each["kind"] for each in _json(giftcard("card", "history", card, *M, "--json"))
             ["transactions"]]  # fmt: skip
    assert kinds == ["REVERSE", "LOAD", "VOID", "CAPTURE", "AUTHORIZE", "REDEEM", "ISSUE"]
    assert all(kind in shown.stdout for kind in kinds)
    assert giftcard("verify").stdout.endswith("verified\n")


@pytest.mark.usefixtures("demo_loaded")
def test_the_walk_of_a_customer(giftcard: Giftcard) -> None:
    """Earn, correct, hold, capture, buy a card, undo it: all at a prompt."""
    new = _ok(giftcard("customer", "create", "77", "--reference", "crm-1", *M))
    assert (new["customer"], new["points"], new["reference"]) == ("77", "0", "crm-1")
    again = giftcard("customer", "create", "77", *M)
    assert "RESOURCE_EXISTS" in again.stderr
    assert _ok(giftcard("customer", "earn", "77", "6000", *M))["points"] == "6000"
    taken = _ok(giftcard("customer", "adjust", "77", "--reason", "counted twice", *M, "--", "-500"))
    assert taken["points"] == "5500"
    assert "--reason" in giftcard("customer", "adjust", "77", "5", *M).stderr
    held = _ok(giftcard("customer", "hold", "77", "300", *M))
    assert (held["points"], held["available"], held["approved"]) == ("5500", "5200", "300")
    captured = _ok(giftcard("card", "capture", held["hold"], *M))
    assert (captured["points"], captured["captured"]) == ("5200", "300 POINTS")
    bought = _ok(giftcard("card", "issue", "GC", "50.00", "--customer", "77", "--points", "5000",
                          "--request-id", "buy-1", *M))  # fmt: skip
    assert (bought["balance"], bought["state"]) == ("50.00 USD", "ACTIVE")
    shown = giftcard("customer", "show", "77", *M)
    assert _ok(shown)["points"] == "200"
    assert "-5000 POINTS" in shown.stdout
    undone = _ok(giftcard("card", "reverse", "buy-1", *M))
    assert (undone["points"], undone["state"], undone["outcome"]) == ("5200", "VOIDED", "REVERSED")
    refused = giftcard("card", "issue", "GC", "60.00", "--customer", "77", "--points", "6000", *M)
    assert "INSUFFICIENT_POINTS" in refused.stderr
    listed = _json(giftcard("customer", "list", *M, "--json"))["customers"]
    assert [each["name"] for each in listed] == ["customers/2059378440", "customers/77"]
    kinds = [each["kind"] for each in _json(giftcard("customer", "show", "77", *M, "--json"))
             ["transactions"]]  # fmt: skip
    # What was refused for want of points stands in the customer's history too.
    assert kinds == [
        "ISSUE", "REVERSE", "ISSUE", "CAPTURE", "AUTHORIZE", "ADJUST", "EARN_POINTS", "ADMIN",
    ]  # fmt: skip
    assert giftcard("verify").stdout.endswith("verified\n")


@pytest.mark.usefixtures("demo_loaded")
def test_reserved_codes_and_a_certificate(giftcard: Giftcard, tmp_path: Path) -> None:
    file = tmp_path / "codes.txt"
    made = ("card", "reserve", "GC", "3", "--agency", "Website", *M)
    reserved = giftcard(*made, "--file", str(file), "--request-id", "r")
    facts = _ok(reserved)
    codes = file.read_text().split()
    assert (len(codes), facts["codes"], facts["agency"]) == (3, "3", "Website")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not any(code in reserved.output for code in codes)
    assert "exists already" in giftcard(*made, "--file", str(file)).stderr
    again = tmp_path / "again.txt"
    assert _ok(giftcard(*made, "--file", str(again), "--request-id", "r"))["replayed"]
    assert again.read_text().split() == codes
    issue = ("card", "issue", "GC", "5.00", "--reserved", *M)
    assert _ok(giftcard(*issue, "--code", codes[0]))["balance"] == "5.00 USD"
    assert "CODE_NOT_RESERVED" in giftcard(*issue, "--code", "NOBODYS").stderr
    released = _ok(giftcard("card", "release", facts["reservation"], *M))
    assert (released["used"], released["released"], released["released now"]) == ("1", "2", "2")
    assert "CODE_NOT_RESERVED" in giftcard(*issue, "--code", codes[1]).stderr
    for name, begins in (("c.jpg", b"\xff\xd8"), ("c.png", b"\x89PNG"), ("c.pdf", b"%PDF")):
        path = tmp_path / name
        assert _ok(giftcard("card", "certificate", codes[0], "--file", str(path), *M))["type"]
        assert path.read_bytes().startswith(begins)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "must end in" in giftcard("card", "certificate", "1", "--file", "x.gif", *M).stderr
    assert giftcard("verify").stdout.endswith("verified\n")


@pytest.mark.usefixtures("demo_loaded")
def test_codes_stay_out_of_sight(giftcard: Giftcard) -> None:
    hidden = giftcard("card", "issue", "GC", "1.00", *M, "--json")
    shown = giftcard("card", "issue", "GC", "1.00", *M, "--json", "--show-code")
    code = _json(shown)["giftCard"]["code"]
    assert _json(hidden)["giftCard"]["code"] == ""
    assert code.startswith("GC")
    typed = giftcard("card", "show", "-", *M, typed=f"{code}\n")
    assert _ok(typed)["balance"] == "1.00 USD"
    assert code not in typed.output


@pytest.mark.usefixtures("demo_loaded")
def test_a_pin_is_asked_for(giftcard: Giftcard) -> None:
    body = json.dumps({
        "program": "programs/GC", "code": "PINNED1", "pin": "4711",
        "amount": {"minorUnits": "500", "currencyCode": "USD"},
    })  # fmt: skip
    _json(giftcard("call", "IssueGiftCard", "-", *M, typed=body))
    refused = giftcard("card", "show", "PINNED1", *M)
    assert refused.exit_code == 1
    assert "PIN_REQUIRED" in refused.stderr
    right = giftcard("card", "redeem", "PINNED1", "1.00", "--ask-pin", *M, typed="4711\n")
    assert _ok(right)["balance"] == "4.00 USD"


REFUSALS = [
    (("card", "redeem", "12399", "500.00", *M), 1, "INSUFFICIENT_FUNDS: The available balance"),
    (("card", "redeem", "GCQ22X9HE1", "1.00", *M), 1, "CARD_EXPIRED"),
    (("card", "redeem", "1234567", "1.00", *M), 1, "CARD_INACTIVE"),
    (("card", "hold", "DYN0000001", "1.00", *M), 1, "HOLDS_NOT_ALLOWED"),
    (("card", "issue", "GC25", "26.00", *M), 1, "VALUE_CHANGE_NOT_ALLOWED"),
    (("card", "show", "NOSUCHCARD", *M), 1, "GIFT_CARD_NOT_FOUND"),
    (("card", "show", "giftCards/x", *M), 1, "INVALID_FIELD: gift_card.name"),
    (("card", "redeem", "12399", "1.001", *M), 2, "more than 2 decimals"),
    (
        ("card", "redeem", "12399", "1,00", *M),
        2,
        "1,00: Amount is not a plain decimal number. Write",
    ),
    (("card", "redeem", "12399", "-1", *M, "--"), 2, ""),
    (("card", "redeem", "12399", "1.00", "--currency", "XX", *M), 2, "ISO 4217"),
    (("card", "redeem", "12399", "1.00", "--currency", "EUR", *M), 1, "CURRENCY_MISMATCH"),
    (("card", "hold", "12399", *M), 2, "Give either an amount or --all"),
    (("card", "issue", "GC", "5.00", "--valid-until", "soon", *M), 2, "is not a date"),
    (("card", "show", "12399"), 2, "Say for which merchant: --merchant ID."),
    (("card", "show", "12399", "--merchant", "acme"), 2, "no merchant 'acme'. There is: demo."),
    (("card", "show", "-", *M), 2, "nothing was given"),
    (("call", "RedeemCard", *M), 2, "Did you mean RedeemGiftCard or"),
    (("call", "Nonsense", *M), 2, "There is no method Nonsense"),
    (("call", *M), 2, "Name a method"),
    (("call", "GetHold", "{", *M), 2, "is not a GetHoldRequest"),
    (("call", "GetHold", '{"nam": "x"}', *M), 2, "is not a GetHoldRequest"),
    (("admin", "client", "create", "c", "--scope", "ALL", *M), 2, "ALL is not a scope"),
    (("admin", "merchant", "show", "acme"), 1, "MERCHANT_NOT_FOUND"),
    (("admin", "merchant", "create", "demo", "--time-zone", "UTC"), 1, "RESOURCE_EXISTS"),
    (("admin", "merchant", "create", "m", "--time-zone", "Mars"), 1, "merchant.time_zone"),
    (("admin", "token", "create", "nobody", *M), 1, "API_CLIENT_NOT_FOUND"),
    (("admin", "token", "create", "cp", "--ask-password", *M), 2, "is for a --login"),
    (("serve", "--port", "1"), 2, ""),
]


@pytest.mark.usefixtures("demo_loaded")
def test_a_no_is_one_sentence(giftcard: Giftcard) -> None:
    found = []
    for arguments, _, sentence in REFUSALS:
        result = giftcard(*arguments)
        assert "Traceback" not in result.output
        assert result.stdout == ""
        one_line = not sentence or len(result.stderr.splitlines()) == 1
        said = sentence if sentence in result.stderr and one_line else result.stderr
        found.append((arguments, result.exit_code, said))
    assert found == REFUSALS


def test_a_merchant_is_set_up_from_nothing(giftcard: Giftcard) -> None:
    a = ("--merchant", "acme")
    zone = ("--time-zone", "Europe/Vienna")
    made = _ok(giftcard("admin", "merchant", "create", "acme", "--name", "Acme", *zone))
    assert made["merchant"] == "acme"
    assert _ok(giftcard("admin", "merchant", "show", "acme"))["time zone"] == "Europe/Vienna"
    assert "acme" in giftcard("admin", "merchant", "list").stdout
    located = giftcard("admin", "location", "create", "1", "--country", "AT", *zone, *a)
    assert _ok(located)["country"] == "AT"
    assert "Europe/Vienna" in giftcard("admin", "location", "list", *a).stdout
    program = giftcard(
        "admin", "program", "create", "GC", "--currency", "EUR", "--min", "5.00", "--max",
        "100.00", "--months", "36", *a,
    )  # fmt: skip
    assert _ok(program)["validity"] == "36 months"
    assert (
        _ok(giftcard("admin", "program", "show", "GC", *a))["amounts"] == "5.00 EUR to 100.00 EUR"
    )
    assert [each["name"] for each in _json(giftcard("admin", "program", "list", *a, "--json"))
            ["programs"]] == ["programs/GC"]  # fmt: skip
    client = giftcard(
        "admin", "client", "create", "till", "--scope", "READ", "--scope", "redeem", *a
    )
    assert _ok(client)["scopes"] == "READ REDEEM"
    assert "till" in giftcard("admin", "client", "list", *a).stdout
    assert giftcard("verify").exit_code == 0


@pytest.mark.usefixtures("demo_loaded")
def test_a_client_is_stopped_and_let_in_again(giftcard: Giftcard) -> None:
    for command, state in (("disable", "DISABLED"), ("enable", "ENABLED")):
        done = giftcard("admin", "client", command, "cp", *M, "--reason", "stolen")
        assert _ok(done)["state"] == state
        listed = json.loads(giftcard("admin", "client", "list", *M, "--json").stdout)
        states = {each["displayName"]: each["state"] for each in listed["apiClients"]}
        assert states.pop("CP Extender") == state
        assert set(states.values()) == {"ENABLED"}


@pytest.mark.usefixtures("demo_loaded")
def test_a_secret_is_shown_once(giftcard: Giftcard) -> None:
    made = giftcard("admin", "token", "create", "cp", *M, "--request-id", "t-1")
    first = _ok(made)
    secret = first["secret"]
    assert secret.startswith("gct_")
    assert made.output.count(secret) == 1
    assert "only time" in made.stderr
    replay = giftcard("admin", "token", "create", "cp", *M, "--request-id", "t-1")
    assert replay.exit_code == 0
    assert "secret" not in _facts(replay.stdout)
    later = [
        giftcard("admin", "token", "list", "cp", *M),
        giftcard("admin", "token", "rotate", first["credential"], "--overlap-hours", "0"),
        giftcard("admin", "token", "revoke", first["credential"]),
    ]
    assert [result.exit_code for result in later] == [0, 0, 0]
    assert [secret in result.output for result in (replay, *later)] == [False] * 4
    rotated = _ok(later[1])["secret"]
    assert rotated.startswith("gct_")
    assert rotated not in later[2].output


@pytest.mark.usefixtures("demo_loaded")
def test_a_password_that_was_typed_is_not_shown(giftcard: Giftcard) -> None:
    result = giftcard(
        "admin", "token", "create", "resico", "--login", "store-7", "--ask-password", *M,
        typed="correct horse battery\n",
    )  # fmt: skip
    assert _ok(result)["login"] == "store-7"
    assert "correct horse battery" not in result.output


@pytest.mark.usefixtures("demo_loaded")
def test_call_reaches_every_method(giftcard: Giftcard) -> None:
    listed = _json(giftcard("call", "--list", "--json"))
    assert {each["service"] for each in listed} == {
        "GiftCardService", "ProgramService", "LocationService", "AdminService",
    }  # fmt: skip
    found = _json(giftcard("call", "GiftCardService.ListGiftCards", '{"pageSize": 2}', *M))
    assert len(found["giftCards"]) == 2
    redeemed = _json(giftcard(
        "call", "/giftcard.v1.GiftCardService/RedeemGiftCard",
        '{"giftCard": {"code": "12399"}, "amount": {"minorUnits": 1, "currencyCode": "USD"}}',
        *M,
    ))  # fmt: skip
    assert redeemed["giftCard"]["balance"]["minorUnits"] == "2499"
    assert len(redeemed["transaction"]["requestId"]) == 36


@pytest.mark.usefixtures("demo_loaded")
def test_demo_show_prints_what_there_is(giftcard: Giftcard) -> None:
    text = giftcard("demo", "show").stdout
    assert [word in text for word in ("Bearer demo-cp-token", "12399", "25.00 USD")] == [True] * 3
    assert len(_json(giftcard("demo", "show", "--json"))["cards"]) == 6


def test_demo_load_happens_once(giftcard: Giftcard) -> None:
    assert giftcard("demo", "load").stdout == "Demo data loaded.\n"
    assert giftcard("demo", "load").stdout == "The demo data was there already.\n"
    report = _json(giftcard("verify", "--json"))
    assert (report["verified"], report["counts"]["cards"]) == (True, 6)


def test_demo_load_keeps_away_from_other_merchants(giftcard: Giftcard) -> None:
    _ok(giftcard("admin", "merchant", "create", "acme", "--time-zone", "UTC"))
    refused = giftcard("demo", "load")
    assert refused.exit_code == 2
    assert "has a merchant already" in refused.stderr


@pytest.mark.usefixtures("demo_loaded")
def test_verify_names_the_wrong_row(giftcard: Giftcard, settings: dict[str, str]) -> None:
    database = Database(settings["GIFTCARD_DATABASE_URL"])
    with database.writer.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET balance = balance + 1 WHERE balance = 2500")
    database.close()
    wrong = giftcard("verify")
    assert wrong.exit_code == 1
    assert "First wrong row: account" in wrong.stderr
    assert "verified" not in wrong.stdout
    report = giftcard("verify", "--json")
    assert report.exit_code == 1
    assert json.loads(report.stdout)["problems"][0]["table"] == "account"


def test_verify_wants_a_database(giftcard: Giftcard) -> None:
    result = giftcard("verify")
    assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    assert "giftcard migrate" in result.stderr
    assert giftcard("migrate").exit_code == 0
    assert giftcard("verify").stdout.endswith("verified\n")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("giftcard.db", "is no address of a database"),
        ("postgresql://clerk:sekret@host:port/d", "is no address of a database"),
        ("sqlite://", "A database in memory keeps nothing"),
        ("mysql://clerk:sekret@host/d", "mysql is not supported"),
        ("postgresql://clerk:sekret@127.0.0.1:1/d", "The database does not answer"),
        (f"sqlite:///{__file__}", "is no SQLite database"),
    ],
)
def test_a_database_that_cannot_be_used(
    giftcard: Giftcard, settings: dict[str, str], url: str, sentence: str
) -> None:
    settings["GIFTCARD_DATABASE_URL"] = url
    result = giftcard("verify")
    assert result.exit_code in {1, 2}
    assert sentence in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert "sekret" not in result.output


def test_keys_are_readable_by_their_owner_only(giftcard: Giftcard, tmp_path: Path) -> None:
    path = tmp_path / "production.json"
    assert giftcard("keys", "create", str(path)).exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again = giftcard("keys", "create", str(path))
    assert (again.exit_code, "not overwritten" in again.stderr) == (2, True)


async def test_the_own_server_listens_for_its_user_only(settings: dict[str, str]) -> None:
    own = Settings(
        database_url=settings["GIFTCARD_DATABASE_URL"], key_file=settings["GIFTCARD_KEY_FILE"]
    )
    async with local_server(own) as access:
        folder = Path(access.address.removeprefix("unix:")).parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert access.token not in repr(access)
    assert not folder.exists()
