// Order: one for all tables and pictures of a board, each block by itself; rows without a value stay last.
function key(cell) {
  const text = cell.dataset.key;
  const number = Number(text);
  return text === "" ? null : Number.isNaN(number) ? text : number;
}
function before(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
  return sign * order;
}
function order(section, heading, down) {
  const table = section.querySelector(".whole");
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", down ? "descending" : "ascending");
  const keyed = [...table.querySelectorAll("tr[data-row]")].map((row) => [key(row.cells[heading.cellIndex]), row]);
  keyed.sort((a, b) => before(a[0], b[0], down ? -1 : 1));
  const place = new Map(keyed.map(([, row], index) => [row.dataset.row, index]));
  for (const list of section.querySelectorAll("[data-ordered]")) {
    const items = [...list.children].filter((item) => item.dataset.row !== undefined);
    list.append(...items.sort((a, b) => place.get(a.dataset.row) - place.get(b.dataset.row)));
  }
}
const sections = [...document.querySelectorAll("section[data-board]")];
for (const section of sections) {
  for (const heading of section.querySelectorAll(".whole thead th")) {
    heading.querySelector(".sort").addEventListener("click", () => {
      const sorted = heading.getAttribute("aria-sort");
      order(section, heading, sorted ? sorted === "ascending" : "down" in heading.dataset);
    });
  }
}
document.getElementById("order").addEventListener("change", (event) => {
  for (const section of sections) {
    const headings = [...section.querySelectorAll(".whole thead th")];
    const heading = headings.find((one) => one.dataset.column === event.target.value);
    if (heading) order(section, heading, "down" in heading.dataset);
  }
});

// Filter: every word must occur in a row, a panel or a mark's name; marks fade, so that their picture keeps its shape.
const filtered = [...document.querySelectorAll("[data-filter]")].map((item) => [
  item, (item.dataset.filter || (item.querySelector("summary, figcaption") ?? item).textContent).toLowerCase(),
]);
document.getElementById("filter").addEventListener("input", (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const [item, text] of filtered) {
    const out = !words.every((word) => text.includes(word));
    if (item instanceof SVGElement) item.classList.toggle("out", out);
    else item.hidden = out;
    shown += !out && item.matches(".forest tr");
  }
  for (const group of document.querySelectorAll(".forest, .whole, .scatter, .panels")) group.settle?.();
  document.getElementById("count").textContent = words.length ? `${shown} rows` : "";
});

// Another reference: marks move to places that were computed beforehand, as were texts and states.
function draw([place, words, minor]) {
  const text = document.createElementNS("http://www.w3.org/2000/svg", "text");
  text.setAttribute("x", `${place}%`);
  text.setAttribute("y", "14");
  text.classList.toggle("minor", minor === 1);
  text.textContent = words;
  return text;
}
function set(element, places) {
  for (const [name, place] of Object.entries(places)) element.setAttribute(name, `${place}%`);
}
function place(strip, row, choice) {
  const [middle, low, high, cut] = row;
  const [from, to] = choice.equal ?? [0, 0];
  strip.querySelector(".none").setAttribute("display", choice.zero === null ? "none" : "inline");
  set(strip.querySelector("rect"), { x: from, width: to - from });
  set(strip.querySelector(".none line"), { x1: choice.zero ?? 0, x2: choice.zero ?? 0 });
  strip.querySelector(".row").setAttribute("display", middle === null ? "none" : "inline");
  set(strip.querySelector(".span"), { x1: low ?? middle ?? 0, x2: high ?? middle ?? 0 });
  set(strip.querySelector(".mark"), { x: middle ?? 0 });
  strip.querySelectorAll(".cut").forEach((arrow, side) => arrow.setAttribute("display", cut & (side + 1) ? "inline" : "none"));
}
function compare(section, labels, choice) {
  section.querySelector(".answer").textContent = choice.answer;
  section.querySelector("[data-heading]").textContent = choice.heading;
  section.querySelector(".axis").replaceChildren(...choice.ticks.map(draw));
  for (const line of section.querySelectorAll(".forest tr[data-row], .whole tr[data-row]")) {
    const row = choice.rows[line.dataset.row];
    const [told, state] = [line.querySelector("[data-told]"), line.querySelector("[data-state]")];
    line.className = row[5];
    if (told) [told.textContent, told.dataset.key] = [row[4], row[6] ?? ""];
    if (state) [state.textContent, state.dataset.key] = [row[5], row[5]];
    const strip = line.querySelector(".strip");
    if (strip) place(strip, row, choice);
  }
  section.querySelectorAll(".groups tr").forEach((line, index) => {
    const places = choice.groups[index][1];
    line.hidden = places.length === 0;
    line.cells[1].textContent = places.length;
    line.cells[2].textContent = places.map((one) => labels[one]).join(", ");
  });
  const heading = section.querySelector(".whole th[data-column^='Δ'] button");
  if (heading) heading.textContent = choice.heading;
}
for (const section of sections) {
  const { labels, choices } = JSON.parse(section.querySelector("[data-choices]").textContent);
  const select = section.querySelector("[data-reference]");
  select?.addEventListener("change", () => compare(section, labels, choices[select.value]));
}
