"""Part labels, ATR labels, sketch, swatches, keypoints."""

from dataclasses import replace

import numpy as np
from atelier.craft.body.labels import ATR, PARTS, where
from atelier.croquis import random_figure, render
from atelier.croquis.body import CENTRE_X


def test_left_and_right_are_the_persons_own():
    for seed in range(400, 410):
        spec = random_figure(seed, ("upper",))
        spec = replace(
            spec,
            pose=replace(
                spec.pose,
                stance="straight",
                arm_names=("out", "out"),
                arm_angles=((40.0, 45.0), (40.0, 45.0)),
                leg_angles=((6.0, 5.0), (6.0, 5.0)),
                hip_tilt=0.0,
                shoulder_tilt=0.0,
                shift=0.0,
                lean=0.0,
            ),
        )
        figure = render(spec, want=("parts",))
        for part in ("upper arm", "forearm", "hand", "thigh", "shin", "foot"):
            right, left = (np.argwhere(where(figure.parts, (f"{s} {part}",), PARTS))[:, 1] for s in ("right", "left"))
            assert len(right) and len(left) and right.mean() < CENTRE_X < left.mean(), part
        for part in ("arm", "leg", "shoe"):
            right, left = (np.argwhere(where(figure.atr, (f"{s}-{part}",), ATR))[:, 1] for s in ("right", "left"))
            if len(right) and len(left):
                assert right.mean() < left.mean(), part


def test_parts_lie_at_their_joints():
    joints = {"right hand": 4, "left hand": 7, "right shin": 9, "left shin": 12, "face": 0}
    for seed in range(410, 425):
        spec = random_figure(seed, ("upper", "lower"))
        figure = render(spec, want=("parts",))
        for part, joint in joints.items():
            where_part = np.argwhere(where(figure.parts, (part,), PARTS))
            if len(where_part) < 12:
                continue  # covered
            y, x = where_part.T
            distance = np.hypot(x - figure.keypoints[joint, 0], y - figure.keypoints[joint, 1])
            assert distance.min() < 8, (seed, part)


def test_parts_and_garments_are_one_silhouette():
    for seed in range(425, 435):
        figure = render(random_figure(seed, ("upper", "lower", "shoe")), want=("parts", "person"))
        assert np.array_equal(figure.parts > 0, figure.atr > 0)
        assert set(np.unique(figure.parts)) <= set(range(len(PARTS))) and set(np.unique(figure.atr)) <= set(
            range(len(ATR))
        )


def test_a_bag_is_no_body_part():
    figure = render(random_figure(440, ("upper", "lower", "bag")), want=("parts",))
    bag = where(figure.atr, ("bag",), ATR)
    assert bag.sum() > 100 and not figure.parts[bag].any()


def test_labels_follow_what_is_worn():
    expect = {("upper", "lower"): {"upper-clothes"}, ("overall",): {"dress"}}
    for outfit, names in expect.items():
        for seed in range(441, 447):
            spec = random_figure(seed, outfit)
            atr = {ATR[n] for n in np.unique(render(spec, want=("parts",)).atr)}
            assert names <= atr and "bag" not in atr
            assert ("dress" in atr) == ("overall" in outfit)
            if outfit[-1] == "lower":
                skirt = spec.garments[1].kind == "skirt"
                assert ("skirt" in atr) == skirt and ("pants" in atr) != skirt


def test_keypoints_are_on_the_figure():
    for seed in range(447, 457):
        figure = render(random_figure(seed), want=("parts",))
        assert figure.keypoints.shape == (18, 3) and (figure.keypoints[:, 2] == 1).all()
        for joint in (0, 1, 3, 4, 6, 7, 9, 12):
            x, y = np.floor(figure.keypoints[joint, :2]).astype(int)
            assert figure.parts[max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4].any(), joint
        eyes, hips = figure.keypoints[[14, 15], 0], figure.keypoints[[8, 11], 0]
        assert eyes[0] < eyes[1] and hips[0] < hips[1]


def test_the_sketch_has_lines_and_no_colour_of_the_fabric():
    spec = random_figure(460, ("upper", "lower"))
    sketch = render(spec, want=("sketch",)).sketch
    dark = (sketch < 128).mean()
    assert 0.01 < dark < 0.15
    other = replace(
        spec,
        garments=tuple(
            replace(g, pattern="checks", colours=((10, 10, 10), (250, 250, 250), (90, 90, 90))) for g in spec.garments
        ),
    )
    assert np.array_equal(render(other, want=("sketch",)).sketch, sketch)
    shorter = replace(
        spec,
        garments=(
            replace(spec.garments[0], fit="loose" if spec.garments[0].fit != "loose" else "slim"),
            spec.garments[1],
        ),
    )
    assert not np.array_equal(render(shorter, want=("sketch",)).sketch, sketch)


def test_a_swatch_is_the_garments_fabric():
    spec = random_figure(461, ("upper", "lower"))
    spec = replace(spec, garments=tuple(replace(g, pattern="stripes", period=26.0) for g in spec.garments))
    for garment, swatch in zip(spec.garments, render(spec, want=("swatch",)).swatches):
        assert swatch.shape == (64, 64, 3)
        for colour in garment.colours[:2]:
            assert (np.abs(swatch.astype(int) - colour).max(-1) < 12).mean() > 0.2
        assert (np.abs(swatch.astype(int) - garment.colours[2]).max(-1) < 12).mean() < 0.2


def test_layers_are_worn_over_what_is_under_them():
    spec = random_figure(462, ("upper", "lower", "upper"))
    assert spec.garments[2].open and not spec.garments[0].open
    owners = render(spec, want=("coords",)).owner
    under = render(replace(spec, garments=spec.garments[:2]), want=("coords",)).owner
    assert (owners == 2).sum() > 20 and (owners == 0).sum() > 0
    assert (owners == 0).sum() < (under == 0).sum(), "the jacket must cover a part of the top"
