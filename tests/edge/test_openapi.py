"""The REST document and what is really answered through Envoy say the same."""

import contextlib
import json
import uuid
from collections import Counter
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

from tests.edge.envoy import BEARER, Edge
from tests.prove.proof import Proof

ROOT: Final = Path(__file__).parents[2]
DOCUMENT: Final[dict[str, Any]] = json.loads((ROOT / "generated/openapi.json").read_text())
SCHEMA: Final[Any] = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS: Final[list[Any]] = [found.ok() for found in SCHEMA.get_all_operations()]
SEED: Final = 20_260_301
CASES: Final = 4
CHECKS: Final = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance, response_headers_conformance,
]  # fmt: skip


class Stage:
    """Things that exist, by the member or parameter that names them."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        tag = uuid.uuid4().hex[:8]
        client = f"merchants/demo/apiClients/spare-{tag}"
        self._post(
            "/v1/merchants/demo/apiClients",
            apiClientId=f"spare-{tag}",
            apiClient={"scopes": ["READ"]},
        )
        credential = self._post(f"/v1/{client}/credentials", credential={"kind": "TOKEN"})
        self._post("/v1/customers", customerId=tag, customer={})
        self._post(f"/v1/customers/{tag}:earnPoints", points="5000")
        self._post("/v1/programs", programId=tag, program={"currencyCode": "USD"})
        place = {"countryCode": "US", "timeZone": "America/Chicago"}
        self._post("/v1/locations", locationId=tag, location=place)
        cards = [self._card() for _ in range(4)]
        sale = self._post(
            "/v1/giftCards:redeem", giftCard={"name": cards[0]["name"]}, amount=money(100)
        )["transaction"]
        hold = self._post(
            "/v1/giftCards:authorize", giftCard={"name": cards[1]["name"]}, amount=money(100)
        )["hold"]
        codes = self._post(
            "/v1/giftCards:reserveCodes", program="programs/GC", agency="Printers", count=3
        )
        references = [{"name": cards[0]["name"]}, {"code": cards[1]["code"]}]
        self.known: dict[str, tuple[Any, ...]] = {
            "gift_card": tuple(_id(card) for card in cards),
            "hold": (_id(hold),),
            "transaction": (_id(sale), sale["name"]),
            "merchant": ("demo",),
            "api_client": (f"spare-{tag}",),
            "credential": (_id(credential),),
            "customer": (tag, f"customers/{tag}"),
            "program": (tag, f"programs/{tag}"),
            "location": (tag, f"locations/{tag}"),
            "giftCard": (*references, cards[0]["name"]),
            "giftCards": (references, [{"name": cards[2]["name"]}]),
            "source": ({"name": cards[2]["name"]},),
            "target": ({"name": cards[3]["name"]},),
            "transferTarget": ({"name": cards[3]["name"]},),
            "amount": (money(1), money(100), money(10**6)),
            "maxBalance": (money(50_000),),
            "points": ("1", "100"),
            "originalRequestId": (sale["requestId"],),
            "reservation": (codes["reservation"]["name"],),
            "codes": (codes["codes"],),
            "updateMask": ("displayName", "labels", "*"),
            "currencyCode": ("USD",),
            "countryCode": ("US",),
            "timeZone": ("America/Chicago",),
            "scopes": (["READ"],),
            "state": ("ACTIVE", "OPEN"),
        }

    def _card(self) -> Any:
        return self._post("/v1/giftCards:issue", program="programs/GC", amount=money(5000))[
            "giftCard"
        ]

    def _post(self, path: str, **body: Any) -> Any:
        said = self._edge.call("POST", path, {**body, "requestId": uuid.uuid4().hex}, BEARER)
        assert said.status == 200, said
        return said.json

    def put_into(self, part: Any, pick: int) -> None:
        """Some of what exists in the place of what was invented, at any depth."""
        if not isinstance(part, dict):
            return
        for member, value in part.items():
            choice = self.known.get(member)
            right_kind = choice is not None and isinstance(value, type(choice[0]))
            if choice is not None and right_kind and (pick + len(member)) % 4:
                part[member] = choice[pick % len(choice)]
            elif member == "requestId" and pick % 4:
                part[member] = uuid.uuid4().hex
            else:
                self.put_into(value, pick)


def money(minor_units: int) -> dict[str, str]:
    return {"minorUnits": str(minor_units), "currencyCode": "USD"}


def _id(resource: Any) -> str:
    return str(resource["name"].rpartition("/")[2])


@pytest.fixture(scope="module")
def stage(edge: Edge) -> Stage:
    return Stage(edge)


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


@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda each: each.definition.raw["operationId"]
)
def test_every_answer_is_described(edge: Edge, stage: Stage, operation: Any) -> None:
    heard = _run(edge, stage, operation, CASES, SEED)
    assert heard.total() >= CASES
    assert heard["200"] + heard["400"], heard


@pytest.mark.slow
def test_many_answers_are_described(edge: Edge, proof: Proof) -> None:
    cases = proof.cases(push=60, release=600)
    heard: Counter[str] = Counter()
    for operation in OPERATIONS:
        heard += _run(edge, Stage(edge), operation, cases, proof.seed)
    proof.report("REST as described", requests=heard.total(), **dict(sorted(heard.items())))


def _run(edge: Edge, stage: Stage, operation: Any, cases: int, chance: int) -> Counter[str]:
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
            for part in (case.path_parameters, case.query, case.body):
                stage.put_into(part, pick)
            response = case.call(
                base_url=edge.url, headers={**BEARER}, verify=str(edge.certificate)
            )
            heard[str(response.status_code)] += 1
            case.validate_response(response, checks=CHECKS)
            _check_reason(operation, response)

        # Some operations take nothing that could be wrong.
        with contextlib.suppress(Unsatisfiable):
            one()
    return heard


def _check_reason(operation: Any, response: Any) -> None:
    """An error's reason is one that the document names for this operation and status."""
    if response.status_code == 200:
        return
    (reason,) = (each["reason"] for each in response.json()["details"] if "domain" in each)
    described = operation.definition.raw["responses"][str(response.status_code)]
    assert reason in described["content"]["application/json"]["examples"], response.json()
