"""No operator call leaves memory behind."""

import ctypes
import platform

import pytest
import torch

from clusca_ext.ops._dispatch import OPS
from op_samples import sample


class Heap(ctypes.Structure):
    """What glibc's mallinfo2 says; see its manual page."""

    _unused = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks")
    _fields_ = [(name, ctypes.c_size_t) for name in (*_unused, "uordblks", "fordblks", "keepcost")]


def bytes_in_use() -> int:
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Heap
    return mallinfo().uordblks


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="asks glibc's allocator")
@pytest.mark.parametrize("name", OPS)
def test_calls_leave_no_memory_behind(name):
    packet, _, overload = name.partition(".")
    function = getattr(getattr(torch.ops.clusca, packet), overload or "default")
    args = sample(name, "cpu", N=5)
    calls = 2000
    for _ in range(20):
        function(*args)
    before = bytes_in_use()
    for _ in range(calls):
        function(*args)
    # A string object is 32 bytes; what grows once, and not with the calls, is much less.
    assert bytes_in_use() - before < 16 * calls
