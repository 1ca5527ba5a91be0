// Asks this server, and says on the page what is going on.

export const $ = (id) => document.getElementById(id);

/** Shows a line at the top of the page; an empty one hides it. */
export function say(text, isError = false) {
  $("status").textContent = text;
  $("status").hidden = !text;
  $("status").classList.toggle("error", isError);
}

/** Fetches an address; what is wrong becomes an Error with one line. */
async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: its terminal may say why.");
  }
  if (!response.ok) {
    const told = await response.json().catch(() => ({}));
    throw new Error(told.error || `The server answers ${response.status}.`);
  }
  return response;
}

const withQuery = (path, query) => `${path}?${new URLSearchParams(query)}`;

export async function getJson(path, query = {}) {
  return (await ask(withQuery(path, query))).json();
}

export async function getPicture(path, query) {
  return URL.createObjectURL(await (await ask(withQuery(path, query))).blob());
}

/** Sends a file, unless it is too large. */
export async function send(path, file, most, query = {}) {
  const mib = (x) => `${(x / 2 ** 20).toFixed(1)} MiB`;
  if (file.size > most) {
    throw new Error(`${file.name || "this file"}: ${mib(file.size)} is too ` +
      `large, at most ${mib(most)} are taken.`);
  }
  const options = {method: "POST", body: file,
    headers: {"Content-Type": "application/octet-stream"}};
  return (await ask(withQuery(path, query), options)).json();
}

/** Runs what a user asked for; what goes wrong is shown in one line. */
export async function attempt(action) {
  try {
    return await action();
  } catch (error) {
    say(error.message, true);
    return null;
  }
}

export const wait = (ms) => new Promise((done) => setTimeout(done, ms));

/** Makes an element with attributes and children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  Object.assign(element, attributes);
  element.append(...children);
  return element;
}
