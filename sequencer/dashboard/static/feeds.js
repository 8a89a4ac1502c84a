/**
 * Channels as signals: one state a channel, shared by all who show it, renewed at most once a frame.
 * @import {ReadonlySignal} from "@preact/signals"
 */
import { batch, signal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { Api, ApiError } from "./api.js";
import { beforeNextFrame } from "./frame.js";
import { opened, told, Torn } from "./model.js";

/**
 * @typedef {object} Feed
 * @property {ReadonlySignal<any>} state undefined before the first snapshot; see model.js for what it is of each family
 * @property {ReadonlySignal<ApiError | null>} refused
 */

/** How the node is reached. @type {import("@preact/signals").Signal<import("./api.js").Link>} */
export const link = signal("connecting");
/** When the node was last heard, by this browser's clock; what is shown is as old as that while it is away. */
export const heardAt = signal(0);

const scheme = location.protocol === "https:" ? "wss:" : "ws:";
// What is told is drawn in frames: the node may send it in fewer pieces, and answers at once.
const GATHER_MS = 250;
export const api = new Api(`${scheme}//${location.host}/ws?gather_ms=${GATHER_MS}`);
api.onLink = (now) => {
  link.value = now;
  if (now === "away") heardAt.value = Date.now();
};

/** @type {Map<string, {state: import("@preact/signals").Signal<any>, refused: import("@preact/signals").Signal<ApiError | null>, users: number, leave: () => void}>} */
const kept = new Map();
/** What has come since the last picture. @type {[string, (state: any) => any][]} */
let news = [];

function draw() {
  const now = news;
  news = [];
  /** @type {Map<string, any>} */
  const states = new Map();
  for (const [channel, change] of now) {
    const one = kept.get(channel);
    if (one === undefined) continue;
    const before = states.has(channel) ? states.get(channel) : one.state.peek();
    try {
      states.set(channel, change(before));
    } catch (error) {
      if (!(error instanceof Torn)) throw error;
      api.again(channel);
    }
  }
  batch(() => {
    for (const [channel, state] of states) {
      const one = kept.get(channel);
      if (one !== undefined) one.state.value = state;
    }
  });
}

/**
 * Takes part in a channel; call the returned function once when it is no longer shown.
 * @param {string} channel
 * @returns {[Feed, () => void]}
 */
export function join(channel) {
  let one = kept.get(channel);
  if (one === undefined) {
    const made = { state: signal(), refused: signal(/** @type {ApiError | null} */ (null)), users: 0, leave: () => {} };
    kept.set(channel, made);
    made.leave = api.listen(channel, {
      opened: (snapshot) => {
        made.refused.value = null;
        news.push([channel, () => opened(channel, snapshot)]);
        beforeNextFrame(draw);
      },
      told: (data) => {
        news.push([channel, (state) => (state === undefined ? state : told(channel, state, data))]);
        beforeNextFrame(draw);
      },
      refused: (error) => {
        made.refused.value = error;
        // What was told before is not what is now.
        news.push([channel, () => undefined]);
        beforeNextFrame(draw);
      },
    });
    one = made;
  }
  const found = one;
  found.users += 1;
  return [
    found,
    () => {
      found.users -= 1;
      if (found.users > 0) return;
      // A view that is left for another comes back in a moment, often.
      setTimeout(() => {
        if (found.users > 0 || kept.get(channel) !== found) return;
        kept.delete(channel);
        found.leave();
      }, 2_000);
    },
  ];
}

/** Asks again for whatever was refused. */
export function askAgain() {
  for (const [channel, one] of kept) {
    if (one.refused.peek() !== null) api.again(channel);
  }
}

/**
 * Why a channel tells nothing; null where it does, or has not answered.
 * @param {string | null} channel
 * @returns {ApiError | null}
 */
export function useRefusal(channel) {
  const joined = useMemo(() => (channel === null ? null : join(channel)), [channel]);
  useEffect(() => joined?.[1], [joined]);
  return joined?.[0].refused.value ?? null;
}

/**
 * A channel's state for a component, and nothing for none.
 * @param {string | null} channel
 * @returns {any} the state, undefined before the first snapshot
 */
export function useFeed(channel) {
  const joined = useMemo(() => (channel === null ? null : join(channel)), [channel]);
  useEffect(() => joined?.[1], [joined]);
  return joined?.[0].state.value;
}
