"""Triples for entity vectors leave out what is held out, and a run with them can be trained, saved and asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from kemm.data.questions import Holdout, Question
from kemm.data.training_data import TrainingData
from kemm.data.training_triples import write_training_triples
from kemm.predict.reader import Reader
from kemm.pretrain import prepare, train
from kemm.progress import silent
from kemm.settings import EntityEmbeddings, QuestionSettings, Settings
from kemm.settings.objectives.knowledge import Answering
from kg.embeddings.runs import train as train_vectors
from kg.embeddings.settings import EmbeddingSettings
from kg.embeddings.triples import Triples
from kg.errors import InputError
from kg.store.graph import KnowledgeGraph
from tests.kemm.tiny_world import MADE_BY, TOYS


class Chosen(Holdout):
    """Holds out what a test says."""

    def __init__(self, *facts: tuple[str, str]) -> None:
        super().__init__(QuestionSettings(), 0)
        self.facts = facts

    def fact(self, head: str, relation: str) -> str:
        return "test" if (head, relation) in self.facts else "train"


def names_of(folder: Path) -> set[tuple[str, str, str]]:
    triples = Triples.open(folder)
    return {
        (triples.entities[h], triples.relations[r], triples.entities[t])
        for rows in triples.splits.values()
        for h, r, t in rows.tolist()
    }


def test_a_held_out_fact_is_left_out_with_every_edge_between_its_two_ends(tmp_path: Path) -> None:
    with KnowledgeGraph.open(f"sqlite:///{tmp_path}/kg.db") as graph:
        with graph.edit(source="s") as edit:
            for fact in ("dog kind canine", "canine example dog", "dog eats meat", "canine kind animal"):
                edit.add(*fact.split())
        counts = write_training_triples(graph, Chosen(("dog", "kind")), tmp_path / "triples", valid=0.0)
    assert names_of(tmp_path / "triples") == {("dog", "eats", "meat"), ("canine", "kind", "animal")}
    assert counts == {"edges": 4, "held_out": 2, "train": 2, "valid": 0, "entities": 4}


def test_a_store_of_which_all_is_held_out_is_an_error(tmp_path: Path) -> None:
    with KnowledgeGraph.open(f"sqlite:///{tmp_path}/kg.db") as graph:
        graph.add("dog", "kind", "canine", source="s")
        with pytest.raises(InputError, match="nothing to train on"):
            write_training_triples(graph, Chosen(("dog", "kind")), tmp_path / "triples")
    assert not (tmp_path / "triples").exists()


def test_no_answer_of_a_held_out_question_is_among_the_triples(tiny_settings: Settings, tmp_path: Path) -> None:
    holdout = Holdout(tiny_settings.questions, tiny_settings.train.seed)
    with KnowledgeGraph.open(tiny_settings.data.store) as graph:
        write_training_triples(graph, holdout, tmp_path / "triples", valid=0.0)
    found = names_of(tmp_path / "triples")
    assert {h for h, r, _ in found if r == MADE_BY} == {t for t in TOYS if holdout.fact(t, MADE_BY) == "train"}
    assert 0 < len(found) < 30  # 24 makers of toys and 6 towns, less what is held out


def check_swapped_answers_have_their_vectors(settings: Settings, data: TrainingData) -> None:
    """A node without a vector would otherwise give away that its fact is the one asked for.

    Not all have one, as "yes", "no" and "not known" are drawn too.
    """
    usual = settings.objectives.answering
    settings.objectives.answering = Answering(swap=1.0, drop=0.0, mute=0.0, thin=0.0)
    questions = data.batch(0).questions
    settings.objectives.answering = usual
    assert questions is not None and questions.facts is not None
    facts = questions.facts
    answering = facts.far[questions.pointer_targets.flatten()[facts.slot]]
    entities = answering[facts.node_marks[answering, 1] == 0]
    assert len(entities) and (facts.node_entity[entities] >= 0).float().mean() > 0.5


@pytest.mark.parametrize("mode", ["frozen", "tuned"])
def test_a_run_with_vectors_answers_alike_after_loading_and_refuses_another_run(
    tiny_settings: Settings, tmp_path: Path, mode: str
) -> None:
    with KnowledgeGraph.open(tiny_settings.data.store) as graph:
        holdout = Holdout(tiny_settings.questions, tiny_settings.train.seed)
        write_training_triples(graph, holdout, tmp_path / "triples", valid=0.0)
    training = {"objective": {"kind": "1-vs-all"}, "epochs": 2, "batch": 8, "learning_rate": 0.1}
    described = {"data": {"folder": str(tmp_path / "triples")}, "model": {"name": "complex", "dimension": 4}}
    train_vectors(EmbeddingSettings.model_validate({**described, "training": training, "run": str(tmp_path / "kg")}))

    settings = tiny_settings.model_copy(deep=True)
    settings.run, settings.train.steps = tmp_path / "run", 3
    settings.model.entity_embeddings = EntityEmbeddings.model_validate({"run": tmp_path / "kg", "mode": mode})
    world, data = prepare(settings, silent)
    check_swapped_answers_have_their_vectors(settings, data)
    train(world, data, False, silent)
    toy = TOYS[int(torch.tensor([holdout.fact(t, MADE_BY) == "train" for t in TOYS]).int().argmax())]
    asked = [Question("", f"Who makes {world.label(toy)}?", ())]
    world.close()

    reader = Reader.load(settings.run, settings)
    table = reader.tables(reader.retrieve_many(asked))[0]
    assert (table.node_entity >= 0).any()
    weight = reader.task.model.knowledge.entities.weight
    assert weight.abs().max() > 0  # it has learned to look at them
    with_vectors = reader.read(asked, [table], [None])[0].answers
    torch.nn.init.zeros_(weight)
    assert reader.read(asked, [table], [None])[0].answers != with_vectors
    reader.world.close()
    again = Reader.load(settings.run, settings)
    assert again.read(asked, again.tables(again.retrieve_many(asked)), [None])[0].answers == with_vectors
    again.world.close()

    file = tmp_path / "kg" / "best" / "model.safetensors"
    state = load_file(file)
    state["entities"] += 1.0
    save_file(state, file)
    if mode == "frozen":
        with pytest.raises(InputError, match="has changed since this model was trained"):
            Reader.load(settings.run, settings)
    else:  # its own vectors are in the checkpoint
        Reader.load(settings.run, settings).world.close()
