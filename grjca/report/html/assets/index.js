"use strict";

(() => {
  const { data, element, drawn, signed, plain, clock, NOTHING } = grjca;
  const WIDTH = 150;
  const HEIGHT = 30;

  /** The course of a clip as small lines, -1 at the bottom and 1 at the top. */
  function outline(row) {
    const y = (value) => (HEIGHT / 2) * (1 - Math.max(Math.min(value / 100, 1), -1) * 0.94);
    const lines = data.names.filter((name) => row.outline[name]).map((name) => {
      const points = row.outline[name];
      const x = (i) => (points.length > 1 ? (i / (points.length - 1)) * WIDTH : WIDTH / 2);
      let path = "";
      points.forEach((point, i) => {
        if (point === null) return;
        const begins = i === 0 || points[i - 1] === null;
        path += `${begins ? "M" : "L"}${x(i).toFixed(1)} ${y(point).toFixed(1)}`;
        if (begins && (points[i + 1] ?? null) === null) path += "h1";
      });
      return drawn("path", { d: path, class: name });
    });
    const zero = drawn("path", { d: `M0 ${HEIGHT / 2}H${WIDTH}`, class: "zero" });
    return drawn("svg", { class: "outline", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, "aria-hidden": "true" },
      zero, ...lines);
  }

  const share = (value) => `${Number((100 * value).toPrecision(3))} %`;
  const perName = (what, title, format) => data.names.map((name) => ({
    title: `${title} ${name}`,
    number: true,
    value: (row) => row[what][name],
    cell: (row) => format(row[what][name]),
  }));
  grjca.table({
    parent: document.getElementById("clips"),
    search: document.getElementById("search"),
    count: document.getElementById("count"),
    rows: data.rows,
    columns: [
      {
        title: "clip",
        name: true,
        value: (row) => row.clip,
        cell: (row) => element("a", { href: row.url }, row.clip),
      },
      { title: "course, −1 to 1", cell: outline },
      ...perName("mean", "mean", (value) => signed(value)),
      ...(data.labelled ? perName("ccc", "CCC", (value) => plain(value, 3)) : []),
      { title: "face", number: true, value: (row) => row.face, cell: (row) => share(row.face) },
      { title: "sound", number: true, value: (row) => row.sound, cell: (row) => share(row.sound) },
      {
        title: "length",
        number: true,
        value: (row) => row.seconds,
        cell: (row) => (row.seconds ? clock(row.seconds, row.seconds < 60 ? 1 : 0) : NOTHING),
      },
      {
        title: "frames",
        number: true,
        value: (row) => row.rows,
        cell: (row) => row.rows.toLocaleString("en"),
      },
    ],
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.tagName === "INPUT") return;
    event.preventDefault();
    document.getElementById("search").focus();
  });
})();
