// @ts-check
/** What a node says after a run, as text that can be selected; nothing, with no height, before. */
import { element } from "./dom.mjs";

const LINE = 15, MOST_LINES = 8;

export class NodeText {
  constructor() {
    this.root = element("div", { role: "status", "data-node-text": "" }, {
      display: "none", whiteSpace: "pre-wrap", overflowWrap: "anywhere", overflowY: "auto", boxSizing: "border-box", width: "100%", height: "100%",
      padding: "4px 6px", borderRadius: "4px", font: `11px/${LINE}px monospace`, color: "var(--input-text)", background: "var(--comfy-input-bg)",
      userSelect: "text", cursor: "text", contain: "inline-size",
    });
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
  }

  /** @returns {boolean} whether the text changed. Anything that is no string is left out. */
  show(lines) {
    const text = (Array.isArray(lines) ? lines : []).filter((line) => typeof line === "string").join("\n");
    if (text === this.root.textContent) return false;
    this.root.textContent = text;
    this.root.style.display = text ? "block" : "none";
    this.root.style.minHeight = `${this.height()}px`;
    return true;
  }

  /** CSS pixels for all lines up to MOST_LINES; long lines are counted as two. */
  height() {
    const text = this.root.textContent;
    if (!text) return 0;
    const lines = text.split("\n").reduce((sum, line) => sum + (line.length > 52 ? 2 : 1), 0);
    return 10 + LINE * Math.min(MOST_LINES, Math.max(2, lines));
  }

  /** Whether the reader has marked some of it: then the wheel is theirs. */
  selecting() {
    const selection = document.getSelection();
    return Boolean(selection && !selection.isCollapsed && this.root.contains(selection.anchorNode));
  }
}
