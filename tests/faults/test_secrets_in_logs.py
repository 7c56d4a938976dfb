"""No secret that a caller sends, and none that a driver's error repeats, reaches log, metrics or
traces."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import grpc
import psycopg
import pysqlite3
from giftcard import v1

from tests.faults import client as c
from tests.faults.client import Client, connected
from tests.faults.conftest import MakeServer
from tests.faults.planted import TRIGGER
from tests.grpc_server import LOGIN, PASSWORD, PROGRAM, TOKEN, GrpcServer
from tests.sinks import Sinks
from tests.telemetry.otlp import OtlpReceiver
from tests.telemetry.scrape import ADMIN, Scrape, admin_address

CODE: Final = "CANARYC0DE7Q2X9HE1"
PIN: Final = "730195284617"
WRONG_PIN: Final = "846173019528"
WRONG_TOKEN: Final = "gct_canary-token-that-fits-nobody-8d1f"
WRONG_PASSWORD: Final = "canary-password-that-fits-nobody-5b2e"
RECEIPT: Final = "canary-receipt-41c7"
LABEL: Final = "canary-label-93ae"
REASON: Final = "canary-reason-0f66"
REQUEST_ID: Final = "canary-request-id-e2d8"
BAD: Final = "canary\x00in\nthe wrong\u2028place-77b0"

SECRETS: Final = (CODE, PIN, WRONG_PIN, TOKEN, WRONG_TOKEN, PASSWORD, WRONG_PASSWORD)
#: No secrets, but a stranger's words all the same: the log has room for none.
WORDS: Final = (RECEIPT, LABEL, REASON, REQUEST_ID, "canary")


async def test_log_holds_no_secret(make_server: MakeServer, tmp_path: Path) -> None:
    trigger = tmp_path / "fail-the-next-commit"
    with OtlpReceiver() as receiver:
        environment = {**ADMIN, **receiver.environment, TRIGGER: str(trigger)}
        server = make_server("commit_fails_after", environment=environment)
        server.start()
        await _search_after_all(server, trigger.touch, receiver)


async def _search_after_all(
    server: GrpcServer, fail_next_commit: Callable[[], None], receiver: OtlpReceiver
) -> None:
    context = v1.CallContext(receipt=RECEIPT, reason=REASON, operator="canary", terminal="canary")
    async with connected(server.address, channels=1) as client:
        codes = await _good_and_bad_calls(client, context)
        await _malformed_calls(client)
        # The driver's error about a missing table repeats the statement and what was to be written.
        _rename_table(server.database_url, "posting", "posting_away")
        said = await client.call("LoadGiftCard", _load(context, "failing"))
        assert said.reason in ("INTERNAL", "UNAVAILABLE"), said
        _rename_table(server.database_url, "posting_away", "posting")
        shown = (await asyncio.to_thread(Scrape, admin_address(server.log))).text
        fail_next_commit()
        said = await client.call("LoadGiftCard", _load(context, "unknown"))
        assert said.reason == "OUTCOME_UNKNOWN", said
    if server.database_url.startswith("postgresql"):
        assert server.stop() == 0
    else:
        assert server.wait() == 70
    lines = [json.loads(line) for line in server.log.splitlines()]
    methods = {line.get("method", "") for line in lines}
    assert {c.SERVICE + "IssueGiftCard", c.SERVICE + "LookupGiftCard"} <= methods
    assert {"UNAUTHENTICATED", "INVALID_FIELD", "PIN_INCORRECT"} <= {
        line.get("reason") for line in lines
    }
    assert any("error" in line for line in lines), "no failure was logged"
    sinks = {"log": lambda: server.log, "metrics": lambda: shown, "traces": lambda: receiver.text}
    Sinks(sinks).require_none_of((*SECRETS, *WORDS, *codes))


async def _good_and_bad_calls(client: Client, context: v1.CallContext) -> list[str]:
    """Returns the codes that the server made."""
    issue = v1.IssueGiftCardRequest(
        program=PROGRAM, amount=c.dollars(1000), code=CODE, pin=PIN, labels={LABEL: LABEL},
        context=context, request_id=REQUEST_ID,
    )  # fmt: skip
    first = await client.answer("IssueGiftCard", issue)
    again = await client.answer("IssueGiftCard", issue)
    assert again.replayed
    made = await client.answer("IssueGiftCard", c.issue())
    reserve = v1.ReserveCodesRequest(
        program=PROGRAM, count=3, agency="canary", label=LABEL, context=context,
        request_id=f"{REQUEST_ID}-reserve",
    )  # fmt: skip
    reserved = list((await client.answer("ReserveCodes", reserve)).codes)
    release = v1.ReleaseCodesRequest(codes=reserved[:1], request_id=f"{REQUEST_ID}-release")
    await client.answer("ReleaseCodes", release)
    drawn = v1.RenderCertificateRequest(gift_card=v1.GiftCardReference(code=CODE, pin=PIN))
    await client.answer("RenderCertificate", drawn)
    issue.amount.minor_units += 1
    calls: list[tuple[str, Any, str]] = [
        ("IssueGiftCard", issue, "REQUEST_ID_REUSED"),
        ("LookupGiftCard", _lookup(PIN), ""),
        ("LookupGiftCard", _lookup(WRONG_PIN), "PIN_INCORRECT"),
        ("LookupGiftCard", _lookup("canary"), "INVALID_FIELD"),
        ("LookupGiftCard", _lookup(PIN, "CANARY-UNKNOWN-C0DE"), "GIFT_CARD_NOT_FOUND"),
        ("LookupGiftCard", _lookup(PIN, BAD), "INVALID_FIELD"),
        ("RedeemGiftCard", _redeem(context, 10**9), "INSUFFICIENT_FUNDS"),
        ("RedeemGiftCard", _redeem(v1.CallContext(receipt=BAD), 1), "INVALID_FIELD"),
        ("RedeemGiftCard", c.redeem(first.gift_card.name, 1, BAD), "INVALID_FIELD"),
        ("LookupTransaction", v1.LookupTransactionRequest(request_id=REQUEST_ID), ""),
        ("ReleaseCodes", v1.ReleaseCodesRequest(codes=[BAD], request_id="r"), "INVALID_FIELD"),
        (
            "RenderCertificate",
            v1.RenderCertificateRequest(gift_card=v1.GiftCardReference(code="CANARY-UNKNOWN-C0DE")),
            "GIFT_CARD_NOT_FOUND",
        ),
    ]
    for method, request, reason in calls:
        said = await client.call(method, request)
        assert said.reason == reason, f"{method}: {said}"
    for metadata, code in (
        (c.BASIC, "OK"),
        (_basic(WRONG_PASSWORD), "UNAUTHENTICATED"),
        ((("authorization", f"Bearer {WRONG_TOKEN}"),), "UNAUTHENTICATED"),
        ((("authorization", WRONG_TOKEN),), "UNAUTHENTICATED"),
        ((*c.METADATA, ("giftcard-book", "canary")), "INVALID_ARGUMENT"),
    ):
        said = await client.call("LookupGiftCard", _lookup(PIN), metadata=metadata)
        assert said.code == code, said
    return [made.gift_card.code, *reserved]


async def _malformed_calls(client: Client) -> None:
    """Bytes that are no message, a message too large, a method that is not there, hanging up."""
    text = " ".join(SECRETS).encode()
    for method, data in (
        ("RedeemGiftCard", b"\xff" + text),
        ("RedeemGiftCard", text * 1000),
        ("NoSuchMethod", text),
    ):
        call: Any = client.channels[0].unary_unary(c.SERVICE + method)
        try:
            await call(data, metadata=c.METADATA)
        except grpc.aio.AioRpcError:
            continue
        raise AssertionError(f"{method} took anything")
    hanging_up = asyncio.create_task(client.call("LookupGiftCard", _lookup(PIN)))
    await asyncio.sleep(0.001)
    hanging_up.cancel()


def _lookup(pin: str, code: str = CODE) -> v1.LookupGiftCardRequest:
    return v1.LookupGiftCardRequest(gift_card=v1.GiftCardReference(code=code, pin=pin))


def _redeem(context: v1.CallContext, minor_units: int) -> v1.RedeemGiftCardRequest:
    return v1.RedeemGiftCardRequest(
        gift_card=v1.GiftCardReference(code=CODE, pin=PIN), amount=c.dollars(minor_units),
        context=context, request_id=f"{REQUEST_ID}-{minor_units}",
    )  # fmt: skip


def _load(context: v1.CallContext, suffix: str) -> v1.LoadGiftCardRequest:
    return v1.LoadGiftCardRequest(
        gift_card=v1.GiftCardReference(code=CODE, pin=PIN), amount=c.dollars(1),
        context=context, request_id=f"{REQUEST_ID}-{suffix}",
    )  # fmt: skip


def _basic(password: str) -> tuple[tuple[str, str], ...]:
    encoded = base64.b64encode(f"{LOGIN}:{password}".encode()).decode()
    return (("authorization", f"Basic {encoded}"),)


def _rename_table(database_url: str, name: str, new_name: str) -> None:
    statement = f"ALTER TABLE {name} RENAME TO {new_name}"
    if database_url.startswith("sqlite"):
        connection = pysqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=10)
        connection.execute("PRAGMA legacy_alter_table = ON")
        connection.execute(statement)
        connection.commit()
        connection.close()
        return
    plain = database_url.replace("postgresql+psycopg://", "postgresql://")
    with psycopg.connect(plain, autocommit=True) as server:
        server.execute(statement.encode())
