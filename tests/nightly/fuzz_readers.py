"""Fuzz every reader: damaged, mixed and random files must end in facts or in one of our errors, never in anything else.

    python tests/nightly/fuzz_readers.py --seconds 600 --seed 1

pytest does not collect it. Each input is a good file of some format with random damage (bytes changed, cut, doubled,
taken from another format), or random text of the format's own words. A child process reads them, so that a parser that
aborts is seen, too; what it was reading is then in ``fuzz-crash.bin``. Prints how many inputs were tried.
"""

from __future__ import annotations

import argparse
import collections
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
#: Inputs that one child reads.
ROUND = 200
#: Seconds that one input may take.
PATIENCE = 60


def examples() -> dict[str, bytes]:
    """The good files of every format that the contract test keeps."""
    file = ROOT / "tests" / "kg" / "ingest" / "test_bad_input.py"
    spec = importlib.util.spec_from_file_location("bad_input", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    more = {f"{name}-long": text.encode() for name, text in module.LITERAL_SUBJECTS.items() if isinstance(text, str)}
    return module.GOOD | more


WORDS = [b"\0", b"\n", b"\t", b"\\", b'"', b"<", b">", b"<<(", b")>>", b"{|", b"|}", b"\xff", b"\xed\xa0\x80", b"&a;",
         b"]]>",
         b"\\u0000", b"\\uD800", b"@en--ltr", b"^^", b"_:b", b"@prefix : <> .", b"{", b"}", b"[", b"]", b",", b"null",
         b"1e999", b"-0", b"http://www.w3.org/1999/02/22-rdf-syntax-ns#reifies", b'"@context"',
         b"head\trelation\ttail\tkind\n",
         b"/a/[/r/", b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"PAR1"]  # fmt: skip


def damaged(chance: random.Random, good: dict[str, bytes], format: str) -> bytes:
    """A file of a format with one to eight faults."""
    data = bytearray(good[format] * chance.choice((1, 1, 1, 3)))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(data) + 1)
        end = min(len(data), at + chance.randint(0, 12))
        match chance.randrange(7):
            case 0:
                data[at:end] = b""
            case 1:
                data[at:at] = data[at:end] * chance.randint(1, 20)
            case 2:
                data[at:at] = chance.choice(WORDS)
            case 3:
                data[at : at + 1] = bytes([chance.randrange(256)])
            case 4:
                other = good[chance.choice(sorted(good))]
                data[at:end] = other[: chance.randint(0, len(other))]
            case 5:
                del data[at:]
            case 6:
                data[at:at] = b"".join(chance.choices(WORDS, k=chance.randint(1, 6)))
    return bytes(data)


def child(seed: int, count: int) -> None:
    """Read ``count`` inputs; print what came of them as JSON."""
    from kg import ingest
    from kg.errors import FormatError, InputError
    from kg.ingest import READERS, storable
    from kg.records import Literal
    from kg.registry import resolve
    from kg.store.terms import check_fact, content_key

    good = {name: data for name, data in examples().items() if name in READERS}
    chance = random.Random(seed)
    tally: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "input.x"
        for _ in range(count):
            format = chance.choice(sorted(good))
            data = damaged(chance, good, format)
            path.write_bytes(data)
            (ROOT / "fuzz-crash.bin").write_bytes(format.encode() + b"\n" + data)
            rejected: list[FormatError] = []
            try:
                facts = storable(resolve(READERS, format, "reader")(path, rejected.append), str(path), rejected.append)
                for fact in facts:
                    check_fact(*fact[:3])
                    for end in (fact[0], fact[1], fact[2]):
                        content_key(end)
                    for key, value in fact[3] if len(fact) > 3 else ():
                        check_fact(key, key, value)
                        assert isinstance(value, str | Literal)
                tally["rejected lines" if rejected else "read"] += 1
            except InputError as error:
                assert "\n" not in str(error) and ("input.x" in str(error)), str(error)
                tally["refused"] += 1
    assert ingest
    print(json.dumps(tally))


def main() -> int:
    """Run children until the time is over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.seed, arguments.child)
        return 0
    start, seed = time.monotonic(), arguments.seed * 1_000_000
    tally: collections.Counter[str] = collections.Counter()
    faults = 0
    while time.monotonic() - start < arguments.seconds:
        command = [sys.executable, __file__, "--seed", str(seed), "--child", str(ROUND)]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE * 10)
        except subprocess.TimeoutExpired:
            print(f"seed {seed}: an input takes more than {PATIENCE * 10} s, see fuzz-crash.bin")
            return 1
        if done.returncode:
            faults += 1
            (ROOT / "fuzz-crash.bin").rename(ROOT / f"fuzz-crash-{seed}.bin")
            print(f"seed {seed}: exit {done.returncode}, see fuzz-crash-{seed}.bin\n{done.stderr[-1500:]}")
        else:
            tally.update(json.loads(done.stdout.splitlines()[-1]))
        seed += 1
    (ROOT / "fuzz-crash.bin").unlink(missing_ok=True)
    seconds = time.monotonic() - start
    print(f"{sum(tally.values()):,} inputs tried in {seconds:.0f} s: {dict(tally)}; {faults} rounds failed")
    return int(bool(faults))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
