"""Reading an artist's picture files: every one gives an upright 8-bit RGB picture, or one sentence that says
why not.
"""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from ..regular_files import NotRegular, open_regular

EXTENSIONS = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
# Pictures all the same, which are named rather than passed over.
OTHER_PICTURES = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".psd", ".svg", ".dng", ".cr2", ".nef", ".arw")
# 178 million pixels is where Pillow itself starts to speak of decompression bombs; three bytes each is half a gigabyte.
MOST_PIXELS = 178_000_000


class UnreadablePicture(ValueError):
    """A picture file that cannot be used; the message is the reason, without the path."""


def read_picture(path: str | Path, longest_side: int | None = None) -> Image.Image:
    """The picture as upright RGB, 8 bits a channel: first frame of an animation, transparency on white.

    `longest_side`: shrink to this many pixels; large JPEGs are then decoded at a fraction of their size.
    Raises UnreadablePicture for empty, broken, cut-off, too large and unknown files.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings(), open_regular(path) as stream, Image.open(_not_empty(stream)) as file:
            warnings.simplefilter("ignore")
            width, height = file.size
            if width * height > MOST_PIXELS:
                raise UnreadablePicture(f"{width}×{height} pixels are too many (at most {MOST_PIXELS:,})")
            if longest_side:
                file.draft("RGB", (longest_side, longest_side))
            picture = _to_rgb(_first_frame(file))
    except UnreadablePicture:
        raise
    except NotRegular as error:
        raise UnreadablePicture(str(error)) from error
    except Image.DecompressionBombError as error:
        raise UnreadablePicture(f"its pixels are too many (at most {MOST_PIXELS:,}): {error}") from error
    except (OSError, ValueError, SyntaxError, EOFError, MemoryError) as error:
        raise UnreadablePicture(f"not a readable picture ({error})".replace(str(path), path.name)) from error
    if longest_side and max(picture.size) > longest_side:
        picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS, reducing_gap=3.0)
    return picture


def _not_empty(stream: BinaryIO) -> BinaryIO:
    if os.fstat(stream.fileno()).st_size == 0:
        raise UnreadablePicture("the file is empty")
    return stream


def _first_frame(file: Image.Image) -> Image.Image:
    if getattr(file, "is_animated", False):
        file.seek(0)
    file.load()
    return ImageOps.exif_transpose(file)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith(("I", "F")):
        picture = _to_eight_bits(picture)
    if picture.mode == "CMYK" or picture.mode in ("YCbCr", "LAB", "HSV"):
        return picture.convert("RGB")
    if "transparency" in picture.info or picture.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(ground, picture).convert("RGB")
    return picture.convert("RGB")


def _to_eight_bits(picture: Image.Image) -> Image.Image:
    """Grey with 16 or 32 bits a pixel: Pillow's own conversion clips at 255 and turns such files white."""
    import numpy as np

    values = np.asarray(picture, dtype=np.float64)
    top = 65535.0 if picture.mode.startswith("I") else (1.0 if values.max(initial=0.0) <= 1.0 else 255.0)
    if values.max(initial=0.0) <= 255 and picture.mode == "I":
        top = 255.0
    return Image.fromarray(np.clip(np.rint(values / top * 255.0), 0, 255).astype(np.uint8))


def thumbnail(picture: Image.Image, side: int = 256) -> bytes:
    """JPEG bytes of the picture, at most `side` pixels on its longer side."""
    small = picture.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, "JPEG", quality=88)
    return out.getvalue()


def content_hash(path: str | Path) -> str:
    """BLAKE2b of the file's bytes, 32 hex digits. Raises NotRegular for what is no regular file, OSError."""
    digest = hashlib.blake2b(digest_size=16)
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
