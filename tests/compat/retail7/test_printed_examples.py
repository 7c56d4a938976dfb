"""The vendor's three examples as they are printed, by curl; SELL with its missing comma put in."""

import re
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.compat.stage import ShimServer
from tests.grpc_server import GrpcServer

STATUS = """{
"requestIDExternal": "GC10",
"timestamp": "2021-02-21T11:30:25.930Z",
"trainingFlag": false,
"operationType": "STATUS",
"cardID": "12399",
"clientStore": "1001",
"clientCountry": "US",
"clientID": "1001"
}"""
SELL_AS_PRINTED = """{
"requestIDExternal": "GC10",
"timestamp": "2021-02-21T11:30:25.930Z",
"trainingFlag": false,
"operationType": "SELL",
"cardID": "1234567",
"amount": 5.00,
"currencyCode": "USD",
"clientStore": "1001",
"clientCountry": "US",
"clientID": "1001",
"clientTrx": "1001201910311001000004"
"issuedByClient": false,
"validFrom": "2021-02-20",
"validUntil": "2023-02-20"
}"""
SELL = SELL_AS_PRINTED.replace('000004"\n', '000004",\n')
LOAD = """{
"requestIDExternal": "GC111",
"timestamp": "2021-02-21T11:30:25.930Z",
"trainingFlag": false,
"operationType": "LOAD",
"cardID": "12300",
"amount": 5.00,
"currencyCode": "USD",
"clientStore": "1001",
"clientCountry": "US",
"clientID": "1001",
"clientTrx": "1001201910311001000004"
}"""


def curl(address: str, body: str) -> tuple[int, Any]:
    done = subprocess.run(
        [
            "curl", "--silent", "--show-error", "--user", "demo-pos:demo-pos",
            "--header", "Content-Type: application/json", "--write-out", "\n%{http_code}",
            "--data", body, f"http://{address}/retail7/giftcards",
        ],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    answer, _, status = done.stdout.rpartition("\n")
    return int(status), orjson.loads(answer)


@pytest.mark.parametrize(
    ("body", "balance"), [(STATUS, 25), (SELL, 5), (LOAD, 15)], ids=["STATUS", "SELL", "LOAD"]
)
def test_it_works_as_printed_and_again(shim: ShimServer, body: str, balance: int) -> None:
    answers = [curl(shim.address, body) for _ in range(2)]
    for status, answer in answers:
        assert (status, answer["responseCode"], answer["balance"]) == (200, "OK", balance)
        assert answer["requestIDExternal"] == re.findall('"(GC[0-9]+)"', body)[0]
    if body is not STATUS:
        assert answers[0] == answers[1], "a repeat has the first answer"


def test_without_the_comma_the_line_is_named(shim: ShimServer) -> None:
    status, answer = curl(shim.address, SELL_AS_PRINTED)
    assert status == 400
    assert answer["responseText"].endswith("line 13, column 1: expecting ',' delimiter")


def test_the_comma_is_put_in_where_that_is_set(demo_server: GrpcServer, tmp_path: Path) -> None:
    card = SELL_AS_PRINTED.replace("1234567", "77COMMA001").replace("GC10", "GC12")
    card = card.replace('"issuedByClient": false', '"issuedByClient": true')
    lenient = {"GIFTCARD_RETAIL7_REPAIR_COMMAS": "1"}
    with ShimServer(demo_server.address, tmp_path, environment=lenient) as shim:
        shim.start()
        status, answer = curl(shim.address, card)
        assert (status, answer["responseCode"]) == (200, "OK")
        assert '"missing commas were put in","count":1' in shim.log
