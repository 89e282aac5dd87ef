// Bytes by kind, as bars and as a table.
const APART = ["model weights", "peak on the device"];

function drawMemory() {
  const parts = run().memory;
  const most = Math.max(...parts.map(([, size]) => size), 1);
  const bars = parts.map(([kind, size]) => {
    const bar = element("i", {});
    bar.style.width = `${(100 * size) / most}%`;
    const apart = APART.includes(kind) ? " apart" : "";
    return element(
      "div",
      { class: "part" },
      element("span", { text: kind }),
      element("span", { class: `track${apart}`, "aria-hidden": "true" }, bar),
      element("span", { class: "size", text: bytes(size) }),
    );
  });
  byId("memory-bars").replaceChildren(...bars);
  const rows = parts.map(([kind, size]) => [kind, bytes(size), size]);
  byId("memory-table").replaceChildren(table(`Memory of ${run().name}`, ["kind", "size", "bytes"], rows));
}

function startMemory() {
  when(["run"], drawMemory);
}
