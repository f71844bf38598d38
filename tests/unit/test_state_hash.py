"""The state hash depends on the entries, all of them, and on nothing else."""

from __future__ import annotations

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from exness_streams.domain.state_hash import state_hash

stores = st.dictionaries(st.binary(max_size=6), st.binary(max_size=6), max_size=6)


@given(stores, st.randoms(use_true_random=False))
def test_the_order_of_writing_makes_no_difference(store: dict[bytes, bytes], random: st.DrawFn) -> None:
    shuffled = list(store.items())
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert state_hash(shuffled) == state_hash(store.items())


@given(stores, stores)
def test_different_entries_give_different_hashes(one: dict[bytes, bytes], other: dict[bytes, bytes]) -> None:
    assert (state_hash(one.items()) == state_hash(other.items())) == (one == other)


def test_where_a_key_ends_counts() -> None:
    assert state_hash([(b"ab", b"c")]) != state_hash([(b"a", b"bc")])
    assert state_hash([(b"a", b"b"), (b"c", b"d")]) != state_hash([(b"a", b"b1 1 cd")])


def test_the_form_is_fixed() -> None:
    """Hashes are compared between versions of the program: a change of the form breaks old checkpoints."""
    assert state_hash([]) == sha256().hexdigest()
    assert state_hash([(b"b", b"22"), (b"a", b"1")]) == sha256(b"1 1 a1" + b"1 2 b22").hexdigest()
