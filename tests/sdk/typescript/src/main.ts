// Sells a card, spends from it, holds, captures, takes back, and reads the history.

import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { env } from "node:process";
import { setTimeout } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import type { CallOptions, Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";

import { ErrorReason } from "../gen/giftcard/v1/error_reason_pb.js";
import { Transaction_Kind, type Money } from "../gen/giftcard/v1/gift_card_pb.js";
import { GiftCardService } from "../gen/giftcard/v1/gift_card_service_pb.js";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.js";

const authorize: Interceptor = (next) => (request) => {
  request.header.set("Authorization", `Bearer ${env.GIFTCARD_TOKEN}`);
  return next(request);
};
const ca = env.GIFTCARD_CA_FILE && readFileSync(env.GIFTCARD_CA_FILE);
const connection = {
  baseUrl: `${ca ? "https" : "http"}://${env.GIFTCARD_SERVER}`,
  httpVersion: "2" as const,
  interceptors: [authorize],
  nodeOptions: ca ? { ca } : {},
};
const transport =
  env.GIFTCARD_PROTOCOL === "grpc-web"
    ? createGrpcWebTransport(connection)
    : createGrpcTransport(connection);
const cards = createClient(GiftCardService, transport);

// Node reports a connection that broke as Canceled, Aborted or Internal.
const LOST = [
  Code.Unavailable,
  Code.DeadlineExceeded,
  Code.Canceled,
  Code.Aborted,
  Code.Internal,
];

/** Calls until there is an answer. The request id stays the same, so the money moves once. */
async function insist<Request, Answer>(
  method: (request: Request, options: CallOptions) => Promise<Answer>,
  request: Request,
): Promise<Answer> {
  for (let pauseMs = 100; ; pauseMs *= 2) {
    try {
      return await method(request, { timeoutMs: 5_000 });
    } catch (error) {
      if (pauseMs > 2_000 || !LOST.includes(ConnectError.from(error).code)) throw error;
      await setTimeout(pauseMs);
    }
  }
}

/** Why the service refused, and the facts that go with it. */
function refusal(error: unknown) {
  const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
  if (!info) throw error;
  return { reason: ErrorReason[info.reason as keyof typeof ErrorReason], facts: info.metadata };
}

const usd = (minorUnits: bigint) => ({ minorUnits, currencyCode: "USD" });
const shown = (money?: Money) => `${money?.minorUnits} ${money?.currencyCode}`;

const issued = await insist(cards.issueGiftCard, {
  program: "programs/GC",
  amount: usd(5000n),
  requestId: randomUUID(),
});
const name = issued.giftCard!.name;
const giftCard = { reference: { case: "name" as const, value: name } };
console.log(`issued ${shown(issued.giftCard?.balance)}`);

// The request id is this sale's, for ever: whatever gets lost, the money moves once.
const sale = { giftCard, amount: usd(1250n), requestId: randomUUID() };
const redeemed = await insist(cards.redeemGiftCard, sale);
console.log(`redeemed ${shown(redeemed.approvedAmount)}`);
const again = await insist(cards.redeemGiftCard, sale);
console.log(`sent again, replayed ${again.replayed}, balance ${shown(again.giftCard?.balance)}`);

try {
  await insist(cards.redeemGiftCard, { giftCard, amount: usd(9900n), requestId: randomUUID() });
} catch (error) {
  const { reason, facts } = refusal(error);
  if (reason !== ErrorReason.INSUFFICIENT_FUNDS) throw error;
  console.log(`refused INSUFFICIENT_FUNDS, available ${facts.available_minor_units}`);
}

const held = await insist(cards.authorizeGiftCard, {
  giftCard,
  extent: { case: "amount" as const, value: usd(2000n) },
  requestId: randomUUID(),
});
console.log(`held ${shown(held.approvedAmount)}`);
const captured = await insist(cards.captureHold, {
  name: held.hold!.name,
  amount: usd(1500n),
  final: true,
  requestId: randomUUID(),
});
console.log(`captured ${shown(captured.capturedAmount)}`);

const reversed = await insist(cards.reverseTransaction, {
  original: { case: "originalRequestId" as const, value: sale.requestId },
  requestId: randomUUID(),
});
console.log(`reversed, balance ${shown(reversed.giftCards[0]?.balance)}`);

const kinds: string[] = [];
let pageToken = "";
do {
  const page = await insist(cards.listTransactions, { giftCard: name, pageSize: 4, pageToken });
  kinds.push(...page.transactions.map((each) => Transaction_Kind[each.kind]));
  pageToken = page.nextPageToken;
} while (pageToken);
console.log(`history ${kinds.join(" ")}`);
