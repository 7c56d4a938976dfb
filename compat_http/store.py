"""Keeps exchanges and reversals in memory until the durable store takes this place."""

from compat_http.records import Exchange, Reversal


class MemoryStore:
    def __init__(self) -> None:
        self.reversals: dict[tuple[str, str], Reversal] = {}

    async def queue_reversal(self, reversal: Reversal) -> None:
        self.reversals[reversal.authorization, reversal.key] = reversal

    async def take_back(self, authorization: str, key: str) -> bool:
        return self.reversals.pop((authorization, key), None) is not None

    def log(self, exchange: Exchange) -> None:
        pass
