// @ts-check
/**
 * The part editor as a DOM element: the figure with parts to click, a brush, an eraser, joints to drag, undo and redo.
 * Knows nothing of the host's page; the entry file hands its text in and out.
 */
import { CLICK_ORDER, FRONT, JOINTS, PARTS, Body } from "./body.mjs";
import { Drawing } from "./drawing.mjs";
import * as model from "./model.mjs";
import { element } from "../dom.mjs";

const TOOLS = [
  ["select", "Select parts", "S", "M5 3l14 8-6 1.5L10 19z"],
  ["brush", "Brush", "B", "M4 20c4 0 5-2 5-4l9-11 2 2L9 18c0 1-1 2-5 2z"],
  ["eraser", "Eraser", "E", "M4 15l9-9 7 7-6 6H8z"],
  ["joints", "Move joints", "V", "M12 3v18M3 12h18M12 3l-3 3M12 3l3 3M12 21l-3-3M12 21l3-3"],
];

function icon(path) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), line = document.createElementNS(ns, "path");
  for (const [k, v] of Object.entries({ viewBox: "0 0 24 24", width: "16", height: "16", "aria-hidden": "true" })) svg.setAttribute(k, v);
  for (const [k, v] of Object.entries({ d: path, fill: "none", stroke: "currentColor", "stroke-width": "1.8" })) line.setAttribute(k, v);
  svg.append(line);
  return svg;
}

export const label = (part) => part.replaceAll("_", " ");

export class PartEditor {
  static JOINTS = JOINTS;

  constructor() {
    this.history = new model.History(model.emptyDocument());
    this.saved = "";
    this.newer = false;
    this.detected = null; // [18][x, y, shown] shares of the frame, from the last run
    this.picture = null;
    this.tool = "select";
    this.brush = 0.02;
    this.active = null; // the part that paint goes to
    this.hover = null;
    this.joint = null;
    this.stroke = null;
    this.onCommit = () => {};
    this.buildDom();
    this.drawing = new Drawing(this.canvas);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.canvas);
  }

  get doc() { return this.history.now; }

  // ---- value -------------------------------------------------------------------------------------------------
  getText() { return this.saved; }

  setText(value) {
    const text = typeof value === "string" ? value : value == null ? "" : JSON.stringify(value);
    if (text === this.saved) return;
    const { doc, notices, newer } = model.parse(value);
    this.newer = newer;
    this.history = new model.History(doc);
    this.saved = newer ? text : model.write(doc);
    this.active = Object.keys(doc.parts).find((p) => doc.parts[p].on) ?? null;
    this.say(newer ? "This drawing was made by a newer version of the pack; it is kept as it is." : notices[0] ?? "");
    this.refresh();
  }

  commit(doc, spoken) {
    if (this.newer) return this.say("This drawing was made by a newer version of the pack and cannot be changed here.");
    const reason = model.problem(doc);
    if (reason) { this.refresh(); return this.say(reason); }
    this.history.push(doc);
    this.afterChange(spoken);
  }

  afterChange(spoken) {
    this.saved = model.write(this.doc);
    this.refresh();
    this.say(spoken);
    this.onCommit();
  }

  step(back) {
    if (!(back ? this.history.past : this.history.future).length) return;
    if (back) this.history.undo(); else this.history.redo();
    this.afterChange(back ? "Undone." : "Redone.");
  }

  /** What the last run found: the frame's shape, joints as shares, and a picture to draw under the figure. */
  showRun({ joints, aspect, picture }) {
    this.detected = joints ?? null;
    if (aspect) this.aspect = aspect;
    this.picture = picture ?? null;
    this.refresh();
  }

  // ---- geometry ----------------------------------------------------------------------------------------------
  frame() {
    const [w, h] = this.aspect ?? this.doc.aspect;
    return { w, h };
  }

  joints(doc = this.doc) {
    const base = this.detected ?? FRONT.map(([x, y]) => [x, y, 1]);
    return base.map((at, i) => {
      const moved = doc.joints[JOINTS[i]];
      return moved ? [moved[0], moved[1], moved.length > 2 ? moved[2] : 1] : at;
    });
  }

  /** Where the frame lies in the canvas, in CSS pixels. */
  view() {
    const { w, h } = this.frame(), scale = Math.min(this.canvas.clientWidth / w, this.canvas.clientHeight / h) || 1;
    return { left: (this.canvas.clientWidth - w * scale) / 2, top: (this.canvas.clientHeight - h * scale) / 2, width: w * scale, height: h * scale };
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect(), view = this.view();
    const zoom = box.width / (this.canvas.clientWidth || 1); // the page may show the node at another zoom
    return [((event.clientX - box.left) / zoom - view.left) / view.width, ((event.clientY - box.top) / zoom - view.top) / view.height];
  }

  partAt([x, y]) {
    const { w, h } = this.frame(), body = bodyOf(this.joints(), { w, h });
    return CLICK_ORDER.find((part) => body.shape(part)?.(x * w, y * h)) ?? null;
  }

  jointAt([x, y], reach = 14) {
    const view = this.view();
    let best = null, least = reach;
    this.joints().forEach(([jx, jy, shown], index) => {
      const distance = Math.hypot((jx - x) * view.width, (jy - y) * view.height);
      if (shown > 0 && distance < least) { best = JOINTS[index]; least = distance; }
    });
    return best;
  }

  // ---- DOM ---------------------------------------------------------------------------------------------------
  buildDom() {
    this.root = element("div", { role: "group", "aria-label": "Body part editor" }, {
      display: "flex", flexDirection: "column", width: "100%", height: "100%", minHeight: "300px", boxSizing: "border-box",
      position: "relative", gap: "4px", font: "12px sans-serif", color: "var(--input-text)", background: "var(--comfy-input-bg)",
      border: "1px solid var(--border-color)", borderRadius: "6px", padding: "4px", overflow: "hidden",
      contain: "inline-size", // else the canvas's own width pushes the editor out of a narrow node
    });
    this.root.dataset.captureWheel = "true";
    this.buttons = {};
    const bar = element("div", { role: "toolbar", "aria-label": "Tools" }, { display: "flex", gap: "3px", alignItems: "center", flexWrap: "wrap" });
    for (const [name, title, key, path] of TOOLS) bar.append(this.button(name, `${title} (${key})`, icon(path), () => this.setTool(name)));
    this.size = element("input", { type: "range", min: "0.004", max: "0.12", step: "0.002", title: "Brush size ([ and ])", "aria-label": "Brush size" }, { width: "64px" });
    this.size.value = String(this.brush);
    this.size.addEventListener("input", () => { this.brush = Number(this.size.value); });
    bar.append(this.size);
    bar.append(this.button("undo", "Undo (Ctrl+Z)", "↶", () => this.step(true)), this.button("redo", "Redo (Ctrl+Y)", "↷", () => this.step(false)));
    bar.append(this.button("clear", "Clear this part's paint", "clear part", () => this.active && this.commit(model.clearPart(this.doc, this.active), `${label(this.active)} cleared.`)));
    bar.append(this.button("reset", "Put all joints back", "reset joints", () => this.commit(model.resetJoints(this.doc), "Joints are back in place.")));
    this.canvas = element("canvas", { "data-part-canvas": "" }, { flex: "1 1 0", minWidth: "0", minHeight: "0", touchAction: "none", cursor: "pointer" });
    this.list = element("div", { role: "listbox", "aria-label": "Body parts", "aria-multiselectable": "true" }, { width: "112px", overflowY: "auto", flex: "none" });
    for (const part of PARTS) this.list.append(this.option(part));
    const middle = element("div", {}, { display: "flex", gap: "4px", flex: "1 1 0", minHeight: "0" }, [this.canvas, this.list]);
    this.status = element("div", { role: "status" }, { minHeight: "15px", whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis", opacity: "0.85" });
    // Keys are heard here: the page stands back from its own shortcuts only while an input has the focus.
    this.sink = element("input", { type: "text", readonly: "", inputmode: "none", "aria-label": "Part editor: S select, B brush, E eraser, V joints, brackets change the brush, Ctrl+Z undoes" },
      { position: "absolute", width: "1px", height: "1px", opacity: "0", border: "0", padding: "0", left: "4px", top: "4px" });
    this.root.append(bar, middle, this.status, this.sink);
    this.listen();
    this.setTool("select");
  }

  button(name, title, content, action) {
    const button = element("button", { type: "button", title, "data-tool": name }, {
      minWidth: "26px", height: "26px", padding: "2px 5px", cursor: "pointer", color: "var(--input-text)", background: "var(--comfy-menu-bg)",
      border: "1px solid var(--border-color)", borderRadius: "4px", font: "inherit",
    });
    button.append(content);
    button.addEventListener("click", (event) => { event.stopPropagation(); action(); });
    this.buttons[name] = button;
    return button;
  }

  option(part) {
    const option = element("div", { role: "option", tabindex: "-1", "data-part": part }, { padding: "2px 4px", cursor: "pointer", borderRadius: "3px" });
    option.textContent = label(part);
    option.addEventListener("click", (event) => this.choose(part, event.shiftKey || event.ctrlKey || event.metaKey));
    option.addEventListener("pointerenter", () => { this.hover = part; this.draw(); });
    option.addEventListener("pointerleave", () => { this.hover = null; this.draw(); });
    return option;
  }

  setTool(tool) {
    this.tool = tool;
    for (const [name] of TOOLS) {
      this.buttons[name].setAttribute("aria-pressed", String(name === tool));
      this.buttons[name].style.outline = name === tool ? "2px solid var(--p-primary-color, #4a90d9)" : "none";
    }
    this.canvas.style.cursor = tool === "select" ? "pointer" : tool === "joints" ? "move" : "crosshair";
    this.draw();
  }

  choose(part, add) {
    const doc = model.togglePart(this.doc, part, { add });
    this.active = doc.parts[part]?.on ? part : Object.keys(doc.parts).find((p) => doc.parts[p].on) ?? null;
    const on = Object.keys(doc.parts).filter((p) => doc.parts[p].on).map(label);
    this.commit(doc, on.length ? `Chosen: ${on.join(", ")}` : "Nothing chosen.");
  }

  say(text) { this.status.textContent = text ?? ""; }

  // ---- input -------------------------------------------------------------------------------------------------
  listen() {
    const canvas = this.canvas;
    this.root.addEventListener("pointerdown", (event) => { event.stopPropagation(); });
    this.root.addEventListener("mousedown", (event) => { if (event.target === canvas) event.preventDefault(); });
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    for (const name of ["pointercancel", "lostpointercapture"]) canvas.addEventListener(name, () => this.drop());
    canvas.addEventListener("pointerleave", () => { if (this.hover) { this.hover = null; this.draw(); } });
    this.sink.addEventListener("keydown", (event) => this.key(event));
    for (const name of ["copy", "cut", "paste"]) this.root.addEventListener(name, (event) => event.stopPropagation());
    this.root.addEventListener("contextmenu", (event) => { event.preventDefault(); event.stopPropagation(); });
  }

  down(event) {
    this.sink.focus({ preventScroll: true });
    if (event.button !== 0 && event.button !== 2) return;
    const at = this.point(event);
    if (this.tool === "select" && event.button === 0) {
      const part = this.partAt(at);
      return part ? this.choose(part, event.shiftKey) : undefined;
    }
    canvasCapture(this.canvas, event);
    if (this.tool === "joints" && event.button === 0) {
      this.joint = this.jointAt(at, event.pointerType === "touch" ? 22 : 14);
      this.dragged = null;
      if (this.joint) this.say(`${label(this.joint)}: drag, Delete hides it`);
      return;
    }
    const part = this.active ?? "free";
    const erase = this.tool === "eraser" || event.button === 2 || event.altKey || (event.buttons & 32) !== 0;
    this.stroke = { p: part, t: erase ? "e" : "b", r: this.brush, pts: [clampPoint(at)] };
    this.draw();
  }

  move(event) {
    const at = this.point(event);
    if (this.stroke) {
      for (const sample of event.getCoalescedEvents?.() ?? [event]) {
        const next = clampPoint(this.point(sample)), last = this.stroke.pts[this.stroke.pts.length - 1];
        if (Math.hypot(next[0] - last[0], next[1] - last[1]) > 0.002) this.stroke.pts.push(next);
      }
      return this.draw();
    }
    if (this.tool === "joints" && this.joint && event.buttons & 1) {
      this.dragged = clampPoint(at);
      return this.draw();
    }
    const hover = this.tool === "select" ? this.partAt(at) : null;
    if (hover !== this.hover) {
      this.hover = hover;
      if (hover) this.say(label(hover));
      this.draw();
    }
  }

  up(event) {
    if (this.stroke) {
      const stroke = this.stroke;
      this.stroke = null;
      this.active = stroke.p;
      this.commit(model.addStroke(this.doc, stroke), `${stroke.t === "e" ? "Erased from" : "Painted"} ${label(stroke.p)}.`);
    } else if (this.joint && this.dragged) {
      const at = this.dragged;
      this.dragged = null;
      this.commit(model.moveJoint(this.doc, this.joint, at), `${label(this.joint)} moved to ${Math.round(at[0] * 100)} %, ${Math.round(at[1] * 100)} %.`);
    }
    if (this.canvas.hasPointerCapture?.(event.pointerId)) this.canvas.releasePointerCapture(event.pointerId);
  }

  drop() {
    if (!this.stroke && !this.dragged) return;
    this.stroke = this.dragged = null;
    this.draw();
  }

  key(event) {
    if (event.key === "Tab" || (event.key === "Enter" && (event.ctrlKey || event.metaKey))) return;
    event.stopPropagation();
    event.preventDefault();
    const key = event.key.toLowerCase(), command = event.ctrlKey || event.metaKey;
    if (command && key === "z") return this.step(!event.shiftKey);
    if (command && key === "y") return this.step(false);
    if (command) return;
    const tool = TOOLS.find(([, , letter]) => letter.toLowerCase() === key);
    if (tool) return this.setTool(tool[0]);
    if (key === "[" || key === "]") return this.resizeBrush(key === "]" ? 1 : -1);
    if (key === "escape") { this.drop(); return this.sink.blur(); }
    if (this.tool === "joints" && this.joint) return this.nudge(event);
    if (key === "delete" && this.active) this.commit(model.clearPart(this.doc, this.active), `${label(this.active)} cleared.`);
  }

  nudge(event) {
    const index = JOINTS.indexOf(this.joint), [x, y] = this.joints()[index], step = event.shiftKey ? 0.02 : 0.005;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way) this.commit(model.moveJoint(this.doc, this.joint, [x + way[0] * step, y + way[1] * step]), `${label(this.joint)} moved.`);
    else if (event.key === "Delete") this.commit(model.moveJoint(this.doc, this.joint, [x, y, 0]), `${label(this.joint)} hidden.`);
    else if (event.key === "," || event.key === ".") {
      this.joint = JOINTS[(index + (event.key === "." ? 1 : JOINTS.length - 1)) % JOINTS.length];
      this.say(label(this.joint));
      this.draw();
    }
  }

  resizeBrush(direction) {
    this.brush = Math.min(0.12, Math.max(0.004, Number((this.brush + 0.004 * direction).toFixed(3))));
    this.size.value = String(this.brush);
    this.say(`Brush ${Math.round(this.brush * 100)} % of the width.`);
  }

  // ---- drawing -----------------------------------------------------------------------------------------------
  fit() {
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [this.canvas.clientWidth, this.canvas.clientHeight].map((n) => Math.max(1, Math.round(n * ratio)));
    if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h; }
    this.draw();
  }

  refresh() {
    for (const option of this.list.children) {
      const state = this.doc.parts[option.dataset.part], on = Boolean(state?.on);
      option.setAttribute("aria-selected", String(on));
      option.style.background = on ? "var(--p-primary-color, #4a90d9)" : "transparent";
      option.style.color = on ? "#fff" : "inherit";
      option.style.fontWeight = option.dataset.part === this.active ? "bold" : "normal";
    }
    this.buttons.undo.disabled = !this.history.past.length;
    this.buttons.redo.disabled = !this.history.future.length;
    this.draw();
  }

  draw() {
    if (this.frameRequest) return;
    this.frameRequest = requestAnimationFrame(() => { this.frameRequest = 0; this.paint(); });
  }

  paint() {
    const doc = this.dragged && this.joint ? model.moveJoint(this.doc, this.joint, this.dragged) : this.doc;
    const frame = this.frame(), joints = this.joints(doc);
    this.drawing.paint({
      doc, frame, joints, body: bodyOf(joints, frame), view: this.view(), picture: this.picture, hover: this.hover,
      joint: this.joint, handles: this.tool === "joints", stroke: this.stroke,
    });
  }

  destroy() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frameRequest);
    this.root.remove();
  }
}

const bodyOf = (joints, { w, h }) => new Body(joints.map(([x, y, shown]) => [x * w, y * h, shown]), w, h);

const clampPoint = ([x, y]) => [Math.min(1, Math.max(0, x)), Math.min(1, Math.max(0, y))];

function canvasCapture(canvas, event) {
  try { canvas.setPointerCapture(event.pointerId); } catch { /* the pointer is gone already */ }
}
