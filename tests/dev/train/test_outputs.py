"""What networks make, as a file that the decoder is tuned on."""

import pytest
import torch
from atelier.dev.train.outputs import BATCH, write_outputs
from safetensors.torch import load_file


def test_outputs_stand_beside_their_pictures(tmp_path, capsys):
    def opened():
        return lambda number: (
            torch.full((BATCH, 4, 2, 2), float(number)),
            torch.full((BATCH, 3, 16, 16), number, dtype=torch.uint8),
        )

    path = tmp_path / "new" / "outputs.safetensors"
    assert (
        write_outputs(["--count", "17", "--out", str(path)], "some-outputs", "Says.", tmp_path / "other", opened) == 0
    )
    written = load_file(str(path))
    assert (
        len(written["latents"]) == len(written["pictures"]) == 3 * BATCH and written["latents"].dtype == torch.float16
    )
    assert torch.equal(written["latents"][:, 0, 0, 0].byte(), written["pictures"][:, 0, 0, 0])
    with pytest.raises(SystemExit):
        write_outputs(["--help"], "some-outputs", "Says.", path, opened)
    assert "dev.py train some-outputs" in capsys.readouterr().out
