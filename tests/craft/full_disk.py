"""What the tests of a full disk run in processes of their own: python full_disk.py PACK FOLDER WORK [LIMIT].

The work is done in FOLDER, under a limit of LIMIT bytes a file where it is given; what the work says is printed.
"""

import importlib.util
import sys
from pathlib import Path

pack, folder, work = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
spec = importlib.util.spec_from_file_location("pack_alias", pack + "/dev/pack.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
module.register()

import numpy as np  # noqa: E402
import torch  # noqa: E402
from atelier.craft.wardrobe import composed_query, wardrobe_search  # noqa: E402
from atelier.craft.wardrobe.wardrobe_index import update_index  # noqa: E402
from atelier.craft.wardrobe.wardrobe_store import EncoderIdentity, Item, WardrobeStore  # noqa: E402
from PIL import Image  # noqa: E402

DIM, ROWS = 512, 400  # 400 KB of vectors
IDENTITY = EncoderIdentity("tiny", "abc123", DIM)


def vectors(count):
    return torch.nn.functional.normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(0)), dim=-1)


def filled():
    """A store of ROWS vectors without a map."""
    folder.mkdir(exist_ok=True)
    with WardrobeStore(folder, create=True) as store:
        store.claim(IDENTITY)
        rows = vectors(ROWS).numpy()
        store.put([Item(f"{i:04}.png", 1, 1, f"h{i}", vector=rows[i]) for i in range(ROWS)], IDENTITY)


def fill_up(leave: int):
    """Fill the disk, but for `leave` bytes."""
    data = b"\0" * 4096
    with open(folder.parent / "ballast", "wb", buffering=0) as file:
        try:
            while True:
                file.write(data)
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave))


def search(largest: int | None = None):
    if largest is not None:
        wardrobe_search.LARGEST_IN_MEMORY = largest
    with WardrobeStore(folder) as store:
        found = wardrobe_search.open_vectors(store)
        (hit,) = wardrobe_search.search(found, composed_query.by_text(vectors(ROWS)[123]), 1)
        return f"found {store.item(hit.id).path}"


def index():
    def encode(pictures):
        return vectors(len(pictures)).numpy()

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    if "LIMIT" not in globals():
        fill_up(leave=48 * 1024)
    return update_index(folder, IDENTITY, encode, batch=2).text()


def limited(size: int):
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))  # Python ignores SIGXFSZ: writing fails with EFBIG


if work != "index":
    filled()
    if len(sys.argv) == 4:
        fill_up(leave=64 * 1024)
if len(sys.argv) > 4:
    LIMIT = int(sys.argv[4])
    limited(LIMIT)
try:
    print({"search": search, "large": lambda: search(0), "index": index}[work]())
except ValueError as problem:
    print("sentence:", problem)
print("files:", sorted(file.name.split("-")[0] for file in (folder / ".atelier-wardrobe").iterdir()))
