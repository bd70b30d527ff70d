"""What a checkpoint's config.json leaves unsaid is what transformers takes it to be."""

from __future__ import annotations

from typing import Any

import pytest

from kemm.compat import mend_torchvision
from kemm.systems import (
    align,
    blip,
    blip2,
    clip,
    efficient_net,
    flava,
    flava_codes,
    git,
    idefics,
    luke,
    lxmert,
    siglip,
    vilt,
    visual_bert,
)

UNSAID = [
    ("BlipTextConfig", blip.TEXT),
    ("BlipVisionConfig", blip.VISION),
    ("Blip2VisionConfig", blip2.VISION),
    ("Blip2QFormerConfig", blip2.Q_FORMER),
    ("CLIPTextConfig", clip.TEXT),
    ("CLIPVisionConfig", clip.VISION),
    ("IdeficsConfig", idefics.DEFAULTS),
    ("LukeConfig", luke.DEFAULTS),
    ("SiglipTextConfig", siglip.TEXT),
    ("SiglipVisionConfig", siglip.VISION),
    ("AlignTextConfig", align.TEXT),
    ("AlignVisionConfig", efficient_net.DEFAULTS),
    ("ViltConfig", vilt.DEFAULTS),
    ("VisualBertConfig", visual_bert.DEFAULTS),
    ("FlavaImageConfig", flava.VISION),
    ("FlavaTextConfig", flava.TEXT),
    ("FlavaMultimodalConfig", flava.BOTH),
    ("FlavaImageCodebookConfig", flava_codes.DEFAULTS),
    ("LxmertConfig", lxmert.DEFAULTS),
    ("GitConfig", git.TEXT),
    ("GitVisionConfig", git.VISION),
]


@pytest.mark.parametrize(("name", "ours"), UNSAID, ids=[name for name, _ in UNSAID])
def test_what_is_unsaid_is_what_the_reference_has(name: str, ours: dict[str, Any]):
    mend_torchvision()
    transformers = pytest.importorskip("transformers")
    theirs = getattr(transformers, name)()
    assert {key: getattr(theirs, key) for key in ours} == ours


@pytest.mark.parametrize(("part", "ours"), [("vision_config", idefics.VISION), ("perceiver_config", idefics.RESAMPLER)])
def test_so_it_is_within_idefics(part: str, ours: dict[str, Any]):
    mend_torchvision()
    transformers = pytest.importorskip("transformers")
    theirs = getattr(transformers.IdeficsConfig(), part)
    assert {key: getattr(theirs, key) for key in ours} == ours
