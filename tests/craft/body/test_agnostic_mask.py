"""The try-on mask from the body, and FastFit's published masker."""

import itertools

import numpy as np
import pytest
from atelier.craft.body import agnostic_batch, labels, part_edits, part_labels, published_masker
from atelier.craft.body.agnostic_mask import agnostic_mask, protected
from atelier.craft.body.body_parts import Body, part_mask, parts_mask
from atelier.craft.body.part_names import PROTECTABLE, parse_parts
from atelier.craft.garments import IDS as CATEGORIES
from atelier.craft.picture.mask_shapes import dilate

SIZE = (144, 192)
ATR, PARTS = labels.ATR, labels.PARTS


@pytest.fixture(scope="module")
def joints():
    return part_edits.figure_joints(part_edits.PartEdits(), *SIZE)


def dressed(joints, sleeve=1.0, leg=1.0, kind="pants", wide=0.0):
    """(parts, ATR labels) of a figure whose sleeves and trousers end at a share of the limb."""
    body = Body(joints, *SIZE)
    skirt = part_mask(body, "skirt") if wide else body.empty()
    person = parts_mask(body, parse_parts("whole body")) | skirt
    parts = part_labels.label_parts(joints, person)
    atr = np.zeros_like(parts)
    for names, label in (
        (("hair",), "hair"),
        (("face", "neck"), "face"),
        (("right foot",), "right-shoe"),
        (("left foot",), "left-shoe"),
    ):
        atr[labels.where(parts, names, PARTS)] = ATR.index(label)
    for side in ("right", "left"):
        arm = labels.where(parts, (f"{side} upper arm", f"{side} forearm", f"{side} hand"), PARTS)
        limb = labels.where(parts, (f"{side} thigh", f"{side} shin"), PARTS)
        atr[arm], atr[limb] = ATR.index(f"{side}-arm"), ATR.index(f"{side}-leg")
        for region, name, share, cloth in ((arm, "sleeve", sleeve, "upper-clothes"), (limb, "trouser leg", leg, kind)):
            ends = _down_to(joints, side, name, share)
            atr[region & ends] = ATR.index(cloth)
    atr[labels.where(parts, ("torso",), PARTS)] = ATR.index("upper-clothes")
    atr[labels.where(parts, ("hips",), PARTS) | (skirt & _down_to(joints, "right", "trouser leg", leg))] = ATR.index(
        kind
    )
    return parts, atr


def _down_to(joints, side, name, share):
    chain = {"sleeve": (2, 3, 4), "trouser leg": (8, 9, 10)}[name]
    y = np.interp(share, [0, 0.5, 1], [joints[j, 1] for j in chain])
    return np.arange(SIZE[1])[:, None] <= np.full(SIZE[0], y)[None]


def test_no_protected_label_is_ever_masked(joints):
    for sleeve, leg, wide in itertools.product((0.1, 0.6, 1.0), (0.3, 1.0), (0.0, 1.0)):
        parts, atr = dressed(joints, sleeve, leg, "skirt" if wide else "pants", wide)
        atr[150:160, 110:125] = ATR.index("bag")
        for categories in (("upper",), ("lower",), ("overall", "shoe"), ("upper", "lower", "shoe", "bag")):
            mask = agnostic_mask(Body(joints, *SIZE, parts, atr), categories)
            cloth = labels.where(atr, ("upper-clothes", "skirt", "pants", "dress"), ATR)
            assert not mask[parts == PARTS.index("face")].any()
            assert not mask[labels.where(atr, ("hair", "hat"), ATR)].any()
            assert not mask[labels.where(parts, ("right hand", "left hand"), PARTS) & ~cloth].any()
            if "shoe" not in categories:
                assert not mask[labels.where(atr, ("left-shoe", "right-shoe"), ATR)].any()
            if "bag" not in categories:
                assert not mask[labels.where(atr, ("bag",), ATR)].any()


def test_a_switch_gives_the_protection_up(joints):
    parts, atr = dressed(joints)
    for guard, region in (
        ("hair", labels.where(atr, ("hair",), ATR)),
        ("hands", labels.where(parts, ("right hand",), PARTS)),
    ):
        kept = agnostic_mask(Body(joints, *SIZE, parts, atr), ("upper",))
        free = agnostic_mask(
            Body(joints, *SIZE, parts, atr), ("upper",), tuple(p for p in PROTECTABLE if p != guard), margin=0.2
        )
        assert free[region].any() and free.sum() > kept.sum()


def test_the_old_garment_is_covered(joints):
    for wide in (0.0, 1.0):
        parts, atr = dressed(joints, kind="skirt" if wide else "pants", wide=wide)
        for category, worn in (
            ("upper", ("upper-clothes",)),
            ("lower", ("skirt", "pants")),
            ("overall", ("upper-clothes", "skirt", "pants")),
        ):
            mask = agnostic_mask(Body(joints, *SIZE, parts, atr), (category,), ())
            assert mask[labels.where(atr, worn, ATR)].all()


@pytest.mark.parametrize("width", [0.0, 0.04, 0.16, 0.24, 0.4])
def test_there_is_room_round_the_old_garment_for_a_feathered_edge(joints, width):
    parts, atr = dressed(joints, 0.5, 0.7, "skirt", 1.0)
    body = Body(joints, *SIZE, parts, atr)
    atr[dilate(labels.where(atr, ("skirt",), ATR), width * body.torso) & (atr == 0)] = ATR.index("skirt")
    worn = labels.where(atr, ("skirt",), ATR)
    seam = dilate(worn, 0.05 * body.torso) & ~worn & ~protected(body, ("lower",), PROTECTABLE)
    assert seam.any() and not (seam & ~agnostic_mask(body, ("lower",))).any()


def test_the_old_length_does_not_show(joints):
    """The mask of the same body is the same whatever was worn, as long as it fits the body; the published one is
    not.
    """
    ours, published = set(), set()
    for sleeve, leg in itertools.product((0.15, 0.5, 1.0), (0.3, 0.6, 1.0)):
        parts, atr = dressed(joints, sleeve, leg)
        guards = ("face", "hair", "feet")
        ours.add(agnostic_mask(Body(joints, *SIZE, parts, atr), ("upper", "lower"), guards).tobytes())
        published.add(
            published_masker.published_mask(
                labels.parts_to_densepose(parts), labels.atr_to_lip(atr), atr, "upper"
            ).tobytes()
        )
    assert len(ours) == 1
    assert len(published) > 1


def test_works_from_joints_alone_and_at_any_size(joints):
    for scale in (0.5, 1.0, 2.0):
        size = (int(SIZE[0] * scale), int(SIZE[1] * scale))
        masks, notes = agnostic_batch.agnostic_masks(
            agnostic_batch.AgnosticChoice(("upper",), PROTECTABLE), size, [(joints * [scale, scale, 1])[None]]
        )
        assert masks.shape == (1, size[1], size[0]) and 0.1 < masks.mean() < 0.5
        assert any("no garment labels" in note for note in notes)


def test_every_category_masks_its_place(joints):
    masks = {c: agnostic_mask(Body(joints, *SIZE), (c,), ()) for c in CATEGORIES}
    rows = {c: np.nonzero(m)[0].mean() / SIZE[1] for c, m in masks.items()}
    assert rows["upper"] < rows["overall"] < rows["lower"] < rows["shoe"]
    union = agnostic_mask(Body(joints, *SIZE), ("upper", "shoe"), ())
    assert np.array_equal(union, masks["upper"] | masks["shoe"])


@pytest.mark.parametrize(
    ("categories", "protect", "said"),
    [((), (), "No garment"), (("coat",), (), "coat"), (("upper",), ("nose",), "nose")],
)
def test_unfit_choices_are_refused(joints, categories, protect, said):
    with pytest.raises(ValueError, match=said):
        agnostic_mask(Body(joints, *SIZE), categories, protect)


def test_nothing_left_is_an_error(joints):
    parts = np.full(SIZE[::-1], PARTS.index("face"), np.uint8)
    with pytest.raises(ValueError, match="empty"):
        agnostic_mask(Body(joints, *SIZE, parts), ("upper",))


# the published masker


@pytest.fixture(scope="module")
def maps(joints):
    parts, atr = dressed(joints, 0.6, 1.0)
    return labels.parts_to_densepose(parts), labels.atr_to_lip(atr), atr


@pytest.mark.parametrize("mode", published_masker.MODES)
@pytest.mark.parametrize("square", [False, True])
def test_opencv_and_scipy_agree(maps, mode, square):
    if not published_masker.has_opencv():
        pytest.skip("OpenCV is not installed")
    large = tuple(m.repeat(4, 0).repeat(4, 1) for m in maps)  # 768 pixels high: every dilation acts
    for given, share in ((maps, 0.003), (large, 0.002)):
        exact = published_masker.published_mask(*given, mode, square, opencv=True)
        ours = published_masker.published_mask(*given, mode, square, opencv=False)
        assert exact.any() and (exact != ours).mean() <= share


def test_published_rules_protect_what_they_name(maps):
    _, lip, atr = maps
    upper = published_masker.published_mask(*maps, "upper", opencv=False)
    lower = published_masker.published_mask(*maps, "lower", opencv=False)
    inner = _eroded(labels.where(atr, ("pants",), ATR))
    assert upper[_eroded(labels.where(atr, ("upper-clothes",), ATR))].all() and not upper[inner].any()
    assert lower[inner].all() and not lower[_eroded(labels.where(atr, ("upper-clothes",), ATR))].any()
    several = published_masker.published_mask(*maps, "multi_ref", opencv=False)
    assert several[_eroded(labels.where(atr, ("right-shoe", "left-shoe"), ATR))].all()
    box = published_masker.published_mask(*maps, "multi_ref", True, opencv=False)
    assert (
        not box[lip == labels.LIP.index("face")].any() and several[lip == labels.LIP.index("face")].any()
    )  # hulls cover the throat


def test_the_square_is_the_bounding_box_and_grows(maps):
    plain = published_masker.published_mask(*maps, "multi_ref", opencv=False)
    box = published_masker.published_mask(*maps, "multi_ref", True, opencv=False)
    wide = published_masker.published_mask(*maps, "multi_ref", True, (0.1, 0.2), opencv=False)

    def sides(mask):
        cols = np.flatnonzero(mask.any(0))
        return cols[0], cols[-1] + 1

    left, right = sides(plain)
    assert sides(box) == (left, right)
    assert sides(wide) == (left - int(0.1 * (right - left)), right + int(0.2 * (right - left)))


def test_the_blur_is_opencvs_fixed_point_one():
    for size in (1, 3, 5, 7, 9, 21):
        taps = published_masker.fixed_point_gaussian(size)
        assert taps.sum() == 256 and np.array_equal(taps, taps[::-1])
        if published_masker.has_opencv():
            import cv2

            mask = np.kron(np.random.default_rng(size).random((8, 8)) > 0.5, np.ones((7, 7))).astype(bool)
            ours = published_masker._Scipy().blur(mask, size)
            assert np.array_equal(ours, cv2.GaussianBlur(mask.astype(np.uint8) * 255, (size, size), 0))


def test_unfit_maps_are_refused(maps):
    with pytest.raises(ValueError, match="divisible by 4"):
        published_masker.published_mask(*(m[:-1] for m in maps), "upper")
    with pytest.raises(ValueError, match="differ in size"):
        published_masker.published_mask(maps[0], maps[1], maps[2][:-4], "upper")
    with pytest.raises(ValueError, match="'coat'"):
        published_masker.published_mask(*maps, "coat")


def _eroded(mask, by=3):
    from scipy.ndimage import binary_erosion

    return binary_erosion(mask, iterations=by)
