"""What stands on a certificate besides the card's own figures."""

from dataclasses import dataclass

from sqlalchemy import Connection

from server.domain.model import Card
from server.storage import directory, queries


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """Names for people; those that nobody gave are empty.  `sealed` is None where the card's
    code is known by its hash only."""

    merchant: str
    program: str
    color: str
    location: str
    sealed: directory.SealedCode | None


def certificate_facts(connection: Connection, card: Card) -> CertificateFacts:
    """Looks follow the program as it is now; what the card is worth and when, the card itself."""
    merchant = queries.merchant(connection, card.merchant_id)
    program = queries.program(connection, card.merchant_id, card.cell, card.program_code)
    site = None
    if card.issued_location_id:
        site = queries.location(connection, card.merchant_id, card.cell, card.issued_location_id)
    sealed = directory.sealed_code(connection, card.id, card.cell)
    return CertificateFacts(
        merchant.display_name if merchant else "",
        program.display_name if program else "",
        program.certificate_color if program else "",
        site.display_name if site else "",
        sealed if sealed is not None and sealed.ciphertext else None,
    )
