// Takes a photo with the camera.
import {$, say} from "./server.js";

let stream = null;

function close() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
  $("camera").hidden = true;
}

async function open() {
  if (!navigator.mediaDevices) {
    say("This browser gives no camera to this page.", true);
    return;
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({video: true});
  } catch (error) {
    say(`The camera cannot be used: ${error.message}.`, true);
    return;
  }
  say("");
  $("camera").hidden = false;
  $("camera-live").srcObject = stream;
  await $("camera-live").play().catch(() => {});
}

/** Wires the buttons; a photo that is taken is given to `onPhoto`. */
export function start(onPhoto) {
  $("camera-open").onclick = () => (stream ? close() : open());
  $("camera-close").onclick = close;
  $("camera-take").onclick = () => {
    const live = $("camera-live"), canvas = document.createElement("canvas");
    if (!live.videoWidth) return;
    canvas.width = live.videoWidth;
    canvas.height = live.videoHeight;
    canvas.getContext("2d").drawImage(live, 0, 0);
    canvas.toBlob((blob) => {
      close();
      onPhoto(blob);
    }, "image/jpeg", 0.95);
  };
}
