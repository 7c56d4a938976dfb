"""Traces as a real collector receives them."""

import asyncio
import sys
from pathlib import Path
from typing import Any, Final

import pytest
from giftcard import v1
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from compat_http import tracing as shim_tracing
from server.telemetry import tracing
from tests.compat import speak
from tests.compat.stage import ShimServer
from tests.edge.envoy import BEARER, Edge
from tests.faults import client as c
from tests.faults.client import connected
from tests.faults.planted import TRIGGER
from tests.grpc_server import GrpcServer
from tests.telemetry.otlp import OtlpReceiver, Received

TRACE: Final = "0af7651916cd43dd8448eb211c80319c"
CALLER: Final = "b7ad6b7169203331"
SERVICE: Final = c.SERVICE.strip("/")


def _named(spans: list[Received], service: str, name: str) -> list[Received]:
    return [span for span in spans if (span.service, span.name) == (service, name)]


def test_one_trace_from_a_till_to_the_commit(tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path / 'giftcard.db'}"
    with OtlpReceiver() as receiver:
        environment = {**receiver.environment, "GIFTCARD_DEMO": "1"}
        with GrpcServer(database_url, tmp_path, environment=environment) as server:
            server.start()
            with ShimServer(server.address, tmp_path, environment=environment) as shim:
                shim.start()
                headers = {
                    **speak.RETAIL7,
                    "traceparent": f"00-{TRACE}-{CALLER}-01",
                    "tracestate": "vendor=a-strangers-text",
                    "baggage": "key=a-strangers-text",
                }
                said = speak.retail7(
                    shim.address, "REDEEM", "12399", "traced", who=headers, amount=1
                )
                assert said.status == 200
                spans = receiver.wait_for(
                    lambda spans: len([s for s in spans if s.trace_id == TRACE]) >= 5
                )
                assert shim.stop() == 0
            assert server.stop() == 0
    method = f"{SERVICE}/RedeemGiftCard"
    (request,) = _named(spans, "giftcard-shim", "POST /retail7/giftcards")
    (asked,) = _named(spans, "giftcard-shim", method)
    (served,) = _named(spans, "giftcard", method)
    (batch,) = (
        span for span in _named(spans, "giftcard", "ledger batch") if span.trace_id == TRACE
    )
    (commit,) = (span for span in _named(spans, "giftcard", "COMMIT") if span.trace_id == TRACE)
    chain = (request, asked, served, batch, commit)
    assert [span.parent_id for span in chain] == [CALLER, *(span.span_id for span in chain[:-1])]
    assert [span.kind for span in chain[:3]] == [
        Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER,
    ]  # fmt: skip
    assert not any(span.is_error or span.trace_state for span in chain)
    assert request.attributes == {
        "http.request.method": "POST", "http.route": "/retail7/giftcards",
        "http.response.status_code": 200,
        "giftcard.dialect": "retail7", "giftcard.operation": "REDEEM",
    }  # fmt: skip
    assert served.attributes == {
        "rpc.system": "grpc", "rpc.service": SERVICE, "rpc.method": "RedeemGiftCard",
        "rpc.grpc.status_code": 0,
    }  # fmt: skip
    assert batch.attributes == {"giftcard.batch.commands": 1}
    assert 0 < commit.seconds <= batch.seconds <= served.seconds


def test_a_trace_goes_through_envoy(tmp_path: Path) -> None:
    """By REST to the service, and by a legacy API to the shim and on to the service."""
    context = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
    card = {"giftCard": {"code": "12399"}}
    with OtlpReceiver() as receiver, Edge(tmp_path, environment=receiver.environment) as edge:
        edge.start()
        said = edge.call("POST", "/v1/giftCards:lookup", card, {**BEARER, **context})
        assert said.status == 200
        path = f"{speak.RESICO_PATH}/cards/12399"
        assert edge.call("GET", path, headers={**speak.RESICO, **context}).status == 200
        assert edge.stop() == 0
        spans = receiver.spans
    ours = [span for span in spans if span.trace_id == TRACE]
    from_outside = [span for span in ours if span.parent_id == CALLER]
    assert sorted((span.service, span.name) for span in from_outside) == [
        ("giftcard", f"{SERVICE}/LookupGiftCard"),
        ("giftcard-shim", "GET /api/giftcards/v1/cards/{card_id}"),
    ]
    asked = [span for span in ours if span.kind == Span.SPAN_KIND_CLIENT]
    assert asked
    for call in asked:
        assert [span.name for span in ours if span.parent_id == call.span_id] == [call.name]


async def test_a_refusal_is_no_error_and_an_unknown_outcome_is(tmp_path: Path) -> None:
    trigger = tmp_path / "fail-the-next-commit"
    with OtlpReceiver() as receiver:
        server = GrpcServer(
            f"sqlite:///{tmp_path / 'giftcard.db'}",
            tmp_path,
            module=("tests.faults.planted", "commit_fails_after"),
            environment={**receiver.environment, TRIGGER: str(trigger)},
        )
        with server:
            server.start()
            async with connected(server.address, channels=1) as client:
                issued = await client.answer("IssueGiftCard", c.issue())
                name = issued.gift_card.name
                refused = await client.call("RedeemGiftCard", c.redeem(name, 10**9, "refused"))
                assert refused.reason == "INSUFFICIENT_FUNDS"
                bad = await client.call("RedeemGiftCard", v1.RedeemGiftCardRequest())
                assert bad.reason == "INVALID_FIELD"
                again = await client.call("RedeemGiftCard", c.redeem(name, 10**9, "refused"))
                assert again.reason == "INSUFFICIENT_FUNDS"
                trigger.touch()
                unknown = await client.call("RedeemGiftCard", c.redeem(name, 1, "unknown"))
                assert unknown.reason == "OUTCOME_UNKNOWN"
            assert server.wait() == 70
        spans = receiver.spans
    redeemed = _named(spans, "giftcard", f"{SERVICE}/RedeemGiftCard")
    assert [
        (span.attributes["rpc.grpc.status_code"], span.attributes["giftcard.reason"], span.is_error)
        for span in redeemed
    ] == [
        (9, "INSUFFICIENT_FUNDS", False),
        (3, "INVALID_FIELD", False),
        (9, "INSUFFICIENT_FUNDS", False),
        (14, "OUTCOME_UNKNOWN", True),
    ]
    commits = _named(spans, "giftcard", "COMMIT")
    assert [span.is_error for span in commits] == [False, False, False, True]
    assert [span.attributes.get("giftcard.replayed", False) for span in redeemed] == [
        False, False, True, False,
    ]  # fmt: skip


async def test_calls_that_share_a_batch_are_linked_with_it(tmp_path: Path) -> None:
    with OtlpReceiver() as receiver:
        server = GrpcServer(
            f"sqlite:///{tmp_path / 'giftcard.db'}",
            tmp_path,
            module=("tests.faults.planted", "slow_commit"),
            environment=receiver.environment,
        )
        with server:
            server.start()
            async with connected(server.address, channels=1) as client:
                await asyncio.gather(*(client.answer("IssueGiftCard", c.issue()) for _ in range(8)))
            assert server.stop() == 0
        spans = receiver.spans
    calls = {span.span_id: span for span in _named(spans, "giftcard", f"{SERVICE}/IssueGiftCard")}
    batches = _named(spans, "giftcard", "ledger batch")
    assert sum(span.attributes["giftcard.batch.commands"] for span in batches) == len(calls) == 8
    assert max(span.attributes["giftcard.batch.commands"] for span in batches) > 1
    for batch in batches:
        assert batch.trace_id == calls[batch.parent_id].trace_id
        for other in batch.links:
            assert calls[other].links == (batch.span_id,)
    shared = [other for batch in batches for other in (batch.parent_id, *batch.links)]
    assert sorted(shared) == sorted(calls), "each call is of one batch"


ASKED: Final = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}


@pytest.mark.parametrize(
    "environment",
    [{}, {**ASKED, "OTEL_SDK_DISABLED": "true"}, {**ASKED, "OTEL_TRACES_EXPORTER": "none"}],
    ids=["not-asked-for", "disabled", "none"],
)
def test_nobody_asks_and_there_is_no_tracer(environment: dict[str, str]) -> None:
    assert tracing.tracer_of(environment, "giftcard") is None
    assert shim_tracing.tracer_of(environment) is None


def test_without_the_sdk_there_is_no_tracer(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert tracing.tracer_of(ASKED, "giftcard") is None
    assert shim_tracing.tracer_of(ASKED) is None
    said = [record.message for record in caplog.records]
    assert said == ["traces are asked for, but the extra `telemetry` is not installed"] * 2
