"""What a partition keeps in memory: the newest records, of the last seconds and not of the last hours."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exness_streams.transport.embedded import partition as partition_module
from exness_streams.transport.embedded.partition import TAIL_MARK_S, TAIL_S, Partition, record_bytes
from exness_streams.transport.embedded.sqlite_file import Record, TopicTerms

TERMS = TopicTerms(1, "prices", False, None)


@given(
    groups=st.lists(st.tuples(st.sampled_from([0.0, 0.3, 1.0, 4.0, 60.0]), st.integers(1, 5)), min_size=1, max_size=60),
    most=st.sampled_from([4, 20, 1_000]),
)
def test_it_keeps_what_is_young(groups: list[tuple[float, int]], most: int) -> None:
    clock = SimpleNamespace(now_s=0.0, monotonic=lambda: clock.now_s)
    partition, all_records = Partition(1, TERMS, 0), list[tuple[float, Record]]()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(partition_module, "time", clock)
        patched.setattr(partition_module, "TAIL_RECORDS_MAX", most)
        for pause_s, count in groups:
            clock.now_s += pause_s
            first = len(all_records)
            group = [Record(first + n, 0, None, b"x" * n) for n in range(count)]
            all_records += [(clock.now_s, record) for record in group]
            partition.publish(group)
            kept = list(partition._tail)
            assert kept == [record for _, record in all_records[len(all_records) - len(kept) :]]
            assert partition._tail_bytes == sum(map(record_bytes, kept))
            assert len(kept) <= most
            assert all(clock.now_s - at_s < TAIL_S + TAIL_MARK_S for at_s, _ in all_records[-len(kept) :])
            young = [record for at_s, record in all_records if clock.now_s - at_s < TAIL_S]
            assert len(kept) >= min(len(young), most * 3 // 4)
            for offset in (0, partition._tail_start, partition.end - 1, partition.end):
                found = partition.tail_from(offset, 1_000, 1 << 20)
                expected = [record for _, record in all_records[offset:]]
                assert found == (expected if offset >= partition._tail_start else None)
