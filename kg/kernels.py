"""numba's compiler for kernels on several cores beside torch's operations: on as many threads as torch has.

OpenMP knows one number of threads, which the libraries of a process share. numba sets it to the number of cores when it
starts its threads, and torch's operations follow from then on, whatever ``OMP_NUM_THREADS`` or
``torch.set_num_threads`` said: two processes of one thread each on two cores took 335 ms for a step of 110. So the
threads are started here, and torch's number is set again.
"""

from __future__ import annotations

import numba
import torch
from numba import njit, prange

__all__ = ["njit", "prange"]


def _start_threads() -> None:
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, numba.get_num_threads()))
    torch.set_num_threads(threads)


_start_threads()
