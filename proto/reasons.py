"""The error reasons, as the contract's comments tell them: status, finality, text, example.

A reason's comment says `STATUS_CODE, [not ]a decision. Sentences.` and gives an example.  That of a
method says `Fails with` its own reasons, that of a service what each method may fail with besides.
"""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from proto.contract import Contract, Message, Method, Service

_REASON: Final = re.compile(
    r"(?P<code>[A-Z_]+), (?P<undecided>not )?a decision\. (?P<text>.+?)"
    r" Example: (?P<example>\{.*\})"
)
_NAME: Final = re.compile(r"[A-Z][A-Z_]+")
_OF_ANOTHER: Final = re.compile(r"the reasons of ([A-Za-z]+)")
_SEAL: Final = "LookupTransaction"


@dataclass(frozen=True, slots=True)
class Reason:
    """`example` is the ErrorInfo of its comment."""

    name: str
    code: str
    is_decision: bool
    text: str
    example: dict[str, Any]


def read(contract: Contract) -> dict[str, Reason]:
    """Returns the reasons by name, in the order of their numbers, without that of no error."""
    found: dict[str, Reason] = {}
    for name, comment in contract.enums["giftcard.v1.ErrorReason"].values[1:]:
        match = _REASON.fullmatch(" ".join(comment.split()))
        if match is None:
            raise ValueError(f"The comment of {name} does not say what an error's has to say.")
        found[name] = Reason(
            name,
            match["code"],
            not match["undecided"],
            match["text"],
            json.loads(match["example"]),
        )
    return found


def of_method(contract: Contract, service: Service, method: Method) -> set[str]:
    """Returns the names of all reasons that a call of a method may fail with.

    Raises:
        ValueError: a comment names a reason that there is not.
    """
    known = {name for name, _ in contract.enums["giftcard.v1.ErrorReason"].values}
    request = contract.messages[method.request]
    found = _common(service, "each may fail with")
    if _takes_a_card(request):
        found |= _common(service, "each that takes a card with")
    if writes(request, method):
        found |= _common(service, "each that writes with")
    found |= _own(service, method)
    if strangers := {name for name in found - known if "_" in name}:
        raise ValueError(f"{service.name}.{method.name} fails with {strangers}, which is nothing.")
    return found & known


def writes(request: Message, method: Method) -> bool:
    """Whether a method moves something under a request id of its own."""
    has_id = any(each.name == "request_id" for each in request.fields)
    return has_id and method.name != _SEAL


def _takes_a_card(request: Message) -> bool:
    cards = {"giftcard.v1.GiftCardReference", "giftcard.v1.GiftCard"}
    return any(each.type_name in cards for each in request.fields)


def _common(service: Service, phrase: str) -> set[str]:
    text = " ".join(service.comment.split())
    _, _, after = text.partition(phrase)
    return {*_NAME.findall(re.split("[.;]", after)[0])}


def _own(service: Service, method: Method) -> set[str]:
    """Every word in capitals behind `Fails with`; a state or a disposition may be among them."""
    _, _, after = " ".join(method.comment.split()).partition("Fails with")
    found = {*_NAME.findall(after)}
    for name in _OF_ANOTHER.findall(after):
        (other,) = (each for each in service.methods if each.name == name)
        found |= _own(service, other)
    return found
