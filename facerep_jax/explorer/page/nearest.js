// The faces of the folder that are nearest to the photo.
import {$, attempt, getJson, make, wait} from "./server.js";

let about, photo = null, isReady = false;

export async function start(facts) {
  about = facts;
  if (!about.has_folder) {
    $("folder-state").textContent =
      "Start with --folder=PHOTOS to look for them in a folder.";
    return;
  }
  $("feature").append(...about.features.map((name) =>
    make("option", {value: name, textContent: name,
      selected: name === about.feature})));
  $("feature").onchange = refresh;
  await attempt(follow);
}

/** Shows how far the folder is read, until it is. */
async function follow() {
  for (;;) {
    const now = await getJson("/api/folder");
    const isOver = now.state !== "working";
    $("folder-progress").hidden = isOver;
    $("folder-progress").value = now.total ? now.done / now.total : 0;
    let text = isOver ? `${now.faces} faces in the folder`
      : `Reading the folder: ${now.done} of ${now.total} photos`;
    if (now.skipped) text += `, ${now.skipped} skipped`;
    if (now.left_out) text += `, the last ${now.left_out} left out`;
    if (now.first_skipped.length) text += ` (such as ${now.first_skipped[0]})`;
    $("folder-state").textContent = now.message || text;
    if (isOver) {
      isReady = now.state === "ready";
      return refresh();
    }
    await wait(500);
  }
}

/** Looks for the faces nearest to a photo. */
export function look(found) {
  photo = found;
  return refresh();
}

async function refresh() {
  if (!isReady || !photo) return;
  $("nearest-parts").hidden = false;
  const found = await attempt(() => getJson("/api/nearest",
    {photo: photo.name, feature: $("feature").value}));
  if (!found) return;
  $("faces").replaceChildren(...found.map((face) =>
    make("figure", {title: face.name},
      make("img", {src: `/api/face?number=${face.number}`, alt: face.name}),
      make("figcaption", {}, face.distance.toFixed(3), make("br"),
        face.name.split("/").pop()))));
}
