"use strict";
// Sorting: a click or Enter on a heading; again for the other way round. Cells without a value stay last.
function key(row, column) {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent.replaceAll(",", "");
  const number = Number(text);
  return text === "" || text === "–" ? null : Number.isNaN(number) ? text : number;
}
function before(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return sign * order;
}
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const keyed = [...body.rows].map((row) => [key(row, column), row]);
      keyed.sort((a, b) => before(a[0], b[0], down ? -1 : 1));
      body.append(...keyed.map((pair) => pair[1]));
    });
  });
}
// Filtering: every word must occur in the row.
const rows = [...document.querySelectorAll("table.filterable tbody tr, details.run")].map((row) => [
  row, (row.querySelector("summary") ?? row).textContent.toLowerCase(),
]);
document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [row, text] of rows) {
    row.hidden = !words.every((word) => text.includes(word));
    shown += !row.hidden;
  }
  document.getElementById("count").textContent = words.length ? `${shown} rows of all tables` : "";
});
// Paper cannot be clicked: print what is folded, except the list of runs.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not(.run):not([open])")];
  for (const details of opened) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of opened) details.open = false;
});
