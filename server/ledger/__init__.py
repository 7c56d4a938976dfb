"""The group-commit engine: one writer, whole batches, answers only after COMMIT."""

from server.ledger.batch import Answer, BatchProcessor
from server.ledger.engine import Failure, Ledger, Outcome

__all__ = ["Answer", "BatchProcessor", "Failure", "Ledger", "Outcome"]
