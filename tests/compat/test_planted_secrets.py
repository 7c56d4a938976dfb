"""Secrets planted in the requests of Resico and iWAREHOUSE are in no log and no file of ours."""

import base64
from pathlib import Path

import pytest

from compat_http.store import reading
from compat_http.strict_json import write
from tests.compat.stage import ShimServer, call
from tests.grpc_server import GrpcServer

SECRET = "planted-Secret-7Q"
CARD = "PLANTEDCARD99"


@pytest.mark.parametrize("query", ["log={0}&pwd={0}", "log=demo&pwd={0}", "log={0}&pwd=demo"])
def test_nothing_of_a_query_is_kept(demo_server: GrpcServer, tmp_path: Path, query: str) -> None:
    path = "/core/sales/cards/gift/gift_api.asp"
    more = ("", "&qty=100", f"&card={CARD}", f"&{SECRET}=1", f"&card={SECRET}", "&qty=1&qty=2")
    with ShimServer(demo_server.address, tmp_path) as shim:
        shim.start()
        for each in more:
            for method in ("GET", "HEAD", "POST"):
                target = f"{path}?{query.format(SECRET)}{each}"
                call(shim.address, method, target)
        assert call(shim.address, "GET", f"{path}?log=demo&pwd=demo&card=GCQ22X9HE1").status == 200
        shim.stop()
        _assert_clean(tmp_path, shim, CARD, "GCQ22X9HE1")


def test_nothing_of_a_path_or_header_is_kept(demo_server: GrpcServer, tmp_path: Path) -> None:
    base = "/api/giftcards/v1"
    body = {"amount": "1.00", "transactionNo": "1", "locationCode": "SHOP1", "consumerKey": SECRET}
    with ShimServer(demo_server.address, tmp_path) as shim:
        shim.start()
        for token in ("demo-resico-token", SECRET):
            headers = {"Authorization": f"Bearer {token}"}
            for path in (
                f"cards/{CARD}", f"transactions/{SECRET}/cards/{CARD}", f"reserve/{CARD}",
                f"cancelreserve/{CARD}", f"nowhere/{SECRET}/{CARD}", f"cards/{CARD}?{SECRET}=1",
            ):  # fmt: skip
                for method in ("GET", "POST", "PUT"):
                    content = write(body) if method == "POST" else None
                    call(shim.address, method, f"{base}/{path}", content, headers)
        shim.stop()
        _assert_clean(tmp_path, shim, CARD)


def test_a_created_card_is_found_by_its_end(demo_server: GrpcServer, tmp_path: Path) -> None:
    """Only the answer has its code, of which the log keeps what may be shown."""
    path = "/core/sales/cards/gift/gift_api.asp"
    with ShimServer(demo_server.address, tmp_path) as shim:
        shim.start()
        target = f"{path}?log=demo&pwd=demo&qty=100&ref=found-by-its-end"
        code = call(shim.address, "GET", target).json["CardCode"]
        shim.stop()
        _assert_clean(tmp_path, shim, code)
    with reading.opened(f"sqlite:///{tmp_path / 'var' / 'exchange.db'}") as connection:
        (found,) = reading.exchanges(connection, reading.Filter(last_four=code[-4:]), 10)
    assert (found["operation"], found["legacy_request_id"]) == ("create", "found-by-its-end")


def _assert_clean(directory: Path, shim: ShimServer, *codes: str) -> None:
    assert (directory / "var" / "exchange.db").exists()
    planted = [SECRET, base64.b64encode(SECRET.encode()).decode(), *codes]
    for path in directory.rglob("*"):
        if path.is_file():
            content = path.read_bytes().lower()
            for each in planted:
                assert each.lower().encode() not in content, (path.name, each)
    assert "Traceback" not in shim.log
