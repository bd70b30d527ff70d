"""The vectors of two parts in memory, in a model's own table, and the files of all parts.

A file once written is never changed: a part that leaves memory goes to a file of the next version, and ``state.json``
says which versions belong together. It is replaced in one step, and only then are older files removed; so after a kill,
everything stands as it did at the last ``keep``. Files are read and written, not mapped: mapped pages would count as
memory of the process beside the part itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from kg.embeddings.model import KGEModel
from kg.embeddings.optimizers import KEPT, RowOptimizer
from kg.embeddings.partitions.plan import Plan
from kg.embeddings.triples import Array
from kg.errors import InputError

#: What the keys of a state's identity are called in errors.
_WORDS = {
    "fingerprint": "vocabulary",
    "parts": "number of parts",
    "shape": "shape of entities",
    "optimizer": "optimiser",
}


class Tables:
    """Parts of entities in two slots: rows [0, size) and [size, 2·size) of ``model.entities``.

    Args:
        folder: for the files; what ``keep`` left there is gone on with.
        model: of 2·size entities.
        fingerprint: of the vocabulary.

    Raises:
        InputError: what is there is of another vocabulary, plan or model, or damaged.
    """

    def __init__(
        self, folder: Path, plan: Plan, model: KGEModel, optimizer: RowOptimizer, fingerprint: str, seed: int = 0
    ) -> None:
        assert model.num_entities == 2 * plan.size and plan.num_parts > 1
        self.folder, self.plan, self.model, self.optimizer, self.seed = folder, plan, model, optimizer, seed
        self.held: list[int | None] = [None, None]
        self.num_loads = 0
        self.about: dict[str, Any] = {}
        self._versions = [0] * plan.num_parts
        self._kept_versions, self._rest_version = [0] * plan.num_parts, 0
        self._identity = {
            "fingerprint": fingerprint,
            "parts": plan.num_parts,
            "shape": [plan.num_entities, model.entities.shape[1]],
            "optimizer": optimizer.name,
        }
        kept = optimizer.kept(model.entities)
        #: What travels: the vectors and what the optimiser keeps, (2·size, De) each.
        self.arrays = [tensor.detach().numpy() for tensor in (model.entities, *(kept[k] for k in KEPT[optimizer.name]))]
        folder.mkdir(parents=True, exist_ok=True)
        self._open()

    @property
    def num_bytes(self) -> int:
        """Return the bytes of all parameters in memory and of what the optimiser keeps of them."""
        return sum(tensor.nbytes for tensor in self._rest().values()) + sum(array.nbytes for array in self.arrays)

    def hold(self, pair: tuple[int, int]) -> None:
        """Have two parts in memory; those that leave are written to new files."""
        for slot, part in enumerate(self.held):
            if part is not None and part not in pair:
                self._write(slot)
                self.held[slot] = None
        for part in pair:
            if part not in self.held:
                self._read(part, self.held.index(None))

    def local(self, rows: Array) -> Array:
        """Return triples with the rows that their entities have in the model's table, (N, 3) int64."""
        first = np.full(self.plan.num_parts, -1)
        for slot, part in enumerate(self.held):
            if part is not None:
                first[part] = slot * self.plan.size
        found = rows.copy()
        for column in (0, 2):
            found[:, column] = first[self.plan.part(rows[:, column])] + self.plan.place(rows[:, column])
        return found

    def in_memory(self, pair: tuple[int, int]) -> Array:
        """Return the rows of the model's table that are entities of two parts in memory, in the order of the pair."""
        lows = [self.held.index(part) * self.plan.size for part in pair]
        return np.concatenate([np.arange(low, low + self.plan.count(part)) for low, part in zip(lows, pair)])

    def keep(self, about: dict[str, Any]) -> None:
        """Write what is in memory, and make this the state that a next run goes on from.

        Args:
            about: what JSON holds beside: progress.
        """
        for slot in range(2):
            self._write(slot)
        number = self._rest_version + 1
        save_file({name: value.contiguous() for name, value in self._rest().items()}, self._rest_path(number))
        state = {**self._identity, "deal": self.plan.deal, "versions": self._versions, "rest": number, "about": about}
        partial = self.folder / "state.json.partial"
        partial.write_text(json.dumps(state), encoding="utf-8")
        os.replace(partial, self.folder / "state.json")
        self._rest_version, self._kept_versions = number, list(self._versions)
        self._sweep()

    def forget(self) -> None:
        """Empty both slots: until the next ``hold`` others may use them. What ``keep`` did not write is lost."""
        self.held = [None, None]

    def gather(self, entities: Array, into: list[Array]) -> None:
        """Read rows of some entities from the files.

        Args:
            into: (n, De) arrays, as many as are wanted of ``arrays``, in their order.
        """
        parts, places = self.plan.part(entities), self.plan.place(entities)
        width = into[0].shape[1]
        for part in range(self.plan.num_parts):
            where = np.flatnonzero(parts == part)
            if not len(where):
                continue
            shape = (len(self.arrays), self.plan.count(part), width)
            mapped = np.memmap(self.path(part), np.float32, "r", shape=shape)
            for n, array in enumerate(into):
                array[where] = mapped[n, places[where]]
            del mapped  # its pages would count as memory of the process

    def deal(self, number: int) -> None:
        """Deal all entities anew; all parts must be in files (``keep``), and both slots are empty afterwards."""
        self.forget()
        new = replace(self.plan, deal=number)
        for part in range(new.num_parts):
            views = self._views(0, part)
            self.gather(new.entities(part), views)
            self._save(self._part_path(part, self._versions[part] + 1), views)
        for part, version in enumerate(self._versions):
            if self._kept_versions[part] != version:
                self.path(part).unlink()
            self._versions[part] += 1
        self.plan = new

    def path(self, part: int) -> Path:
        """Return the newest file of a part."""
        return self._part_path(part, self._versions[part])

    # -- files ---------------------------------------------------------------------------------------------------------

    def _part_path(self, part: int, version: int) -> Path:
        return self.folder / f"part-{part}.{version}"

    def _rest_path(self, version: int) -> Path:
        return self.folder / f"rest.{version}"

    def _rest(self) -> dict[str, torch.Tensor]:
        """Return what stays in memory: other parameters and buffers, and what the optimiser keeps."""
        found = {name: value for name, value in self.model.state_dict().items() if name != "entities"}
        for name, parameter in self.model.named_parameters():
            for key, value in self.optimizer.kept(parameter).items():
                if name != "entities" or key == "step":
                    found[f"optimizer/{name}/{key}"] = value
        return found

    def _views(self, slot: int, part: int) -> list[Array]:
        low = slot * self.plan.size
        return [array[low : low + self.plan.count(part)] for array in self.arrays]

    def _write(self, slot: int) -> None:
        part = self.held[slot]
        if part is None:
            return
        old = self.path(part)
        self._versions[part] += 1
        self._save(self.path(part), self._views(slot, part))
        if self._kept_versions[part] != self._versions[part] - 1:
            old.unlink(missing_ok=True)  # neither this state nor the last kept one needs it

    @staticmethod
    def _save(path: Path, views: list[Array]) -> None:
        with path.open("wb") as file:
            for view in views:
                view.tofile(file)

    def _read(self, part: int, slot: int) -> None:
        views = self._views(slot, part)
        self.num_loads += 1
        self.held[slot] = part
        if not self._versions[part]:
            generator = torch.Generator().manual_seed(hash((self.seed, part)) % 2**62)
            torch.from_numpy(views[0]).normal_(0, self.model.initial, generator=generator)
            for view in views[1:]:
                view[:] = 0
            return
        with self.path(part).open("rb") as file:
            if any(file.readinto(view.data.cast("B")) != view.nbytes for view in views):
                raise InputError(f"{self.path(part)}: the file is cut short: remove {self.folder} and train anew")

    def _open(self) -> None:
        """Go on from what was kept, if anything was."""
        path = self.folder / "state.json"
        if path.is_file():
            try:
                state = json.loads(path.read_text(encoding="utf-8"))
                versions, number, deal, self.about = (state[key] for key in ("versions", "rest", "deal", "about"))
                rest = load_file(self._rest_path(number))
            except Exception as error:  # a damaged file: safetensors raises its own bare exception type
                raise InputError(f"{path}: not a whole state ({error}): remove {self.folder} and train anew") from None
            own = self._rest()
            differs = [_WORDS[key] for key, value in self._identity.items() if state.get(key) != value]
            differs += [f"shape of {name}" for name in own if name not in rest or rest[name].shape != own[name].shape]
            if differs:
                raise InputError(
                    f"{self.folder}: the state there is of another {differs[0]}: "
                    "train anew in another folder, or with the data and settings it was made with"
                )
            with torch.no_grad():
                for name, value in own.items():
                    value.copy_(rest[name])
            self.plan = replace(self.plan, deal=deal)
            self._versions, self._rest_version, self._kept_versions = list(versions), number, list(versions)
        self._sweep()

    def _sweep(self) -> None:
        """Remove files of versions that nothing needs."""
        needed = {self.path(part).name for part in range(self.plan.num_parts)} | {f"rest.{self._rest_version}"}
        for path in [*self.folder.glob("part-*"), *self.folder.glob("rest.*")]:
            if path.name not in needed:
                path.unlink()
