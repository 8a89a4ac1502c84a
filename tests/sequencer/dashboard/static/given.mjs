// What the law hands to the page's tests; by hand: CATENARY_GIVEN names a file that given.py has made.
import { readFileSync } from "node:fs";

const path = process.env.CATENARY_GIVEN;
export const given = path ? JSON.parse(readFileSync(path, "utf8")) : null;
/** For tests that need it. */
export const needsGiven = { skip: given === null && "nothing was handed over (CATENARY_GIVEN)" };
