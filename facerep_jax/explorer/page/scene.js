// A photo: its scene factors, and its face as the sliders say.
import {$, attempt, getPicture, make, say, send} from "./server.js";

const SLIDERS = [ // Name for the server, label, least, most, step, unit.
  ["yaw", "Yaw", -75, 75, 1, "°"],
  ["pitch", "Pitch", -60, 60, 1, "°"],
  ["roll", "Roll", -60, 60, 1, "°"],
  ["right_deg", "Light from right", -45, 45, 1, "°"],
  ["above_deg", "Light from above", -45, 45, 1, "°"],
  ["diffuse", "Directed light", 0, 1, 0.01, ""],
  ["ambient", "Ambient light", 0, 1, 0.01, ""],
];
const EVEN = {right_deg: 0, above_deg: 0, diffuse: 0.6, ambient: 0.4};
const CUTS = {
  face: "the face was found and cut out",
  whole: "no face was found: the whole photo was taken",
  none: "taken as it is, cut to the face already",
};
let about, photo, other, asked = null, isBusy = false, delays = [];
let onPhoto = () => {};

/** Builds the sliders, and says what is to be called with a new photo. */
export function start(facts, whenNew) {
  about = facts;
  onPhoto = whenNew;
  if (about.no_scene) return;
  for (const [name, label, min, max, step, unit] of SLIDERS) {
    const most = about.limit_deg[name];
    const input = make("input", {type: "range", id: name,
      min: most ? -most : min, max: most || max, step, value: 0});
    const shown = make("output", {htmlFor: name});
    input.unit = unit;
    input.addEventListener("input", () => redraw());
    $("sliders").append(make("div", {className: "slider"},
      make("label", {htmlFor: name, textContent: label}), input, shown));
  }
  $("as-photo").onclick = () => set({...photo.angles, ...photo.light});
  $("front").onclick = () => set({yaw: 0, pitch: 0, roll: 0});
  $("even").onclick = () => set(EVEN);
  for (const radio of document.getElementsByName("expression")) {
    radio.addEventListener("change", redraw);
  }
  turnByDragging($("rendered"));
}

/** Sets sliders, and draws. */
function set(values) {
  for (const [name, value] of Object.entries(values)) $(name).value = value;
  redraw();
}

function turnByDragging(image) {
  let from = null;
  image.onpointerdown = (event) => {
    image.setPointerCapture(event.pointerId);
    from = {x: event.clientX, y: event.clientY,
      yaw: +$("yaw").value, pitch: +$("pitch").value};
  };
  image.onpointermove = (event) => {
    if (!from) return;
    const scale = 90 / image.clientWidth;
    set({yaw: from.yaw - scale * (event.clientX - from.x),
      pitch: from.pitch + scale * (event.clientY - from.y)});
  };
  image.onpointerup = image.onpointercancel = () => { from = null; };
}

/** Asks for the picture of what the sliders say; the last wish counts. */
function redraw() {
  const query = {photo: photo.name};
  for (const [name] of SLIDERS) {
    const input = $(name), value = +input.value;
    query[name] = value;
    input.nextSibling.textContent =
      (input.unit ? Math.round(value) : value.toFixed(2)) + input.unit;
  }
  const chosen = document.querySelector("[name=expression]:checked").value;
  query.expression = chosen === "other" ? other.name : chosen;
  asked = query;
  if (!isBusy) draw();
}

async function draw() {
  isBusy = true;
  while (asked) {
    const query = asked, since = performance.now();
    asked = null;
    await attempt(async () => {
      const picture = await getPicture("/api/render", query);
      if (query.photo !== photo.name) return;
      URL.revokeObjectURL($("rendered").src);
      $("rendered").src = picture;
      await $("rendered").decode().catch(() => {});
      delays = [...delays.slice(-19), performance.now() - since];
      const middle = delays.toSorted((a, b) => a - b)[delays.length >> 1];
      $("delay").textContent = `A picture takes ${Math.round(middle)} ms.`;
    });
  }
  isBusy = false;
}

async function read(file) {
  say(about.is_ready ? "Reading the photo .."
    : "Reading the photo; the first one waits for the model to be compiled ..");
  const found = await send("/api/photo", file, about.most_bytes.photo);
  about.is_ready = true;
  say(found.notes.length ? `Note: ${found.notes.join("; ")}.` : "");
  return found;
}

/** Shows a photo, a file or a blob. */
export async function show(file) {
  const found = await attempt(() => read(file));
  if (!found) return;
  photo = found;
  const [cut, ...maps] = Object.entries(photo.pictures);
  $("cut").src = cut[1];
  $("cut-caption").textContent = `${cut[0]}: ${CUTS[photo.cut]}`;
  $("stage").hidden = false;
  if (!about.no_scene) {
    $("maps").replaceChildren(...maps.map(([caption, src]) =>
      make("figure", {}, make("img", {src, alt: caption}),
        make("figcaption", {textContent: caption}))));
    for (const id of ["turn", "expression", "factors"]) $(id).hidden = false;
    document.querySelector("[value=own]").checked = true;
    set({...photo.angles, ...photo.light});
  }
  onPhoto(photo);
}

/** Takes the second photo, whose expression the first one gets. */
export async function showOther(file) {
  const found = await attempt(() => read(file));
  if (!found) return;
  other = found;
  $("other").src = Object.values(other.pictures)[0];
  $("other").hidden = false;
  const radio = document.querySelector("[value=other]");
  radio.disabled = false;
  radio.checked = true;
  redraw();
}
