"""The list of writes behaves as the file that it stands for."""

import os
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from cache.write_log import WriteLog

operations = st.one_of(
    st.tuples(st.just("write"), st.integers(0, 60), st.binary(max_size=30)),
    st.tuples(st.just("read"), st.integers(0, 60), st.integers(0, 40)),
    st.tuples(st.just("truncate"), st.integers(0, 80), st.none()),
)


@given(st.lists(operations, max_size=12))
def test_reads_sizes_and_replay_equal_those_of_a_real_file(steps):
    log = WriteLog()
    with tempfile.TemporaryFile(buffering=0) as real, tempfile.TemporaryFile() as replayed:
        for name, place, value in steps:
            for file in (real, log):
                file.seek(place)
            if name == "write":
                assert log.write(value) == real.write(value)
            elif name == "read":
                assert log.read(value) == real.read(value)
            else:
                assert log.truncate(place) == real.truncate(place)
            assert log.tell() == real.tell()
            assert log.seek(0, os.SEEK_END) == real.seek(0, os.SEEK_END)
        log.replay(replayed)
        real.seek(0)
        assert replayed.read() == real.read()
