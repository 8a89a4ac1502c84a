/** How wide a part is now, for pictures that write only what has room. */
import { useEffect, useRef, useState } from "preact/hooks";

/**
 * @param {number} first until it is known
 * @returns {[import("preact").RefObject<any>, number]} what to put at the element, and its width in pixels
 */
export function useWidth(first) {
  const seen = useRef(null);
  const [width, tell] = useState(first);
  useEffect(() => {
    const element = seen.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(([entry]) => entry && tell(Math.round(entry.contentRect.width)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [seen, width];
}
