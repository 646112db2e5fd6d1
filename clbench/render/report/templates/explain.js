"use strict";
// Explanations: what a button of class "term" names opens by pointing, by focus and by a press; Escape, which popovers
// hear by themselves, closes. A mark of a picture says its numbers in the same way.
const LINGER = 200; // ms in which a pointer may travel from a word to what is said of it
let leaving = 0;
let source = null;
function show(about, from) {
  clearTimeout(leaving);
  source = from;
  if (!about.matches(":popover-open")) about.showPopover();
  Object.assign(about.style, { inset: "auto", margin: "0" });
  lay(about);
}
function lay(about) {
  const at = source.getBoundingClientRect();
  const below = at.bottom + about.offsetHeight + 8 < innerHeight || at.top < about.offsetHeight + 8;
  about.style.left = `${Math.max(8, Math.min(at.left, innerWidth - about.offsetWidth - 8))}px`;
  about.style.top = `${below ? at.bottom + 6 : at.top - about.offsetHeight - 6}px`;
}
function explained(element) {
  if (element.matches(".term, .sort[aria-describedby]")) {
    return document.getElementById(element.getAttribute("aria-describedby"));
  }
  const about = document.getElementById("pointed");
  const told = document.createElement("b");
  told.textContent = element.getAttribute("aria-label");
  const more = document.getElementById(element.dataset.about ?? "")?.querySelectorAll("p") ?? [];
  about.replaceChildren(told, ...[...more].map((one) => one.cloneNode(true)));
  return about;
}
function hideSoon() {
  clearTimeout(leaving);
  leaving = setTimeout(() => document.querySelector(".about:popover-open")?.hidePopover(), LINGER);
}
const EXPLAINED = ".term, .point, .sort[aria-describedby]";
for (const kind of ["mouseover", "focusin", "click"]) {
  document.addEventListener(kind, (event) => {
    if (event.target.closest(".about")) return clearTimeout(leaving);
    const from = event.target.closest(EXPLAINED);
    if (from) show(explained(from), from);
    else if (kind === "focusin") hideSoon();
  });
}
document.addEventListener("mouseout", (event) => {
  if (event.target.closest(`${EXPLAINED}, .about`)) hideSoon();
});
document.addEventListener("focusout", hideSoon);
document.getElementById("sections").addEventListener("click", (event) => {
  if (event.target.closest("a") && event.currentTarget.popover) event.currentTarget.hidePopover();
});
addEventListener("scroll", () => {
  const about = document.querySelector(".about:popover-open");
  if (about && source) lay(about);
}, { passive: true });

// One stop of the Tab key for each table or picture; the arrow keys, Home and End go through it.
const STEPS = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1, Home: -Infinity, End: Infinity };
const GROUPS = [[".forest, .whole", "tbody .term"], [".scatter", ".point"], [".panels", ".point"]];
for (const [group, member] of GROUPS) {
  for (const one of document.querySelectorAll(group)) {
    const members = () => [...one.querySelectorAll(member)].filter((found) => !found.closest("[hidden], .out"));
    for (const other of members()) other.tabIndex = -1;
    one.settle = () => {
      if (!members().some((found) => found.tabIndex === 0)) members()[0]?.setAttribute("tabindex", "0");
    };
    one.settle();
    one.addEventListener("keydown", (event) => {
      const all = members();
      const here = all.indexOf(event.target);
      const step = STEPS[event.key];
      if (here < 0 || step === undefined) return;
      event.preventDefault();
      const next = all[Math.max(0, Math.min(all.length - 1, here + step))];
      for (const other of one.querySelectorAll(member)) other.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
}
