/**
 * One WebSocket to the node: calls, and channels that come back by themselves after a cut.
 *
 * What the node says is taken as told by that node and no more: what must be believed is checked in chain.js.
 * @import {Channels, Methods} from "./wire"
 */

/** @typedef {"connecting" | "open" | "away"} Link */
/** @typedef {keyof Methods} MethodName */

/**
 * What a subscriber is told. `opened`: a state to begin with, and again behind each gap; `told`: a message.
 * @typedef {object} Listener
 * @property {(snapshot: any, sequence: number) => void} opened
 * @property {(data: any, sequence: number) => void} told
 * @property {(error: ApiError) => void} [refused]
 */

/** A call that the node refused, or that got no answer: `name` is stable (AWAY where there was no connection). */
export class ApiError extends Error {
  /**
   * @param {string} name
   * @param {string} message
   * @param {Record<string, any>} [data]
   */
  constructor(name, message, data = {}) {
    super(message);
    this.name = name;
    this.data = data;
  }
}

/** What a node says that tells of an account to nobody but its owner and agents. */
export const PRIVATE = "PRIVATE";
const FIRST_PAUSE_MS = 400;
const LONGEST_PAUSE_MS = 8_000;
const CALL_MS = 30_000;
// Nothing came for so long: the connection is dead, whatever the socket believes.
const SILENCE_MS = 20_000;
const PING_MS = 7_000;
// What a WebSocket's readyState says of an open one.
const OPEN = 1;

/** The connection. `onLink` hears each change of it. */
export class Api {
  /**
   * @param {string} url ws(s)://host/ws
   * @param {(url: string) => WebSocket} [connect]
   */
  constructor(url, connect = (to) => new WebSocket(to)) {
    this.url = url;
    /** @type {Link} */
    this.link = "connecting";
    /** @type {(link: Link) => void} */
    this.onLink = () => {};
    /**
     * Asked where the node tells of an account to nobody but who shows a key: whether one was shown, on this connection.
     * @type {(account: number) => Promise<boolean>}
     */
    this.onPrivate = async () => false;
    /** @private */ this._connect = connect;
    /** @private @type {WebSocket | null} */ this._socket = null;
    /** @private */ this._next = 1;
    /** @private */ this._pause = FIRST_PAUSE_MS;
    /** @private */ this._heard = 0;
    /** @private @type {Map<number, {take: (result: any) => void, refuse: (error: ApiError) => void, again: () => void}>} */
    this._waiting = new Map();
    /** @private @type {Map<string, {listeners: Set<Listener>, epoch: string | null, sequence: number | null, open: boolean, pending: any[]}>} */
    this._channels = new Map();
  }

  /** Connects, and goes on connecting. */
  start() {
    this._open();
    setInterval(() => this._watch(), PING_MS);
  }

  /**
   * Calls a method; once more where a key was shown for it. Rejects with ApiError; AWAY: it was not sent, or the
   * connection broke before its answer. What is asked while the connection is being made is sent over it. What the node
   * has not begun, because this address had asked too much, is sent again when it says.
   * @template {MethodName} M
   * @param {M} method
   * @param {Methods[M]["params"]} params
   * @returns {Promise<Methods[M]["result"]>}
   */
  async call(method, params) {
    try {
      return await this._ask(method, params);
    } catch (error) {
      const isHidden = error instanceof ApiError && error.name === PRIVATE && method !== "catenary_access";
      if (!isHidden || !(await this.onPrivate(error.data["account"]))) throw error;
      return this._ask(method, params);
    }
  }

  /**
   * @private
   * @template {MethodName} M
   * @param {M} method
   * @param {Methods[M]["params"]} params
   * @returns {Promise<Methods[M]["result"]>}
   */
  _ask(method, params) {
    const socket = this._socket;
    const isOpen = socket !== null && socket.readyState === OPEN;
    if (!isOpen && this.link !== "connecting") {
      return Promise.reject(new ApiError("AWAY", "The node is not connected; it is tried again all the time."));
    }
    const id = this._next++;
    const text = JSON.stringify({ jsonrpc: "2.0", id, method, params });
    return new Promise((take, refuse) => {
      const late = setTimeout(() => {
        this._waiting.delete(id);
        refuse(new ApiError("NO_ANSWER", "The node has not answered in time."));
      }, CALL_MS);
      this._waiting.set(id, {
        take: (result) => (clearTimeout(late), take(result)),
        refuse: (error) => (clearTimeout(late), refuse(error)),
        again: () => this._waiting.has(id) && this._socket?.send(text),
      });
      if (isOpen) socket.send(text);
    });
  }

  /**
   * Listens to a channel; the returned function ends it. Listeners of one channel share one subscription.
   * @param {string} channel
   * @param {Listener} listener
   * @returns {() => void}
   */
  listen(channel, listener) {
    let kept = this._channels.get(channel);
    if (kept === undefined) {
      kept = { listeners: new Set(), epoch: null, sequence: null, open: false, pending: [] };
      this._channels.set(channel, kept);
      kept.listeners.add(listener);
      this._subscribe(channel);
    } else {
      // Who comes later needs a state too, which nobody here keeps: everybody begins anew with one.
      kept.listeners.add(listener);
      this.again(channel);
    }
    return () => this._leave(channel, listener);
  }

  /**
   * Begins a channel anew with a snapshot, as where a sum did not come out.
   * @param {string} channel
   */
  again(channel) {
    const kept = this._channels.get(channel);
    if (kept !== undefined) {
      kept.epoch = kept.sequence = null;
      this._subscribe(channel);
    }
  }

  /** Ends the connection and begins another, which knows nothing of what was shown on this one. */
  anew() {
    if (this._socket !== null) this._lost(this._socket);
  }

  /** @private */
  _open() {
    this._say("connecting");
    const socket = this._connect(this.url);
    this._socket = socket;
    this._heard = Date.now();
    socket.onopen = () => {
      this._pause = FIRST_PAUSE_MS;
      // Before anybody hears that it is open, and asks more.
      for (const asked of this._waiting.values()) asked.again();
      this._say("open");
      for (const channel of this._channels.keys()) this._subscribe(channel);
    };
    socket.onmessage = (event) => {
      this._heard = Date.now();
      this._take(JSON.parse(event.data));
    };
    socket.onclose = () => this._lost(socket);
  }

  /**
   * @private
   * @param {WebSocket} socket
   */
  _lost(socket) {
    if (this._socket !== socket) return;
    this._socket = null;
    socket.onclose = socket.onmessage = socket.onopen = null;
    socket.close();
    this._say("away");
    const waiting = [...this._waiting.values()];
    this._waiting.clear();
    for (const kept of this._channels.values()) kept.open = false;
    for (const call of waiting) call.refuse(new ApiError("AWAY", "The connection to the node broke."));
    // Not all pages of a restarted node at once.
    setTimeout(() => this._open(), this._pause * (0.75 + Math.random() / 2));
    this._pause = Math.min(this._pause * 2, LONGEST_PAUSE_MS);
  }

  /** @private */
  _watch() {
    const socket = this._socket;
    if (socket === null || socket.readyState !== OPEN) return;
    const silent = Date.now() - this._heard;
    if (silent > SILENCE_MS) this._lost(socket);
    // What has just delivered is alive.
    else if (silent >= PING_MS) this.call("catenary_status", {}).catch(() => {});
  }

  /**
   * @private
   * @param {Link} link
   */
  _say(link) {
    if (link !== this.link) {
      this.link = link;
      this.onLink(link);
    }
  }

  /**
   * @private
   * @param {any} message
   */
  _take(message) {
    if (message.method === "catenary_subscription") {
      this._told(message.params);
      return;
    }
    const call = this._waiting.get(message.id);
    if (call === undefined) return;
    const again_ms = message.error?.data?.name === "RATE_LIMITED" ? message.error.data.retry_after_ms : undefined;
    if (again_ms !== undefined) {
      setTimeout(call.again, again_ms);
      return;
    }
    this._waiting.delete(message.id);
    if (message.error) {
      const { data = {}, message: sentence } = message.error;
      call.refuse(new ApiError(data.name ?? String(message.error.code), sentence, data));
    } else {
      call.take(message.result);
    }
  }

  /**
   * @private
   * @param {{channel: string, epoch: string, sequence: number, data: any}} told
   */
  _told(told) {
    const kept = this._channels.get(told.channel);
    if (kept === undefined) return;
    if (!kept.open) {
      // The answer that opens the channel is still to be read.
      kept.pending.push(told);
      return;
    }
    if (told.epoch !== kept.epoch || kept.sequence === null || told.sequence <= kept.sequence) return;
    kept.sequence = told.sequence;
    for (const listener of kept.listeners) listener.told(told.data, told.sequence);
  }

  /**
   * @private
   * @param {string} channel
   */
  async _subscribe(channel) {
    const kept = this._channels.get(channel);
    if (kept === undefined || this.link !== "open") return;
    kept.open = false;
    kept.pending = [];
    const since = kept.epoch === null ? {} : { since: kept.sequence, epoch: kept.epoch };
    try {
      const opened = await this.call("catenary_subscribe", { channel, ...since });
      if (this._channels.get(channel) !== kept) return;
      const goesOn = opened.epoch === kept.epoch && opened.snapshot === null && kept.sequence !== null;
      kept.epoch = opened.epoch;
      kept.open = true;
      if (!goesOn) {
        kept.sequence = opened.sequence;
        for (const listener of kept.listeners) listener.opened(opened.snapshot, opened.sequence);
      }
      const missed = /** @type {any[]} */ (opened.updates);
      for (const told of [...missed, ...kept.pending]) this._told(told);
      kept.pending = [];
    } catch (error) {
      // AWAY is over when the connection is back, and then every channel is asked for again.
      if (!(error instanceof ApiError) || error.name === "AWAY" || this._channels.get(channel) !== kept) return;
      for (const listener of kept.listeners) listener.refused?.(error);
    }
  }

  /**
   * @private
   * @param {string} channel
   * @param {Listener} listener
   */
  _leave(channel, listener) {
    const kept = this._channels.get(channel);
    if (kept === undefined) return;
    kept.listeners.delete(listener);
    if (kept.listeners.size === 0) {
      this._channels.delete(channel);
      if (this.link === "open") this.call("catenary_unsubscribe", { channel }).catch(() => {});
    }
  }
}
