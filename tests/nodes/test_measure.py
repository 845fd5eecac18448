"""Measures against closed forms, with the controls that a flattering measure would miss."""

import numpy as np
import pytest
import torch
from atelier.craft.measure import picture_metrics, retrieval_metrics

pytestmark = pytest.mark.usefixtures("host")  # it lets torchvision be imported, which torchmetrics does


def by_name(figures):
    return {figure.name: figure.value for figure in figures}


def test_retrieval_figures_by_hand_and_ties_count_as_worse():
    scores = np.array([[0.9, 0.1, 0.5], [0.2, 0.8, 0.9], [0.5, 0.5, 0.5]])
    found = by_name(retrieval_metrics.retrieval(scores, [{0}, {1}, {2}], at=(1, 2)))
    assert found["R@1"] == pytest.approx(1 / 3) and found["R@2"] == pytest.approx(2 / 3)
    assert found["MRR"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3) and found["chance R@1"] == pytest.approx(1 / 3)
    several = by_name(retrieval_metrics.retrieval(np.array([[0.9, 0.8, 0.1, 0.7]]), [{0, 3}], at=(1,)))
    assert several["mAP"] == pytest.approx((1 + 2 / 3) / 2)
    constant = by_name(retrieval_metrics.retrieval(np.ones((4, 10)), [{i} for i in range(4)], at=(1, 5)))
    assert constant["R@1"] == constant["R@5"] == 0.0, "a search that knows nothing gets nothing"
    line = retrieval_metrics.retrieval(scores, [{0}, {1}, {2}])[0].line()
    assert "N = 3" in line and "pool 3" in line


def test_captions_written_from_the_queries_are_refused():
    queries = [f"navy{i} linen{i} blazer{i}" for i in range(12)]
    leaking = [f"a navy{i} linen{i} blazer{i} on white" for i in range(12)]
    with pytest.raises(ValueError, match="leaks"):
        retrieval_metrics.refuse_leak(queries, leaking, [{i} for i in range(12)])
    retrieval_metrics.refuse_leak(queries, [f"garment number {i}" for i in range(12)], [{i} for i in range(12)])
    retrieval_metrics.refuse_leak(queries, [""] * 12, [{i} for i in range(12)])


def test_caption_figures():
    same = by_name(retrieval_metrics.captions([["a red dress with long sleeves"], ["blue jeans with a high waist"]],
                                              ["a red dress with long sleeves",
                                              "blue jeans with a high waist"]))  # fmt: skip
    assert same["BLEU-4"] == pytest.approx(1, abs=1e-6) and same["ROUGE-L"] == pytest.approx(1) and same["CIDEr"] > 5
    other = by_name(retrieval_metrics.captions([["a red dress"], ["blue jeans"]], ["wool coat", "green bag"]))
    assert other["BLEU-1"] < 0.01 and other["ROUGE-L"] == 0 and other["CIDEr"] == 0
    with pytest.raises(ValueError, match="sets of references"):
        retrieval_metrics.captions([["a"]], ["a", "b"])


def test_attribute_f1():
    found = by_name(
        retrieval_metrics.attributes_f1(
            [{"collar": "V-Neck", "hem": "Flat Hem"}], [{"collar": "v-neck", "length": "Long"}]
        )
    )
    assert found["attribute precision"] == found["attribute recall"] == found["attribute F1"] == 0.5


def test_set_distances_tell_a_shift_from_the_same_and_match_closed_forms():
    torch.manual_seed(0)
    a, b = torch.randn(300, 6), torch.randn(300, 6)
    same, shifted = (by_name(picture_metrics.set_distances(a, x, "test")) for x in (b, b + 2))
    mean, cov_a, cov_b = (a.mean(0) - b.mean(0) - 2), a.T.cov(), b.T.cov()
    roots = torch.linalg.eigvals(cov_a.double() @ cov_b.double()).real.clamp_min(0).sqrt().sum()
    expected = float((mean.double() ** 2).sum() + cov_a.trace() + cov_b.trace() - 2 * roots)
    assert shifted["FID"] == pytest.approx(expected, rel=1e-4)
    assert abs(same["KID x 1000"]) < 60 < shifted["KID x 1000"] and same["coverage"] > 0.9 > shifted["coverage"]
    kernel = lambda x, y: (x.double() @ y.double().T / 6 + 1) ** 3  # noqa: E731
    off = lambda k: (k.sum() - k.diagonal().sum()) / (300 * 299)  # noqa: E731
    by_hand = off(kernel(a, a)) + off(kernel(b, b)) - 2 * kernel(a, b).mean()
    assert picture_metrics.kernel_distance(a, b) == pytest.approx(float(by_hand), abs=1e-9)
    assert "prefer KID" in picture_metrics.set_distances(a, b, "test")[0].note
    assert picture_metrics.diversity(torch.ones(4, 3)) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="too small"):
        picture_metrics.set_distances(a[:2], b, "test")


def test_paired_figures():
    picture = torch.rand(2, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    same = by_name(picture_metrics.paired(picture, picture))
    assert same["SSIM"] == pytest.approx(1) and same["mean absolute difference"] == 0 and "PSNR" not in same
    noisy = by_name(picture_metrics.paired(picture, (picture + 0.1).clamp(0, 1)))
    assert noisy["SSIM"] < 0.999 and 15 < noisy["PSNR"] < 30
    with pytest.raises(ValueError, match="one size"):
        picture_metrics.paired(picture, picture[:, :16])


def test_lpips_from_local_files_equals_the_formula(host, tmp_path):
    import torchvision
    from atelier.craft.measure.lpips_distance import Lpips
    from safetensors.torch import save_file

    torch.manual_seed(0)
    trunk = torchvision.models.squeezenet1_1(weights=None).eval()
    save_file({n: t.contiguous() for n, t in trunk.state_dict().items()}, str(tmp_path / "trunk.safetensors"))
    widths = (64, 128, 256, 384, 384, 512, 512)
    heads = {f"lin{i}.model.1.weight": torch.rand(1, w, 1, 1) for i, w in enumerate(widths)}
    save_file(heads, str(tmp_path / "heads.safetensors"))
    network = Lpips.from_files(str(tmp_path / "trunk.safetensors"), str(tmp_path / "heads.safetensors"), "squeeze")
    a, b = torch.rand(2, 1, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        assert float(network(a, a)) == 0 and float(network(a, b)) > 0
        assert float(network(a, b)) == pytest.approx(float(network(b, a)))
        assert float(network(a, b)) > float(network(a, (a + 0.02)))
    with pytest.raises(ValueError, match="do not fit"):
        Lpips.from_files(str(tmp_path / "trunk.safetensors"), str(tmp_path / "heads.safetensors"), "alex")
    with pytest.raises(ValueError, match=r"two local \.safetensors"):
        Lpips.from_files("", "", "squeeze")


def test_the_nodes_say_what_they_lack(host):
    from atelier.host.wardrobe.measuring import measure_pictures, parse_query

    picture = torch.rand(1, 16, 16, 3)
    for compare, wanted in (("pairs", "reference"), ("sets", "reference"), ("words", "encoder")):
        with pytest.raises(ValueError, match=wanted):
            measure_pictures(picture, compare, None, None, "", "", "", "squeeze")
    assert parse_query("a/b.jpg + in blue = c.jpg | d.jpg") == ("a/b.jpg", "in blue", ["c.jpg", "d.jpg"])
    assert parse_query("red dress = c.jpg") == ("", "red dress", ["c.jpg"])
    with pytest.raises(ValueError, match="not of the form"):
        parse_query("red dress")


def test_retrieval_over_a_real_wardrobe(host, tmp_path):
    from atelier.host.wardrobe import index_and_search as wardrobe
    from atelier.host.wardrobe import measuring
    from atelier.host.wardrobe.fashion_encoder import ColourShapeEncoder
    from PIL import Image

    class Speaks(ColourShapeEncoder):
        """Words are pictures here: the colour that the sentence names."""

        speaks = True

        def _text_vectors(self, texts):
            return self._image_vectors([swatch(text) for text in texts])

    def swatch(name):
        image = torch.ones(48, 48, 3)
        image[12:36, 12:36] = torch.tensor(
            {"red": [0.8, 0.1, 0.1], "blue": [0.1, 0.2, 0.8], "green": [0.1, 0.6, 0.2]}[name]
        )
        return image

    folder = tmp_path / "w"
    folder.mkdir()
    for name in ("red", "blue", "green"):
        Image.fromarray((swatch(name) * 255).byte().numpy()).save(folder / f"{name}.png")
    encoder = Speaks()
    wardrobe.index(str(folder), encoder, describe=False, confidence=0.5, start_over=False)
    queries = "\n".join(f"{name} = {name}.png" for name in ("red", "blue", "green"))
    assert by_name(measuring.measure_retrieval(str(folder), encoder, queries, "centred slerp", 0.4))["R@1"] == 1
    wrong = "\n".join(f"{a} = {b}.png" for a, b in (("red", "blue"), ("blue", "green"), ("green", "red")))
    assert by_name(measuring.measure_retrieval(str(folder), encoder, wrong, "centred slerp", 0.4))["R@1"] == 0
    with pytest.raises(ValueError, match=r"no picture 'x\.png'"):
        measuring.measure_retrieval(str(folder), encoder, "red = x.png", "centred slerp", 0.4)


def test_inception_score_is_the_number_of_classes_in_equal_use():
    logits = 40.0 * torch.eye(4).repeat(6, 1)
    assert picture_metrics.inception_score(logits, "test", 1).value == pytest.approx(4, rel=1e-6)
    assert picture_metrics.inception_score(torch.zeros(24, 4), "test", 1).value == pytest.approx(1, abs=1e-9)
    p = torch.randn(24, 4, generator=torch.Generator().manual_seed(0)).double().softmax(1)
    by_hand = (p * (p.log() - p.mean(0).log())).sum(1).mean().exp()
    assert picture_metrics.inception_score(p.log(), "test", 1).value == pytest.approx(float(by_hand), rel=1e-6)
    with pytest.raises(ValueError, match="says nothing"):
        picture_metrics.inception_score(logits[:, :1], "test")


def test_inception_score_in_the_node_asks_for_classes(host):
    from types import SimpleNamespace

    from atelier.host.wardrobe.measuring import measure_pictures

    names = ["red", "green", "blue"]
    vectors = torch.eye(3)
    encoder = SimpleNamespace(encode_image=lambda p: vectors[p[:, 0, 0].argmax(1)][:, None],
                              encode_text=lambda t: vectors[[names.index(x) for x in t]],
                              dim=3, logit_scale=50.0, name="colours", hash="0" * 16)  # fmt: skip
    pictures = vectors.repeat(4, 1)[:, None, None].expand(-1, 8, 8, -1)
    figure = measure_pictures(pictures, "classes", None, encoder, "red\ngreen\nblue", "", "", "alex")[0]
    assert figure.value == pytest.approx(3, rel=0.05)
    assert measure_pictures(pictures[::3], "classes", None, encoder, "red\ngreen", "", "", "alex")[
        0
    ].value == pytest.approx(1, abs=1e-6)
    with pytest.raises(ValueError, match="1 classes are given"):
        measure_pictures(pictures, "classes", None, encoder, "red", "", "", "alex")
