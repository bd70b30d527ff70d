"""A picture file as a small data URI, so that a report stays one file that shows the same anywhere."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from kg.errors import UnreadableImage

MAX_SIDE = 320  # pixels; a report shows examples, not originals


def data_uri(path: str | Path, max_side: int = MAX_SIDE) -> str:
    """Return ``data:image/…;base64,…`` of the picture, turned upright and no side longer than ``max_side``.

    Pictures with transparency or few colours (flags, drawings) stay PNG; photos become JPEG.

    Raises:
        UnreadableImage: the file is missing, is no picture, or is too large to open safely.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as opened:
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: can't be read as a picture ({error}); give a JPEG, PNG or WebP file") from error
    has_alpha = "A" in image.getbands() or "transparency" in image.info
    image = image.convert("RGBA" if has_alpha else "RGB")
    is_flat = has_alpha or image.getcolors(maxcolors=4096) is not None
    image.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    encoded = io.BytesIO()
    if is_flat:
        image.save(encoded, "PNG", optimize=True)
    else:
        image.save(encoded, "JPEG", quality=85)
    kind = "png" if is_flat else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(encoded.getvalue()).decode('ascii')}"
