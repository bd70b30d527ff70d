"""What a published config.json leaves unsaid is what the reference takes for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kemm.compat import mend_torchvision
from kemm.systems import align, clip, efficient_net, flava, git, lxmert, siglip, vilt, visual_bert


@pytest.mark.parametrize(
    ("reference", "ours"),
    [
        ("CLIPTextConfig", clip.TEXT),
        ("CLIPVisionConfig", clip.VISION),
        ("SiglipTextConfig", siglip.TEXT),
        ("SiglipVisionConfig", siglip.VISION),
        ("AlignTextConfig", align.TEXT),
        ("AlignVisionConfig", efficient_net.DEFAULTS),
        ("ViltConfig", vilt.DEFAULTS),
        ("VisualBertConfig", visual_bert.DEFAULTS),
        ("FlavaImageConfig", flava.VISION),
        ("FlavaTextConfig", flava.TEXT),
        ("FlavaMultimodalConfig", flava.BOTH),
        ("LxmertConfig", lxmert.DEFAULTS),
        ("GitConfig", git.TEXT),
        ("GitVisionConfig", git.VISION),
    ],
)
def test_what_is_unsaid_is_what_the_reference_takes(reference: str, ours: Mapping[str, Any]):
    mend_torchvision()
    import transformers

    theirs = getattr(transformers, reference)()
    assert dict(ours) == {key: getattr(theirs, key) for key in ours}
