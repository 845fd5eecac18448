// @ts-check
/** A DOM element with attributes, styles and children: text only ever goes in as text. */
export function element(tag, attributes = {}, style = {}, children = []) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  Object.assign(node.style, style);
  node.append(...children);
  return node;
}
