"use strict";
// Filters and sorts the rows that are in the page already; without it the page is complete, in its first order.
(() => {
  const body = document.querySelector("#cases tbody");
  const rows = [...body.rows];
  const tokens = new Map(rows.map((row) => [row, new Set(row.dataset.is.split("\n"))]));
  const texts = new Map();
  const search = document.querySelector("#search");
  const selects = [...document.querySelectorAll("#controls select")];
  const shown = document.querySelector("#shown");

  const textOf = (row) => {
    if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
    return texts.get(row);
  };

  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = selects.map((select) => select.value).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const fits = wanted.every((token) => tokens.get(row).has(token)) && words.every((word) => textOf(row).includes(word));
      row.hidden = !fits;
      count += fits;
    }
    shown.textContent = `${count} of ${rows.length} cases`;
  };

  // Numbers come in data-s; what has none goes last in either direction.
  const keyOf = (row, column) => row.cells[column]?.dataset.s || "";
  const sort = (header, column) => {
    const numeric = header.classList.contains("n");
    const falling = header.getAttribute("aria-sort") === (numeric ? "descending" : "ascending") ? !numeric : numeric;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", falling ? "descending" : "ascending");
    const keyed = rows.map((row, place) => ({ row, place, key: keyOf(row, column) }));
    const order = (a, b) => (numeric ? a - b : a < b ? -1 : a > b ? 1 : 0);
    keyed.sort((a, b) => {
      if (!a.key || !b.key) return !a.key - !b.key || a.place - b.place;
      return (falling ? -1 : 1) * order(a.key, b.key) || a.place - b.place;
    });
    body.append(...keyed.map(({ row }) => row));
  };

  [...document.querySelectorAll("#cases th")].forEach((header, column) => {
    if (header.classList.contains("nosort")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, column));
    header.append(button);
  });
  search.addEventListener("input", filter);
  for (const select of selects) select.addEventListener("change", filter);
  document.querySelector("#controls").hidden = false;
  filter(); // a browser may have kept the fields of an earlier visit
})();
