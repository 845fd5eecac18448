// @ts-check
/**
 * The hits of a search as a grid of thumbnails to choose from, as a DOM element. Knows nothing of the host's page: the
 * entry file says what the hits are, which pickers there are and where a choice goes.
 */
import { element } from "../dom.mjs";

const ACCENT = "var(--p-primary-color, #4a90d9)";
const CELL = 68; // the least width of a thumbnail in CSS pixels; also a comfortable target for a finger
const MOST_ROWS = 3; // beyond them the grid scrolls

/** The entries of `ui.atelier_hits` that can be shown; anything else in the list is left out. */
export function readHits(list) {
  if (!Array.isArray(list)) return [];
  const text = (value) => (typeof value === "string" ? value : "");
  return list.filter((hit) => Number.isInteger(hit?.number) && hit.number > 0 && typeof hit.filename === "string").map((hit) => ({
    number: hit.number, score: Number.isFinite(hit.score) ? hit.score : null, category: text(hit.category),
    caption: text(hit.caption), path: text(hit.path),
    file: { filename: hit.filename, subfolder: text(hit.subfolder), type: text(hit.type) || "temp" },
  }));
}

export function sentence(hit) {
  const score = hit.score === null ? "" : `score ${hit.score.toFixed(3)}`;
  return [`Hit ${hit.number}`, score, hit.category, hit.caption || hit.path].filter(Boolean).join(" · ");
}

export class HitsView {
  constructor() {
    this.hits = [];
    this.pickers = []; // [{title, number, fixed}]: `fixed` says why a picker's number cannot be set here, or ""
    this.active = 0; // which picker a click is for
    this.onPick = (_picker, _number) => {};
    this.buildDom();
  }

  /** @param {(file: object) => string} urlOf where a thumbnail is fetched */
  show(hits, urlOf) {
    const same = JSON.stringify(hits) === JSON.stringify(this.hits);
    if (same) return; // the host sends a kept result again with every run: focus and scroll position stay
    this.hits = hits;
    this.grid.replaceChildren(...hits.map((hit) => this.cell(hit, urlOf(hit.file))));
    this.refresh();
  }

  /** The pickers behind the search, with their numbers as they are now. */
  setPickers(pickers) {
    this.pickers = pickers;
    this.active = Math.min(this.active, Math.max(0, pickers.length - 1));
    this.refresh();
  }

  get chosen() { return this.pickers[this.active]?.number ?? null; }

  // ---- DOM ---------------------------------------------------------------------------------------------------
  buildDom() {
    this.root = element("div", { role: "group", "aria-label": "Hits of the search" }, {
      display: "flex", flexDirection: "column", gap: "4px", width: "100%", height: "100%", boxSizing: "border-box", padding: "4px",
      contain: "inline-size", // a long caption must not widen the node
      font: "12px sans-serif", color: "var(--input-text)", background: "var(--comfy-input-bg)", border: "1px solid var(--border-color)",
      borderRadius: "6px", overflow: "hidden",
    });
    this.root.dataset.captureWheel = "true";
    this.tabs = element("div", { role: "radiogroup", "aria-label": "Which Pick a click is for" }, { display: "none", gap: "4px", flexWrap: "wrap", flex: "none" });
    this.grid = element("div", { role: "listbox", "aria-label": "Hits", "data-hits": "" }, {
      display: "grid", gridTemplateColumns: `repeat(auto-fill, minmax(${CELL}px, 1fr))`, gap: "4px", alignContent: "start",
      flex: "1 1 0", minHeight: "0", overflowY: "auto", touchAction: "pan-y",
    });
    this.status = element("div", { role: "status" }, { flex: "none", minHeight: "15px", whiteSpace: "nowrap", overflow: "hidden", textOverflow: "ellipsis" });
    this.root.append(this.tabs, this.grid, this.status);
    this.root.addEventListener("pointerdown", (event) => event.stopPropagation());
    this.grid.addEventListener("keydown", (event) => this.key(event));
    this.grid.addEventListener("pointerleave", () => this.say());
    this.refresh();
  }

  cell(hit, url) {
    const picture = element("img", { alt: "", draggable: "false", loading: "lazy", src: url }, { width: "100%", aspectRatio: "1", objectFit: "contain", display: "block", background: "#fff", borderRadius: "3px" });
    picture.addEventListener("error", () => { picture.style.visibility = "hidden"; }); // the host's temp folder is emptied at its start
    const label = element("span", {}, { display: "block", fontSize: "11px", lineHeight: "16px", textAlign: "center", whiteSpace: "nowrap", overflow: "hidden" });
    const cell = element("button", { type: "button", role: "option", title: sentence(hit), "aria-label": sentence(hit), "data-number": String(hit.number) }, {
      padding: "3px", border: "0", borderRadius: "5px", background: "transparent", color: "inherit", font: "inherit", cursor: "pointer",
      minWidth: "0", outlineOffset: "-2px",
    }, [picture, label]);
    cell.addEventListener("click", (event) => { event.stopPropagation(); this.pick(hit.number); });
    cell.addEventListener("focus", () => this.say(sentence(hit)));
    cell.addEventListener("pointerenter", () => this.say(sentence(hit)));
    return cell;
  }

  tab(picker, index) {
    const on = index === this.active;
    const tab = element("button", { type: "button", role: "radio", "aria-checked": String(on) }, {
      padding: "2px 8px", minHeight: "24px", borderRadius: "4px", border: "1px solid var(--border-color)", font: "inherit", cursor: "pointer",
      color: on ? "#fff" : "inherit", background: on ? ACCENT : "var(--comfy-menu-bg)",
    });
    tab.textContent = `${picker.title}: ${picker.number ?? "–"}`;
    tab.addEventListener("click", (event) => { event.stopPropagation(); this.active = index; this.refresh(); });
    return tab;
  }

  refresh() {
    this.tabs.style.display = this.pickers.length > 1 ? "flex" : "none";
    this.tabs.replaceChildren(...(this.pickers.length > 1 ? this.pickers.map((picker, index) => this.tab(picker, index)) : []));
    this.grid.style.display = this.hits.length ? "grid" : "none";
    const start = this.hits.some((hit) => hit.number === this.chosen) ? this.chosen : this.hits[0]?.number;
    for (const cell of this.grid.children) {
      const hit = this.hits.find((one) => String(one.number) === cell.dataset.number), on = hit.number === this.chosen;
      cell.setAttribute("aria-selected", String(on));
      cell.tabIndex = hit.number === start ? 0 : -1;
      cell.style.background = on ? ACCENT : "transparent";
      cell.style.color = on ? "#fff" : "inherit";
      cell.lastChild.textContent = `${on ? "✓ " : ""}${hit.number}${hit.score === null ? "" : ` · ${hit.score.toFixed(3)}`}`;
    }
    this.root.style.minHeight = `${this.leastHeight()}px`;
    this.say();
  }

  /** Room for all rows up to MOST_ROWS, four in a row; in CSS pixels. */
  leastHeight() {
    const rows = Math.min(MOST_ROWS, Math.ceil(this.hits.length / 4));
    return 29 + rows * (CELL + 34) + (this.pickers.length > 1 ? 28 : 0);
  }

  /** What is spoken of, or, without it, the state. */
  say(text) {
    this.status.textContent = text ?? this.state();
  }

  state() {
    if (!this.hits.length) return "Run to see the hits.";
    const picker = this.pickers[this.active];
    if (!picker) return "Connect Pick to “hits” to choose one here.";
    if (picker.fixed) return picker.fixed;
    const hit = this.hits.find((one) => one.number === picker.number);
    return hit ? `Picked: ${sentence(hit)}` : `${picker.title} asks for hit ${picker.number}; there are ${this.hits.length}: click one.`;
  }

  // ---- input -------------------------------------------------------------------------------------------------
  pick(number) {
    const picker = this.pickers[this.active];
    if (!picker || picker.fixed) return this.say();
    if (picker.number !== number) this.onPick(this.active, number);
    this.say();
  }

  key(event) {
    const cells = [...this.grid.children], at = cells.indexOf(document.activeElement);
    if (at < 0) return;
    const columns = Math.max(1, cells.filter((cell) => cell.offsetTop === cells[0].offsetTop).length);
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: cells.length - 1 - at }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      event.stopPropagation();
      cells[Math.min(cells.length - 1, Math.max(0, at + step))].focus();
    } else if ((event.key === "Enter" && !event.ctrlKey && !event.metaKey) || event.key === " ") {
      event.preventDefault(); // a button would click at this too, but after the page has heard the key
      event.stopPropagation();
      this.pick(Number(cells[at].dataset.number));
    }
  }
}
