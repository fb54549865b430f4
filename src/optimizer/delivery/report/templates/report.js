// Sorts and filters the table; without it the page shows all rows, in order of saving.
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
    const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
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
