"use strict";

// What all pages share. Texts from the data reach the page as text nodes and attributes only.
const grjca = (() => {
  const MINUS = "\u2212";
  const NOTHING = "\u2013";
  const STEPS = 32767;
  const NOT_A_NUMBER = -32768;

  const data = JSON.parse(document.getElementById("data").textContent);

  function bytes(text) {
    return Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)).buffer;
  }

  /** Numbers that were kept as float32. */
  const floats = (text) => new Float32Array(bytes(text));

  /** Numbers that were kept in steps; NaN where there was none. */
  function steps(text, limit) {
    const whole = new Int16Array(bytes(text));
    const factor = limit / STEPS;
    return Float32Array.from(whole, (step) => (step === NOT_A_NUMBER ? NaN : step * factor));
  }

  /** A number as people write it: "+0.31", "−0.12", "–" for none. */
  function signed(value, digits = 2) {
    if (value === null || value === undefined || Number.isNaN(value)) return NOTHING;
    const text = Math.abs(value).toFixed(digits);
    return (value < 0 && Number(text) !== 0 ? MINUS : "+") + text;
  }

  const plain = (value, digits = 2) => signed(value, digits).replace("+", "");

  /** Seconds as a clock shows them: "0:12.3", "1:02:09". */
  function clock(seconds, digits = 0) {
    const scale = 10 ** digits;
    const whole = Math.round(Math.max(seconds, 0) * scale) / scale;
    const hours = Math.floor(whole / 3600);
    const minutes = Math.floor(whole / 60) % 60;
    const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
    return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
  }

  /** An element with attributes; children are elements or text. */
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  /** The same for a drawing. */
  function drawn(tag, attributes = {}, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const known = new Map();
  const listeners = [];
  dark.addEventListener("change", () => {
    known.clear();
    for (const listener of listeners) listener();
  });

  /** A colour of the style sheet by its name, in the light or dark form that is in use. */
  function colour(name) {
    if (!known.has(name)) {
      const style = getComputedStyle(document.documentElement);
      known.set(name, style.getPropertyValue(`--${name}`).trim());
    }
    return known.get(name);
  }

  /** Call when the page turns from light to dark or back. */
  const onTheme = (listener) => listeners.push(listener);

  return { data, floats, steps, signed, plain, clock, element, drawn, colour, onTheme, NOTHING };
})();
