"""Every method × every scope × every kind of caller, as the contract's own words say.

The contract states with each method which scope it needs; that statement, read from the descriptor
image, is what the server is held against.  Methods and scopes come from the descriptors, so that a
new one is covered on the day it is added.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
from giftcard import v1
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from tests.contract.image import CONTRACT
from tests.operations import SECOND
from tests.rpc.edge_stage import Heard, Stage, unique
from tests.rpc.good_requests import CODE, good_requests
from tests.rpc.server_thread import principal
from tests.rpc.test_served import METHODS

SCOPES: Final = tuple(v1.ApiClient.Scope.keys()[1:])

_NEEDS: Final = re.compile(r"Needs the scope ([A-Z]+(?: or [A-Z]+)*)")
_NEEDS_NONE: Final = re.compile(r"Needs no scope|may reverse its own transactions without a scope")


def scopes_of(comment: str) -> frozenset[str]:
    """The scopes any one of which admits, as a method's comment says; none: every caller may."""
    text = " ".join(comment.split())
    found = _NEEDS.findall(text)
    assert len(found) + len(_NEEDS_NONE.findall(text)) == 1, text
    return frozenset(found[0].split(" or ")) if found else frozenset()


CONTRACT_SCOPES: Final = {rpc.name: scopes_of(rpc.comment) for rpc in CONTRACT.rpcs}


def needed(method: MethodDescriptor) -> frozenset[str]:
    return CONTRACT_SCOPES[f"{method.containing_service.name}.{method.name}"]


def test_the_server_asks_for_the_scopes_that_the_contract_names(edge: Stage) -> None:
    served = {
        f"{name.removeprefix('giftcard.v1.')}.{rpc.name}": rpc.scopes
        for name, service in edge.thread.server._services.items()
        for rpc in service.rpcs()
    }
    assert served == CONTRACT_SCOPES
    assert frozenset().union(*served.values()) == set(SCOPES)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Real credentials of the merchant "own" by scope, and a client of "other" for each."""

    usable: dict[str, str]
    unusable: dict[str, dict[str, str]]
    foreign: dict[str, str]
    bound: dict[str, str]


@pytest.fixture(scope="module")
def tokens(edge: Stage) -> Tokens:
    everything = principal("platform", "root", " ".join(SCOPES))
    edge.thread.add("root", everything)
    places = v1.CreateLocationRequest(
        location_id="far", location=v1.Location(country_code="AT", time_zone="UTC")
    )
    edge.answer(places)
    made = Tokens({}, {"expired": {}, "revoked": {}, "disabled": {}}, {}, {})
    end = Timestamp(seconds=edge.clock.now // SECOND + 60)
    for scope in SCOPES:
        client = _client(edge, "own", scope)
        made.usable[scope] = _token(edge, client).secret
        made.unusable["expired"][scope] = _token(edge, client, expire_time=end).secret
        revoked = _token(edge, _client(edge, "own", scope))
        edge.answer(v1.RevokeCredentialRequest(name=revoked.name), "root")
        made.unusable["revoked"][scope] = revoked.secret
        disabled = _client(edge, "own", scope)
        made.unusable["disabled"][scope] = _token(edge, disabled).secret
        off = v1.ApiClient(name=disabled, state=v1.ApiClient.DISABLED)
        edge.answer(v1.UpdateApiClientRequest(api_client=off), "root")
        # These cost no look-up.
        made.foreign[scope], made.bound[scope] = f"foreign-{scope}", f"bound-{scope}"
        edge.thread.add(made.foreign[scope], principal("other", f"f-{scope}", scope))
        bound = principal("own", f"b-{scope}", scope, location="far")
        edge.thread.add(made.bound[scope], bound)
    edge.clock.advance(60)
    return made


def _client(edge: Stage, merchant: str, scope: str) -> str:
    created = edge.answer(
        v1.CreateApiClientRequest(
            parent=f"merchants/{merchant}",
            api_client_id=unique("client"),
            api_client=v1.ApiClient(scopes=[v1.ApiClient.Scope.Value(scope)]),
        ),
        "root",
    )
    return str(created.name)


def _token(edge: Stage, client: str, **parts: Any) -> v1.Credential:
    wanted = v1.Credential(kind=v1.Credential.TOKEN, **parts)
    made: v1.Credential = edge.answer(
        v1.CreateCredentialRequest(parent=client, credential=wanted), "root"
    )
    return made


@pytest.fixture(scope="module")
def good(edge: Stage) -> dict[str, Message]:
    return good_requests(edge)


def ask(edge: Stage, method: MethodDescriptor, request: Message, token: str | None) -> Heard:
    """Calls it under a new request id, by its path: names of methods need not be unique."""
    sent: Any = type(request)()
    sent.CopyFrom(request)
    if "request_id" in request.DESCRIPTOR.fields_by_name:
        sent.request_id = unique()
    path = f"/{method.containing_service.full_name}/{method.name}"
    return edge.raw(path, sent.SerializeToString(), token)


by_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@by_method
def test_a_method_admits_with_its_scope_and_with_no_other(
    edge: Stage, tokens: Tokens, good: dict[str, Message], method: MethodDescriptor
) -> None:
    """Who lacks the scope is told before anything else, and nothing is done."""
    admitting = needed(method)
    request = good[method.name]
    for scope in SCOPES:
        if admitting and scope not in admitting:
            rows = edge.rows()
            heard = ask(edge, method, request, tokens.usable[scope])
            expected = ("PERMISSION_DENIED", "SCOPE_MISSING", " or ".join(sorted(admitting)))
            assert (heard.code, heard.reason, heard.metadata["scope"]) == expected, scope
            assert edge.rows() == rows
        else:
            # Without content, so that nothing is changed for those who come after.
            heard = ask(edge, method, type(request)(), tokens.usable[scope])
            assert heard.code in {"OK", "INVALID_ARGUMENT", "NOT_FOUND"}, (scope, heard)


@by_method
def test_a_credential_that_does_not_hold_opens_nothing(
    edge: Stage, tokens: Tokens, good: dict[str, Message], method: MethodDescriptor
) -> None:
    """None, unknown, expired, revoked, of a disabled client: one answer, whatever the scope."""
    request = good[method.name]
    nobody = ask(edge, method, request, None)
    assert (nobody.code, nobody.reason) == ("UNAUTHENTICATED", "UNAUTHENTICATED")
    rows = edge.rows()
    assert ask(edge, method, request, "gct_" + "A" * 43) == nobody
    for kind, by_scope in tokens.unusable.items():
        for scope in SCOPES:
            assert ask(edge, method, request, by_scope[scope]) == nobody, (kind, scope)
    assert edge.rows() == rows


_IDS: Final = re.compile(r"(giftCards|holds|transactions|credentials)/[0-9a-f]{32}")


def _nobodys(value: str) -> str:
    """What the good requests name of the merchant "own", as the same of nobody's."""
    for owned, unknown in (
        ("merchants/own/apiClients/any", "merchants/nobody/apiClients/none"),
        ("merchants/own", "merchants/nobody"),
        ("customers/any", "customers/none"),
        (CODE, "NOBODYS-CODE"),
    ):
        value = value.replace(owned, unknown)
    return re.sub(
        r"(giftCards|holds|transactions|credentials)/[0-9a-f]{32}", r"\1/" + "0" * 32, value
    )


def _renamed(message: Any) -> Any:
    """A copy that names what nobody has."""
    copy = type(message)()
    copy.CopyFrom(message)
    for field, value in message.ListFields():
        if field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for old, new in _pairs(field, value, copy):
                new.CopyFrom(_renamed(old))
        elif field.message_type is None and isinstance(value, str):
            setattr(copy, field.name, _nobodys(value))
    return copy


def _pairs(field: Any, value: Any, copy: Any) -> Iterator[tuple[Any, Any]]:
    there = getattr(copy, field.name)
    yield from zip(value, there, strict=True) if field.is_repeated else [(value, there)]


@by_method
def test_another_merchant_reaches_nothing(
    edge: Stage, tokens: Tokens, good: dict[str, Message], method: MethodDescriptor
) -> None:
    """What is somebody else's is answered like what is not there, whatever scope one has."""
    request = good[method.name]
    unknown = _renamed(request)
    admitting = (needed(method) or set(SCOPES)) - {"PLATFORM"}  # which reaches every merchant
    before = _belongings(edge, good)
    for scope in sorted(admitting):
        theirs = ask(edge, method, request, tokens.foreign[scope])
        if request == unknown:
            continue  # it names nothing of anybody's
        nobodys = ask(edge, method, unknown, tokens.foreign[scope])
        told = {name: _nobodys(value) for name, value in theirs.metadata.items()}
        assert (theirs.code, theirs.reason, theirs.text, theirs.details, told) == (
            nobodys.code, nobodys.reason, nobodys.text, nobodys.details, nobodys.metadata,
        )  # fmt: skip
        assert not theirs.message
    assert _belongings(edge, good) == before


def _belongings(edge: Stage, good: dict[str, Message]) -> list[Message]:
    """What "own" has, as it stands."""
    names = (
        "GetGiftCard",
        "GetHold",
        "GetTransaction",
        "GetCustomer",
        "GetLocation",
        "GetApiClient",
    )
    return [edge.answer(good[name]) for name in names]


@pytest.mark.parametrize(
    "method",
    [method for method in METHODS if "context" in method.input_type.fields_by_name],
    ids=lambda method: method.name,
)
def test_a_client_of_one_store_writes_for_no_other(
    edge: Stage, tokens: Tokens, good: dict[str, Message], method: MethodDescriptor
) -> None:
    """The requests say that they come from the shop; these clients are bound to another."""
    request: Any = type(good[method.name])()
    request.CopyFrom(good[method.name])
    request.context.location = "locations/shop"
    rows = edge.rows()
    for scope in sorted(needed(method) or SCOPES):
        heard = ask(edge, method, request, tokens.bound[scope])
        assert (heard.code, heard.reason) == ("PERMISSION_DENIED", "LOCATION_FORBIDDEN"), scope
    assert edge.rows() == rows
