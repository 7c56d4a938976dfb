"""What holds for every dialect there is."""

import re

import pytest
from giftcard.v1 import ErrorReason

from compat_http import openapi
from compat_http.app import BUILDERS
from compat_http.dialect import SHIM_REASONS, Dialect, derived_id, ending
from compat_http.settings import Settings
from compat_http.upstream import METHODS
from tests.compat.stage import ShimServer, call

DIALECTS = [build(Settings()) for build in BUILDERS]
each_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


@each_dialect
def test_every_reason_has_its_answer(dialect: Dialect) -> None:
    contract = set(ErrorReason.keys()) - {"ERROR_REASON_UNSPECIFIED"}
    assert set(dialect.reasons) == contract | SHIM_REASONS


@each_dialect
def test_answers_are_statuses_and_words(dialect: Dialect) -> None:
    for reason, (status, text) in dialect.reasons.items():
        assert 400 <= status <= 599, reason
        assert text.strip(), reason
    # Waiting helps with these, and the engine then says for how long.
    for reason in ("OVERLOADED", "UNAVAILABLE"):
        assert dialect.reasons[reason].status == 503
    assert dialect.reasons["OUTCOME_UNKNOWN"].status == 504


def test_no_two_dialects_answer_on_one_path() -> None:
    paths = [
        (route.method, (route.path.lower() if dialect.case_insensitive else route.path))
        for dialect in DIALECTS
        for route in dialect.routes
    ]
    assert len(set(paths)) == len(paths)


@each_dialect
def test_openapi_describes_every_route_and_nothing_else(dialect: Dialect) -> None:
    document = openapi.document(dialect)
    described = {
        (method.upper(), path) for path, methods in document["paths"].items() for method in methods
    }
    assert described == {(route.method, route.path) for route in dialect.routes}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert named == set(re.findall(r"\{([a-z_]+)\}", path))


@each_dialect
def test_openapi_and_its_page_are_served(shim: ShimServer, dialect: Dialect) -> None:
    said = call(shim.address, "GET", f"/openapi/{dialect.name}.json")
    assert (said.status, said.headers["content-type"]) == (200, "application/json")
    assert said.json["openapi"] == "3.1.0"
    page = call(shim.address, "GET", f"/docs/{dialect.name}")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    for route in dialect.routes:
        assert route.path in page.body.decode()
    assert "://" not in page.body.decode(), "the page fetches nothing from afar"
    assert dialect.title in call(shim.address, "GET", "/docs").body.decode()


@each_dialect
def test_what_is_described_is_what_is_served(shim: ShimServer, dialect: Dialect) -> None:
    """Each described path answers in the dialect's own shape; another method is refused there."""
    for route in dialect.routes:
        path = re.sub(r"\{[a-z_]+\}", "X", route.path)
        said = call(shim.address, "DELETE", path)
        assert said.status == dialect.reasons["METHOD_NOT_ALLOWED"].status
        assert route.method in said.headers["allow"]
        assert said.headers["cache-control"] == "no-store"


def test_health(shim: ShimServer) -> None:
    assert call(shim.address, "GET", "/livez").json == {"status": "alive"}
    assert call(shim.address, "GET", "/readyz").json == {"status": "ready"}
    assert call(shim.address, "GET", "/nowhere").status == 404
    assert call(shim.address, "GET", "/livez/").status == 404, "no redirects"


# What they share


def test_derived_ids_tell_apart_what_differs() -> None:
    parts = [
        ("1", "2"), ("12",), ("1/2",), ("1", "2", ""), ("", "1", "2"), ("1 2",), ("1:2",),
        ("x" * 40, "y" * 40, "REDEEM", "z" * 40), ("x" * 40, "y" * 40, "REDEEM", "z" * 39 + "Z"),
        ("ü",), ("~",), ("\ud800",),
    ]  # fmt: skip
    ids = [derived_id("d", each, training=training) for each in parts for training in (False, True)]
    assert len(set(ids)) == len(ids)
    for each in ids:
        assert re.fullmatch(r"[!-~]{1,128}", each)
    assert derived_id("retail7", ("1001", "1001", "SELL", "GC10")) == "retail7/1001/1001/SELL/GC10"


@pytest.mark.parametrize(
    ("code", "shown"),
    [("12399", "99"), ("WEB-9198262557214413", "4413"), ("ab cd-ef", "DEF"), ("1", ""), ("", "")],
)
def test_of_a_code_at_most_half_is_shown(code: str, shown: str) -> None:
    assert ending(code) == shown


def test_methods_that_write_have_an_id_to_undo_them_by() -> None:
    writing = {name for name, method in METHODS.items() if method.writes}
    assert {"RedeemGiftCard", "ReverseTransaction", "CloseGiftCard"} <= writing
    assert not {"LookupTransaction", "LookupGiftCard", "GetTransaction", "Check"} & writing
