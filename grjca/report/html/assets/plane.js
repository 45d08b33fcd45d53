"use strict";

// The plane of valence and arousal: the whole course faintly, the last seconds as a fading tail.
grjca.plane = (parent, { time, valence, arousal, labels, limit }) => {
  const { charts, colour, element, onTheme } = grjca;
  const TAIL = 3;
  const MOST = 4000; // Points of the course that are drawn.
  const MOST_IN_TAIL = 400;

  const side = () => Math.max(Math.min(parent.clientWidth, 420), 160);
  const reach = limit * 1.05;

  function course(chart) {
    const every = Math.max(Math.ceil(time.length / MOST), 1);
    const { ctx } = chart;
    ctx.save();
    ctx.strokeStyle = colour("course");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    let down = false;
    for (let i = 0; i < time.length; i += every) {
      if (Number.isNaN(valence[i] + arousal[i])) {
        down = false;
        continue;
      }
      const x = chart.valToPos(valence[i], "x", true);
      const y = chart.valToPos(arousal[i], "y", true);
      if (down) ctx.lineTo(x, y);
      else ctx.moveTo(x, y);
      down = true;
    }
    ctx.stroke();
    ctx.restore();
  }

  const scale = { time: false, range: [-reach, reach] };
  const ticks = { splits: () => [-1, -0.5, 0, 0.5, 1] };
  const chart = charts.still(
    parent,
    side(),
    {
      scales: { x: scale, y: { range: [-reach, reach] } },
      series: [{}, {}],
      axes: [
        charts.valueAxis({ ...ticks, size: 26, gap: 4, label: "valence", labelSize: 20, labelFont: charts.FONT, labelGap: 0 }),
        charts.valueAxis({ ...ticks, size: 36, label: "arousal", labelSize: 20, labelFont: charts.FONT, labelGap: 0 }),
      ],
      hooks: { draw: [course] },
    },
    [[-reach, reach], [null, null]],
  );
  const canvas = element("canvas", { class: "tail" });
  chart.over.append(canvas);
  let now = time[0];

  function place(at) {
    now = at;
    const width = chart.over.clientWidth;
    const height = chart.over.clientHeight;
    const ratio = devicePixelRatio;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    const last = Math.max(charts.above(time, at) - 1, 0);
    const first = Math.max(charts.above(time, at - TAIL) - 1, 0);
    const every = Math.max(Math.ceil((last - first) / MOST_IN_TAIL), 1);
    const x = (value) => chart.valToPos(value, "x");
    const y = (value) => chart.valToPos(value, "y");
    ctx.strokeStyle = colour("text");
    ctx.lineCap = "round";
    ctx.lineWidth = 2.5;
    for (let i = first; i < last; i += every) {
      const next = Math.min(i + every, last);
      if (Number.isNaN(valence[i] + arousal[i] + valence[next] + arousal[next])) continue;
      ctx.globalAlpha = Math.max(1 - (at - time[next]) / TAIL, 0) ** 1.5;
      ctx.beginPath();
      ctx.moveTo(x(valence[i]), y(arousal[i]));
      ctx.lineTo(x(valence[next]), y(arousal[next]));
      ctx.stroke();
    }
    ctx.globalAlpha = 1;
    if (labels && !Number.isNaN(labels[0][last] + labels[1][last])) {
      ctx.strokeStyle = colour("best");
      ctx.lineWidth = 2.5;
      ctx.beginPath();
      ctx.arc(x(labels[0][last]), y(labels[1][last]), 6, 0, 2 * Math.PI);
      ctx.stroke();
    }
    if (!Number.isNaN(valence[last] + arousal[last])) {
      ctx.fillStyle = colour("text");
      ctx.strokeStyle = colour("ground");
      ctx.lineWidth = 2;
      ctx.beginPath();
      ctx.arc(x(valence[last]), y(arousal[last]), 6, 0, 2 * Math.PI);
      ctx.fill();
      ctx.stroke();
    }
  }

  new ResizeObserver(() => {
    chart.setSize({ width: side(), height: side() });
    place(now);
  }).observe(parent);
  onTheme(() => place(now));
  return { place };
};
