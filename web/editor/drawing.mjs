// @ts-check
/** How the part editor looks: the figure or a picture of it, its joints, the chosen parts with their paint. */
import { BONES, CLICK_ORDER, JOINTS } from "./body.mjs";
import { element } from "../dom.mjs";

const GRID = 180; // width of the preview's mask in samples

const layerOf = (width, height) => element("canvas", { width: String(width), height: String(height) });

/**
 * What is to be seen. frame: the figure's {w, h}; view: where it lies in the canvas, in CSS pixels; body: the Body of
 * `joints`; hover: the part under the pointer; joint: the chosen joint; handles: whether joints can be dragged now.
 * @typedef {{doc: any, frame: {w: number, h: number}, joints: number[][], body: any, picture: any, hover: string | null,
 *   view: {left: number, top: number, width: number, height: number}, joint: string | null, handles: boolean, stroke: any}} Scene
 */
export class Drawing {
  constructor(canvas) {
    this.canvas = canvas;
    this.maskKey = null;
    this.maskCanvas = null;
  }

  /** @param {Scene} scene */
  paint(scene) {
    const g = this.canvas.getContext("2d"), ratio = this.canvas.width / (this.canvas.clientWidth || 1), { view } = scene;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    g.save();
    g.beginPath();
    g.rect(view.left, view.top, view.width, view.height);
    g.fillStyle = "#f4f1ec";
    g.fill();
    g.clip();
    if (scene.picture?.complete && scene.picture.naturalWidth) {
      g.globalAlpha = 0.75;
      g.drawImage(scene.picture, view.left, view.top, view.width, view.height);
      g.globalAlpha = 1;
    }
    paintFigure(g, scene);
    g.drawImage(this.mask(scene), view.left, view.top, view.width, view.height);
    if (scene.hover && scene.hover !== "free") paintShapes(g, scene, view, [scene.hover], [240, 160, 60, 130]);
    if (scene.stroke) paintStroke(g, view, scene.stroke);
    g.restore();
  }

  /** The parts that are on, with their paint, as a half-transparent canvas; kept until something changes. */
  mask(scene) {
    const shown = Object.entries(scene.doc.parts).filter(([, state]) => state.on);
    const key = JSON.stringify([shown, scene.doc.strokes, scene.joints, scene.frame]);
    if (this.maskKey !== key) {
      this.maskKey = key;
      this.maskCanvas = maskOf(scene, shown);
    }
    return this.maskCanvas;
  }
}

function maskOf(scene, shown) {
  const { w, h } = scene.frame, width = 2 * GRID, height = Math.round((width * h) / w);
  const total = layerOf(width, height), sum = total.getContext("2d"), view = { left: 0, top: 0, width, height };
  for (const [part, state] of shown) {
    const layer = layerOf(width, height), g = layer.getContext("2d");
    if (state.mode !== "painted" && part !== "free") paintShapes(g, scene, view, [part], [220, 50, 90, 255]);
    for (const stroke of scene.doc.strokes) if (stroke.p === part) paintStroke(g, view, stroke, "rgb(220,50,90)");
    sum.drawImage(layer, 0, 0);
  }
  const tinted = layerOf(width, height), g = tinted.getContext("2d");
  g.globalAlpha = 0.55;
  g.drawImage(total, 0, 0);
  return tinted;
}

function paintFigure(g, scene) {
  const { joints, view } = scene, place = ([x, y]) => [view.left + x * view.width, view.top + y * view.height];
  // A pale body from the parts themselves, so that the editor is never blank.
  if (!scene.picture) paintShapes(g, scene, view, CLICK_ORDER, [216, 205, 196, 255]);
  g.lineWidth = 2;
  g.strokeStyle = "rgba(60,60,80,0.55)";
  for (const [a, b] of BONES) {
    if (joints[a][2] <= 0 || joints[b][2] <= 0) continue;
    g.beginPath();
    g.moveTo(...place(joints[a]));
    g.lineTo(...place(joints[b]));
    g.stroke();
  }
  joints.forEach((joint, index) => {
    if (joint[2] <= 0) return;
    g.beginPath();
    g.arc(...place(joint), scene.handles ? 5 : 2.5, 0, 7);
    g.fillStyle = JOINTS[index] === scene.joint ? "#d03050" : "#46506e";
    g.fill();
  });
}

/** Parts of the body in one colour, sampled on a grid. */
function paintShapes(g, { frame: { w, h }, body }, view, parts, [r, green, b, alpha]) {
  const shapes = parts.map((part) => body.shape(part)).filter(Boolean), rows = Math.round((GRID * h) / w);
  const canvas = layerOf(GRID, rows), c = canvas.getContext("2d"), data = c.createImageData(GRID, rows);
  for (let y = 0; y < rows; y++) for (let x = 0; x < GRID; x++) {
    const px = ((x + 0.5) / GRID) * w, py = ((y + 0.5) / rows) * h;
    if (shapes.some((shape) => shape(px, py))) data.data.set([r, green, b, alpha], 4 * (y * GRID + x));
  }
  c.putImageData(data, 0, 0);
  g.drawImage(canvas, view.left, view.top, view.width, view.height);
}

function paintStroke(g, view, stroke, colour = null) {
  g.save();
  if (stroke.t === "e") g.globalCompositeOperation = colour ? "destination-out" : "source-over";
  g.strokeStyle = g.fillStyle = colour ?? (stroke.t === "e" ? "rgba(255,255,255,0.7)" : "rgba(220,50,90,0.6)");
  g.lineCap = g.lineJoin = "round";
  g.lineWidth = 2 * stroke.r * view.width;
  g.beginPath();
  stroke.pts.forEach(([x, y], i) => {
    const at = [view.left + x * view.width, view.top + y * view.height];
    if (i) g.lineTo(...at); else g.moveTo(...at);
  });
  if (stroke.t === "f") g.fill();
  else {
    if (stroke.pts.length === 1) g.lineTo(view.left + stroke.pts[0][0] * view.width + 0.01, view.top + stroke.pts[0][1] * view.height);
    g.stroke();
  }
  g.restore();
}
