// A program of a stranger's, with clients generated from the platform's OpenAPI documents: it opens, closes and reads.
// Run by tests/integration/test_typescript_client.py, with the platform's address as its argument.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import createClient from "openapi-fetch";
import type { paths as WithNumbers } from "./openapi-number.js";
import type { components, paths as WithStrings } from "./openapi-string.js";

type Position = components["schemas"]["PositionMessage"];

const baseUrl = process.argv[2] ?? "";
const headers = { "X-Account": "typescript" };
const exact = createClient<WithStrings, "application/json">({ baseUrl, headers });
const inexact = createClient<WithNumbers, "application/json">({ baseUrl, headers });
const query = { numbers: "string" } as const;

/** Opens with the fields that are required and no other, or with all of them. */
async function open(): Promise<Position> {
  const { data, error, response } = await exact.POST("/api/v1/positions/open", {
    params: { query, header: { "Idempotency-Key": randomUUID() } },
    body: { margin: "123.45678901", asset: "SOL_USDC", type: "long" },
  });
  assert.equal(response.status, 201, JSON.stringify(error));
  assert.ok(data);
  const side: "long" | "short" = data.type;
  assert.equal(side, "long");
  assert.equal(data.asset, "SOL");
  const quantity: string = data.quantity;
  assert.match(quantity, /^[0-9]+(\.[0-9]+)?$/);
  return data;
}

/** Closes what an exact answer says, in two parts. */
async function closeExactly(position: Position): Promise<void> {
  const half = await exact.POST("/api/v1/positions/close", {
    params: { query },
    body: { positionId: position.positionId, percentage: 50 },
  });
  const left: Position | null | undefined = half.data?.position;
  assert.ok(left);
  const rest = await exact.POST("/api/v1/positions/close", {
    params: { query },
    body: { positionId: left.positionId, quantity: left.quantity },
  });
  assert.equal(rest.data?.position, null, JSON.stringify(rest.error));
}

/** Closes with doubles, as a program does that knows no decimals. */
async function closeInexactly(): Promise<void> {
  for (const margin of [1234.56789012, 17.3, 999.99999999, 1.1]) {
    const opened = await inexact.POST("/api/v1/positions/open", {
      body: { margin, asset: "SOL", type: "short", leverage: 7, slippage: 5, stopLoss: null },
    });
    assert.ok(opened.data, JSON.stringify(opened.error));
    const quantity: number = opened.data.quantity;
    const closed = await inexact.POST("/api/v1/positions/close", {
      body: { positionId: opened.data.positionId, quantity },
    });
    assert.equal(closed.data?.position, null, JSON.stringify(closed.error));
  }
}

/** Reads state, trades, markets and candles, with what the types say of them. */
async function read(): Promise<void> {
  const state = await exact.GET("/api/v1/state", { params: { query } });
  assert.deepEqual(state.data?.positions, []);
  const trades = await exact.GET("/api/v1/trades", { params: { query: { ...query, limit: 10, reason: "manual" } } });
  const reason = trades.data?.trades[0]?.reason;
  assert.equal(reason, "manual");
  const markets = await inexact.GET("/api/v1/markets");
  const price: number | null | undefined = markets.data?.markets[0]?.price;
  assert.equal(typeof price, "number");
  const candles = await inexact.GET("/api/v1/candles", { params: { query: { symbol: "SOL", interval: "1m" } } });
  assert.equal(candles.data?.interval, "1m");
}

/** A refusal has its shape, too. */
async function refused(): Promise<void> {
  const { error, response } = await exact.POST("/api/v1/orders/cancel", {
    params: { query },
    body: { orderId: "none" },
  });
  assert.equal(response.status, 404);
  const code: "ORDER_NOT_FOUND" | undefined = error && "error" in error && error.error === "ORDER_NOT_FOUND" ? error.error : undefined;
  assert.equal(code, "ORDER_NOT_FOUND");
}

await closeExactly(await open());
await closeInexactly();
await read();
await refused();
console.log("done");
