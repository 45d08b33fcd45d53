"use strict";

(() => {
  const { data, floats, steps, signed, clock, element, colour, charts } = grjca;
  const $ = (id) => document.getElementById(id);
  const JUMP = 1;
  const LONG = 4000; // Rows from which on lines are thin.
  const FACE = 58; // Pixels that a picture of the face takes.

  const time = floats(data.time);
  const values = data.values.map((text) => steps(text, data.limit));
  const labels = data.labels && data.labels.map((text) => steps(text, data.limit));
  const digits = time.length > 1 && data.end - time[0] < 600 ? 2 : 1;

  const row = (t) => Math.max(charts.above(time, t) - 1, 0);
  /** A moment at which a player shows the row, and not the one before it for a rounding's sake. */
  const within = (i) => time[i] + Math.min(0.002, ((time[i + 1] ?? data.end) - time[i]) / 4);

  // --- charts over time
  const hint = $("hover").textContent;
  const view = new charts.TimeView(time[0], data.end, {
    seek: (t) => player.seek(t),
    hover: (t) => {
      const told = t === null ? hint : [clock(t, digits), ...data.names.map((name, k) =>
        `${name} ${signed(values[k][row(t)])}`)].join("  ");
      $("hover").textContent = told;
    },
  });

  function line(name, dashed) {
    return {
      stroke: () => colour(name),
      width: dashed || time.length > LONG ? 1.1 : 1.75,
      dash: dashed ? [5, 4] : undefined,
      points: { show: time.length === 1, size: 6, fill: () => colour(name) },
    };
  }
  view.add($("values"), 280, {
    labelled: true,
    scales: { y: { range: [-1.05 * data.limit, 1.05 * data.limit] } },
    series: [
      ...(labels ? data.names.map((name) => line(name, true)) : []),
      ...data.names.map((name) => line(name, false)),
    ],
    axes: [charts.valueAxis({ splits: () => [-1, -0.5, 0, 0.5, 1] })],
    data: (from, to, parts) =>
      charts.extremes(time, [...(labels ?? []), ...values], from, to, parts),
    hooks: { drawClear: [zero] },
  });

  function zero(chart) {
    const { ctx, bbox } = chart;
    const y = Math.round(chart.valToPos(0, "y", true));
    ctx.save();
    ctx.strokeStyle = colour("muted");
    ctx.lineWidth = devicePixelRatio;
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.restore();
  }

  const strips = [["sound", 0], ["face", 1]];
  view.add($("missing"), 44, {
    scales: { y: { range: [0, 2] } },
    series: [{}],
    axes: [charts.valueAxis({
      grid: { show: false },
      splits: () => [0.5, 1.5],
      values: () => strips.map(([name]) => name),
    })],
    data: (from, to) => [[from, to], [null, null]],
    hooks: { draw: [strip] },
  });

  function strip(chart) {
    const { ctx, bbox } = chart;
    const end = (i) => (i < time.length ? time[i] : data.end);
    const left = bbox.left;
    const right = bbox.left + bbox.width;
    ctx.save();
    for (const [name, level] of strips) {
      const top = chart.valToPos(level + 0.88, "y", true);
      const height = chart.valToPos(level + 0.12, "y", true) - top;
      ctx.fillStyle = colour("present");
      ctx.fillRect(left, top, right - left, height);
      ctx.fillStyle = colour(`no-${name}`);
      let drawn = -Infinity;
      for (const [first, behind] of data.missing[name]) {
        const from = Math.max(chart.valToPos(time[first], "x", true), left);
        const to = Math.min(chart.valToPos(end(behind), "x", true), right);
        // A single frame of an hour is still drawn, a pixel wide; what lies on it is not again.
        if (to < left || from > right || to <= drawn) continue;
        drawn = Math.max(to, from + devicePixelRatio);
        ctx.fillRect(from, top, drawn - from, height);
      }
    }
    ctx.restore();
  }

  document.querySelectorAll(".gate").forEach((parent, g) => {
    const columns = data.gates[g].map((text) => steps(text, 1));
    const classes = [...parent.previousElementSibling.querySelectorAll(".swatch")].map(
      (swatch) => swatch.className.match(/layer-\d/)[0],
    );
    const last = columns.length - 1;
    // The highest sum first, so that each lower one covers its own part of it.
    view.add(parent, 100, {
      scales: { y: { range: [0, 1] } },
      series: columns.map((_column, i) => ({
        fill: () => colour(classes[last - i]),
        width: 0,
        paths: uPlot.paths.stepped({ align: 1 }),
        points: { show: false },
      })),
      axes: [charts.valueAxis({ splits: () => [0, 0.5, 1] })],
      data: (from, to, parts) => {
        const [at, ...tops] = charts.layers(time, columns, from, to, parts, data.end);
        return [at, ...tops.reverse()];
      },
    });
  });

  // --- the face over time
  const pictures = data.faces.map(({ time: at, jpeg }) => {
    const button = element("button", { type: "button", tabindex: "-1", title: clock(at, digits) },
      element("img", { src: `data:image/jpeg;base64,${jpeg}`, alt: `the face at ${clock(at, digits)}` }));
    button.addEventListener("click", () => player.seek(within(row(at + 1e-3))));
    $("faces").append(button);
    return { at, button };
  });
  view.onChange((from, to, width) => {
    $("whole").hidden = !view.zoomed;
    let free = -Infinity;
    for (const { at, button } of pictures) {
      const middle = charts.GUTTER + ((at - from) / (to - from)) * width;
      const x = Math.max(Math.min(middle - FACE / 2, charts.GUTTER + width - FACE), 0);
      button.hidden = x < free || at < from || at > to;
      if (button.hidden) continue;
      button.style.left = `${x}px`;
      free = x + FACE;
    }
  });
  $("whole").addEventListener("click", () => view.show(view.first, view.last));

  // --- what is shown of the moment
  const plane = $("plane") && grjca.plane($("plane"), {
    time,
    valence: values[data.names.indexOf("valence")],
    arousal: values[data.names.indexOf("arousal")],
    labels: labels && ["valence", "arousal"].map((name) => labels[data.names.indexOf(name)]),
    limit: data.limit,
  });
  const lacking = Object.fromEntries(strips.map(([name]) => {
    const mask = new Uint8Array(time.length);
    for (const [first, behind] of data.missing[name]) mask.fill(1, first, behind);
    return [name, mask];
  }));
  let shownRow = -1;
  let shownState = null;

  function show(t, sought = false) {
    const i = row(t);
    view.place(t, sought);
    if (plane) plane.place(t);
    $("now").textContent = clock(t, digits);
    $("position").value = t;
    if (shownState !== player.playing) {
      shownState = player.playing;
      $("play").textContent = shownState ? "❚❚" : "▶";
      $("play").setAttribute("aria-label", shownState ? "Pause" : "Play");
    }
    if (i === shownRow) return;
    shownRow = i;
    data.names.forEach((_name, k) => {
      $(`predicted-${k}`).textContent = signed(values[k][i]);
      if (labels) $(`label-${k}`).textContent = signed(labels[k][i]);
    });
    const absent = ["face", "sound"].filter((name) => lacking[name][i]);
    $("state").textContent =
      `frame ${i}` + (absent.length ? ` · no ${absent.join(", no ")} here` : "");
    $("position").setAttribute("aria-valuetext",
      [clock(t, digits), ...data.names.map((name, k) => `${name} ${signed(values[k][i])}`)].join(", "));
    let nearest = null;
    for (const picture of pictures) {
      picture.button.classList.remove("here");
      if (!picture.button.hidden && picture.at <= time[i] + 1e-3) nearest = picture;
    }
    if (nearest) nearest.button.classList.add("here");
  }

  const media = $("media");
  const player = new grjca.Player(media, {
    start: data.start,
    first: time[0],
    last: data.end,
    moved: show,
  });
  if (media) {
    if (media.tagName === "VIDEO") media.controls = false;
    media.addEventListener("click", () => player.toggle());
    media.addEventListener("error", () => {
      media.hidden = true;
      $("mute").hidden = true;
      $("unplayable").hidden = false;
    });
    // A browser that knows the sound's format but not the picture's plays a picture without size.
    const look = () => {
      if (media.tagName !== "VIDEO" || media.videoWidth) return;
      media.hidden = true;
      $("unseen").hidden = false;
    };
    media.addEventListener("loadedmetadata", look);
    // The element may have failed, or be ready, before this script ran.
    if (media.error) media.dispatchEvent(new Event("error"));
    else if (media.readyState) look();
    $("mute").addEventListener("click", () => {
      media.muted = !media.muted;
      $("mute").setAttribute("aria-pressed", media.muted);
    });
  }
  $("position").min = time[0];
  $("position").max = data.end;
  $("position").addEventListener("input", (event) => player.seek(Number(event.target.value)));
  $("play").addEventListener("click", () => player.toggle());
  $("speed").addEventListener("change", (event) => (player.speed = Number(event.target.value)));

  // --- keys
  const step = (by) => player.seek(within(Math.min(Math.max(row(player.time) + by, 0), time.length - 1)));
  const keys = {
    " ": () => player.toggle(),
    ArrowLeft: (event) => (event.shiftKey ? step(-1) : player.seek(player.time - JUMP)),
    ArrowRight: (event) => (event.shiftKey ? step(1) : player.seek(player.time + JUMP)),
    Home: () => player.seek(time[0]),
    End: () => player.seek(within(time.length - 1)),
    "+": () => view.zoom(0.5),
    "=": () => view.zoom(0.5),
    "-": () => view.zoom(2),
    0: () => view.show(view.first, view.last),
  };
  document.addEventListener("keydown", (event) => {
    const own = keys[event.key];
    const tag = event.target.tagName;
    if (!own || event.ctrlKey || event.altKey || event.metaKey) return;
    if (tag === "SELECT" || (event.key === " " && (tag === "BUTTON" || tag === "A"))) return;
    event.preventDefault();
    event.stopPropagation();
    own(event);
  }, true);

  show(time[0]);
})();
