/** The weight of a term over sampling, as a small plot: 0 to 100 percent to the right, the weight upwards. */

import { make } from "./panel.js";

const SVG = "http://www.w3.org/2000/svg";
const HEIGHT = 92;
const ROOM = 0.08; // of the height, above and below the curve

function draw(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Format a number with at most four digits. */
const short = (value) => String(Number(value.toPrecision(4)));

/** Return the weight at a percent (0 to 1), on the straight lines between the points. */
function weightAt(points, percent) {
  const after = points.findIndex(([x]) => x > percent);
  if (after < 1) return points.at(after)[1];
  const [[x0, y0], [x1, y1]] = [points[after - 1], points[after]];
  return y0 + ((y1 - y0) * (percent - x0)) / (x1 - x0);
}

/** Return the lowest and the highest value of the plot; zero is always between them. */
function range(points) {
  const weights = points.map(([, weight]) => weight);
  const low = Math.min(0, ...weights);
  const high = Math.max(0, ...weights);
  return low === high ? [0, 1] : [low, high];
}

/** Create the plot; `show` takes {curve}, {waits} or {error} as the server answers. */
export function createWeightPlot() {
  const grid = [25, 50, 75].map((x) => draw("line", { class: "gcfg-grid", x1: x, x2: x, y1: 0, y2: 100 }));
  const zero = draw("line", { class: "gcfg-zero", x1: 0, x2: 100 });
  const area = draw("path", { class: "gcfg-area" });
  const line = draw("path", { class: "gcfg-line" });
  const cursor = draw("line", { class: "gcfg-cursor", y1: 0, y2: 100 });
  const svg = draw("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  svg.append(...grid, zero, area, line, cursor);
  const top = make("span", "gcfg-top");
  const bottom = make("span", "gcfg-bottom");
  const message = make("div", "gcfg-message");
  const readout = make("span", "", "sampling");
  const axis = make("div", "gcfg-axis", make("span", "", "0%"), readout, make("span", "", "100%"));
  const element = make("div", "gcfg-panel gcfg-plot", make("div", "gcfg-field", svg, top, bottom, message), axis);
  let points = [];

  function show(answer) {
    points = answer?.curve ?? [];
    message.textContent = answer?.error ?? answer?.waits ?? "";
    element.title = answer?.notes?.join("\n") ?? "";
    element.classList.toggle("gcfg-is-wrong", Boolean(answer?.error));
    element.classList.toggle("gcfg-is-empty", points.length === 0);
    if (points.length) drawCurve();
  }

  function drawCurve() {
    const [low, high] = range(points);
    const height = (weight) => 100 * (1 - ROOM - (1 - 2 * ROOM) * ((weight - low) / (high - low)));
    const corners = points.map(([percent, weight]) => `${100 * percent},${height(weight)}`).join(" ");
    line.setAttribute("d", `M${corners}`);
    area.setAttribute("d", `M0,${height(0)} ${corners} 100,${height(0)}Z`);
    for (const end of ["y1", "y2"]) zero.setAttribute(end, height(0));
    const isZero = points.every(([, weight]) => weight === 0);
    top.textContent = isZero ? "weight 0: costs nothing" : high > 0 ? short(high) : "";
    bottom.textContent = low < 0 ? short(low) : "";
  }

  svg.addEventListener("pointermove", (event) => {
    if (!points.length) return;
    const { left, width } = svg.getBoundingClientRect();
    const percent = Math.min(Math.max((event.clientX - left) / width, 0), 1);
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, 100 * percent);
    readout.textContent = `${Math.round(100 * percent)}%: ${short(weightAt(points, percent))}`;
  });
  svg.addEventListener("pointerleave", () => (readout.textContent = "sampling"));

  return { element, height: HEIGHT, show };
}
