// @ts-check
/**
 * The part editor's document: parsing, checking, changing, writing. No DOM. The format and its limits are those of
 * craft/body/part_edits.py, which refuses what it does not know; here such items are dropped with a notice, so that a
 * workflow from elsewhere still opens.
 */
import { JOINTS, PARTS } from "./body.mjs";

export const VERSION = 1;
export const LIMITS = { bytes: 64 * 1024, strokes: 512, strokePoints: 2000, points: 20000, radius: [0.001, 0.25] };
const MODES = ["auto", "painted", "auto+"], TOOLS = ["b", "e", "f"], FIGURES = ["front"];

export function emptyDocument() {
  return { v: VERSION, aspect: [3, 4], figure: "front", joints: {}, parts: {}, strokes: [], extra: {} };
}

const isNumber = (value, low, high) => typeof value === "number" && Number.isFinite(value) && value >= low && value <= high;
const isPoint = (p) => Array.isArray(p) && p.length === 2 && p.every((n) => isNumber(n, -1, 2));
const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

/** @returns {{doc: object, notices: string[], newer: boolean}} `newer`: written by a later version, leave it untouched */
export function parse(value) {
  const doc = emptyDocument(), notices = [];
  if (typeof value === "string") {
    if (!value.trim()) return { doc, notices, newer: false };
    try { value = JSON.parse(value); } catch { return { doc, notices: ["The saved value is not JSON and was left out."], newer: false }; }
  }
  if (!isTable(value)) return { doc, notices: value == null ? [] : ["The saved value is no object and was left out."], newer: false };
  if (Number.isInteger(value.v) && value.v > VERSION) return { doc, notices: [`Written by a newer version (${value.v}).`], newer: true };
  const { v, aspect, figure, joints, parts, strokes, ...extra } = value;
  doc.extra = extra;
  if (Array.isArray(aspect) && aspect.length === 2 && aspect.every((n) => Number.isInteger(n) && n >= 1 && n <= 64)) doc.aspect = [...aspect];
  if (FIGURES.includes(figure)) doc.figure = figure;
  for (const [name, at] of Object.entries(isTable(joints) ? joints : {})) {
    if (JOINTS.includes(name) && Array.isArray(at) && isPoint(at.slice(0, 2)) && at.length <= 3) doc.joints[name] = [...at];
    else notices.push(`Joint ${name} was left out.`);
  }
  for (const [name, state] of Object.entries(isTable(parts) ? parts : {})) {
    if (PARTS.includes(name) && isTable(state) && MODES.includes(state.mode ?? "auto")) {
      doc.parts[name] = { on: state.on !== false, mode: state.mode ?? "auto" };
    } else notices.push(`Part ${name} was left out.`);
  }
  for (const stroke of Array.isArray(strokes) ? strokes.slice(0, LIMITS.strokes) : []) {
    const fits = isTable(stroke) && PARTS.includes(stroke.p) && TOOLS.includes(stroke.t) && Array.isArray(stroke.pts)
      && stroke.pts.length >= 1 && stroke.pts.length <= LIMITS.strokePoints && stroke.pts.every(isPoint)
      && (stroke.t === "f" || isNumber(stroke.r, ...LIMITS.radius));
    if (fits) doc.strokes.push({ p: stroke.p, t: stroke.t, r: stroke.t === "f" ? 0 : stroke.r, pts: stroke.pts.map((p) => [...p]) });
    else notices.push("A stroke was left out.");
  }
  return { doc, notices, newer: false };
}

const round = (n) => Math.round(n * 10000) / 10000;

/** Canonical text: fixed order of keys, no spaces; "" for an untouched document. */
export function write(doc) {
  const parts = Object.fromEntries(PARTS.filter((p) => doc.parts[p]).map((p) => [p, { on: doc.parts[p].on, mode: doc.parts[p].mode }]));
  const joints = Object.fromEntries(JOINTS.filter((j) => doc.joints[j]).map((j) => [j, doc.joints[j].map(round)]));
  const strokes = doc.strokes.map((s) => ({ p: s.p, t: s.t, r: round(s.r), pts: s.pts.map((p) => p.map(round)) }));
  if (!Object.keys(parts).length && !Object.keys(joints).length && !strokes.length && !Object.keys(doc.extra).length) return "";
  return JSON.stringify({ v: VERSION, aspect: doc.aspect, figure: doc.figure, joints, parts, strokes, ...doc.extra });
}

/** Why a document may not be kept, as a sentence, or "" */
export function problem(doc) {
  const points = doc.strokes.reduce((sum, s) => sum + s.pts.length, 0);
  if (doc.strokes.length > LIMITS.strokes) return `At most ${LIMITS.strokes} strokes: clear a part first.`;
  if (points > LIMITS.points) return `At most ${LIMITS.points} points: clear a part first.`;
  if (new TextEncoder().encode(write(doc)).length > LIMITS.bytes) return "The drawing is too large to be saved in the workflow: clear a part first.";
  return "";
}

export const copy = (doc) => structuredClone(doc);

export function togglePart(doc, part, { add = false } = {}) {
  const next = copy(doc), on = Boolean(next.parts[part]?.on);
  if (!add) for (const name of Object.keys(next.parts)) if (name !== part) next.parts[name].on = false;
  if (on && add) next.parts[part].on = false;
  else next.parts[part] = { on: true, mode: part === "free" ? "painted" : next.parts[part]?.mode ?? "auto" };
  return prune(next);
}

/** Parts that are off and carry no paint need not be kept. */
function prune(doc) {
  for (const [name, state] of Object.entries(doc.parts)) {
    if (!state.on && !doc.strokes.some((s) => s.p === name)) delete doc.parts[name];
  }
  return doc;
}

export function addStroke(doc, stroke) {
  const next = copy(doc);
  next.strokes.push({ ...stroke, pts: simplify(stroke.pts).slice(0, LIMITS.strokePoints) });
  const state = next.parts[stroke.p] ?? { on: true, mode: stroke.p === "free" ? "painted" : "auto" };
  next.parts[stroke.p] = { on: true, mode: state.mode === "auto" ? "auto+" : state.mode };
  return next;
}

export function moveJoint(doc, name, at) {
  const next = copy(doc);
  next.joints[name] = at;
  return next;
}

export function clearPart(doc, part) {
  const next = copy(doc);
  next.strokes = next.strokes.filter((s) => s.p !== part);
  delete next.parts[part];
  return next;
}

export function resetJoints(doc) { return { ...copy(doc), joints: {} }; }

/** Douglas-Peucker with a tolerance of a thousandth of the frame. */
export function simplify(points, tolerance = 0.001) {
  if (points.length < 3) return points.map((p) => [...p]);
  const [a, b] = [points[0], points[points.length - 1]], way = [b[0] - a[0], b[1] - a[1]];
  const length = Math.hypot(way[0], way[1]);
  let far = 0, index = 0;
  for (let i = 1; i < points.length - 1; i++) {
    const [x, y] = [points[i][0] - a[0], points[i][1] - a[1]];
    const distance = length > 1e-9 ? Math.abs(x * way[1] - y * way[0]) / length : Math.hypot(x, y);
    if (distance > far) { far = distance; index = i; }
  }
  if (far <= tolerance) return [[...a], [...b]];
  return [...simplify(points.slice(0, index + 1), tolerance).slice(0, -1), ...simplify(points.slice(index), tolerance)];
}

/** Undo and redo over whole documents, a hundred steps deep. */
export class History {
  constructor(doc) { this.now = doc; this.past = []; this.future = []; }
  push(doc) { this.past.push(this.now); if (this.past.length > 100) this.past.shift(); this.now = doc; this.future = []; }
  undo() { if (this.past.length) { this.future.push(this.now); this.now = this.past.pop(); } return this.now; }
  redo() { if (this.future.length) { this.past.push(this.now); this.now = this.future.pop(); } return this.now; }
}
