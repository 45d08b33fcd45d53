"use strict";

// Charts over time that share one range, and small charts of their own; uPlot draws them.
grjca.charts = (() => {
  const { clock, colour, element, onTheme, plain } = grjca;
  const GUTTER = 46;
  const CLICK = 4; // Pixels that a pointer may move and still click.
  const TICKS = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600,
    900, 1800, 3600, 7200, 14400, 43200, 86400,
  ];
  const FONT = '12px system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif';

  const axis = (more) => ({
    stroke: () => colour("muted"),
    grid: { stroke: () => colour("grid"), width: 1 },
    ticks: { show: false },
    font: FONT,
    ...more,
  });

  const timeAxis = (show) =>
    axis({
      incrs: TICKS,
      space: 64,
      size: show ? 24 : 0,
      gap: 4,
      values: (_chart, at, _axis, _space, step) =>
        show ? at.map((t) => clock(t, step < 1 ? Math.ceil(-Math.log10(step) - 1e-9) : 0)) : [],
    });

  const STEPS = [-3, -2, -1, 0, 1, 2, 3].flatMap((power) => [1, 2, 5].map((n) => n * 10 ** power));

  const valueAxis = (more = {}) =>
    axis({
      size: GUTTER,
      gap: 6,
      space: 22,
      incrs: STEPS,
      values: (_chart, at, _axis, _space, step) =>
        at.map((v) => plain(v, Math.max(Math.ceil(-Math.log10(step) - 1e-9), 1))),
      ...more,
    });

  /** First index in increasing numbers that is greater than a value. */
  function above(numbers, value) {
    let low = 0;
    let high = numbers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (numbers[middle] <= value) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Rows to draw for a range of time: its own, one more on each side, and in how many parts. */
  function stretch(time, from, to, parts) {
    const first = Math.max(above(time, from) - 1, 0);
    const behind = Math.min(above(time, to) + 1, time.length);
    return { first, behind, parts: behind - first > 2 * parts ? parts : 0 };
  }

  const bound = ({ first, behind, parts }, part) =>
    first + Math.floor(((behind - first) * part) / parts);

  /** Times and columns of lines: every row, or each part's smallest and largest value in order. */
  function extremes(time, columns, from, to, parts) {
    const rows = stretch(time, from, to, parts);
    if (!rows.parts) {
      const own = (column) =>
        Array.from(column.subarray(rows.first, rows.behind), (v) => (Number.isNaN(v) ? null : v));
      return [Array.from(time.subarray(rows.first, rows.behind)), ...columns.map(own)];
    }
    const at = [];
    const lines = columns.map(() => []);
    for (let part = 0; part < rows.parts; part++) {
      const begin = bound(rows, part);
      const end = bound(rows, part + 1);
      at.push(time[begin], time[(begin + end) >> 1]);
      columns.forEach((column, k) => {
        let low = -1;
        let high = -1;
        for (let i = begin; i < end; i++) {
          if (Number.isNaN(column[i])) continue;
          if (low < 0 || column[i] < column[low]) low = i;
          if (high < 0 || column[i] > column[high]) high = i;
        }
        const pair = [Math.min(low, high), Math.max(low, high)];
        lines[k].push(...pair.map((i) => (i < 0 ? null : column[i])));
      });
    }
    return [at, ...lines];
  }

  /** Times and sums of layers from the lowest on: of every row, or of each part's means. */
  function layers(time, columns, from, to, parts, end) {
    const found = stretch(time, from, to, parts);
    const rows = found.parts ? found : { ...found, parts: found.behind - found.first };
    const at = [];
    const tops = columns.map(() => []);
    for (let part = 0; part < rows.parts; part++) {
      const begin = bound(rows, part);
      const behind = bound(rows, part + 1);
      let top = 0;
      at.push(time[begin]);
      columns.forEach((column, k) => {
        let total = 0;
        let count = 0;
        for (let i = begin; i < behind; i++) {
          if (Number.isNaN(column[i])) continue;
          total += column[i];
          count++;
        }
        top += count ? total / count : NaN;
        tops[k].push(Number.isNaN(top) ? null : top);
      });
    }
    // A row lasts until the next, and the last one until the end.
    at.push(rows.behind === time.length ? end : time[rows.behind - 1]);
    for (const column of tops) column.push(column[column.length - 1]);
    return [at, ...tops];
  }

  /** Charts below each other that show the same range of time, with one playhead. */
  class TimeView {
    constructor(first, last, { seek, hover }) {
      this.first = first;
      this.last = last;
      this.from = first;
      this.to = last;
      this.now = first;
      this.seek = seek;
      this.hover = hover;
      this.parts = [];
      this.listeners = [];
      onTheme(() => this.parts.forEach(({ chart }) => chart.redraw(false)));
    }

    /** Add a chart; `data(from, to, parts)` gives what it draws of a range. */
    add(parent, height, { data, scales, series, axes, hooks = {}, labelled = false }) {
      const chart = new uPlot(
        {
          width: Math.max(parent.clientWidth, 120),
          height: height + (labelled ? 24 : 0),
          padding: [6, 24, labelled ? 0 : 4, 0],
          legend: { show: false },
          scales: { x: { time: false }, ...scales },
          series: [{}, ...series],
          axes: [timeAxis(labelled), ...axes],
          cursor: {
            y: false,
            points: { show: false },
            drag: { x: true, y: false, setScale: false, dist: CLICK + 1 },
            bind: { dblclick: () => () => this.show(this.first, this.last) },
          },
          hooks: {
            ...hooks,
            setSelect: [(own) => this.#selected(own)],
            setCursor: [(own) => this.#pointed(own)],
          },
        },
        [[this.first, this.last], ...series.map(() => [null, null])],
        parent,
      );
      const playhead = element("div", { class: "playhead" });
      chart.over.append(playhead);
      let pressed = 0;
      chart.over.addEventListener("pointerdown", (event) => (pressed = event.clientX));
      chart.over.addEventListener("click", (event) => {
        if (Math.abs(event.clientX - pressed) > CLICK) return;
        const x = event.clientX - chart.over.getBoundingClientRect().left;
        this.seek(chart.posToVal(x, "x"));
      });
      const part = { chart, data, playhead };
      this.parts.push(part);
      new ResizeObserver(() => {
        const width = Math.max(parent.clientWidth, 120);
        if (width === chart.width) return;
        chart.setSize({ width, height: chart.height });
        this.#draw(part);
        this.#mark();
        this.#tell();
      }).observe(parent);
      this.#draw(part);
    }

    /** Call with the range and the width in pixels whenever either changes. */
    onChange(listener) {
      this.listeners.push(listener);
      this.#tell();
    }

    /** Show a range, within the clip and at least a few milliseconds long. */
    show(from, to) {
      const length = Math.min(Math.max(to - from, 0.01), this.last - this.first);
      this.from = Math.min(Math.max(from, this.first), this.last - length);
      this.to = this.from + length;
      for (const part of this.parts) this.#draw(part);
      this.#mark();
      this.#tell();
    }

    /** Show more or less around the playhead. */
    zoom(factor) {
      const length = (this.to - this.from) * factor;
      this.show(this.now - length / 2, this.now + length / 2);
    }

    get zoomed() {
      return this.to - this.from < (this.last - this.first) * 0.9999;
    }

    /** Move the playhead; a range that it leaves, or is not in when one seeks, follows it. */
    place(now, sought = false) {
      const followed = sought || this.#holds(this.now);
      this.now = now;
      if (this.zoomed && followed && !this.#holds(now)) {
        const length = this.to - this.from;
        const from = Math.min(Math.max(now - 0.1 * length, this.first), this.last - length);
        this.show(from, from + length);
        return;
      }
      this.#mark();
    }

    #holds(time) {
      return time >= this.from - 1e-6 && time <= this.to + 1e-6; // Sums of seconds are rounded.
    }

    #mark() {
      for (const { chart, playhead } of this.parts) {
        playhead.hidden = !this.#holds(this.now);
        playhead.style.transform = `translateX(${chart.valToPos(this.now, "x")}px)`;
      }
    }

    #draw({ chart, data }) {
      const parts = Math.max(Math.round(chart.width - GUTTER), 50);
      chart.batch(() => {
        chart.setData(data(this.from, this.to, parts), false);
        chart.setScale("x", { min: this.from, max: this.to });
      });
    }

    #selected(chart) {
      const { left, width } = chart.select;
      if (width <= CLICK) return;
      chart.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      this.show(chart.posToVal(left, "x"), chart.posToVal(left + width, "x"));
    }

    #pointed(chart) {
      const { left } = chart.cursor;
      this.hover(left >= 0 ? chart.posToVal(left, "x") : null);
    }

    #tell() {
      const width = this.parts.length ? this.parts[0].chart.over.clientWidth : 0;
      for (const listener of this.listeners) listener(this.from, this.to, width);
    }
  }

  /** A chart that is neither clicked nor zoomed; it follows its parent's width. */
  function still(parent, height, options, data) {
    const chart = new uPlot(
      {
        width: Math.max(parent.clientWidth, 120),
        height,
        padding: [8, 12, 0, 0],
        legend: { show: false },
        cursor: { show: false },
        ...options,
      },
      data,
      parent,
    );
    new ResizeObserver(() => {
      const width = Math.max(parent.clientWidth, 120);
      if (width !== chart.width) chart.setSize({ width, height: chart.height });
    }).observe(parent);
    onTheme(() => chart.redraw(false));
    return chart;
  }

  return { GUTTER, FONT, TimeView, above, axis, extremes, layers, still, valueAxis };
})();
