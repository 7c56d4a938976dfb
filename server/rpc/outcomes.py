"""From a stored decision to an answer: approvals go on, stored refusals are raised again."""

from server.domain.errors import DomainError, Refused
from server.domain.model import TransactionState
from server.domain.record import Record
from server.ledger.batch import Answer


class StoredRefusal(Exception):
    """A refusal on its way to the caller; `replayed` says whether it was answered before."""

    def __init__(self, refusal: DomainError, *, replayed: bool) -> None:
        super().__init__(refusal.reason)
        self.refusal = refusal
        self.replayed = replayed


def approved(answer: Answer) -> Record:
    """The record of an approval; a stored refusal is raised, word for word as the first time."""
    record = answer.record
    assert record is not None
    if record.state is TransactionState.REFUSED:
        metadata = {**record.refusal_metadata, "transaction": record.id}
        raise StoredRefusal(Refused(record.refusal_reason, **metadata), replayed=answer.replayed)
    return record
