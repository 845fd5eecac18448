// @ts-check
/**
 * Body parts round the joints of a pose, as the page previews them. The same shapes as craft/body/body_parts.py (style "limb
 * capsules"), which draws the mask that counts; a test in the browser holds both together.
 *
 * Coordinates are in a frame of `width` x `height` units; joints are [x, y, shown] in the order of JOINTS.
 */

export const JOINTS = [
  "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
  "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye",
  "right_ear", "left_ear",
];
const [NOSE, NECK, R_SHOULDER, R_ELBOW, R_WRIST] = [0, 1, 2, 3, 4];
const [R_HIP, R_KNEE, R_ANKLE, L_HIP] = [8, 9, 10, 11];
const L_SHOULDER = 5;
const MIRRORED = [0, 1, 5, 6, 7, 2, 3, 4, 11, 12, 13, 8, 9, 10, 15, 14, 17, 16];
export const BONES = [
  [1, 2], [1, 5], [2, 3], [3, 4], [5, 6], [6, 7], [1, 8], [8, 9], [9, 10], [1, 11], [11, 12], [12, 13], [1, 0],
  [0, 14], [14, 16], [0, 15], [15, 17],
];
/** The figure that stands in the editor before a pose is known: shares of the frame. */
export const FRONT = [
  [0.5, 0.105], [0.5, 0.2], [0.4, 0.215], [0.352, 0.345], [0.325, 0.465], [0.6, 0.215], [0.648, 0.345],
  [0.675, 0.465], [0.452, 0.445], [0.445, 0.67], [0.44, 0.885], [0.548, 0.445], [0.555, 0.67], [0.56, 0.885],
  [0.478, 0.09], [0.522, 0.09], [0.45, 0.1], [0.55, 0.1],
];

const ONE_PIECE = ["head", "hair", "face", "neck", "collar", "torso", "hips", "skirt", "hem", "top_hem"];
const SIDED = ["upper_arm", "forearm", "hand", "thigh", "shin", "foot", "sleeve", "trouser_leg"];
export const PARTS = [...ONE_PIECE, ...SIDED.flatMap((name) => [`right_${name}`, `left_${name}`]), "free"];
/** Smaller parts win over larger ones that cover them when the figure is clicked. */
export const CLICK_ORDER = [
  "face", "hair", "collar", "neck", "right_hand", "left_hand", "right_foot", "left_foot", "right_forearm",
  "left_forearm", "right_upper_arm", "left_upper_arm", "top_hem", "hips", "right_shin", "left_shin", "right_thigh",
  "left_thigh", "torso", "head",
];

const LIMBS = {
  upper_arm: [R_SHOULDER, R_ELBOW, 0.17, 0.15],
  forearm: [R_ELBOW, R_WRIST, 0.15, 0.12],
  thigh: [R_HIP, R_KNEE, 0.25, 0.19],
  shin: [R_KNEE, R_ANKLE, 0.19, 0.14],
};

const add = (a, b, k = 1) => [a[0] + k * b[0], a[1] + k * b[1]];
const sub = (a, b) => [a[0] - b[0], a[1] - b[1]];
const size = (a) => Math.hypot(a[0], a[1]);
const unit = (a) => { const n = Math.max(size(a), 1e-9); return [a[0] / n, a[1] / n]; };
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);

/** Predicates over points: inside a capsule, an ellipse, a convex hull widened by a radius. */
function capsule(a, b, r0, r1) {
  const way = sub(b, a), length2 = Math.max(way[0] * way[0] + way[1] * way[1], 1e-12);
  return (x, y) => {
    const t = clamp(((x - a[0]) * way[0] + (y - a[1]) * way[1]) / length2, 0, 1);
    return Math.hypot(x - a[0] - t * way[0], y - a[1] - t * way[1]) <= r0 + t * (r1 - r0);
  };
}

function ellipse(centre, axis, half, halfAcross) {
  return (px, py) => {
    const x = px - centre[0], y = py - centre[1];
    const along = x * axis[0] + y * axis[1], across = -x * axis[1] + y * axis[0];
    return (along / half) ** 2 + (across / halfAcross) ** 2 <= 1;
  };
}

function cross(o, a, b) { return (a[0] - o[0]) * (b[1] - o[1]) - (a[1] - o[1]) * (b[0] - o[0]); }

function hullOf(points) {
  const sorted = [...points].sort((p, q) => p[0] - q[0] || p[1] - q[1]);
  const chain = (items) => {
    const side = [];
    for (const p of items) {
      while (side.length > 1 && cross(side[side.length - 2], side[side.length - 1], p) <= 0) side.pop();
      side.push(p);
    }
    return side.slice(0, -1);
  };
  return [...chain(sorted), ...chain(sorted.reverse())];
}

function hullBand(points, radius) {
  const corners = hullOf(points);
  const edges = corners.map((a, i) => [a, corners[(i + 1) % corners.length]]);
  const rims = edges.map(([a, b]) => capsule(a, b, radius, radius));
  return (x, y) => (corners.length > 2 && edges.every(([a, b]) =>
    (x - a[0]) * (b[1] - a[1]) - (y - a[1]) * (b[0] - a[0]) <= 0)) || rims.some((rim) => rim(x, y));
}

const either = (...shapes) => (x, y) => shapes.some((shape) => shape(x, y));
const without = (shape, hole) => (x, y) => shape(x, y) && !hole(x, y);

export class Body {
  /** @param {number[][]} joints [x, y, shown] of 18 joints in a frame of width x height */
  constructor(joints, width, height) {
    this.width = width;
    this.height = height;
    this.joints = joints.map(([x, y, shown = 1]) => [x, y, shown]);
    const hips = this.middle(R_HIP, L_HIP);
    this.torso = hips && this.has(NECK) ? size(sub(hips, this.at(NECK))) : 0.25 * height;
    this.down = hips && this.has(NECK) ? unit(sub(hips, this.at(NECK))) : [0, 1];
    this.cache = new Map();
  }
  has(...indices) { return indices.every((index) => this.joints[index][2] > 0); }
  at(index) { return [this.joints[index][0], this.joints[index][1]]; }
  middle(a, b) { return this.has(a, b) ? [(this.at(a)[0] + this.at(b)[0]) / 2, (this.at(a)[1] + this.at(b)[1]) / 2] : null; }

  /** (x, y) => boolean of a part, or null where its joints are absent. */
  shape(part) {
    if (!this.cache.has(part)) this.cache.set(part, this.build(part));
    return this.cache.get(part);
  }

  build(part) {
    const [side, ...rest] = part.split("_"), single = rest.join("_"), left = side === "left";
    if (side !== "left" && side !== "right") return part === "free" ? null : this[`part_${part}`]();
    if (single in LIMBS) return this.limb(single, left);
    if (single === "hand") return this.hand(left);
    if (single === "foot") return this.foot(left);
    const pieces = (single === "sleeve" ? ["upper_arm", "forearm"] : ["thigh", "shin"])
      .map((name) => this.limb(name, left)).filter(Boolean);
    return pieces.length ? either(...pieces) : null;
  }

  limb(name, left) {
    const [first, second, r0, r1] = LIMBS[name];
    const [a, b] = left ? [MIRRORED[first], MIRRORED[second]] : [first, second];
    return this.has(a, b) ? capsule(this.at(a), this.at(b), r0 * this.torso, r1 * this.torso) : null;
  }

  hand(left) {
    const [elbow, wrist] = left ? [MIRRORED[R_ELBOW], MIRRORED[R_WRIST]] : [R_ELBOW, R_WRIST];
    if (!this.has(elbow, wrist)) return null;
    const a = this.at(wrist), b = add(a, sub(a, this.at(elbow)), 0.25), way = unit(sub(b, a));
    const palm = capsule(b, b, 0.17 * this.torso, 0.17 * this.torso);
    return (x, y) => palm(x, y) && (x - a[0]) * way[0] + (y - a[1]) * way[1] >= -0.05 * this.torso;
  }

  foot(left) {
    const [knee, ankle] = left ? [MIRRORED[R_KNEE], MIRRORED[R_ANKLE]] : [R_KNEE, R_ANKLE];
    if (!this.has(ankle)) return null;
    const a = this.at(ankle), way = this.has(knee) ? unit(sub(a, this.at(knee))) : [0, 1];
    const b = add(a, way, 0.16 * this.torso);
    return capsule(add(a, sub(b, a), 0.3), b, 0.17 * this.torso, 0.17 * this.torso);
  }

  faceFrame() {
    if (!this.has(NOSE)) return null;
    const nose = this.at(NOSE);
    if (!this.has(NECK)) return [nose, [0, -1], 0.36 * this.torso];
    const way = sub(nose, this.at(NECK));
    return [nose, unit(way), clamp(size(way), 0.22 * this.torso, 0.5 * this.torso)];
  }

  part_head() {
    const frame = this.faceFrame();
    return frame && ellipse(add(frame[0], frame[1], 0.25 * frame[2]), frame[1], 0.95 * frame[2], 0.72 * frame[2]);
  }
  part_face() {
    const frame = this.faceFrame();
    return frame && ellipse(add(frame[0], frame[1], 0.06 * frame[2]), frame[1], 0.62 * frame[2], 0.47 * frame[2]);
  }
  part_hair() { return this.faceFrame() && without(this.shape("head"), this.shape("face")); }
  part_neck() {
    if (!this.has(NECK)) return null;
    const frame = this.faceFrame(), neck = this.at(NECK);
    const top = frame ? add(frame[0], frame[1], -0.45 * frame[2]) : add(neck, this.down, -0.25 * this.torso);
    return capsule(neck, top, 0.15 * this.torso, 0.13 * this.torso);
  }
  part_collar() {
    if (!this.has(NECK)) return null;
    const neck = this.at(NECK), face = this.shape("face");
    const wide = ellipse(add(neck, this.down, 0.03 * this.torso), this.down, 0.2 * this.torso, 0.27 * this.torso);
    const deep = capsule(neck, add(neck, this.down, 0.22 * this.torso), 0.19 * this.torso, 0.12 * this.torso);
    return face ? without(either(wide, deep), face) : either(wide, deep);
  }
  part_torso() {
    const corners = [R_SHOULDER, L_SHOULDER, L_HIP, R_HIP];
    return this.has(...corners) ? hullBand(corners.map((j) => this.at(j)), 0.14 * this.torso) : null;
  }
  hipBand(up, low, radius) {
    if (!this.has(R_HIP, L_HIP)) return null;
    const ends = [this.at(R_HIP), this.at(L_HIP)];
    const points = [...ends.map((p) => add(p, this.down, -up * this.torso)), ...ends.map((p) => add(p, this.down, low * this.torso))];
    return hullBand(points, radius * this.torso);
  }
  part_hips() { return this.hipBand(0.16, 0.12, 0.2); }
  part_top_hem() { return this.hipBand(0.25, 0, 0.15); }
  legPoint(left, share) {
    const [hip, knee, ankle] = [R_HIP, R_KNEE, R_ANKLE].map((j) => (left ? MIRRORED[j] : j));
    const kneeAt = this.has(knee) ? this.at(knee) : add(this.at(hip), this.down, 0.85 * this.torso);
    const ankleAt = this.has(ankle) ? this.at(ankle) : add(kneeAt, sub(kneeAt, this.at(hip)), 0.95);
    return share <= 0.5 ? add(this.at(hip), sub(kneeAt, this.at(hip)), 2 * share)
      : add(kneeAt, sub(ankleAt, kneeAt), 2 * share - 1);
  }
  part_skirt() {
    if (!this.has(R_HIP, L_HIP)) return null;
    const steps = [0, 1, 2, 3, 4, 5, 6].map((i) => i / 6);
    const levels = [[R_HIP, L_HIP].map((j) => add(this.at(j), this.down, -0.16 * this.torso)),
      ...steps.map((s) => [this.legPoint(false, s), this.legPoint(true, s)])];
    const radii = [0.14, ...steps.map((s) => 0.22 + 0.12 * s)];
    return either(...levels.slice(1).map((lower, i) =>
      hullBand([...levels[i], ...lower], (this.torso * (radii[i] + radii[i + 1])) / 2)));
  }
  part_hem() {
    if (!this.has(R_HIP, L_HIP)) return null;
    return hullBand([0.9, 1].flatMap((s) => [this.legPoint(false, s), this.legPoint(true, s)]), 0.3 * this.torso);
  }
}
