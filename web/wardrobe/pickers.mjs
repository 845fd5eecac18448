// @ts-check
/** Where a choice among hits goes: the `number` widgets of the Pick nodes behind a search, or the search's own `pick`. */

const widgetOf = (node, name) => node.widgets?.find((widget) => widget.name === name);

const linkOf = (graph, id) => (graph.links instanceof Map ? graph.links.get(id) : graph.links?.[id]) ?? graph.getLink?.(id);

/** The nodes that an output is connected to, through reroute nodes too. */
function consumers(node, slot, seen = new Set()) {
  const found = [];
  for (const id of node.outputs?.[slot]?.links ?? []) {
    const link = linkOf(node.graph, id), target = link && node.graph.getNodeById(link.target_id);
    if (!target || seen.has(target)) continue;
    seen.add(target);
    if (target.type === "Reroute") found.push(...consumers(target, 0, seen));
    else found.push(target);
  }
  return found;
}

/** The search that feeds a Pick node, through reroute nodes too; null when there is none. */
export function searchOf(pick) {
  for (let node = pick, slot = node.inputs?.findIndex((input) => input.name === "hits") ?? -1; node && slot >= 0; slot = 0) {
    const link = linkOf(node.graph, node.inputs?.[slot]?.link);
    node = link && node.graph.getNodeById(link.origin_id);
    if (node && node.type !== "Reroute") return node;
  }
  return null;
}

/** @returns {{node: any, widget: any, title: string, number: number|null, fixed: string}[]} */
export function pickersOf(search) {
  const own = widgetOf(search, "pick");
  if (own) return [picker(search, own)];
  const slot = search.outputs?.findIndex((output) => output.name === "hits") ?? -1;
  return slot < 0 ? [] : consumers(search, slot)
    .filter((node) => node.comfyClass === "AtelierPick" && widgetOf(node, "number"))
    .map((node) => picker(node, widgetOf(node, "number")));
}

function picker(node, widget) {
  const linked = node.inputs?.some((input) => input.widget?.name === widget.name && input.link != null);
  return {
    node, widget, title: node.title || "Pick", number: linked ? null : Number(widget.value),
    fixed: linked ? `The number of “${node.title}” is connected: it is set there.` : "",
  };
}
