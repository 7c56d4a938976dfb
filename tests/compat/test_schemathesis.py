"""Cases made from each dialect's own OpenAPI, right and wrong ones: no 5xx, and no other answer
than those described.
"""

import contextlib
from collections import Counter
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.compat import speak
from tests.compat.stage import ShimServer, call
from tests.prove.proof import Proof

SEED: Final = 20_260_301
CHECKS: Final = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
#: What a client of the dialect has, and ids that exist, so that cases get behind the door.
HEADERS: Final[dict[str, dict[str, str]]] = {
    "retail7": speak.RETAIL7, "cp": speak.CP, "resico": speak.RESICO, "iwarehouse": {},
}  # fmt: skip
QUERY: Final[dict[str, dict[str, str]]] = {"iwarehouse": speak.IWAREHOUSE}
KNOWN: Final[dict[str, tuple[str, ...]]] = {
    "card_id": ("12399", "12300", "WEB-9198262557214413", "DYN0000001"),
    "customer_id": ("2059378440",),
    "consumer_key": (speak.CONSUMER,),
    "cardID": ("12399", "12300", "1234567"),
    "Ref": ("WEB-9198262557214413", "2059378440"),
    "card": ("GCQ22X9HE1", "12399"),
    "clientStore": ("1001",),
    "locationCode": ("SHOP1",),
    "GiftCardCode": ("GC",),
    "currencyCode": ("USD",),
    "timestamp": ("2026-03-01T11:30:25.930Z",),
    "amount": ("5.00", "1.00", "600.00"),
    "GiftCardValue": ("5.00", "600"),
    "RequestedAmount": ("0.01", "5.00"),
    "qty": ("5", "57.5", "600"),
}


def documents(address: str, name: str) -> list[Any]:
    """The operations that are described."""
    described = call(address, "GET", f"/openapi/{name}.json").json
    schema: Any = schemathesis.openapi.from_dict(described)
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("name", HEADERS)
def test_every_answer_is_described(worn_shim: ShimServer, name: str) -> None:
    _ask(worn_shim.address, name, 150, SEED)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADERS)
def test_many_answers_are_described(worn_shim: ShimServer, name: str, proof: Proof) -> None:
    heard = _ask(worn_shim.address, name, proof.cases(push=1000, release=100_000), proof.seed)
    by_status = {str(status): count for status, count in sorted(heard.items())}
    proof.report(f"As described, {name}", requests=heard.total(), **by_status)


def _ask(address: str, name: str, cases: int, chance: int) -> Counter[int]:
    """How often which status was answered to about so many right and wrong requests."""
    operations = documents(address, name)
    heard: Counter[int] = Counter()
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    each = -(-cases // (len(operations) * len(modes)))
    for operation in operations:
        for mode in modes:
            _run(address, name, operation, mode, each, chance, heard)
    assert any(status < 300 for status in heard), "nothing was ever done"
    assert any(status >= 400 for status in heard), "nothing was ever refused"
    return heard


def _run(
    address: str,
    name: str,
    operation: Any,
    mode: schemathesis.GenerationMode,
    cases: int,
    chance: int,
    heard: Counter[int],
) -> None:
    @seed(chance)
    @settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), known=st.integers(0, 7))
    def one(case: Any, known: int) -> None:
        if known:
            _put_known(case, known)
        case.query = {**(case.query or {}), **QUERY.get(name, {})}
        headers = {**HEADERS[name]}
        response = case.call(base_url=f"http://{address}", headers=headers)
        heard[response.status_code] += 1
        case.validate_response(response, checks=CHECKS)

    # Some operations take nothing that could be wrong.
    with contextlib.suppress(Unsatisfiable):
        one()


def _put_known(case: Any, pick: int) -> None:
    """Ids that exist in the place of invented ones."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            for member in part.keys() & KNOWN.keys():
                values = KNOWN[member]
                part[member] = values[pick % len(values)]
