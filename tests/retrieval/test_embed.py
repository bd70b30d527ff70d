"""The embedding cache: nothing is embedded twice, changes are noticed, what was finished stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kg.errors import UnreadableImage
from retrieval.embed import Embedder, EmbeddingCache, share_space
from tests.retrieval.small_world import HashedWords, Thumbnail


def test_a_second_run_embeds_nothing_and_gives_the_same(tmp_path: Path, text: HashedWords) -> None:
    words = ["red apple", "green pear", "red apple"]
    first = EmbeddingCache(tmp_path).embed(text, words)
    assert text.num_embedded == 2  # the repeated one once
    again = EmbeddingCache(tmp_path).embed(text, words[::-1])
    assert text.num_embedded == 2
    np.testing.assert_array_equal(again, first[::-1])
    np.testing.assert_array_equal(first, text.embed(words))


def test_only_what_is_new_is_embedded(tmp_path: Path, text: HashedWords) -> None:
    cache = EmbeddingCache(tmp_path)
    cache.embed(text, ["one", "two"])
    cache.embed(text, ["two", "three", "one"])
    assert text.num_embedded == 3


def test_a_changed_picture_is_noticed_and_a_moved_one_is_not_embedded_again(
    tmp_path: Path, paint: Callable[[str, str], Path], images: Thumbnail
) -> None:
    cache = EmbeddingCache(tmp_path / "cache")
    path = paint("a.png", "red")
    before = cache.embed(images, [path])
    moved = path.rename(tmp_path / "b.png")
    np.testing.assert_array_equal(cache.embed(images, [moved]), before)
    assert images.num_embedded == 1
    paint("b.png", "blue")
    assert not np.allclose(cache.embed(images, [moved]), before)
    assert images.num_embedded == 2


def test_embedders_of_different_names_do_not_share_vectors(tmp_path: Path, text: HashedWords) -> None:
    class Reversed(HashedWords):
        name = "hashed-words-512-reversed"

        def embed(self, items: Sequence[Any]) -> np.ndarray:
            return super().embed(items)[:, ::-1]

    cache = EmbeddingCache(tmp_path)
    np.testing.assert_array_equal(cache.embed(text, ["a b"]), cache.embed(Reversed(), ["a b"])[:, ::-1])


def test_an_interrupted_run_keeps_its_finished_shards(tmp_path: Path, text: HashedWords) -> None:
    class Breaking(HashedWords):
        def embed(self, items: Sequence[Any]) -> np.ndarray:
            if "word 4" in items:
                raise KeyboardInterrupt
            return super().embed(items)

    items = [f"word {i}" for i in range(6)]
    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path).embed(Breaking(), items, shard=2)
    seen: list[tuple[str, int, int]] = []
    vectors = EmbeddingCache(tmp_path).embed(text, items, lambda *at: seen.append(at), shard=2)
    assert text.num_embedded == 2 and seen == [("embed", 2, 2)]
    np.testing.assert_array_equal(vectors, HashedWords().embed(items))


def test_lengths_of_input_aside_names_must_agree_to_compare() -> None:
    assert share_space("minilm/mean/12", "minilm/mean/64") and share_space("a", "a")
    assert not share_space("minilm/mean/12", "minilm/first/12") and not share_space("v2", "v3")


def test_a_missing_picture_is_named(tmp_path: Path, images: Thumbnail) -> None:
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        EmbeddingCache(tmp_path).embed(images, [tmp_path / "gone.png"])


def test_nothing_to_embed_gives_an_empty_array(tmp_path: Path, text: HashedWords) -> None:
    assert EmbeddingCache(tmp_path).embed(text, []).shape == (0, 512)
    assert isinstance(text, Embedder)
