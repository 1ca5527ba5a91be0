// Wires the page together: buttons, files that are dropped, the start.
import * as camera from "./camera.js";
import * as nearest from "./nearest.js";
import * as scene from "./scene.js";
import * as video from "./video.js";
import {$, attempt, getJson, say} from "./server.js";

const VIDEO = /\.(3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|ogv|ts|vob|webm|wmv)$/i;
const isVideo = (file) => file.type.startsWith("video/") || VIDEO.test(file.name);

function takeFiles() {
  const onFile = (id, take) => {
    const input = $(id);
    if (!input) return; // Of parts that this model has not.
    input.onchange = () => {
      const [file] = input.files;
      input.value = ""; // So that the same file can be given again.
      if (file) take(file);
    };
    input.onchange(); // What was chosen while the page was loading.
  };
  onFile("photo-file", scene.show);
  onFile("other-file", scene.showOther);
  onFile("video-file", video.show);
  camera.start(scene.show);
  document.ondragover = (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  };
  document.ondragleave = (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  };
  document.ondrop = (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    const isOther = $("other-drop")?.contains(event.target);
    if (!file) say("A file was expected, of a photo or a video.", true);
    else if (isVideo(file)) video.show(file);
    else (isOther ? scene.showOther : scene.show)(file);
  };
}

function describe(about) {
  $("model").textContent = `${about.title}, sees ${about.size_px} px`;
  $("no-scene").hidden = !about.no_scene;
  $("no-scene-why").textContent = about.no_scene;
  $("expression-parts").hidden = !about.has_neutral;
  $("no-neutral").hidden = about.has_neutral;
  if (about.no_scene) {
    for (const part of document.querySelectorAll(".scene")) part.remove();
    $("stage").classList.add("alone");
  }
}

await attempt(async () => {
  const about = await getJson("/api/about");
  describe(about);
  scene.start(about, nearest.look);
  takeFiles();
  await Promise.all([nearest.start(about), video.start(about)]);
});
