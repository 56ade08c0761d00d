"""How many requests one credential may make."""

from __future__ import annotations

from sre_responder.intake.rate import Rate


def test_a_bucket_of_one_minute_fills_again_and_is_each_senders_own() -> None:
    clock = [0.0]
    rate = Rate(3, lambda: clock[0])
    assert [rate.wait("a") for _ in range(3)] == [0, 0, 0]
    assert rate.wait("a") == 20
    assert rate.wait("b") == 0
    clock[0] = 20
    assert rate.wait("a") == 0
    assert rate.wait("a") > 0
    clock[0] = 10_000
    assert [rate.wait("a") > 0 for _ in range(4)] == [False, False, False, True]
