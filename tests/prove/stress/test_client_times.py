"""Times that clients send are kept as they came, and decide nothing."""

from pathlib import Path

import pytest
from giftcard import v1
from google.protobuf.timestamp_pb2 import Timestamp

from tests.prove.proof import Proof
from tests.rpc.edge_stage import running, unique, usd

_DAY = 86_400
#: Seconds since the epoch: the first and the last that are taken, and odd ones in between.
TIMES = {
    "1970": 0,
    "2000": 951_782_400,
    "2099": 4_070_908_800,
    "year 9999": 253_402_300_799,
}


def test_no_time_of_a_client_moves_anything(
    proof: Proof, tmp_path: Path, database_url: str
) -> None:
    with running(database_url, tmp_path) as stage:
        card = stage.issue(100_000)
        before = stage.clock.now
        for number, (name, seconds) in enumerate(TIMES.items()):
            for nanos in (0, 1000, 999_999_000):
                said = Timestamp(seconds=seconds, nanos=nanos)
                context = v1.CallContext(client_time=said)
                request = v1.RedeemGiftCardRequest(
                    gift_card=v1.GiftCardReference(name=card.name), amount=usd(1),
                    request_id=unique(), context=context,
                )  # fmt: skip
                stage.clock.now += 1_000_000
                heard = stage.call(request)
                assert heard.code == "OK", (name, heard)
                told = heard.message.transaction
                assert told.context.client_time == said, name
                assert told.decide_time.ToMicroseconds() >= stage.clock.now
                assert told.decide_time.ToMicroseconds() < stage.clock.now + 1000
                # Another time is no other meaning: a till that sends again sends its time anew.
                request.context.client_time.seconds = 0
                assert stage.call(request).replayed, (name, number)
        assert stage.clock.now - before < _DAY * 1_000_000
        proof.report("Times that clients send", times=len(TIMES) * 3)


@pytest.mark.parametrize(
    ("seconds", "nanos"), [(-62_135_596_800, 0), (-1, 0), (253_402_300_800, 0), (0, -1), (0, 10**9)]
)
def test_what_is_no_time_is_refused(tmp_path: Path, seconds: int, nanos: int) -> None:
    with running(f"sqlite:///{tmp_path / 'giftcard.db'}", tmp_path) as stage:
        card = stage.issue(100)
        context = v1.CallContext(client_time=Timestamp(seconds=seconds, nanos=nanos))
        request = v1.RedeemGiftCardRequest(
            gift_card=v1.GiftCardReference(name=card.name), amount=usd(1), request_id=unique(),
            context=context,
        )  # fmt: skip
        heard = stage.call(request)
        assert (heard.code, heard.fields) == ("INVALID_ARGUMENT", ("context.client_time",))
