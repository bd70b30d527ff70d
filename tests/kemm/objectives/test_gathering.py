"""Candidates of all processes: the same rows, this process's first, gradients back where they came from."""

from __future__ import annotations

import os
import time
from pathlib import Path

import torch
from torch import distributed, multiprocessing

from kemm.objectives.gathering import gather


def _one_of_two(rank: int, folder: str) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    own = torch.full((2 + rank, 3 + rank), float(rank + 1), requires_grad=True)  # 2 × 3 of ones, 3 × 4 of twos
    found = gather(own)
    (found.sum() * (rank + 1)).backward()
    numbers = gather(torch.tensor([rank, 1 << 45]), -1)
    assert own.grad is not None
    torch.save([found.detach(), own.grad, numbers], f"{folder}/{rank}.part")
    os.rename(f"{folder}/{rank}.part", f"{folder}/{rank}.pt")
    while not os.path.exists(f"{folder}/{1 - rank}.pt"):  # the other one may still be reading what was sent
        time.sleep(0.01)
    os._exit(0)  # gloo's threads can abort an interpreter that ends (pytorch/pytorch#179291)


def test_two_processes_see_the_rows_of_both(tmp_path: Path) -> None:
    multiprocessing.spawn(_one_of_two, (str(tmp_path),), nprocs=2)
    for rank in (0, 1):
        found, gradient, numbers = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        sums = found.sum(1).tolist()
        mine, theirs = [[3.0, 3.0], [8.0, 8.0, 8.0]][rank], [[8.0, 8.0, 8.0], [3.0, 3.0]][rank]
        assert found.shape == (5, 4) and sums == mine + theirs
        assert (gradient == 3).all()  # once for its own loss, twice for the other's
        assert numbers.tolist() == [rank, 1 << 45, 1 - rank, 1 << 45]


def test_alone_nothing_is_gathered() -> None:
    values = torch.randn(3, 2)
    assert gather(values) is values
