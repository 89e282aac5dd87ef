"""Reads tensors out of a file that torch.save wrote, without unpickling anything.

The file is a zip archive of raw storages and a pickle that says how tensors lie in them. That
pickle is walked by ``pickletools.genops``, which runs nothing: the few opcodes and names that
dictionaries of tensors need are known here, and all others are refused.
"""

import collections
import math
import pathlib
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_DTYPES = {
    "torch.FloatStorage": torch.float32,
    "torch.DoubleStorage": torch.float64,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
}
_DICT = "collections.OrderedDict"
_TENSOR = "torch._utils._rebuild_tensor_v2"
_PARAMETER = "torch._utils._rebuild_parameter"
_NAMES = {_DICT, _TENSOR, _PARAMETER, *_DTYPES}
_LARGEST = 64 * 2**20  # bytes: routers are thousands of times smaller
_SIMPLE = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("NONE", "NEWTRUE", "NEWFALSE"),
}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}


class _Name(str):
    """A class or function that the pickle names; it is never looked up."""


# What reading a file may raise that is torn, encrypted, or was made to be read wrongly.
_DAMAGED = (
    *(ValueError, LookupError, TypeError, ArithmeticError, EOFError, AttributeError),
    *(RuntimeError, zipfile.BadZipFile, zlib.error, struct.error),
)


class _Mark:
    """Where arguments on the stack begin."""


def read_archive(path: str | pathlib.Path) -> Any:
    """What the file holds, made of dicts, lists, tuples, numbers, words and tensors.

    Raises:
        ValueError: It is no such archive, or holds anything else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist()}
            if sum(sizes.values()) > _LARGEST:
                raise ValueError(f"it must unpack to at most {_LARGEST} bytes")
            pickles = [name for name in sizes if name.endswith("/data.pkl")]
            if len(pickles) != 1:
                raise ValueError(f"it must have one data.pkl, got {pickles}")
            prefix = pickles[0].removesuffix("data.pkl")
            if f"{prefix}byteorder" in sizes and archive.read(f"{prefix}byteorder") != b"little":
                raise ValueError("its storages must be little-endian")

            def storage(key: str) -> bytes:
                if f"{prefix}data/{key}" not in sizes:
                    raise ValueError(f"it must have a storage {key!r}")
                return archive.read(f"{prefix}data/{key}")

            return _Walk(storage).of(archive.read(pickles[0]))
    except _DAMAGED as error:
        raise ValueError(f"{path} must be a file of tensors that torch.save wrote: {error}") from (
            None
        )


class _Walk:
    """Walks one pickle, with a stack of plain values.

    Args:
        storage: Reads a storage's bytes.
    """

    def __init__(self, storage: Callable[[str], bytes]) -> None:
        self._storage = storage
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def of(self, data: bytes) -> Any:
        for opcode, argument, position in pickletools.genops(data):
            if opcode.name == "STOP":
                (value,) = self._stack
                return value
            self._do(opcode.name, argument, position or 0)
        raise ValueError("its pickle must end")

    def _do(self, name: str, argument: Any, position: int) -> None:
        stack = self._stack
        if name in _SIMPLE:
            stack.append(_CONSTANTS.get(name, argument))
        elif name in ("PROTO", "FRAME"):
            pass
        elif name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self._memo[len(self._memo) if argument is None else argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif name == "MARK":
            stack.append(_Mark())
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE"):
            stack.append({"EMPTY_DICT": {}, "EMPTY_LIST": [], "EMPTY_TUPLE": ()}[name])
        elif name in ("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple(self._top(name[5:])))
        elif name in ("SETITEM", "SETITEMS"):
            items = self._top("2" if name == "SETITEM" else "")
            _of(dict, stack[-1]).update(zip(items[::2], items[1::2], strict=True))
        elif name in ("APPEND", "APPENDS"):
            items = self._top("1" if name == "APPEND" else "")
            _of(list, stack[-1]).extend(items)
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            words = self._top("2") if name == "STACK_GLOBAL" else argument.split(" ")
            named = ".".join(words)
            if named not in _NAMES:
                raise ValueError(f"its pickle must name nothing but tensors, got {named}")
            stack.append(_Name(named))
        elif name == "BINPERSID":
            stack.append(self._stored(stack.pop()))
        elif name == "REDUCE":
            function, arguments = self._top("2")
            stack.append(_made(function, arguments))
        elif name == "BUILD":
            stack.pop()  # the versions that a state_dict has as an attribute
            _of(collections.OrderedDict, stack[-1])
        else:
            raise ValueError(f"its pickle must hold tensors alone, got {name} at byte {position}")

    def _top(self, count: str) -> list[Any]:
        """Take so many values off the stack; no count: those above the last mark."""
        stack = self._stack
        if count:
            taken = stack[len(stack) - int(count) :]
            if len(taken) != int(count):
                raise ValueError("its pickle takes what is not there")
            del stack[-int(count) :]
            return taken
        place = next(i for i in reversed(range(-1, len(stack))) if i < 0 or _is_mark(stack[i]))
        if place < 0:
            raise ValueError("its pickle takes what is not there")
        taken = stack[place + 1 :]
        del stack[place:]
        return taken

    def _stored(self, which: Any) -> Tensor:
        """A whole storage as a tensor of one dimension."""
        kind, storage, key, _, count = _of(tuple, which)
        if kind != "storage" or storage not in _DTYPES or not isinstance(key, str):
            raise ValueError(f"its tensors must be of {list(_DTYPES)}, got {which!r}")
        data, dtype = bytearray(self._storage(key)), _DTYPES[storage]
        if len(data) != count * dtype.itemsize:
            raise ValueError(
                f"its storage {key!r} must hold {count} numbers, got {len(data)} bytes"
            )
        return torch.frombuffer(data, dtype=dtype) if data else torch.empty(0, dtype=dtype)


def _made(function: Any, arguments: Any) -> Any:
    """What one of the known functions returns."""
    named, given = _of(_Name, function), _of(tuple, arguments)
    if named == _DICT and not given:
        return collections.OrderedDict()
    if named == _PARAMETER:
        return _of(Tensor, given[0])
    if named != _TENSOR:
        raise ValueError(f"its pickle must make tensors alone, got a call of {named}")
    storage, offset, size, stride = given[:4]
    numbers = [_of(int, each) for each in (offset, *_of(tuple, size), *_of(tuple, stride))]
    if min(numbers) < 0 or len(size) != len(stride):
        raise ValueError(f"its tensors must have sizes and strides, got {size} and {stride}")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if max(last, math.prod(size) - 1) >= len(_of(Tensor, storage)) and 0 not in size:
        raise ValueError(f"its tensors must lie in their storages, got {size} of {len(storage)}")
    return storage.as_strided(size, stride, offset)


def _of(kind: type, value: Any) -> Any:
    if not isinstance(value, kind):
        raise ValueError(
            f"its pickle must have a {kind.__name__} there, got {type(value).__name__}"
        )
    return value


def _is_mark(value: Any) -> bool:
    return isinstance(value, _Mark)
