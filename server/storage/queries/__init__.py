"""What callers read and list, a page at a time, always along an index.

Every function takes a connection that is inside one snapshot.  A page starts after the last key
of the page before it, so rows that come meanwhile neither repeat nor hide others.
"""

from server.storage.queries.cards import (
    FoundHold,
    card,
    cards_page,
    customer,
    customers_page,
    hold,
    holds_page,
)
from server.storage.queries.setup import (
    ClientRow,
    CredentialRow,
    LocationRow,
    MerchantRow,
    client,
    clients_page,
    credentials_of,
    location,
    locations_page,
    merchant,
    merchants_page,
    program,
    programs_page,
)
from server.storage.queries.transactions import (
    Described,
    commit_of,
    described,
    entries_of,
    reversal_of,
    transaction,
    transactions_page,
)

__all__ = [
    "ClientRow",
    "CredentialRow",
    "Described",
    "FoundHold",
    "LocationRow",
    "MerchantRow",
    "card",
    "cards_page",
    "client",
    "clients_page",
    "commit_of",
    "credentials_of",
    "customer",
    "customers_page",
    "described",
    "entries_of",
    "hold",
    "holds_page",
    "location",
    "locations_page",
    "merchant",
    "merchants_page",
    "program",
    "programs_page",
    "reversal_of",
    "transaction",
    "transactions_page",
]
