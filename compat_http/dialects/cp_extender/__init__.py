"""CP Extender API: gift cards, authorizations and loyalty points of NCR Counterpoint, as JSON.

The vendor documents the paths, the bodies, the answers and the phrases of errors that are printed
in its help pages.  Paths are matched in any letter case, since the vendor writes Giftcard and
GiftCard, and the id may stand before or after the method.  Bearer tokens are the only credential.

*Our convention* is what the vendor leaves open:

An error is `{"Message": "…"}` with the vendor's phrase to the letter; what there is to say beyond
it stands in `MessageDetail`.  Unknown cards, authorizations and customers are 404.

CP Extender has no request ids.  Create with a GiftCardId, Authorize, Confirm and Cancel are known
by what they say, so that repeating them after a lost answer is safe: the same Authorize has the
same AuthCode for as long as it is open, a repeated Confirm or Cancel is 204, the opposite outcome
400.  ReserveIds, Earn and a Create without GiftCardId are new each time: reserve an id first and
give it to Create.  After 504, too, a call that is known may be repeated; where it is not, what was
asked is taken back.

AuthorizedAmount may be less than was asked for.  For loyalty it is a number of points.

Tokens are assigned by the merchant's administrator.  SSO/Login makes none: it takes an assigned
token as the password, checks it and answers it.  The user's name is not looked at.

A word other than `active` for a status, and other than `Issued` for an activity, is ours.  So are
the lines of Loyalty BalanceCheck beside `Historical Summary` and `Pending Charge`.
"""

from typing import Any

from compat_http.dialect import Dialect, LegacyRequest, Trace
from compat_http.dialects.cp_extender import answers, connection
from compat_http.dialects.cp_extender.routes import routes
from compat_http.settings import Settings

__all__ = ["build", "trace"]

_CODES = ("giftcardid", "ref", "customernumber")
_IDS = ("saleid", "authcode", "requestname", "reference")


def trace(request: LegacyRequest) -> Trace:
    """What the log looks a call up by.  Of a customer's number, too, only the end is kept."""
    document = request.document if isinstance(request.document, dict) else {}
    members: dict[str, Any] = {name.casefold(): value for name, value in document.items()}

    def first(names: tuple[str, ...]) -> str:
        return next((str(members[n]) for n in names if isinstance(members.get(n), str)), "")

    in_path = request.path.get("card_id") or request.path.get("customer_id")
    return Trace("", first(_IDS), in_path or first(_CODES))


def build(settings: Settings) -> Dialect:
    config = settings.cp
    secrets = (config.login_password_member, config.login_token_member)
    return Dialect(
        name="cp",
        title="CP Extender API",
        description=__doc__,
        config=config,
        routes=routes(config),
        credentials=connection.bearer,
        challenge="Bearer",
        reasons=answers.REASONS,
        refuse=answers.refuse,
        trace=trace,
        budget_milliseconds=config.budget_milliseconds,
        error_schema=answers.ERROR_SCHEMA,
        code_members=frozenset({*_CODES, "id", "giftcards", "card_id", "customer_id"}),
        secret_members=frozenset(name.casefold() for name in secrets),
        case_insensitive=True,
    )
