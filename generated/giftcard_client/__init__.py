"""A thin client of the gift card service: deadlines, safe retries, typed errors, known outcomes.

from giftcard_client import GiftcardClient, OutcomeUnknown, reasons
"""

from giftcard_client.client import GiftcardClient, Outcome, Tls
from giftcard_client.errors import GiftcardError, Refusal
from giftcard_client.reasons import InsufficientFunds, OutcomeUnknown
from giftcard_client.retry import RetryPolicy

__all__ = [
    "GiftcardClient",
    "GiftcardError",
    "InsufficientFunds",
    "Outcome",
    "OutcomeUnknown",
    "Refusal",
    "RetryPolicy",
    "Tls",
]
