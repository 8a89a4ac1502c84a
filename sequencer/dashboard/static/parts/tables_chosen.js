/** Which table of the account is shown. */
import { remembered } from "../memory.js";

export const TABLES = [
  { key: "positions", title: "Positions" },
  { key: "orders", title: "Open orders" },
  { key: "fills", title: "Fills" },
  { key: "history", title: "Order history" },
  { key: "funding", title: "Funding" },
  { key: "transfers", title: "Transfers" },
  { key: "promises", title: "Promises" },
];
export const chosenTable = remembered("trade-table", "positions");
