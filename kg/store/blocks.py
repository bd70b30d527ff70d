"""How columns of integers and of text become bytes: delta coding, the narrowest type, and zstd over blocks.

A column of integers is stored as its smallest value, a width of 1, 2, 4 or 8 bytes and the differences to that value;
one that ascends, as the differences between neighbours. Texts are their lengths and one run of UTF-8. Blocks are small
enough that one look-up decodes little, and large enough that zstd finds what IRIs have in common.
"""

from __future__ import annotations

import struct
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import zstandard

from kg.store.compiled import Library

Array = np.ndarray[Any, np.dtype[np.int64]]

kernels = Library(
    "kg.store.block_kernels",
    narrow="i8* i8 i8 u1*",
    pack="i8* i8* i8* i8 i8* i8* i4* i8*",
    reorder="i8* i8 i8* i8* i8*",
    unpack="i8* i8 i8 i8* i8* i8* i8* i8*",
)

_LEVEL = 1
_HEADER = struct.Struct("<Bq")
_TYPES = tuple(np.dtype(f"<u{width}") for width in (1, 2, 4, 8))
_local = threading.local()  # zstd's contexts are not to be shared between threads


def _compress(data: Any) -> bytes:
    if not hasattr(_local, "compressor"):
        _local.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    packed: bytes = _local.compressor.compress(data)
    return packed


def _decompress(data: bytes) -> bytes:
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    plain: bytes = _local.decompressor.decompress(data)
    return plain


def pack_columns(columns: Sequence[Array]) -> bytes:
    """Return equally long columns of int64 as bytes."""
    whole = np.ascontiguousarray(np.stack(columns), np.int64)
    plain = np.empty(len(columns) * (_HEADER.size + 8 * whole.shape[1]), np.uint8)
    used = kernels.narrow(whole, len(columns), whole.shape[1], plain)
    return _compress(plain[:used])


def unpack_columns(data: bytes, count: int) -> list[Array]:
    """Return the columns that ``pack_columns`` packed, (count,) int64 each."""
    plain, at, columns = _decompress(data), 0, []
    while at < len(plain):
        flags, low = _HEADER.unpack_from(plain, at)
        at += _HEADER.size
        kind = _TYPES[flags & 3]
        values = np.frombuffer(plain, kind, count, at).astype(np.int64)
        at += count * kind.itemsize
        if flags & 4:
            np.cumsum(values, out=values)
        values += low
        columns.append(values)
    return columns


def pack_texts(texts: bytes | memoryview, lengths: Array) -> bytes:
    """Return texts, given as one run of UTF-8 and the length of each in bytes, as bytes."""
    return _compress(lengths.astype("<u4").tobytes() + bytes(texts))


def unpack_texts(data: bytes, count: int) -> tuple[bytes, Array]:
    """Return what ``pack_texts`` packed: the run of UTF-8, and where in it each text begins, (count + 1,) int64."""
    plain = _decompress(data)
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.frombuffer(plain, "<u4", count), out=offsets[1:])
    return plain[4 * count :], offsets
