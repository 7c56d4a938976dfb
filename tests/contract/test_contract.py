"""The rules of the contract: each test holds one, over every element that it concerns."""

import json
import re
from collections import Counter

import giftcard.v1
import grpc
import pytest

from tests.contract.image import CONTRACT, Element, Rpc

FIELDS = [field for fields in CONTRACT.fields.values() for field in fields]
REASONS = [
    value
    for value in CONTRACT.enum_values["ErrorReason"]
    if not value.name.endswith("_UNSPECIFIED")
]
READS_BY_POST = {"GiftCardService.LookupGiftCard", "GiftCardService.RenderCertificate"}
WRITES = [rpc for rpc in CONTRACT.rpcs if rpc.verb != "get" and rpc.name not in READS_BY_POST]
SECRET = re.compile(r"(^|_)(codes?|pin|secret|password)$")
# A field without such a name that holds a code all the same.
HIDDEN_SECRETS = {"RenderCertificateResponse.content"}
NO_SECRETS = {"currency_code", "country_code", "authorization_code", "require_reserved_code"}
NAMED_BY_METHODS = re.compile(r"\b[A-Z]+(?:_[A-Z]+)+\b")


def _id(element: Element) -> str:
    return element.name


def _holds_secret(name: str) -> bool:
    return SECRET.search(name) is not None and name not in NO_SECRETS


def test_the_image_has_the_whole_contract() -> None:
    # Guards the other tests: over an empty list each of them would pass.
    services = Counter(rpc.name.split(".")[0] for rpc in CONTRACT.rpcs)
    assert services == {
        "GiftCardService": 28,
        "ProgramService": 4,
        "LocationService": 4,
        "CustomerService": 7,
        "AdminService": 11,
    }
    assert len(FIELDS) > 300
    assert len(REASONS) > 50


def test_everything_has_a_comment_that_is_a_sentence() -> None:
    sentence = re.compile(r"[A-Z`0-9].*[.:}]", re.DOTALL)
    assert [e.name for e in CONTRACT.elements if not sentence.fullmatch(e.comment.strip())] == []


@pytest.mark.parametrize("rpc", CONTRACT.rpcs, ids=_id)
def test_a_method_says_what_it_needs_changes_and_fails_with(rpc: Rpc) -> None:
    text = " ".join(rpc.comment.split())
    assert "Idempotent" in text
    assert "Fails with" in text
    assert re.search(r"Needs (the|no) scope|without a scope", text)
    assert re.search(r"From |[Cc]hanges |no state|The (hold|source) |The old one|Takes the", text)
    known = {value.name.rsplit(".", 1)[1] for v in CONTRACT.enum_values.values() for value in v}
    assert set(NAMED_BY_METHODS.findall(text)) <= known


def test_every_field_says_how_it_behaves() -> None:
    assert [field.name for field in FIELDS if not field.behaviors] == []


def test_fields_that_hold_secrets_are_redacted_and_no_others() -> None:
    secret = {f.name for f in FIELDS if _holds_secret(f.descriptor.name)} | HIDDEN_SECRETS
    assert {f.name for f in FIELDS if f.redacted} == secret
    assert {"GiftCardReference.code", "GiftCardReference.pin", "Credential.secret"} <= secret


@pytest.mark.parametrize("rpc", CONTRACT.rpcs, ids=_id)
def test_every_method_has_an_http_binding_over_fields_that_exist(rpc: Rpc) -> None:
    assert rpc.verb in {"get", "post", "patch"}
    assert rpc.template.startswith("/v1/")
    # Two variables in one path are ambiguous with names that contain slashes (AIP-127).
    assert len(rpc.path_variables) <= 1
    for variable in rpc.path_variables:
        field = CONTRACT.field(rpc.request, variable)
        assert field is not None
        assert field.descriptor.type == field.descriptor.TYPE_STRING
        assert field.behaviors & {"REQUIRED", "IDENTIFIER"}
    assert rpc.http.body == ("" if rpc.verb == "get" else "*")


@pytest.mark.parametrize("rpc", CONTRACT.rpcs, ids=_id)
def test_no_secret_ever_stands_in_a_url(rpc: Rpc) -> None:
    in_path = [CONTRACT.field(rpc.request, variable) for variable in rpc.path_variables]
    # Without a body every field that is not in the path is in the query.
    in_query = [] if rpc.http.body == "*" else list(CONTRACT.fields_below(rpc.request))
    assert [field.name for field in [*in_path, *in_query] if field and field.redacted] == []


def test_no_two_methods_have_the_same_url() -> None:
    urls = Counter((rpc.verb, re.sub(r"\{[^=]+=", "{", rpc.template)) for rpc in CONTRACT.rpcs)
    assert [url for url, count in urls.items() if count > 1] == []


@pytest.mark.parametrize("rpc", WRITES, ids=_id)
def test_every_writing_method_requires_a_request_id_and_takes_a_context(rpc: Rpc) -> None:
    request_id = CONTRACT.field(rpc.request, "request_id")
    assert request_id is not None
    assert request_id.behaviors == {"REQUIRED"}
    context = CONTRACT.field(rpc.request, "context")
    assert context is not None
    assert context.descriptor.type_name == ".giftcard.v1.CallContext"


@pytest.mark.parametrize("rpc", [rpc for rpc in CONTRACT.rpcs if rpc.verb == "get"], ids=_id)
def test_no_reading_method_takes_a_request_id(rpc: Rpc) -> None:
    assert CONTRACT.field(rpc.request, "request_id") is None


@pytest.mark.parametrize(
    "rpc",
    [
        rpc
        for rpc in WRITES
        if rpc.name.startswith("GiftCardService.") and not rpc.name.endswith("LookupTransaction")
    ],
    ids=_id,
)
def test_every_writing_card_method_answers_cards_transaction_and_replayed(rpc: Rpc) -> None:
    first = CONTRACT.fields[rpc.response][0]
    numbers = {f.descriptor.name: f.descriptor.number for f in CONTRACT.fields[rpc.response]}
    codes = rpc.descriptor.name.endswith("Codes")
    assert first.descriptor.type_name.endswith(".CodeReservation" if codes else ".GiftCard")
    assert numbers["transaction"] == 2
    assert numbers["replayed"] == 3


@pytest.mark.parametrize("rpc", CONTRACT.rpcs, ids=_id)
def test_lists_have_pages(rpc: Rpc) -> None:
    is_list = rpc.descriptor.name.startswith("List")
    paging = {"page_size", "page_token"}
    assert is_list == (paging <= {f.descriptor.name for f in CONTRACT.fields[rpc.request]})
    assert is_list == (CONTRACT.field(rpc.response, "next_page_token") is not None)


@pytest.mark.parametrize("reason", REASONS, ids=_id)
def test_every_reason_has_its_code_its_finality_and_an_example(reason: Element) -> None:
    text = " ".join(reason.comment.split())
    code, finality, example = re.fullmatch(  # type: ignore[union-attr]
        r"([A-Z_]+), ((?:not )?a decision)\. .+\. Example: (\{.*\})", text
    ).groups()
    assert code in grpc.StatusCode.__members__
    info = json.loads(example)
    assert info["reason"] == reason.name.split(".")[1]
    assert info["domain"] == "giftcard.v1"
    assert info.keys() <= {"reason", "domain", "metadata"}
    assert all(isinstance(value, str) for value in info.get("metadata", {}).values())
    # Without a row nothing can be answered again; these codes say that nobody decided.
    if code in {"INVALID_ARGUMENT", "UNAUTHENTICATED", "NOT_FOUND", "UNAVAILABLE", "INTERNAL"}:
        assert finality == "not a decision"


def test_the_package_exports_exactly_what_the_contract_names() -> None:
    assert set(giftcard.v1.__all__) == CONTRACT.exported_names
    assert all(hasattr(giftcard.v1, name) for name in CONTRACT.exported_names)
