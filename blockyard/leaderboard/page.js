"use strict";

// Columns that have no room are left out, those first that tell least, and a list brings them back.
function columns(table, rows) {
  const box = table.parentElement;
  const heads = Array.from(table.tHead.rows[0].cells);
  const keep = heads.map((head, index) => Number(head.dataset.keep ?? index));
  const last = heads.map((_, index) => index).filter((index) => keep[index] > 0);
  last.sort((a, b) => keep[b] - keep[a] || b - a);
  const off = new Set();
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const list = document.createElement("fieldset");
  const legend = document.createElement("legend");
  const fitting = document.createElement("button");
  let chosen = false;

  function apply() {
    for (const row of [table.tHead.rows[0], ...rows()])
      for (const [index, cell] of Array.from(row.cells).entries()) cell.hidden = off.has(index);
  }

  function tell() {
    const left = off.size ? `, ${off.size} left out${chosen ? "" : " for width"}` : "";
    summary.textContent = `Columns: ${heads.length - off.size} of ${heads.length}${left}`;
    for (const input of list.querySelectorAll("input")) input.checked = !off.has(Number(input.value));
    details.hidden = !off.size && !chosen;
  }

  function fit() {
    if (!chosen) {
      off.clear();
      apply();
      const left = [...last];
      for (let over = 1; left.length && (over = table.offsetWidth - box.clientWidth) > 0; apply())
        while (over > 0 && left.length) {
          over -= heads[left[0]].offsetWidth;
          off.add(left.shift());
        }
    }
    tell();
  }

  details.className = "columns";
  legend.className = "unseen";
  legend.textContent = "Columns shown";
  fitting.type = "button";
  fitting.textContent = "Those that fit";
  fitting.addEventListener("click", () => {
    chosen = false;
    fit();
  });
  list.append(legend, fitting);
  for (const index of last.toSorted((a, b) => a - b)) {
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.type = "checkbox";
    input.value = index;
    input.addEventListener("change", () => {
      chosen = true;
      off[input.checked ? "delete" : "add"](index);
      apply();
      tell();
    });
    label.append(input, ` ${heads[index].firstChild.textContent}`);
    list.append(label);
  }
  details.append(summary, list);
  box.before(details);
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth === width) return;
    width = box.clientWidth;
    fit();
  }).observe(box);
  return { apply, fit };
}

for (const table of document.querySelectorAll(".matrix")) {
  const rows = Array.from(table.tBodies[0].rows);
  columns(table, () => rows).fit();
}

// Of each table only the rows of one page are in the document: ten thousand rows stay quick to sort and to scroll.
for (const board of document.querySelectorAll(".board")) {
  const table = board.querySelector("table");
  const body = table.tBodies[0];
  const rows = Array.from(table.querySelectorAll("tbody tr"));
  const words = new Map(rows.map((row) => [row, labels(row)]));
  const size = Number(table.dataset.page);
  const form = board.querySelector(".controls");
  const pager = board.querySelector(".pager");
  const [back, ahead] = pager.querySelectorAll("button");
  const shown = columns(table, () => Array.from(body.rows));
  let matching = rows;
  let start = 0;

  function labels(row) {
    return Array.from(row.cells, (cell) => (cell.className === "number" ? "" : cell.textContent)).join(" ").toLowerCase();
  }

  function show(all = false) {
    const end = all ? matching.length : Math.min(start + size, matching.length);
    body.replaceChildren(...matching.slice(all ? 0 : start, end));
    shown.apply();
    back.disabled = start === 0;
    ahead.disabled = end >= matching.length;
    const few = matching.length <= size;
    back.hidden = ahead.hidden = few;
    const count = (n) => n.toLocaleString("en");
    const of = matching.length < rows.length ? ` of ${count(rows.length)}` : "";
    const part = few ? "" : `${count(start + 1)}–${count(end)} of `;
    const status = `${part}${count(matching.length)}${of} row${rows.length === 1 ? "" : "s"}`;
    pager.querySelector("[role=status]").textContent = matching.length ? status : "No row matches.";
  }

  function filter() {
    const wanted = form.querySelector("[type=search]").value.toLowerCase().split(/\s+/);
    const only = Array.from(form.querySelectorAll("[data-only]:checked"), (box) => box.dataset.only);
    const hidden = ["backbone", "family"].map((key) => [
      key,
      new Set(Array.from(form.querySelectorAll(`[data-${key}]:not(:checked)`), (box) => box.dataset[key])),
    ]);
    matching = rows.filter(
      (row) =>
        only.every((key) => key in row.dataset) &&
        hidden.every(([key, off]) => !off.has(row.dataset[key])) &&
        wanted.every((word) => words.get(row).includes(word)),
    );
    start = 0;
    show();
  }

  function sort(header, index) {
    const numeric = header.classList.contains("number");
    const sorted = header.getAttribute("aria-sort");
    const first = numeric && !("lowerFirst" in header.dataset) ? "descending" : "ascending";
    const direction = sorted === null ? first : sorted === "ascending" ? "descending" : "ascending";
    const keys = new Map(
      rows.map((row) => {
        const cell = row.cells[index];
        return [row, !numeric ? cell.textContent : cell.dataset.value === "" ? null : Number(cell.dataset.value)];
      }),
    );
    const sign = direction === "ascending" ? 1 : -1;
    const text = new Intl.Collator("en", { numeric: true });
    rows.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null); // unknown comes last either way
      return sign * (numeric ? a - b : text.compare(a, b));
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    filter();
  }

  Array.from(table.tHead.rows[0].cells).forEach((header, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = header.textContent;
    button.addEventListener("click", () => sort(header, index));
    header.replaceChildren(button);
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const button of form.querySelectorAll("[data-all]")) {
    button.addEventListener("click", () => {
      const boxes = Array.from(form.querySelectorAll(`input[data-${button.dataset.all}]`));
      const on = !boxes.every((box) => box.checked);
      for (const box of boxes) box.checked = on;
      filter();
    });
  }
  for (const button of [back, ahead]) {
    button.addEventListener("click", () => {
      start += size * Number(button.dataset.step);
      show();
    });
  }
  window.addEventListener("beforeprint", () => show(true));
  window.addEventListener("afterprint", () => show());
  for (const rest of table.querySelectorAll(".rest")) rest.remove();
  form.hidden = pager.hidden = false;
  show();
  shown.fit();
}
