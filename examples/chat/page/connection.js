// A WebSocket for JSON messages that reconnects by itself, until it is refused or closed.

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const STEADY_MS = 5_000; // a connection that lasted this long was a good one
const MAX_REFUSALS = 2; // handshakes in a row that failed although the server was there

// Trying again would be answered the same: not accepted (1003), not understood (1007),
// not allowed (1008), or a code of the application's own.
const isRefusal = (code) => [1003, 1007, 1008].includes(code) || code >= 4000;

/**
 * Calls `onMessage(value)`, and `onStatus(state, detail)` with one of
 * "connecting", "open", "waiting" (detail: seconds until the next try),
 * "refused" (detail: the server's reason or ""; `retry` is the only way on).
 */
export class Connection {
  #url;
  #onMessage;
  #onStatus;
  #socket = null; // null after `close`
  #timer = 0;
  #tries = 0;
  #refusals = 0;

  constructor(url, { onMessage, onStatus }) {
    this.#url = url;
    this.#onMessage = onMessage;
    this.#onStatus = onStatus;
    this.#open();
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  send(value) {
    this.#socket.send(JSON.stringify(value));
  }

  /** Connect now, however long the wait was to be; nothing while connected or closed. */
  retry() {
    if (this.#socket?.readyState !== WebSocket.CLOSED) return;
    this.#tries = this.#refusals = 0;
    this.#open();
  }

  close() {
    clearTimeout(this.#timer);
    this.#socket?.close(1000);
    this.#socket = null;
  }

  #open() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.#url);
    const ifCurrent = (act) => (event) => { if (socket === this.#socket) act(event); };
    let openedAt = null;
    socket.onopen = ifCurrent(() => {
      openedAt = performance.now();
      this.#onStatus("open");
    });
    socket.onmessage = ifCurrent((event) => this.#onMessage(JSON.parse(event.data)));
    socket.onclose = ifCurrent((event) => this.#lost(socket, event, openedAt));
    this.#socket = socket;
    this.#onStatus("connecting");
  }

  async #lost(socket, { code, reason }, openedAt) {
    if (openedAt === null) {
      // A browser does not tell "no server" from "HTTP 403"; whether the page is there does.
      this.#refusals = (await isServerThere()) ? this.#refusals + 1 : 0;
      if (socket !== this.#socket) return;
    } else if (performance.now() - openedAt >= STEADY_MS) {
      this.#tries = this.#refusals = 0;
    }
    if (isRefusal(code) || this.#refusals >= MAX_REFUSALS) {
      this.#onStatus("refused", reason);
    } else {
      this.#wait();
    }
  }

  #wait() {
    const longest = Math.min(FIRST_DELAY_MS * 2 ** this.#tries, LONGEST_DELAY_MS);
    // Jitter: when a server restarts, its clients must not all come back at once.
    const delay = longest * (0.5 + Math.random() / 2);
    this.#tries += 1;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#onStatus("waiting", Math.ceil(delay / 1000));
  }
}

async function isServerThere() {
  try {
    const signal = AbortSignal.timeout(3_000);
    const answer = await fetch(location.pathname, { method: "HEAD", cache: "no-store", signal });
    return answer.ok;
  } catch {
    return false;
  }
}
