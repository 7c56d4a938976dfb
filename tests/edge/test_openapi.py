"""The REST document and what is really answered through Envoy say the same."""

import contextlib
import json
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.edge import life
from tests.edge.envoy import BEARER, Edge
from tests.prove.proof import Proof

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final[dict[str, Any]] = json.loads((ROOT / "generated/openapi.json").read_text())
SCHEMA: Final[Any] = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: Final[dict[str, Any]] = {
    found.ok().definition.raw["operationId"]: found.ok() for found in SCHEMA.get_all_operations()
}
SEED: Final = 20_260_301
CASES: Final = 4
CHECKS: Final = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance, response_headers_conformance,
]  # fmt: skip
#: What stays when a request is made plain: what may not be missing, somewhere.
ESSENTIAL: Final = {
    member
    for schema in DOCUMENT["components"]["schemas"].values()
    for member in schema.get("required", [])
}


def test_the_document_is_openapi() -> None:
    SCHEMA.validate()
    broken = json.loads(json.dumps(DOCUMENT))
    broken["paths"]["/v1/holds"]["get"]["parameters"][0]["in"] = "nowhere"
    with pytest.raises(Exception, match="nowhere"):
        schemathesis.openapi.from_dict(broken).validate()


def test_every_example_of_an_error_is_an_error() -> None:
    validator = jsonschema_rs.validator_for(
        {"$ref": "#/components/schemas/Error", "components": DOCUMENT["components"]}
    )
    for name, example in DOCUMENT["components"]["examples"].items():
        assert [str(error) for error in validator.iter_errors(example["value"])] == [], name
    assert [*validator.iter_errors({"code": 5, "message": "", "details": []})]


def test_a_life_has_every_operation() -> None:
    assert {*OPERATIONS} == {line[0] for line in life.LIFE} | {*life.PLATFORM}


def test_what_works_works_as_described(edge: Edge) -> None:
    """The body is valid by its schema, and so is the answer, all of which are described."""
    _live(edge)


def test_a_replay_says_so(edge: Edge) -> None:
    body = {"customerId": uuid.uuid4().hex, "customer": {}, "requestId": uuid.uuid4().hex}
    said = [edge.call("POST", "/v1/customers", body, BEARER) for _ in range(2)]
    assert [each.status for each in said] == [200, 200]
    assert [each.headers.get("giftcard-replayed") for each in said] == [None, "true"]


@pytest.fixture(scope="module")
def known(edge: Edge) -> dict[str, tuple[Any, ...]]:
    return _known(_live(edge))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_described(
    edge: Edge, known: dict[str, tuple[Any, ...]], name: str
) -> None:
    heard = _run(edge, known, OPERATIONS[name], CASES, SEED)
    assert heard.total() >= CASES


@pytest.mark.slow
def test_many_answers_are_described(
    edge: Edge, known: dict[str, tuple[Any, ...]], proof: Proof
) -> None:
    cases = proof.cases(push=12, release=600)
    heard: Counter[str] = Counter()
    for operation in OPERATIONS.values():
        heard += _run(edge, known, operation, cases, proof.seed)
    proof.report("REST as described", requests=heard.total(), **dict(sorted(heard.items())))
    assert heard["200"] > heard.total() / 20, "hardly anything was ever done"


def _live(edge: Edge) -> dict[str, Any]:
    def call(name: str, path: Mapping[str, str], body: dict[str, Any]) -> Any:
        operation = OPERATIONS[name]
        has_body = operation.method != "get"
        if has_body and name not in ("LookupGiftCard", "RenderCertificate"):
            body.setdefault("requestId", uuid.uuid4().hex)
        if has_body:
            _check_body(operation, body)
        case = operation.Case(
            path_parameters=dict(path),
            query={} if has_body else body,
            **({"body": body, "media_type": "application/json"} if has_body else {}),
        )
        response = _call(edge, case)
        assert response.status_code == 200, f"{name}: {response.text}"
        return response.json()

    return life.live(call, tag=f"t{uuid.uuid4().hex[:8]}")


def _check_body(operation: Any, body: Any) -> None:
    schema = operation.definition.raw["requestBody"]["content"]["application/json"]["schema"]
    validator = jsonschema_rs.validator_for({**schema, "components": DOCUMENT["components"]})
    assert [str(error) for error in validator.iter_errors(body)] == []


def _call(edge: Edge, case: Any) -> Any:
    """The answer, after all checks."""
    response = case.call(base_url=edge.url, headers={**BEARER}, verify=str(edge.certificate))
    case.validate_response(response, checks=CHECKS)
    if response.status_code != 200:
        # An error's reason is one that the document names for this operation and status.
        (reason,) = (each["reason"] for each in response.json()["details"] if "domain" in each)
        described = case.operation.definition.raw["responses"][str(response.status_code)]
        assert reason in described["content"]["application/json"]["examples"], response.json()
    return response


def _known(answers: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    """Things that exist, by the member or parameter that names them."""
    tag = answers["tag"]
    card, other = (answers[name]["giftCard"] for name in ("LoadGiftCard", "ActivateGiftCard"))
    few = {"minorUnits": "100", "currencyCode": "USD"}
    return {
        "gift_card": tuple(each["name"].rpartition("/")[2] for each in (card, other)),
        "hold": (answers["AuthorizeGiftCard"]["hold"]["name"].rpartition("/")[2],),
        "transaction": (answers["RedeemGiftCard"]["transaction"]["name"],),
        "merchant": ("demo",),
        "api_client": (tag,),
        "credential": (answers["RotateCredential"]["credential"]["name"].rpartition("/")[2],),
        "customer": (tag, f"customers/{tag}"),
        "program": (tag, f"programs/{tag}", "programs/GC"),
        "location": (tag, f"locations/{tag}"),
        "giftCard": ({"name": other["name"]}, {"name": card["name"]}, other["name"]),
        "giftCards": ([{"name": other["name"]}],),
        "source": ({"name": other["name"]},),
        "target": ({"name": card["name"]},),
        "transferTarget": ({"name": card["name"]},),
        "amount": (few, {"minorUnits": "1000000", "currencyCode": "USD"}),
        "maxBalance": ({"minorUnits": "50000", "currencyCode": "USD"},),
        "points": ("1", "100"),
        "originalRequestId": (answers["LoadGiftCard"]["transaction"]["requestId"],),
        "reservation": (answers["ReserveCodes"]["reservation"]["name"],),
        "codes": (answers["ReserveCodes"]["codes"],),
        "updateMask": ("displayName", "labels", "*"),
        "currencyCode": ("USD",),
        "countryCode": ("US",),
        "timeZone": ("America/Chicago",),
        "scopes": (["READ"],),
    }


def _run(
    edge: Edge, known: dict[str, tuple[Any, ...]], operation: Any, cases: int, chance: int
) -> Counter[str]:
    """How often which status was answered to right and to wrong requests."""
    heard: Counter[str] = Counter()
    for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

        @seed(chance)
        @settings(
            max_examples=cases,
            deadline=None,
            database=None,
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode), pick=st.integers(0, 15))
        def one(case: Any, pick: int) -> None:
            _put_known(case.path_parameters, known, pick & ~1)
            for part in (case.query, case.body):
                _put_known(part, known, pick)
            heard[str(_call(edge, case).status_code)] += 1

        # Some operations take nothing that could be wrong.
        with contextlib.suppress(Unsatisfiable):
            one()
    return heard


def _put_known(part: Any, known: dict[str, tuple[Any, ...]], pick: int) -> None:
    """What exists in the place of what was invented, mostly; an odd pick makes it plain."""
    if not isinstance(part, dict):
        return
    for member, value in list(part.items()):
        fitting = [each for each in known.get(member, ()) if isinstance(value, type(each))]
        if fitting and (pick + len(member)) % 8:
            part[member] = fitting[pick % len(fitting)]
        elif member == "requestId" and pick % 8:
            part[member] = uuid.uuid4().hex
        elif pick % 2 and member not in ESSENTIAL:
            del part[member]
        else:
            _put_known(value, known, pick)
