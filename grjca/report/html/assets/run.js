"use strict";

(() => {
  const { data, element, drawn, plain, colour, charts } = grjca;

  const legend = (names) => names.map((name) =>
    element("span", {}, element("span", { class: `swatch ${name}` }), name));

  /** A titled place for a chart, with a legend if it has names. */
  function figure(parent, title, names = []) {
    const place = element("div", { role: "img", "aria-label": title });
    parent.append(element("figure", {},
      element("figcaption", {}, element("strong", {}, title), ...legend(names)), place));
    return place;
  }

  const ink = (name) => () => colour(name === "valence" || name === "arousal" ? name : "text");
  const padded = (low, high) => {
    const margin = Math.max((high - low) * 0.06, 0.01);
    return [low - margin, high + margin];
  };

  // --- curves
  const best = data.best;
  function bestEpoch(chart) {
    if (best === null) return;
    const { ctx, bbox } = chart;
    const x = Math.round(chart.valToPos(best, "x", true));
    ctx.save();
    ctx.strokeStyle = colour("best");
    ctx.lineWidth = 1.5 * devicePixelRatio;
    ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.restore();
  }

  function curves(title, named, scale, axis = {}) {
    const known = Object.entries(named).filter(([, key]) => data.curves[key]);
    if (!known.length) return;
    const place = figure(document.getElementById("curves"), title,
      known.length > 1 ? known.map(([name]) => name) : []);
    const alone = data.epoch.length === 1;
    const ends = [data.epoch[0], data.epoch[data.epoch.length - 1]];
    charts.still(place, 210, {
      scales: { x: { time: false, range: () => (alone ? [ends[0] - 1, ends[0] + 1] : ends) }, y: scale },
      series: [{}, ...known.map(([name]) => ({
        stroke: ink(name),
        width: name === "mean" ? 2.25 : 1.5,
        points: { show: alone, size: 6, fill: ink(name) },
      }))],
      axes: [
        charts.axis({
          size: 24,
          gap: 4,
          space: 40,
          incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000],
          label: "epoch",
          labelSize: 18,
          labelGap: 0,
          labelFont: charts.FONT,
        }),
        charts.valueAxis({ size: 54, ...axis }),
      ],
      hooks: { draw: [bestEpoch] },
    }, [data.epoch, ...known.map(([, key]) => data.curves[key])]);
  }

  curves("Training loss", { loss: "train_loss" }, {
    range: (_chart, low, high) => padded(Math.min(low, 0), high),
  });
  curves("Validation CCC",
    { valence: "val_ccc_valence", arousal: "val_ccc_arousal", mean: "val_ccc" },
    { range: (_chart, low, high) => padded(Math.min(low, 0), Math.max(high, 1)) });

  const rates = (data.curves.lr ?? []).filter((rate) => rate !== null);
  const logarithmic = rates.length > 0 && Math.min(...rates) > 0;
  const powers = (_chart, at) =>
    at.map((v) => (v === null ? "" : v.toExponential(0).replace("-", "\u2212")));
  const wholePowers = (_chart, at) =>
    at.map((v) => (Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? v : null));
  const grid = { stroke: () => colour("grid"), width: 1, filter: wholePowers };
  curves("Learning rate", { rate: "lr" }, { distr: logarithmic ? 3 : 1 },
    logarithmic ? { incrs: undefined, values: powers, filter: wholePowers, grid } : { values: powers, incrs: undefined });

  // --- the stress sweep
  const BESIDE = 5; // Pixels by which one dimension's points stand beside the other's.

  /** Points with their intervals; those of categories beside each other. */
  function points(categories) {
    return (chart) => {
      const { ctx } = chart;
      const ratio = devicePixelRatio;
      ctx.save();
      ctx.lineWidth = 1.5 * ratio;
      chart.series.forEach((series, k) => {
        if (k === 0) return;
        ctx.strokeStyle = ctx.fillStyle = series.stroke(chart, k);
        chart.data[0].forEach((at, i) => {
          const [value, low, high] = series.bounds[i];
          if (value === null) return;
          const aside = categories ? (k - chart.series.length / 2) * 2 * BESIDE * ratio : 0;
          const x = chart.valToPos(at, "x", true) + aside;
          const y = (v) => chart.valToPos(v, "y", true);
          ctx.beginPath();
          ctx.arc(x, y(value), 3.5 * ratio, 0, 2 * Math.PI);
          ctx.fill();
          if (low === null || high === null) return;
          ctx.beginPath();
          ctx.moveTo(x, y(low));
          ctx.lineTo(x, y(high));
          ctx.stroke();
        });
      });
      ctx.restore();
    };
  }

  /** One kind of stress: the CCC against how much of it, with its interval. */
  function stress(parent, panel, range) {
    const names = Object.keys(panel.ccc);
    const categories = panel.ticks.length > 0;
    const ends = [panel.x[0], panel.x[panel.x.length - 1]];
    const margin = (ends[1] - ends[0]) * (categories ? 0.25 : 0.05);
    const below = categories
      ? { splits: () => panel.x, values: () => panel.ticks.map((tick) => tick.replace(" ", "\n")),
          grid: { show: false }, size: 44 }
      : { label: panel.unit, labelSize: 18, space: 36,
          values: (_chart, at) => at.map((v) => String(Number(v.toFixed(3))).replace("-", "\u2212")) };
    charts.still(figure(parent, panel.title), 210, {
      scales: { x: { time: false, range: [ends[0] - margin, ends[1] + margin] }, y: { range } },
      series: [{}, ...names.map((name) => ({
        stroke: ink(name),
        bounds: panel.ccc[name],
        width: 1.5,
        points: { show: false },
        ...(categories && { paths: () => null }),
      }))],
      axes: [
        charts.axis({ size: 26, gap: 4, labelGap: 0, labelFont: charts.FONT, ...below }),
        charts.valueAxis({ size: 40 }),
      ],
      hooks: { draw: [points(categories)] },
    }, [panel.x, ...names.map((name) => panel.ccc[name].map(([value]) => value))]);
  }

  document.querySelectorAll(".stress").forEach((parent) => {
    const { names, stress: panels } = data.evaluations[parent.dataset.evaluation];
    parent.before(element("p", { class: "legend" }, ...legend(names)));
    const values = panels.flatMap((panel) => Object.values(panel.ccc).flat(2)).filter((v) => v !== null);
    const range = padded(Math.min(...values, 0), Math.max(...values, 0));
    for (const panel of panels) stress(parent, panel, range);
  });

  // --- clip by clip
  function scored(name) {
    return (row) => {
      const value = row.ccc[name] ?? null;
      const track = drawn("rect", { class: "track", x: 0, y: 3, width: 90, height: 4 });
      const reach = Math.max(value ?? 0, 0) * 90;
      const bar = drawn("rect", { class: name, x: 0, y: 1, width: reach.toFixed(1), height: 8 });
      const picture = drawn("svg", { class: "bar", viewBox: "0 0 90 10", "aria-hidden": "true" }, track, bar);
      return element("span", {}, plain(value, 3), picture);
    };
  }
  document.querySelectorAll(".clips").forEach((parent) => {
    const { names, clips } = data.evaluations[parent.dataset.evaluation];
    const search = parent.previousElementSibling;
    grjca.table({
      parent,
      search: search.querySelector("input"),
      count: search.querySelector("output"),
      rows: clips,
      columns: [
        { title: "clip", name: true, value: (row) => row.clip, cell: (row) => row.clip },
        ...names.flatMap((name) => [
          { title: `CCC ${name}`, number: true, value: (row) => row.ccc[name], cell: scored(name) },
          {
            title: `RMSE ${name}`,
            number: true,
            value: (row) => row.rmse[name],
            cell: (row) => plain(row.rmse[name], 3),
          },
        ]),
      ],
    });
  });
})();
