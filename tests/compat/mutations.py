"""Every request of every dialect that changes something, ready to be sent: one line each.

For the proofs that hold for all of them: a repeat, another body under the same key, an answer that
is cut.
"""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from compat_http.strict_json import exact_number as n
from tests.compat import speak
from tests.compat.stage import Said

_numbers = itertools.count(1)
CUSTOMER: Final = "2059378440"
_PAY: Final = f"/transactions/{speak.CONSUMER}/cards/"

Send = Callable[[str], Said]
#: What a table's line is made with: the shim's address, and a number that nobody else has.
Make = Callable[[str, int], "Mutation"]


@dataclass(frozen=True, slots=True)
class Mutation:
    """A request, and another one that has its key.

    `card` is the code that tells the effect; "" where the customer's points do, or where only the
    answer has the code.  `conflict` is what the other one is answered: status, and a part of the
    body.
    """

    send: Send
    card: str
    other: Send | None = None
    conflict: tuple[int, str] = (0, "")


def number() -> int:
    return next(_numbers)


def ok(said: Said) -> Said:
    assert said.status in (200, 204), said
    return said


# RETAIL7

_REUSED: Final = (409, "REQUEST_ID_REUSED")


def sold(address: str, number: int, money: str = "25.00", **members: Any) -> str:
    """A card sold by a till."""
    code = f"77MUT{number:06}"
    ok(speak.retail7(address, "SELL", code, f"sale{number}", issuedByClient=True,
                     amount=n(money), **members))  # fmt: skip
    return code


def _retail7(
    operation: str, before: Callable[[str, int], str], other: Mapping[str, Any], **members: Any
) -> Make:
    def make(address: str, number: int) -> Mutation:
        code = before(address, number)

        def send(to: str) -> Said:
            return speak.retail7(to, operation, code, f"M{number}", **members)

        def send_other(to: str) -> Said:
            changed = {**members, **other}
            card = changed.pop("card", code)
            return speak.retail7(to, operation, card, f"M{number}", **changed)

        return Mutation(send, code, send_other, _REUSED)

    return make


def _nothing(address: str, number: int) -> str:
    return f"77MUT{number:06}"


def _created(address: str, number: int) -> str:
    code = _nothing(address, number)
    ok(speak.retail7(address, "CREATE", code, f"made{number}"))
    return code


def _locked(address: str, number: int) -> str:
    code = sold(address, number)
    ok(speak.retail7(address, "LOCK", code, f"locked{number}"))
    return code


def _empty(address: str, number: int) -> str:
    code = sold(address, number)
    ok(speak.retail7(address, "REDEEM", code, f"spent{number}", amount=n("25.00")))
    return code


def _returnable(address: str, number: int) -> str:
    return sold(address, number, returnAllowed=True)


def _cancel(address: str, number: int) -> Mutation:
    code = sold(address, number)
    for name in ("A", "B"):
        ok(speak.retail7(address, "REDEEM", code, f"{name}{number}"))

    def send(to: str, original: str = "A") -> Said:
        return speak.retail7(to, "CANCEL", code, f"M{number}",
                             originalRequestIDExternal=f"{original}{number}")  # fmt: skip

    return Mutation(send, code, lambda to: send(to, "B"), _REUSED)


# CP Extender


def _reserved(address: str) -> str:
    said = ok(speak.cp(address, "/Giftcard/ReserveIds", Agency="Website"))
    code: str = said.json["GiftCards"][0]
    return code


def _cp_create(points: int) -> Make:
    paid = {"PointsToRedeem": points, "CustomerNumber": CUSTOMER} if points else {"SaleId": "S1"}

    def make(address: str, number: int) -> Mutation:
        code = _reserved(address)

        def send(to: str, value: str = "1.00") -> Said:
            return speak.cp(to, "/Giftcard/Create", GiftCardId=code, GiftCardCode="GC",
                            GiftCardValue=n(value), **paid)  # fmt: skip

        return Mutation(send, code, lambda to: send(to, "6.00"),
                        (400, "GiftcardId Already Exists"))  # fmt: skip

    return make


def authorization(address: str, code: str, sale: str, value: str = "5.00") -> str:
    said = ok(_authorize(address, code, sale, value))
    found: str = said.json["AuthCode"]
    return found


def _authorize(to: str, code: str, sale: str, value: str) -> Said:
    return speak.cp(to, "/Giftcard/Authorize", Type="giftcard", Ref=code, SaleId=sale,
                    RequestedAmount=n(value))  # fmt: skip


def _cp_authorize(address: str, number: int) -> Mutation:
    code = sold(address, number)
    return Mutation(lambda to: _authorize(to, code, f"S{number}", "5.00"), code)


def _cp_authorize_points(address: str, number: int) -> Mutation:
    def send(to: str) -> Said:
        return speak.cp(to, "/Loyalty/Authorize", Ref=CUSTOMER, SaleId=f"S{number}",
                        RequestedPoints=3)  # fmt: skip

    return Mutation(send, "")


def _cp_settle(path: str, other: str, phrase: str) -> Make:
    def make(address: str, number: int) -> Mutation:
        code = sold(address, number)
        named: dict[str, Any] = {
            "Ref": code,
            "AuthCode": authorization(address, code, f"S{number}"),
        }
        return Mutation(
            lambda to: speak.cp(to, path, **named), code,
            lambda to: speak.cp(to, other, **named), (400, phrase),
        )  # fmt: skip

    return make


# Resico


def _resico_sell(keyed: bool) -> Make:
    def make(address: str, number: int) -> Mutation:
        code, key = f"77MUT{number:06}", f"K{number}" if keyed else ""

        def send(to: str, value: str = "5.00") -> Said:
            return speak.resico(to, "POST", f"/cards/{code}", key, amount=n(value),
                                transactionNo=f"{number:08}", locationCode="SHOP1")  # fmt: skip

        conflict = "REQUEST_ID_REUSED" if keyed else "CODE_EXISTS"
        return Mutation(send, code, lambda to: send(to, "6.00"), (409, conflict))

    return make


def _resico_use(address: str, number: int) -> Mutation:
    code = sold(address, number)

    def send(to: str, value: str = "5.00") -> Said:
        return speak.resico(to, "POST", _PAY + code, f"K{number}", amount=n(value))

    return Mutation(send, code, lambda to: send(to, "6.00"), _REUSED)


def _resico_reserve(address: str, number: int) -> Mutation:
    code, another = sold(address, number), sold(address, next(_numbers))

    def send(to: str, card: str = code) -> Said:
        path = f"/reserve/{card}"
        return speak.resico(to, "POST", path, f"K{number}", locationCode="SHOP1")

    return Mutation(send, code, lambda to: send(to, another), _REUSED)


def _resico_cancel(method: str) -> Make:
    """Without a key: a repeat finds nothing to cancel."""

    def make(address: str, number: int) -> Mutation:
        code = sold(address, number)
        ok(speak.resico(address, "POST", f"/reserve/{code}", locationCode="SHOP1"))
        return Mutation(lambda to: speak.resico(to, method, f"/cancelreserve/{code}"), code)

    return make


# iWAREHOUSE


def _iwarehouse(address: str, number: int) -> Mutation:
    def send(to: str, value: str = "5") -> Said:
        return speak.iwarehouse(to, qty=value, ref=f"R{number}", expiresdays="30")

    return Mutation(send, "", lambda to: send(to, "6"), _REUSED)


#: Of these, what they say is the key, so that another one is another request.
KEYED_BY_ALL: Final = frozenset({
    "cp Authorize", "cp Loyalty/Authorize", "resico cancelreserve", "resico cancelreserve by POST",
})  # fmt: skip
#: Those whose repeat is known as one.  ReserveIds, Earn and a Create without GiftCardId of CP
#: Extender, and whatever Resico and iWAREHOUSE are sent without a key, is new each time.
MUTATIONS: Final[dict[str, Make]] = {
    "retail7 SELL, issued by client": _retail7(
        "SELL", _nothing, {"amount": n("6.00")}, issuedByClient=True, amount=n("5.00")),
    "retail7 SELL": _retail7("SELL", _created, {"amount": n("6.00")}, amount=n("5.00")),
    "retail7 LOAD": _retail7("LOAD", sold, {"amount": n("6.00")}),
    "retail7 REDEEM": _retail7("REDEEM", sold, {"amount": n("6.00")}),
    "retail7 CANCEL": _cancel,
    "retail7 CREATE": _retail7("CREATE", _nothing, {"reloadAllowed": False}, reloadAllowed=True),
    "retail7 UPDATE": _retail7("UPDATE", sold, {"reloadAllowed": False}),
    "retail7 LOCK": _retail7("LOCK", sold, {"card": "12300"}),
    "retail7 UNLOCK": _retail7("UNLOCK", _locked, {"card": "12300"}),
    "retail7 CLOSE": _retail7("CLOSE", _empty, {"card": "12300"}),
    "retail7 RETURN": _retail7(
        "RETURN", _returnable, {"amount": n("24.00")}, amount=n("25.00")),
    "cp Create, for a sale": _cp_create(0),
    "cp Create, for points": _cp_create(100),
    "cp Authorize": _cp_authorize,
    "cp Loyalty/Authorize": _cp_authorize_points,
    "cp Confirm": _cp_settle(
        "/Authorize/Confirm", "/Authorize/Cancel", "Authorization has already been confirmed"),
    "cp Cancel": _cp_settle(
        "/Authorize/Cancel", "/Authorize/Confirm", "Authorization has been cancelled"),
    "resico sell": _resico_sell(False),
    "resico sell, keyed": _resico_sell(True),
    "resico use": _resico_use,
    "resico reserve": _resico_reserve,
    "resico cancelreserve": _resico_cancel("GET"),
    "resico cancelreserve by POST": _resico_cancel("POST"),
    "iwarehouse create": _iwarehouse,
}  # fmt: skip
