"""Published design data sets and a user's own folder become designs; what is broken is named, nothing is made up."""

import json

import numpy as np
import pytest
import torch
from atelier.dev.train.designer import hierafashion
from atelier.dev.train.designer.design_folder import FolderDesigns, read
from atelier.dev.train.designer.design_prompts import Piece
from atelier.dev.train.designer.design_record import Design, pose_weight, read_picture, split_caption
from atelier.models.hierafashdiff.schedules import PROMPT_BORDERS, prompt_at
from PIL import Image

CAPTION = (
    "Dress, Elegant, Party , Slimming, Line Feeling, Long, Sleeveless, Regular Sleeve, V-Neck, Flat Hem, with a bow"
)
EDGES = sorted({0, 999, *PROMPT_BORDERS, *(b - 1 for b in PROMPT_BORDERS)})


def picture(path, colour=(200, 30, 40), size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


@pytest.fixture
def listed(tmp_path):
    """HieraFashion's layout: pictures by path and by bare name, one entry without a pose."""
    picture(tmp_path / "train_images/1.jpg")
    picture(tmp_path / "train/2.png", (0, 0, 250))
    picture(tmp_path / "train_pose/pose_images/1.jpg", (0, 255, 0))
    picture(tmp_path / "sketches/2.png")
    entries = [
        {"gt": "train_images/1.jpg", "caption": CAPTION, "pose": "train_pose/pose_images/1.jpg"},
        {"gt": "2.png", "caption": "Skirt, Sweet", "pose": "", "sketch": "sketches/2.png"},
    ]
    (tmp_path / "train_pose.json").write_text(json.dumps(entries))
    (tmp_path / "train.json").write_text(json.dumps(entries[:1]))
    return tmp_path, entries


def rewrite(folder, entries):
    (folder / "train_pose.json").write_text(json.dumps(entries))


def test_a_json_list_gives_designs(listed):
    folder, _ = listed
    first, second = read(folder)
    assert first.picture == folder / "train_images/1.jpg" and first.pose == folder / "train_pose/pose_images/1.jpg"
    assert first.concept == ("Dress", "Elegant", "Party", "Slimming", "Line Feeling")
    assert first.attributes[0] == "Long" and first.attributes[-1] == "with a bow" and first.caption == CAPTION
    assert (
        second.picture == folder / "train/2.png" and second.pose is None and second.sketch == folder / "sketches/2.png"
    )
    (folder / "train_pose.json").unlink()
    assert len(read(folder)) == 1  # the list without poses, when there is no other


@pytest.mark.parametrize("caption", [CAPTION, "Skirt, Sweet", "Dress,, Party", "one", CAPTION + ", a, b"])
def test_prompts_by_level_are_the_published_rule(tmp_path, caption):
    design = Design(tmp_path / "x.png", *split_caption(caption))
    assert [design.prompt_at(t) for t in EDGES] == [prompt_at(caption, t) for t in EDGES]
    assert len({design.prompt_at(t) for t in EDGES}) == (
        7 if len(caption.split(",")) > 10 else len({prompt_at(caption, t) for t in EDGES})
    )


def test_attributes_on_lines_keep_their_commas():
    concept, attributes, caption = split_caption("Dress, red,\n V-Neck, deep \n\nFlat Hem\n")
    assert (concept, attributes) == (("Dress, red",), ("V-Neck, deep", "Flat Hem"))
    design = Design(None, concept, attributes, caption)
    said = [design.prompt_at(t) for t in (900, 899, 799, 0)]
    assert said == [
        "Dress, red",
        "Dress, red,V-Neck, deep",
        "Dress, red,V-Neck, deep,Flat Hem",
        "Dress, red, V-Neck, deep, Flat Hem",
    ]


def test_pose_weight_by_level():
    assert all(pose_weight(t) == 1 for t in range(1000))
    assert [pose_weight(t, "disabled rule") for t in (0, 949, 950, 999)] == [1, 1, 0, 0]


def broken(entry, **changes):
    return {key: value for key, value in {**entry, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"gt": "train_images/9.jpg"}, "entry 2: its picture train_images/9.jpg is missing"),
        ({"gt": None}, "entry 2: it has no gt"),
        ({"caption": "  "}, "entry 2: it has no caption"),
        ({"caption": 5}, "entry 2: it has no caption"),
        ({"pose": "train_pose/none.png"}, "entry 2: its pose train_pose/none.png is missing"),
        ({"pose": ["x"]}, "entry 2: its pose is list"),
        ({"gt": "../secret.png"}, "entry 2: ../secret.png leads out"),
        ({"gt": "train.json"}, "entry 2: train.json is no picture"),
    ],
)
def test_broken_entries_of_a_list_are_named(listed, changes, says):
    folder, entries = listed
    rewrite(folder, [entries[0], broken(entries[0], **changes)])
    with pytest.raises(ValueError, match=r"1 of 2 entries of train_pose\.json cannot be used") as problem:
        read(folder)
    assert says in str(problem.value)


def test_many_broken_entries_are_counted(listed):
    folder, entries = listed
    rewrite(folder, [*entries, *({"gt": f"{n}.jpg", "caption": "x"} for n in range(7, 12)), "no object"])
    with pytest.raises(ValueError, match=r"6 of 8 entries .*entry 3.*entry 4.*entry 5.* and 3 more"):
        read(folder)


@pytest.mark.parametrize("text", ["[", '{"gt": "a"}', "[]", "\xff\xfe"])
def test_broken_lists_are_named(listed, text):
    folder, _ = listed
    (folder / "train_pose.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"train_pose\.json"):
        read(folder)
    with pytest.raises(ValueError, match=r"neither test_pose\.json nor test\.json"):
        hierafashion.read(folder, "test")


@pytest.fixture
def captioned(tmp_path):
    for number in range(4):
        picture(tmp_path / f"{number}.png", (50 * number, 0, 0))
        (tmp_path / f"{number}.txt").write_text(f"Dress, number {number}\nV-Neck\n", encoding="utf-8")
    picture(tmp_path / "more/a.JPG")
    (tmp_path / "more/a.txt").write_bytes("Rock, blå".encode("utf-8-sig"))
    picture(tmp_path / "pose/0.png", (0, 255, 0))
    picture(tmp_path / "sketch/more/a.webp")
    picture(tmp_path / ".cache/x.png")
    return tmp_path


def test_a_captioned_folder_gives_designs(captioned):
    designs = read(captioned)
    assert [d.picture.name for d in designs] == ["0.png", "1.png", "2.png", "3.png", "a.JPG"]
    assert designs[0].pose == captioned / "pose/0.png" and designs[1].pose is None
    assert designs[0].attributes == ("V-Neck",) and designs[4].caption == "Rock, blå"
    assert designs[4].sketch == captioned / "sketch/more/a.webp"


def test_broken_files_of_a_folder_are_named(captioned):
    (captioned / "0.txt").unlink()
    (captioned / "1.png").unlink()
    (captioned / "2.txt").write_text(" \n")
    with pytest.raises(ValueError, match="3 of 5 entries") as problem:
        read(captioned)
    for said in ("1.txt: no picture", "0.png: it has no caption", "2.png: its caption 2.txt is empty"):
        assert said in str(problem.value)
    (captioned / "3.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="and 1 more"):
        read(captioned)


def test_a_metadata_list(captioned):
    lines = [{"file_name": "0.png", "text": "Dress, a"}, {"file_name": "more/a.JPG", "text": "Skirt"}]
    (captioned / "metadata.jsonl").write_text("\n\n".join(map(json.dumps, lines)))
    assert [d.caption for d in read(captioned)] == ["Dress, a", "Skirt"]
    bad = ["{", '{"file_name": "0.png"}', '{"file_name": "no.png", "text": "x"}', '{"file_name": "0.png", "text": ""}']
    for line, says in zip(
        bad, ("line 1: it is not valid JSON", "needs file_name and text", "no.png is missing", "0.png is empty")
    ):
        (captioned / "metadata.jsonl").write_text(line)
        with pytest.raises(ValueError, match=says):
            read(captioned)
    (captioned / "metadata.jsonl").write_text("\n")
    with pytest.raises(ValueError, match="is empty"):
        read(captioned)


def test_folders_that_are_none(tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        read(tmp_path)
    with pytest.raises(ValueError, match="is no folder"):
        read(tmp_path / "none")


def test_pictures_are_cropped_not_squeezed_and_never_invented(tmp_path):
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 40:88] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert (read_picture(tmp_path / "wide.png", (48, 64)) == 255).all()
    Image.new("RGBA", (48, 64), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    assert (read_picture(tmp_path / "clear.png", (48, 64)) == 255).all()
    whole = picture(tmp_path / "cut.jpg", size=(400, 400)).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    for name in ("cut.jpg", "none.png"):
        with pytest.raises(ValueError, match=name):
            read_picture(tmp_path / name, (48, 64))


def test_batches_of_a_folder(captioned, words):
    data = FolderDesigns(read(captioned), words, batch=5, size=(48, 64), empty=0)
    reds = [sorted(data.make(n).person[:, 0, 0, 0].tolist()) for n in range(3)]
    assert reds[0] == reds[1] == reds[2] and len(set(reds[0])) == 5  # every design once an epoch
    assert any(not torch.equal(data.make(0).person, data.make(n).person) for n in (1, 2))
    batch = data.make(4)
    again = vars(data.make(4))
    assert all(torch.equal(value, again[name]) for name, value in vars(batch).items() if value is not None)
    assert batch.labels is None and batch.ink is None  # nothing is known of the layout
    assert batch.person.shape == (5, 3, 64, 48) and batch.owner.shape == (5, 8, 6) and (batch.owner == -1).all()
    with pytest.raises(ValueError, match="fewer than a batch"):
        FolderDesigns(read(captioned), words, batch=6)


def test_only_designs_with_a_pose_see_one_and_words_follow_the_level(captioned, words):
    data = FolderDesigns(
        read(captioned)[:1], words, batch=1, size=(48, 64), by_level=1.0, empty=0, pose_rule="disabled rule"
    )
    blind = FolderDesigns(read(captioned)[1:2], words, batch=1, size=(48, 64))
    samples = [data.sample(n) for n in range(60)]
    assert {bool(s["seen"]) for s in samples} == {True, False}
    for sample in samples:
        if sample["pose"].any():
            assert sample["seen"] and sample["t"] < 950
        text = "Dress, number 0,V-Neck" if sample["t"] < 900 else "Dress, number 0"
        assert (sample["words"] == words.encode([Piece(text)])[0]).all()
    assert {bool(s["t"] < 900) for s in samples} == {True, False}
    assert any(s["pose"].any() for s in samples)
    assert not any(s["seen"] or s["pose"].any() for s in (blind.sample(n) for n in range(60)))


TINY = {
    "latent_channels": 8, "width": 32, "multiples": (1, 2), "head_dim": 16, "down": (False, True),
    "up": (True, False, False, True),
}  # fmt: skip


def tiny_latents():
    from atelier.dev.train.latents import Latents

    basis = torch.linalg.qr(torch.randn(192, 8, generator=torch.Generator().manual_seed(0)))[0]
    return Latents(basis.T.contiguous(), basis.contiguous(), torch.full((192,), 0.5))


def test_the_designer_recipe_takes_such_batches(captioned, words):
    from atelier.dev.train.designer.designer_on_folder import OwnDesigns
    from atelier.models.studio.designer.network import Config

    module = OwnDesigns(tiny_latents(), words.numbers, Config(**TINY), 4)
    batch = FolderDesigns(read(captioned), words, batch=2, size=(48, 64)).make(0)
    loss, parts = module.loss(batch, torch.Generator().manual_seed(0))
    assert torch.isfinite(loss) and "read" not in parts and "layout" not in parts
    assert not module.layout._seen, "features are let go of"
    loss.backward()


def test_new_words_begin_as_the_unknown_word():
    from atelier.dev.train.designer.designer_on_folder import widened

    table = torch.arange(4.0)[:, None] + 10  # unknown, then the words 5, 7, 9
    assert widened(table, [5, 7, 9], [5, 6, 7, 8, 9])[:, 0].tolist() == [10, 11, 10, 12, 10, 13]


@pytest.mark.filterwarnings("ignore")
def test_a_shipped_designer_goes_on_with_a_folder(captioned, words, host_folder, tmp_path_factory):
    """It begins as the shipped one, learns new words, and writes what can be gone on with again."""
    import lightning
    from atelier.dev.train.designer import designer_on_folder
    from atelier.dev.train.designer.designer import DesignerTraining
    from atelier.dev.train.designer.designer_files import export
    from atelier.models.studio.designer.network import Config

    torch.manual_seed(0)
    weights, tokenizer = tmp_path_factory.mktemp("weights"), host_folder / "comfy" / "sd1_tokenizer"
    with pytest.raises(ValueError, match="train the designer on drawn figures first"):
        designer_on_folder.start(weights, words, 4, tiny_latents())
    shipped = DesignerTraining(tiny_latents(), words.numbers, Config(**TINY))
    export(shipped.network.state_dict(), words.numbers, Config(**TINY), shipped.network.text.config, weights, "")
    own = designer_on_folder.words_of(tokenizer, read(captioned))
    assert set(own.numbers) > set(words.numbers)
    module = designer_on_folder.start(weights, own, 3, tiny_latents())
    told = torch.from_numpy(words.encode([Piece("navy Dress, V-Neck")])[0])[None]
    mine = torch.from_numpy(own.encode([Piece("navy Dress, V-Neck")])[0])[None]
    with torch.no_grad():
        torch.testing.assert_close(module.network.text(mine), shipped.network.text(told), atol=2e-2, rtol=0)
    before = {name: value.clone() for name, value in module.network.state_dict().items()}
    loop = lightning.Trainer(max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                             enable_progress_bar=False, enable_model_summary=False)  # fmt: skip
    data = FolderDesigns(read(captioned), own, batch=2, size=(48, 64), empty=0)
    loop.fit(module, torch.utils.data.DataLoader(data, batch_size=None))
    after = module.network.state_dict()
    assert all(torch.isfinite(value).all() for value in after.values())
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert designer_on_folder.TABLE in changed and any(name.startswith("unet.") for name in changed)
    assert {name for name in changed if name.startswith("text.")} == {designer_on_folder.TABLE}
    assert module.rate(1) > module.rate(0) > module.rate(3) == 0
    export(module.ema, own.numbers, Config(**TINY), module.network.text.config, weights, "")
    designer_on_folder.start(weights, own, 3, tiny_latents())
