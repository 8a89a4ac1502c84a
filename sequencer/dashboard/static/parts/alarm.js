/**
 * Sound and browser notifications of a margin call, each only where it was asked for. A level is told once, as it
 * rises; one that eases is silent.
 */
import { signal } from "@preact/signals";
import { html } from "../html.js";
import { remembered } from "../memory.js";
import { say } from "./toast.js";

const isLoud = remembered("alarm.sound", false);
const isTold = remembered("alarm.notification", false);
const permission = signal(typeof Notification === "undefined" ? "denied" : Notification.permission);

/** By account. @type {Map<number, number>} */
const levels = new Map();
/** @type {AudioContext | null} */
let audio = null;

/**
 * Says where an account stands.
 * @param {number} account
 * @param {number} level percent; 0: no call
 * @param {boolean} isOwn only one's own calls are heard
 */
export function alarm(account, level, isOwn) {
  const before = levels.get(account) ?? 0;
  levels.set(account, level);
  if (level <= before || !isOwn) return;
  if (isLoud.peek()) sound(level >= 80 ? 3 : 2);
  if (isTold.peek() && permission.peek() === "granted") {
    const title = level >= 100 ? `Account ${account}: liquidation begins` : `Account ${account}: margin call at ${level}%`;
    new Notification(title, { body: "Top up, reduce or isolate: the page shows what each would come to.", tag: `margin-call-${account}` });
  }
}

/** Short tones, one after the other. @param {number} count */
function sound(count) {
  audio ??= new AudioContext();
  for (let at = 0; at < count; at++) {
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    const begin = audio.currentTime + at * 0.25;
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.15, begin);
    volume.gain.exponentialRampToValueAtTime(0.001, begin + 0.2);
    tone.connect(volume).connect(audio.destination);
    tone.start(begin);
    tone.stop(begin + 0.2);
  }
}

/** How one wants to be told. */
export function Alarms() {
  const hear = () => {
    isLoud.value = !isLoud.value;
    // A browser lets a page sound only after a click in it: this one.
    if (isLoud.value) sound(1);
  };
  const tell = async () => {
    if (isTold.value) {
      isTold.value = false;
      return;
    }
    permission.value = await Notification.requestPermission();
    isTold.value = permission.value === "granted";
    if (!isTold.value) say("wrong", "Notifications are not allowed", "The browser's settings of this page decide it.");
  };
  return html`<span class="soft">Margin calls:</span>
    <button type="button" class="chip" aria-pressed=${isLoud.value} onClick=${hear}>sound</button>
    ${permission.value !== "denied" && html`<button type="button" class="chip" aria-pressed=${isTold.value} onClick=${tell}>notification</button>`}`;
}
