// @ts-check
/** Atelier in the host's page: the only file here that knows the page's `app`. */
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";
import { PartEditor } from "./editor/editor.mjs";

const EDITOR_TYPE = "ATELIER_PART_EDITS";

/** One page-undo step for a committed edit: the newer name first, the older one warns in newer pages. */
function captureUndoStep() {
  const tracker = app.extensionManager?.workflow?.activeWorkflow?.changeTracker;
  (tracker?.captureCanvasState ?? tracker?.checkState)?.call(tracker);
}

/** In the classic renderer a DOM element covers the canvas: hand the wheel and the middle button through to it. */
function passThrough(root, hasFocus) {
  const classic = () => !window.LiteGraph?.vueNodesMode;
  root.addEventListener("wheel", (event) => {
    if (hasFocus()) { event.stopPropagation(); event.preventDefault(); }
    else if (classic()) app.canvas.processMouseWheel(event);
  }, { passive: false });
  for (const [name, method] of [["pointerdown", "processMouseDown"], ["pointermove", "processMouseMove"], ["pointerup", "processMouseUp"]]) {
    root.addEventListener(name, (event) => {
      if (classic() && (event.button === 1 || (event.buttons & 4) !== 0)) app.canvas[method](event);
    });
  }
}

/** What a node has to say after a run (`ui.text`), as plain text under its widgets; not saved with the workflow. */
function showText(node, message) {
  const text = (message?.text ?? []).filter((line) => typeof line === "string").join("\n");
  if (!text && !node.atelierText) return;
  if (!node.atelierText) {
    const root = document.createElement("div");
    Object.assign(root.style, {
      whiteSpace: "pre-wrap", overflowY: "auto", boxSizing: "border-box", width: "100%", height: "100%", minHeight: "34px", maxHeight: "260px",
      padding: "4px 6px", font: "11px monospace", color: "var(--input-text)", background: "var(--comfy-input-bg)", userSelect: "text",
    });
    root.setAttribute("role", "status");
    root.addEventListener("pointerdown", (event) => event.stopPropagation());
    const widget = node.addDOMWidget("said", "ATELIER_TEXT", root, {
      serialize: false, hideOnZoom: true, getMinHeight: () => 40, getValue: () => "", setValue: () => {},
    });
    widget.serialize = false;
    node.atelierText = root;
  }
  node.atelierText.textContent = text;
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
    picture.src = api.apiURL(`/view?${new URLSearchParams({ filename: shown.filename, subfolder: shown.subfolder ?? "", type: shown.type })}`);
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
    if (node.comfyClass?.startsWith("Atelier")) afterRun(node, (message) => showText(node, message));
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
