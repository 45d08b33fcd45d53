"use strict";

/**
 * A table whose headings sort, with a field that searches it.
 *
 * @param parent Where the table goes.
 * @param columns `{title, value(row), cell(row), number}`; `cell` gives text or an element, a
 *   column without `value` does not sort.
 * @param rows The data.
 * @param search The field; its words must all be in a row's `clip`.
 * @param count Where to say how many rows there are.
 */
grjca.table = ({ parent, columns, rows, search, count }) => {
  const { element } = grjca;
  const MORE = 200; // Rows that are made at once; the rest comes when it is asked for.
  const names = rows.map((row) => row.clip.toLowerCase());
  let order = rows.map((_row, i) => i);
  let sorted = { column: -1, descending: false };
  let shown = MORE;

  const headings = columns.map(({ title, value, number }, i) => {
    const heading = element("th", { scope: "col", ...(number ? { class: "number" } : {}) });
    if (!value) {
      heading.append(title);
      return heading;
    }
    const button = element("button", { type: "button" }, title,
      element("span", { class: "arrow", "aria-hidden": "true" }));
    button.addEventListener("click", () => sort(i));
    heading.append(button);
    return heading;
  });
  const body = element("tbody");
  const more = element("button", { type: "button" }, "Show more");
  more.addEventListener("click", () => {
    shown += MORE;
    fill();
  });
  parent.append(
    element("table", { class: "sortable" }, element("thead", {}, element("tr", {}, ...headings)), body),
    more,
  );
  search.addEventListener("input", () => {
    shown = MORE;
    fill();
  });

  function sort(i) {
    // Numbers begin with the largest, names with the first.
    const again = sorted.column === i;
    sorted = { column: i, descending: again ? !sorted.descending : Boolean(columns[i].number) };
    headings.forEach((heading, k) => {
      if (k === i) heading.setAttribute("aria-sort", sorted.descending ? "descending" : "ascending");
      else heading.removeAttribute("aria-sort");
    });
    const sign = sorted.descending ? -1 : 1;
    const collator = new Intl.Collator(undefined, { numeric: true });
    const keys = rows.map(columns[i].value);
    order = rows.map((_row, k) => k).sort((a, b) => {
      const [x, y] = [keys[a], keys[b]];
      const [noX, noY] = [x === null || x === undefined, y === null || y === undefined];
      // What has no value comes last either way.
      if (noX || noY) return noX - noY || a - b;
      return sign * (typeof x === "string" ? collator.compare(x, y) : x - y) || a - b;
    });
    fill();
  }

  function fill() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = order.filter((i) => words.every((word) => names[i].includes(word)));
    body.replaceChildren(...found.slice(0, shown).map((i) => element("tr", {},
      ...columns.map(({ cell, number, name }) => element("td",
        number ? { class: "number" } : name ? { class: "name" } : {}, cell(rows[i]))))));
    more.hidden = found.length <= shown;
    count.textContent = words.length ? `${found.length} of ${rows.length}` : `${rows.length}`;
  }

  fill();
};
