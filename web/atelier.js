// @ts-check
/** Atelier in the host's page: the only file here that knows the page's `app`. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { PartEditor } from "./editor/editor.mjs";
import { NodeText } from "./node_text.mjs";
import { HitsView, readHits } from "./wardrobe/hits.mjs";
import { pickersOf, searchOf } from "./wardrobe/pickers.mjs";

const EDITOR_TYPE = "ATELIER_PART_EDITS";

/** One page-undo step for a committed edit: the newer name first, the older one warns in newer pages. */
function captureUndoStep() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

/** In the classic renderer a DOM element covers the canvas: hand the wheel and the middle button through to it. */
function passThrough(root, hasFocus, { scrolls = false } = {}) {
  const classic = () => !window.LiteGraph?.vueNodesMode;
  root.addEventListener("wheel", (event) => {
    if (hasFocus()) { event.stopPropagation(); if (!scrolls) event.preventDefault(); }
    else if (classic()) app.canvas.processMouseWheel(event);
  }, { passive: false });
  for (const [name, method] of [["pointerdown", "processMouseDown"], ["pointermove", "processMouseMove"], ["pointerup", "processMouseUp"]]) {
    root.addEventListener(name, (event) => {
      if (classic() && (event.button === 1 || (event.buttons & 4) !== 0)) app.canvas[method](event);
    });
  }
}

/** Where the page fetches a picture of a run. */
const viewUrl = ({ filename, subfolder, type }) =>
  api.apiURL(`/view?${new URLSearchParams({ filename, subfolder: subfolder ?? "", type, rand: String(Math.random()) })}`);

/** A widget that shows and holds no value: neither in the workflow nor in the prompt. */
function addView(node, name, type, root, options) {
  const widget = node.addDOMWidget(name, type, root, { serialize: false, getValue: () => "", setValue: () => {}, ...options });
  widget.serialize = false;
  return widget;
}

/**
 * What a node has to say after a run (`ui.text`), as plain text under its widgets. The widget is there from the start, with
 * no height, because the Vue renderer does not see widgets that come later.
 */
function addText(node) {
  const text = new NodeText();
  addView(node, "said", "ATELIER_TEXT", text.root, {
    hideOnZoom: true, margin: 4, getMinHeight: () => text.height(), getMaxHeight: () => (text.height() ? 260 : 0),
  });
  passThrough(text.root, () => text.selecting());
  node.atelierText = text;
  afterRun(node, (message) => {
    if (!text.show(message?.text)) return;
    node.setSize?.([node.size[0], Math.max(node.size[1], node.computeSize()[1])]);
    node.graph?.setDirtyCanvas?.(true, true);
  });
}

/** The hits of a search as a grid; a click sets the number of the Pick node behind it. */
function addHits(node) {
  const view = new HitsView();
  addView(node, "found", "ATELIER_HITS_VIEW", view.root, { hideOnZoom: false, margin: 6, getMinHeight: () => view.leastHeight() });
  passThrough(view.root, () => view.root.contains(document.activeElement), { scrolls: true });
  node.atelierHits = view;
  const update = () => view.setPickers(pickersOf(node));
  view.onPick = (index, number) => {
    const { node: target, widget } = view.pickers[index];
    widget.value = number;
    widget.callback?.(number, app.canvas, target);
    update();
    node.graph?.setDirtyCanvas?.(true, true);
    captureUndoStep();
  };
  view.root.addEventListener("pointerenter", update); // a title or a link may have changed since
  const changed = node.onConnectionsChange;
  node.onConnectionsChange = function () { changed?.apply(this, arguments); queueMicrotask(update); };
  afterRun(node, (message) => {
    const hits = readHits(message?.atelier_hits);
    if (hits.length) view.show(hits, viewUrl);
    update();
    node.graph?.setDirtyCanvas?.(true, true);
  });
}

/** A number typed into Pick shows in the grid of its search. */
function followNumber(node) {
  const widget = node.widgets?.find(({ name }) => name === "number");
  if (!widget) return;
  const callback = widget.callback;
  widget.callback = function () {
    callback?.apply(this, arguments);
    const view = searchOf(node)?.atelierHits;
    if (view) queueMicrotask(() => view.setPickers(pickersOf(searchOf(node))));
  };
}

/** Call `action(message)` after each run of a node; also for outputs that the page still holds when the node is built anew. */
function afterRun(node, action) {
  const executed = node.onExecuted;
  node.onExecuted = function (message) { executed?.apply(this, arguments); action(message); };
  node.atelierAfterRun = [...(node.atelierAfterRun ?? []), action];
}

function showRunIn(editor, message) {
  const found = message?.atelier_figure?.[0];
  if (!found) return;
  const shown = message.atelier_picture?.[0];
  let picture = null;
  if (shown) {
    picture = new Image();
    picture.addEventListener("load", () => editor.refresh());
    picture.src = viewUrl(shown);
  }
  editor.showRun({ joints: found.joints, aspect: found.aspect, picture });
}

app.registerExtension({
  name: "atelier",

  getCustomWidgets() {
    return {
      [EDITOR_TYPE](node, name) {
        const editor = new PartEditor();
        const widget = node.addDOMWidget(name, EDITOR_TYPE, editor.root, {
          getValue: () => editor.getText(),
          setValue: (value) => editor.setText(value),
          getMinHeight: () => 330,
          hideOnZoom: false,
          margin: 6,
        });
        editor.onCommit = () => {
          widget.callback?.(widget.value);
          node.graph?.setDirtyCanvas?.(true, true);
          captureUndoStep();
        };
        passThrough(editor.root, () => editor.root.contains(document.activeElement));
        node.atelierEditor = editor;
        const removed = node.onRemoved;
        node.onRemoved = function () { editor.destroy(); return removed?.apply(this, arguments); };
        afterRun(node, (message) => showRunIn(editor, message));
        return { widget, minWidth: 380, minHeight: 460 };
      },
    };
  },

  nodeCreated(node) {
    if (!node.comfyClass?.startsWith("Atelier")) return;
    if (node.comfyClass === "AtelierSearchWardrobe") addHits(node);
    if (node.comfyClass === "AtelierPick") followNumber(node);
    addText(node);
  },

  /** After undo or a reload of the graph the node is new: fill it again from the outputs that the page still holds. */
  loadedGraphNode(node) {
    if (!node.atelierAfterRun) return;
    let frames = 0;
    const fill = () => {
      const outputs = app.nodeOutputs?.[node.id];
      if (outputs) node.atelierAfterRun.forEach((action) => action(outputs));
      else if (frames++ < 30) requestAnimationFrame(fill);
    };
    fill();
  },
});
