"""What the recipes' tests share. Lightning reads torchvision through torchmetrics, which a CPU build of torch lacks."""

import pytest
from atelier.dev.setup.torchvision_ops import make_importable

make_importable()


@pytest.fixture(scope="session")
def tokenizer(host_folder):
    """The folder of CLIP's tokenizer."""
    return host_folder / "comfy" / "sd1_tokenizer"


@pytest.fixture(scope="session")
def words(tokenizer):
    from atelier.dev.train.designer.design_prompts import Words

    return Words(tokenizer)


@pytest.fixture(scope="session")
def latents(tmp_path_factory):
    """The studio's basis, fitted on a few figures, its first eight channels."""
    from atelier.dev.train.latents import Latents
    from atelier.dev.train.run import studio_latents

    full = studio_latents(tmp_path_factory.mktemp("latents"), figures=40)
    return Latents(full.encode_matrix[:8].contiguous(), full.decode_matrix[:, :8].contiguous(), full.mean)
