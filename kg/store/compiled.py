"""Functions in machine code: numba compiles them once for an installation, later processes only load them.

numba itself takes half a second to start, more than reading half a million lines. So what it has made of a file of
kernels is kept as object code, which llvmlite loads in 30 ms. The kernels' file is not even imported then.

A kernel is a plain function over pointers and numbers that returns an int64; it must neither allocate nor raise.
Nothing checks where its pointers point: each is called from one place, which says how long its arrays are.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib
import json
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_CTYPES = {"u1": ctypes.c_uint8, "u4": ctypes.c_uint32, "u8": ctypes.c_uint64, "i4": ctypes.c_int32}
_CTYPES |= {"i8": ctypes.c_int64}
_lock = threading.Lock()
_kept: list[Any] = []  # what machine code lives in, for as long as the process


class Library:
    """The kernels of one module, ready when first called.

    Args:
        module: where they are; it imports numba, and so is imported only to compile them.
        signatures: name → types of the arguments in order: ``i8`` a number, ``u1*`` an array of that type.
    """

    def __init__(self, module: str, **signatures: str) -> None:
        self._module, self._signatures = module, {name: said.split() for name, said in signatures.items()}
        self._functions: dict[str, Callable[..., int]] = {}

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name.startswith("_") or name not in self._signatures:
            raise AttributeError(name)
        with _lock:
            if not self._functions:
                self._functions = self._load()
        function = self._functions[name]
        setattr(self, name, function)
        return function

    def _load(self) -> dict[str, Callable[..., int]]:
        from importlib.util import find_spec

        spec = find_spec(self._module)
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin)
        for folder in (source.parent / "__pycache__", Path.home() / ".cache" / "kemm"):
            path = folder / f"{source.stem}.{self._identity(source)}.kernels"
            if path.is_file() and (code := _unpack(path.read_bytes())) is not None:
                with suppress(_Unresolved):
                    return self._callables(_addresses(code))
        addresses, code = self._compile()
        if code is not None:
            for folder in (source.parent / "__pycache__", Path.home() / ".cache" / "kemm"):
                if self._keep(folder / f"{source.stem}.{self._identity(source)}.kernels", _pack(code)):
                    break
        return self._callables(addresses)

    def _identity(self, source: Path) -> str:
        """Name what the machine code depends on: the kernels, their signatures, the processor, and LLVM."""
        import llvmlite
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features().flatten()
        said = [source.read_text("utf-8"), self._signatures, llvm.get_host_cpu_name(), features, llvmlite.__version__]
        return hashlib.sha256(json.dumps([1, *said]).encode()).hexdigest()[:16]  # 1: how it is packed

    def _compile(self) -> tuple[dict[str, int], _Code | None]:
        """Return the address of each kernel, and what can be kept."""
        from numba import cfunc, types

        kinds = {"u1": types.uint8, "u4": types.uint32, "u8": types.uint64, "i4": types.int32, "i8": types.int64}
        module: Any = importlib.import_module(self._module)
        addresses, code = dict[str, int](), _Code({}, [], [])
        for name, said in self._signatures.items():
            arguments = [types.CPointer(kinds[kind[:2]]) if kind.endswith("*") else kinds[kind] for kind in said]
            compiled: Any = cfunc(types.int64(*arguments), error_model="numpy")(getattr(module, name))
            _kept.append(compiled)
            addresses[name] = compiled.address
            try:  # numba's own, and not promised: without it, each process compiles
                code.objects.append(bytes(compiled._library._get_compiled_object()))
                code.needs.extend(_declared(compiled._library._final_module))
                code.names[name] = compiled.native_name
            except AttributeError:
                return addresses, None
        return addresses, code

    def _keep(self, path: Path, packed: bytes) -> bool:
        """Keep object code where later processes find it, if another process can load it: LLVM aborts if it can't."""
        import subprocess
        import tempfile

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        except OSError:
            return False
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(packed)
            check = f"from pathlib import Path; from kg.store import compiled as c; c._try(Path({part!r}))"
            done = subprocess.run([sys.executable, "-c", check], capture_output=True, env=_environment())
            if done.returncode == 0:
                os.replace(part, path)
                return True
        except OSError:
            pass
        Path(part).unlink(missing_ok=True)
        return False

    def _callables(self, addresses: dict[str, int]) -> dict[str, Callable[..., int]]:
        return {name: _callable(addresses[name], said) for name, said in self._signatures.items()}


def _environment() -> dict[str, str]:
    """Return the environment in which another Python finds what this one does."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


@dataclass(frozen=True, slots=True)
class _Code:
    """Object code: the native names of kernels, the objects, and the names of what these call or read elsewhere."""

    names: dict[str, str]
    objects: list[bytes]
    needs: list[str]


class _Unresolved(Exception):
    """Object code needs what this process does not have."""


def _try(path: Path) -> None:
    code = _unpack(path.read_bytes())
    assert code is not None
    _addresses(code)


def _pack(code: _Code) -> bytes:
    sizes = [len(one) for one in code.objects]
    head = json.dumps({"names": code.names, "sizes": sizes, "needs": sorted(set(code.needs))}).encode() + b"\n"
    body = head + b"".join(code.objects)
    return hashlib.sha256(body).digest() + body


def _unpack(packed: bytes) -> _Code | None:
    """Return what ``_pack`` packed; None for a file that was cut off."""
    if hashlib.sha256(packed[32:]).digest() != packed[:32]:
        return None
    head, _, rest = packed[32:].partition(b"\n")
    said, objects = json.loads(head), []
    for size in said["sizes"]:
        objects.append(rest[:size])
        rest = rest[size:]
    return _Code(said["names"], objects, said["needs"])


def _declared(module: Any) -> list[str]:
    """Return what an LLVM module names and does not have."""
    parts = [*module.functions, *module.global_variables]
    return [one.name for one in parts if one.is_declaration and not one.name.startswith("llvm.")]


def _addresses(code: _Code) -> dict[str, int]:
    """Load object code; return the address of each function.

    Raises:
        _Unresolved: LLVM would not find something, and then takes all that is elsewhere to be at 0, without a word.
    """
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    _kept.append(engine)
    libc = ctypes.cdll.msvcrt if os.name == "nt" else ctypes.CDLL(None)
    for name in (*code.needs, "memset", "memcpy", "memmove", "bcmp"):  # the last: what compilers make of loops
        if llvm.address_of_symbol(name):
            continue
        # numba's own functions are called when a kernel raises, which it must not.
        found = getattr(libc, "abort" if name.startswith(("numba_", "NRT_")) else name, None)
        if found is not None:
            llvm.add_symbol(name, ctypes.cast(found, ctypes.c_void_p).value)
        elif name in code.needs:
            raise _Unresolved(name)
    for one in code.objects:
        engine.add_object_file(llvm.ObjectFileRef.from_data(one))
    engine.finalize_object()
    return {name: engine.get_function_address(native) for name, native in code.names.items()}


def _callable(address: int, said: list[str]) -> Callable[..., int]:
    """Return a function in machine code as one over arrays and numbers; Python's lock is free while it runs."""
    kinds = [ctypes.c_void_p if kind.endswith("*") else _CTYPES[kind] for kind in said]
    plain = ctypes.CFUNCTYPE(ctypes.c_int64, *kinds)(address)
    wanted = [(place, np.dtype(kind[:2])) for place, kind in enumerate(said) if kind.endswith("*")]

    def call(*arguments: Any) -> int:
        values = list(arguments)
        for place, dtype in wanted:
            array = arguments[place]
            assert array.dtype == dtype and array.flags.c_contiguous, (place, array.dtype)
            values[place] = array.ctypes.data
        return int(plain(*values))

    return call
