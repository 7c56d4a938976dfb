"""What a client knows for certain: which requests it sent, and what it was told of each.

A server may be killed at any moment; what it acknowledged before must be there afterwards, so the
one record that proves it lies with the client.  Every line is written before the client goes on,
and the file stays for inspection.  Knows nothing of gRPC beyond serialized messages.
"""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["AckLog", "Sent"]


@dataclass(slots=True)
class Sent:
    """One request: `answer` once it was approved, `refusal` (the reason) once it was refused.

    `request` and `answer` are whatever messages the client and the server exchanged.
    """

    request_id: str
    method: str
    request: Any
    answer: Any = None
    refusal: str = ""
    tries: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def known(self) -> bool:
        """Whether the client was told what became of it."""
        return self.answer is not None or bool(self.refusal)


class AckLog:
    """Requests in the order in which they were first sent."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._sent: dict[str, Sent] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[Sent]:
        return iter(list(self._sent.values()))

    def __len__(self) -> int:
        return len(self._sent)

    def sending(self, method: str, request: Any) -> Sent:
        """Notes a request before it leaves; the same id again is another try of the same."""
        sent = self._sent.get(request.request_id)
        if sent is None:
            sent = Sent(request.request_id, method, request)
            self._sent[sent.request_id] = sent
        assert sent.request == request, f"{sent.request_id} was sent with another meaning"
        sent.tries += 1
        self._note("sending", sent, request)
        return sent

    def acknowledged(self, sent: Sent, answer: Any) -> None:
        """Notes the final answer: from here on it must never be lost."""
        self._note("acknowledged", sent, answer)
        sent.answer = answer

    def refused(self, sent: Sent, reason: str) -> None:
        """Notes a stored refusal, which is as final as an approval."""
        self._write({"refused": sent.request_id, "why": reason})
        sent.refusal = reason

    def failed(self, sent: Sent, why: str) -> None:
        """Notes that the client still does not know what became of a request."""
        self._write({"failed": sent.request_id, "why": why})
        sent.failures.append(why)

    def known(self) -> list[Sent]:
        return [sent for sent in self if sent.known]

    def unknown(self) -> list[Sent]:
        return [sent for sent in self if not sent.known]

    def _note(self, event: str, sent: Sent, message: Any) -> None:
        text = base64.b64encode(message.SerializeToString()).decode()
        self._write({event: sent.request_id, "method": sent.method, "message": text})

    def _write(self, line: dict[str, str]) -> None:
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
