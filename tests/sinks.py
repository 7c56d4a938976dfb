"""Everything that processes write or show while they run, to be searched for secrets.

    sinks = Sinks({"log": lambda: server.log, "metrics": lambda: scrape.text})
    (calls with secrets in them)
    sinks.require_none_of(["the card's code", "its PIN"])

A sink is read when it is searched, and must not be empty: what was not looked at proves nothing.
"""

import base64
from collections.abc import Callable, Iterable, Mapping
from urllib.parse import quote


def forms(word: str) -> set[str]:
    """A word as it is, and as careless code would have turned it; letters in lower case."""
    encoded = word.encode()
    # Between other text it looks different in each of three places, but for both of its ends.
    within = (base64.b64encode(b"x" * skip + encoded).decode() for skip in range(3))
    inner = {text[4:].rstrip("=")[:-2] for text in within}
    whole = {word, quote(word, safe=""), encoded.hex(), base64.b64encode(encoded).decode()}
    found = {text.rstrip("=").lower() for text in whole} | {text.lower() for text in inner}
    return {text for text in found if len(text) >= min(len(word), 4)}


class Sinks:
    """By name: what tells a sink's whole content, as text."""

    def __init__(self, contents: Mapping[str, Callable[[], str]]) -> None:
        self._contents = dict(contents)

    def read(self) -> dict[str, str]:
        """All of them, in lower case."""
        found = {name: content().lower() for name, content in self._contents.items()}
        empty = [name for name, text in found.items() if not text]
        assert empty == [], f"nothing was written there to be searched: {empty}"
        return found

    def require_none_of(self, words: Iterable[str]) -> None:
        """No sink has one of these words, in any form.  A mark that many share finds them all."""
        listed = {form for word in words for form in forms(word)}
        assert listed, "there is nothing to look for"
        for name, text in self.read().items():
            for form in listed:
                place = text.find(form)
                near = text[max(0, place - 200) : place + 200]
                assert place < 0, f"{name} holds {form!r}: …{near}…"
