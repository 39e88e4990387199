// The chat page: the door, the room behind it, and what is said there.
// Whatever others wrote goes into the page as `textContent`, never as HTML.

import { Connection } from "./connection.js";

const MAX_LINES = 500; // older ones leave the page

const part = Object.fromEntries([...document.querySelectorAll("[id]")].map((e) => [e.id, e]));

let connection = null; // null at the door
let address = null; // of the room that we are in
let you = null; // the name that the server gave us; null until its first welcome
let unanswered = []; // texts that we sent and that neither came back nor were refused
const shown = new Set(); // the sayings that are in the log, by time and name
let isAtEnd = true; // whether the newest line is in sight

// The door

function start() {
  const link = new URLSearchParams(location.hash.slice(1)); // #room=…&name=…
  const room = link.get("room") ?? "";
  const name = link.get("name") ?? remembered();
  part.name.value = name;
  if (room) part.room.value = room;
  if (room && part.entry.checkValidity()) enter(room, name);
  else part.name.focus();
}

function enter(room, name) {
  // The name stays out of the address: who is invited has another one.
  history.replaceState(null, "", `#${new URLSearchParams({ room })}`);
  remember(name);
  you = null;
  part.title.textContent = room;
  document.title = `${room} – Chat`;
  part.log.replaceChildren();
  shown.clear();
  part.here.replaceChildren();
  part.problem.textContent = "";
  show(part.inside);
  part.text.focus();

  const path = `chat/${encodeURIComponent(room)}?${new URLSearchParams({ name })}`;
  address = new URL(path, location.href);
  address.protocol = address.protocol.replace("http", "ws");
  connect();
}

function connect() {
  connection = new Connection(address, { onMessage: hear, onStatus: showStatus });
}

function leave() {
  connection?.close();
  connection = null;
  giveBack();
  history.replaceState(null, "", location.pathname);
  document.title = "Chat";
  show(part.door);
  part.name.focus();
}

function show(view) {
  part.door.hidden = view !== part.door;
  part.inside.hidden = view !== part.inside;
}

// A reload comes back by the same name; where storage is forbidden, it asks again.
function remember(name) {
  try { sessionStorage.setItem("name", name); } catch { /* forbidden */ }
}

function remembered() {
  try { return sessionStorage.getItem("name") ?? ""; } catch { return ""; }
}

// What the server sends, and what becomes of the connection

const hearing = {
  welcome({ name }) {
    if (you !== null) note("Connected again");
    you = name;
    part.status.textContent = `You are ${name}`;
  },
  came({ name, here }) {
    note(name === you ? "You came in" : `${name} came in`);
    showPeople(here);
  },
  left({ name, here }) {
    note(`${name} left`);
    showPeople(here);
  },
  said({ name, text, at }) {
    if (!isNew(`${at} ${name}`)) return;
    if (name === you) unanswered.shift();
    addLine(name, text, new Date(at * 1000));
  },
  refused({ reason }) {
    giveBack(1);
    part.problem.textContent = `Not sent: ${reason}`;
  },
};

function hear(message) {
  hearing[message.type]?.(message);
}

/** Whether this was not said in the log yet: the history comes with every connection. */
function isNew(saying) {
  if (shown.has(saying)) return false;
  shown.add(saying);
  if (shown.size > MAX_LINES) shown.delete(shown.values().next().value);
  return true;
}

const wording = {
  connecting: () => "Connecting…",
  open: () => "Connected",
  waiting: (seconds) => `Not connected. Trying again in ${seconds}\u00a0s`,
  refused: (reason) => `The server refused${reason ? `: ${reason}` : ""}. Try another name or room`,
};

function showStatus(state, detail) {
  part.status.dataset.state = state;
  part.status.textContent = wording[state](detail);
  part.retry.hidden = state !== "waiting" && state !== "refused";
  part.send.disabled = state !== "open";
  if (state !== "open") {
    part.here.replaceChildren();
    giveBack();
  }
}

// Saying something

function say() {
  const text = part.text.value.trim();
  if (!text || !connection.isOpen) return;
  connection.send({ text });
  unanswered.push(text);
  part.text.value = "";
  part.problem.textContent = "";
  fitText();
  scrollToEnd();
}

/** Put texts that did not get through back into the field, before what is there now. */
function giveBack(count = unanswered.length) {
  const texts = unanswered.splice(0, count);
  if (!texts.length) return;
  part.text.value = [...texts, part.text.value].filter(Boolean).join("\n");
  fitText();
}

function fitText() {
  const { style, offsetHeight, clientHeight } = part.text;
  style.height = "auto";
  style.height = `${part.text.scrollHeight + offsetHeight - clientHeight}px`;
}

// The log

function element(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function note(text) {
  append(element("p", "note", text));
}

function addLine(name, text, when) {
  const line = element("div", name === you ? "line own" : "line", "");
  const time = element("time", "", when.toLocaleTimeString([], { timeStyle: "short" }));
  const said = element("p", "said", text);
  said.dir = "auto";
  // `bdi`: a name written from right to left must not turn the line around.
  line.append(element("bdi", "who", name), " ", time, said);
  append(line);
}

function append(line) {
  const wasAtEnd = isAtEnd;
  part.log.append(line);
  while (part.log.childElementCount > MAX_LINES) part.log.firstElementChild.remove();
  if (wasAtEnd) scrollToEnd();
  else part.latest.hidden = false;
}

function scrollToEnd() {
  part.log.scrollTop = part.log.scrollHeight;
  isAtEnd = true;
  part.latest.hidden = true;
}

function showPeople(names) {
  part.here.replaceChildren(...names.map((name) => {
    const item = document.createElement("li");
    item.append(element("bdi", "", name), name === you ? " (you)" : "");
    return item;
  }));
}

// What the user does

part.entry.addEventListener("submit", (event) => {
  event.preventDefault();
  enter(part.room.value.trim(), part.name.value.trim());
});

part.say.addEventListener("submit", (event) => {
  event.preventDefault();
  say();
  part.text.focus();
});

part.text.addEventListener("keydown", (event) => {
  // While an input method composes a character, Enter belongs to it.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  say();
});

part.text.addEventListener("input", fitText);
part.leave.addEventListener("click", leave);
part.retry.addEventListener("click", () => {
  connection.retry();
  part.text.focus(); // the button has just gone
});

part.latest.addEventListener("click", () => {
  scrollToEnd();
  part.text.focus();
});

part.log.addEventListener("scroll", () => {
  const { scrollHeight, scrollTop, clientHeight } = part.log;
  isAtEnd = scrollHeight - scrollTop - clientHeight < 40;
  if (isAtEnd) part.latest.hidden = true;
});

// A phone's keyboard takes half of the room; the newest line stays in sight.
new ResizeObserver(() => { if (isAtEnd) scrollToEnd(); }).observe(part.log);

// A page that was left by a link may live on, unseen, to be shown again by the back button.
addEventListener("pagehide", () => connection?.close());
addEventListener("pageshow", (event) => { if (event.persisted && connection) connect(); });
addEventListener("online", () => connection?.retry());
addEventListener("hashchange", () => {
  connection?.close();
  connection = null;
  show(part.door);
  start();
});

start();
