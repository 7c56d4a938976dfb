"""The programs of the test merchant, as plain facts: what the subjects sell and the model knows.

Fields left out have the product's defaults: any amount, reloadable, partial redemption and holds
allowed, never paid out, never expiring.
"""

from typing import Any, Final

PROGRAMS: Final[dict[str, dict[str, Any]]] = {
    "GC": {},
    "CASH": {"return_allowed": True},
    "MAX": {"max_balance": 100},
    "RANGE": {"min_amount": 10, "max_amount": 50, "max_balance": 100},
    "FIXED": {"denominations": (25,), "value_change_allowed": False, "reload_allowed": False},
    "CHOICE": {"denominations": (25, 50)},
    "WHOLE": {"partial_redeem_allowed": False},
    "DYN": {"holds_allowed": False},
    "SHORT": {"validity_days": 3},
    "MONTH": {"validity_months": 1},
    "SUMMER": {"valid_until": "2026-08-31"},
    "EURO": {"unit": "EUR"},
    "PIN": {"pin_required": True},
    "LOYAL": {"points_per_major_unit": 40, "max_amount": 6_000},
    "MILES": {"unit": "EUR", "points_per_major_unit": 40},
    "GONE": {"retired": True},
}
HOLD_SECONDS: Final = 7 * 24 * 3600
