// Curves of a video over time, with the frame under the cursor.
import {$, attempt, getJson, make, say, send, wait} from "./server.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 1000, HIGH = 100;
let about, people = [], shown = null, run = 0, marks = [];

export async function start(facts) {
  about = facts;
  $("person").onchange = () => showPerson(people[+$("person").value]);
  if (about.has_video) await attempt(follow);
}

export async function show(file) {
  say("Sending the video ..");
  $("film").hidden = true;
  run += 1; // Whoever follows the video before ends.
  const sent = await attempt(() => send("/api/new-video", file,
    about.most_bytes.video, {name: file.name}));
  if (!sent) return;
  say("");
  await attempt(follow);
}

/** Shows how far the video is read, until its curves are there. */
async function follow() {
  const own = run += 1;
  for (;;) {
    const now = await getJson("/api/video");
    if (own !== run) return;
    const isOver = now.state !== "working";
    $("video-progress").hidden = isOver;
    $("video-progress").value = now.total ? now.done / now.total : 0;
    $("video-state").textContent = now.message ||
      [isOver ? now.name : `Reading ${now.name} ..`, ...now.notes].join("; ");
    if (isOver) {
      if (now.state === "ready") showPeople(now.people);
      return;
    }
    await wait(500);
  }
}

function showPeople(found) {
  people = found;
  $("film").hidden = !people.length;
  $("person-label").hidden = people.length < 2;
  $("person").replaceChildren(...people.map((person, i) =>
    make("option", {value: i,
      textContent: `${i + 1} (${person.seconds.length} frames)`})));
  if (people.length) showPerson(people[0]);
}

function showPerson(person) {
  shown = person;
  marks = [];
  $("charts").replaceChildren(...Object.entries(person.curves).flatMap(
    ([caption, values]) => chart(caption, values)),
  make("p", {}, ...[0, -1].map((i) =>
    make("span", {textContent: `${person.seconds.at(i).toFixed(2)} s`}))));
  point(0);
}

function drawn(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) {
    element.setAttribute(key, value);
  }
  return element;
}

/** Makes the chart of one curve. */
function chart(caption, values) {
  const low = Math.min(...values), high = Math.max(...values);
  const pad = 0.05 * (high - low) || Math.abs(high) || 1;
  const y = (v) => HIGH * (1 - (v - low + pad) / (high - low + 2 * pad));
  const svg = drawn("svg", {viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img",
    preserveAspectRatio: "none", "aria-label": caption});
  if (low < 0 && high > 0) {
    svg.append(drawn("line",
      {class: "zero", x1: 0, x2: WIDE, y1: y(0), y2: y(0)}));
  }
  svg.append(drawn("path", {d: line(shown.seconds, values.map(y))}));
  const mark = drawn("line", {y1: 0, y2: HIGH});
  svg.append(mark);
  const value = make("b");
  marks.push({mark, value, values});
  svg.onpointermove = svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    point(nearest(start_() + length() * (event.clientX - box.left) / box.width));
  };
  return [make("p", {}, make("span", {textContent:
    `${caption} (${low.toPrecision(3)} to ${high.toPrecision(3)})`}), value),
  svg];
}

const start_ = () => shown.seconds[0];
const length = () => (shown.seconds.at(-1) - start_()) || 1;
const across = (s) => WIDE * (s - start_()) / length();

/** Makes the path of a curve; it ends where the person is not seen. */
function line(seconds, ys) {
  const steps = seconds.slice(1).map((s, i) => s - seconds[i]);
  const usual = steps.toSorted((a, b) => a - b)[steps.length >> 1] || 1;
  return ys.map((y, i) => {
    const isGap = !i || steps[i - 1] > 2.5 * usual;
    return `${isGap ? "M" : "L"}${across(seconds[i]).toFixed(1)} ${y.toFixed(1)}`;
  }).join("");
}

function nearest(second) {
  let best = 0;
  shown.seconds.forEach((s, i) => {
    if (Math.abs(s - second) < Math.abs(shown.seconds[best] - second)) best = i;
  });
  return best;
}

/** Shows a frame, and where it is on the curves. */
function point(i) {
  for (const {mark, value, values} of marks) {
    const x = across(shown.seconds[i]);
    mark.setAttribute("x1", x);
    mark.setAttribute("x2", x);
    value.textContent = values[i].toPrecision(3);
  }
  $("frame-image").src = `/api/frame?number=${shown.frames[i]}`;
  const [x0, y0, x1, y1] = shown.boxes[i].map((v) => Math.min(1, Math.max(0, v)));
  const share = (v) => `${100 * v}%`;
  Object.assign($("frame-box").style, {left: share(x0), top: share(y0),
    width: share(x1 - x0), height: share(y1 - y0)});
  $("frame-caption").textContent =
    `${shown.seconds[i].toFixed(2)} s, frame ${shown.frames[i]}`;
}
