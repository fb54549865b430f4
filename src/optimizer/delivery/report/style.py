"""Style sheet and script of the report: both stand in the page, which loads nothing."""

STYLE = """
:root { --ink: #1d2329; --soft: #525c66; --line: #d5dae0; --wash: #f4f6f8; --blue: #005a91;
  --red: #a33c00; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: #fff; margin: 0; }
main { max-width: 1720px; margin: 0 auto; padding: 1.2rem 1.2rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .3rem; overflow-wrap: anywhere; }
p { margin: .3rem 0; max-width: 75rem; }
a { color: var(--blue); }
.soft, small { color: var(--soft); }
small { font-size: .87em; }
.warn { border-left: 4px solid var(--red); background: #fdf1ea; padding: .5rem .8rem;
  max-width: none; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .15rem 1rem;
  margin: .8rem 0 0; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: .7rem;
  margin: 0; padding: 0; list-style: none; }
.tiles li { border: 1px solid var(--line); border-radius: 6px; background: var(--wash);
  padding: .6rem .8rem; }
.tiles b { display: block; font-size: 1.4rem; line-height: 1.3; overflow-wrap: anywhere; }
.tiles span { display: block; }
.filters { display: flex; flex-wrap: wrap; gap: .5rem .9rem; align-items: end; margin: .6rem 0; }
.filters[hidden] { display: none; }
.filters label { font-size: .87em; color: var(--soft); }
.filters input:not([type=checkbox]), .filters select { display: block; font: inherit;
  color: var(--ink); padding: .25rem .4rem; border: 1px solid #87919b; border-radius: 4px;
  background: #fff; }
.filters input[type=search] { width: 17rem; max-width: 100%; }
.filters .tick, .filters output { padding-bottom: .35rem; }
.filters button { font: inherit; padding: .25rem .7rem; border: 1px solid #87919b;
  border-radius: 4px; background: var(--wash); color: var(--ink); cursor: pointer; }
.key { font-size: .87em; color: var(--soft); }
.key svg { display: inline; vertical-align: -3px; }
.scroll { overflow: auto; max-height: 85vh; border: 1px solid var(--line); border-radius: 6px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: 12.3px;
  line-height: 1.35; }
#recommendations { min-width: 1280px; }
th, td { text-align: left; vertical-align: top; padding: .35rem .38rem;
  border-bottom: 1px solid var(--line); font-weight: normal; }
tbody th { overflow-wrap: anywhere; min-width: 8rem; max-width: 14rem; position: sticky; left: 0;
  background: #fff; }
thead th { position: sticky; top: 0; z-index: 1; background: #e8edf2; font-weight: 600; }
thead th:first-child { left: 0; z-index: 2; }
thead button { all: unset; cursor: pointer; font-weight: 600; }
thead button { text-decoration: underline dotted #7a858f; text-underline-offset: 3px; }
thead button:hover { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
thead button:focus-visible, a:focus-visible, .scroll:focus-visible { outline: 3px solid #1f7fd1;
  outline-offset: 1px; }
tbody tr:hover > * { background: var(--wash); }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.w { white-space: nowrap; }
.neg { color: var(--red); }
.bar { display: block; margin-top: 2px; }
.bar .x { stroke: #b4bcc4; fill: none; }
.bar .r { fill: #8cc4ea; }
.bar .c { stroke: #000; stroke-width: 2; stroke-dasharray: 2 1.5; fill: none; }
.bar .t { fill: var(--blue); }
.why { min-width: 10.5rem; }
.why small, tbody th small { display: block; }
.badge { display: inline-block; min-width: 2.3rem; text-align: center; border-radius: 9px;
  padding: 0 .4rem; font-weight: 600; border: 1px solid transparent; }
.low { background: #dcefe6; color: #0b4a34; }
.moderate { background: #fff2c9; color: #584200; }
.elevated { background: #ffd9b5; color: #6b3000; }
.high { background: #a8201a; color: #fff; }
.unknown { border-color: var(--line); color: var(--soft); }
figure { margin: 0 0 1.3rem; }
figcaption { max-width: 75rem; }
.plot { overflow-x: auto; }
.plot img { display: block; width: 100%; max-width: 1000px; min-width: 640px; height: auto; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 560px), 1fr));
  gap: .5rem 1.5rem; }
.pair .plot img { min-width: 440px; }
.terms dt { font-weight: 600; margin-top: .5rem; }
.terms dd { margin: 0 0 0 1.2rem; max-width: 75rem; }
@media (max-width: 640px) {
  main { padding: .8rem .8rem 2rem; }
  .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: .35rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .5rem; }
  .tiles b { font-size: 1.15rem; }
  tbody th { min-width: 7.5rem; max-width: 9rem; }
}
@media print {
  @page { size: A4 landscape; margin: 10mm; }
  body { font-size: 10px; }
  main { padding: 0; max-width: none; }
  .filters, .key a { display: none; }
  .scroll, .plot { overflow: visible; max-height: none; border: 0; }
  #recommendations { min-width: 0; font-size: 7.5px; }
  .why, tbody th { min-width: 0; }
  .w, .n { white-space: normal; }
  th, td { padding: 2px 3px; }
  thead th, tbody th { position: static; }
  thead button::after { content: "" !important; }
  .plot img { min-width: 0; max-width: 180mm; }
  td .bar { width: 90px; height: 9px; }
  tr, figure, .tiles li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .badge, .tiles li, .warn, .bar, thead th { print-color-adjust: exact; }
}
"""
"""Dark on light; every text has a contrast of at least 4.5 to its ground."""

SCRIPT = """
(function () {
  "use strict";
  const late = document.getElementById("late");
  if (late && Date.now() > Date.parse(late.dataset.until)) late.hidden = false;
  const table = document.getElementById("recommendations");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);

  // A cell's number stands in data-v, empty where it is unknown; other cells sort by their text.
  function keyOf(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.v === undefined) return cell.textContent.trim().toLowerCase();
    return cell.dataset.v === "" ? null : Number(cell.dataset.v);
  }
  function sortBy(column) {
    const head = heads[column];
    const numeric = head.classList.contains("n");
    const now = head.getAttribute("aria-sort");
    const up = now === "none" ? !numeric : now === "descending";
    heads.forEach(function (one) { one.setAttribute("aria-sort", "none"); });
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows.map(function (row) { return [keyOf(row, column), row]; });
    keyed.sort(function (a, b) {
      if (a[0] === null || b[0] === null) return (a[0] === null) - (b[0] === null);
      const order = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
      return up ? order : -order;
    });
    const all = document.createDocumentFragment();
    keyed.forEach(function (pair) { all.appendChild(pair[1]); });
    body.appendChild(all);
  }
  heads.forEach(function (head, column) {
    head.querySelector("button").addEventListener("click", function () { sortBy(column); });
  });

  const form = document.getElementById("filters");
  const texts = new Map();
  function textOf(row) {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  }
  function filter() {
    const words = form.elements.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
    const action = form.elements.action.value;
    const finding = form.elements.finding.value;
    const risky = form.elements.risky.checked;
    let shown = 0;
    rows.forEach(function (row) {
      const fits = (!action || row.dataset.action === action) &&
        (!finding || row.dataset.finding === finding) &&
        (!risky || row.dataset.risky === "1") &&
        words.every(function (word) { return textOf(row).includes(word); });
      row.hidden = !fits;
      shown += fits ? 1 : 0;
    });
    form.elements.shown.value = shown + " of " + rows.length + " rows";
  }
  form.hidden = false;
  form.addEventListener("input", filter);
  form.addEventListener("reset", function () { setTimeout(filter, 0); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  filter();
})();
"""
"""Sorts and filters the table; without it the page shows all rows, in order of saving."""
