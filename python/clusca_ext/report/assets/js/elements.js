// Elements, tables and numbers in words. All text goes in as text, never as markup.
const byId = (id) => document.getElementById(id);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") node.textContent = value;
    else if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const element = (name, attributes, ...children) =>
  fill(document.createElement(name), attributes, children);

const shape = (name, attributes, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);

// A table that can be scrolled by keys; `now` is the index of a row that is marked.
function table(caption, headings, rows, now = -1) {
  const head = element("tr", {}, ...headings.map((h) => element("th", { scope: "col", text: h })));
  const body = rows.map((cells, index) =>
    element(
      "tr",
      index === now ? { class: "now", "aria-current": "true" } : {},
      ...cells.map((cell, column) =>
        column ? element("td", { text: cell }) : element("th", { scope: "row", text: cell }),
      ),
    ),
  );
  return element(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { text: caption }),
      element("thead", {}, head),
      element("tbody", {}, ...body),
    ),
  );
}

function facts(pairs) {
  const rows = pairs.map(([name, value]) =>
    element("div", {}, element("dt", { text: name }), element("dd", { text: value })),
  );
  return element("dl", { class: "facts" }, ...rows);
}

// Shows a note in place of what is not recorded; true where it is.
function explain(id, why) {
  const note = byId(id);
  note.hidden = why === null;
  note.textContent = why === null ? "" : `Not recorded: ${why}.`;
  return why !== null;
}

const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(1)} ms`);

const seconds = (s) => (s < 1 ? `${(s * 1000).toFixed(0)} ms` : `${s.toFixed(2)} s`);

function bytes(size) {
  if (size >= 2 ** 30) return `${(size / 2 ** 30).toFixed(2)} GiB`;
  return size >= 2 ** 20 ? `${(size / 2 ** 20).toFixed(1)} MiB` : `${(size / 1024).toFixed(1)} KiB`;
}

const short = (value) => String(Number(value.toPrecision(3)));
