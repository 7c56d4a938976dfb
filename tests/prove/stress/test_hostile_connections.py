"""Senders that are slow, huge or talk nonsense: they cost little, and nobody waits for them."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from pathlib import Path

import h2.config
import h2.connection
import psutil
import pytest

from tests.compat.stage import ShimServer, call
from tests.faults import client as c
from tests.faults.checks import check_books
from tests.faults.client import connected
from tests.faults.conftest import MakeServer
from tests.grpc_server import GrpcServer
from tests.prove.proof import Proof, engine_of

_RECEIVE_SECONDS = 2
_SLOW_SENDERS = 200
_MEBIBYTE = 2**20
#: What a Python process may grow by only because it did something for the first time.
_GROWTH_BYTES_MAX = 64 * _MEBIBYTE
_HEAD = b"POST /retail7/giftcards HTTP/1.1\r\nHost: shim\r\n"
#: How a slow sender begins, and what it then sends drop by drop.
DROPS = {
    "nothing": (b"", b""),
    "request line": (b"", b"P"),
    "headers": (_HEAD, b"x: y\r\n"),
    "body": (_HEAD + b"Content-Length: 60000\r\n\r\n", b" "),
    "chunks": (_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}  # fmt: skip


@pytest.mark.slow
async def test_slow_senders_are_let_go(proof: Proof, tmp_path: Path, sqlite_url: str) -> None:
    environment = {"GIFTCARD_DEMO": "1"}
    with (
        GrpcServer(sqlite_url, tmp_path, environment=environment) as server,
        ShimServer(
            server.start(), tmp_path,
            environment={"GIFTCARD_HTTP_RECEIVE_SECONDS": str(_RECEIVE_SECONDS)},
        ) as shim,
    ):  # fmt: skip
        shim.start()
        before = _memory(shim.process_id)
        seconds = await asyncio.gather(
            *(
                _dribble(shim.address, *DROPS[way])
                for way in DROPS
                for _ in range(_SLOW_SENDERS // 5)
            ),
            _served_meanwhile(shim.address),
        )
        growth = _memory(shim.process_id) - before
        said = await asyncio.to_thread(call, shim.address, "GET", "/livez")
        proof.report(
            "Slow senders, HTTP", senders=_SLOW_SENDERS, allowed_seconds=_RECEIVE_SECONDS,
            longest_seconds=round(max(seconds), 2), growth_mebibytes=round(growth / _MEBIBYTE, 1),
        )  # fmt: skip
        assert said.status == 200
        assert growth < _GROWTH_BYTES_MAX
        assert shim.stop() == 0


async def _dribble(address: str, begin: bytes, drop: bytes) -> float:
    """Sends a drop every now and then until the other end has enough; the seconds that took."""
    host, _, port = address.rpartition(":")
    began = time.monotonic()
    reader, writer = await asyncio.open_connection(host, int(port))
    closed = asyncio.create_task(reader.read())
    with contextlib.suppress(OSError):
        writer.write(begin)
        while not closed.done():
            assert time.monotonic() - began < 30 * _RECEIVE_SECONDS, "it is never let go"
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(0.1)
    with contextlib.suppress(OSError):
        await closed
    writer.close()
    return time.monotonic() - began


async def _served_meanwhile(address: str) -> float:
    for _ in range(10):
        said = await asyncio.to_thread(call, address, "GET", "/livez", timeout_seconds=20)
        assert said.status == 200
        await asyncio.sleep(0.1)
    return 0.0


@pytest.mark.slow
async def test_an_endless_head_is_cut_off(proof: Proof, tmp_path: Path) -> None:
    """uvicorn itself keeps whatever comes before the body."""
    with ShimServer("127.0.0.1:1", tmp_path) as shim:
        shim.start()
        host, _, port = shim.address.rpartition(":")
        before = _memory(shim.process_id)
        sent = 0
        _, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(OSError):
            writer.write(_HEAD)
            while sent < 64 * _MEBIBYTE:
                writer.write(b"x-filling: " + b"y" * 4096 + b"\r\n")
                await writer.drain()
                sent += 4096
        writer.close()
        growth = _memory(shim.process_id) - before
        proof.report(
            "An endless head, HTTP", taken_mebibytes=round(sent / _MEBIBYTE, 1),
            growth_mebibytes=round(growth / _MEBIBYTE, 1),
        )  # fmt: skip
        assert sent < 64 * _MEBIBYTE, "it was taken to the end"
        assert growth < _GROWTH_BYTES_MAX


@pytest.mark.slow
async def test_garbage_costs_no_memory(
    proof: Proof, make_server: MakeServer, sqlite_url: str
) -> None:
    """Nonsense, oversize, rapid resets and floods of pings on the gRPC port; others are served."""
    server = make_server()
    server.start()
    rounds = proof.cases(push=3, release=200)
    dice = proof.random("garbage")
    host, _, port = server.address.rpartition(":")
    async with connected(server.address) as client:
        (card,) = await client.issue()
        for hostile in HOSTILE.values():  # whatever is done for the first time is done now
            await _send(host, int(port), hostile(dice.randbytes))
        before = _memory(server.process_id)
        served = 0
        for _ in range(rounds):
            for name, hostile in HOSTILE.items():
                sending = asyncio.create_task(_send(host, int(port), hostile(dice.randbytes)))
                said = await client.settle("RedeemGiftCard", c.redeem(card, 1))
                assert said.ok, (name, said)
                served += 1
                await sending
        growth = _memory(server.process_id) - before
        balance = (await client.card(card)).balance.minor_units
    proof.report(
        f"Hostile connections, gRPC, {engine_of(server.database_url)}",
        kinds=len(HOSTILE), rounds=rounds, others_served=served,
        growth_mebibytes=round(growth / _MEBIBYTE, 1),
    )  # fmt: skip
    assert balance == c.INITIAL - served
    assert growth < _GROWTH_BYTES_MAX
    assert server.stop() == 0
    check_books(server.database_url)


def _h2() -> h2.connection.H2Connection:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(validate_outbound_headers=False)
    )
    connection.initiate_connection()
    return connection


def _call_headers() -> list[tuple[str, str]]:
    return [
        (":method", "POST"), (":scheme", "http"), (":authority", "x"),
        (":path", f"{c.SERVICE}RedeemGiftCard"), ("content-type", "application/grpc"),
        ("te", "trailers"), *((key, value) for key, value in c.METADATA),
    ]  # fmt: skip


def _resets(_: Callable[[int], bytes]) -> bytes:
    """A thousand calls that are begun and given up at once."""
    connection = _h2()
    for number in range(1000):
        stream = 2 * number + 1
        connection.send_headers(stream, _call_headers())
        connection.reset_stream(stream, error_code=8)
    return connection.data_to_send()


def _pings(_: Callable[[int], bytes]) -> bytes:
    connection = _h2()
    for number in range(5000):
        connection.ping(number.to_bytes(8, "big"))
    return connection.data_to_send()


def _settings(_: Callable[[int], bytes]) -> bytes:
    connection = _h2()
    for number in range(2000):
        connection.update_settings({3: 100 + number})
    return connection.data_to_send()


def _many_headers(_: Callable[[int], bytes]) -> bytes:
    connection = _h2()
    more = [(f"x-{number}", "y" * 200) for number in range(60)]
    connection.send_headers(1, [*_call_headers(), *more])
    return connection.data_to_send()


def _huge(random_bytes: Callable[[int], bytes]) -> bytes:
    """A message that says it is 2 GiB long, and some of it."""
    connection = _h2()
    connection.send_headers(1, _call_headers())
    connection.send_data(1, b"\x00\x7f\xff\xff\xff" + random_bytes(16_000))
    return connection.data_to_send()


#: Bytes for one connection, of each kind.
HOSTILE: dict[str, Callable[[Callable[[int], bytes]], bytes]] = {
    "noise": lambda random_bytes: random_bytes(65_536),
    "HTTP/1.1": lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 1000,
    "preface and noise": lambda random_bytes: (
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + random_bytes(65_536)
    ),
    "rapid resets": _resets,
    "pings": _pings,
    "settings": _settings,
    "many headers": _many_headers,
    "huge": _huge,
}


async def _send(host: str, port: int, data: bytes) -> None:
    """Writes all of it, reads whatever comes until it is hung up or nothing comes any more."""
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.suppress(OSError, TimeoutError):
        writer.write(data)
        async with asyncio.timeout(0.3):
            await writer.drain()
            while await reader.read(65_536):
                pass
    writer.close()


def _memory(process_id: int) -> int:
    return int(psutil.Process(process_id).memory_info().rss)
