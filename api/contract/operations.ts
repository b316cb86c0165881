import { discardDeadLetter, listAttention, listDeadLetters, redriveDeadLetter, resolveParked } from './admin.ts';
import { auditShop } from './audit.ts';
import { placeCheckout } from './checkouts.ts';
import { decodePayloads, encodePayloads, openCodecSession } from './codec.ts';
import { adjustStock, getStock } from './inventory.ts';
import { followOrder } from './live.ts';
import type { Operation } from './operation.ts';
import { cancelOrder, getOrder, listOrders } from './orders.ts';
import { changeProduct, createProduct, getProduct, listProducts } from './products.ts';
import { refundOrder } from './refunds.ts';
import { listDailySales } from './sales.ts';
import { tellOrderStory } from './story.ts';
import { getDocsAsset, getHealth, getOpenApi, getReadiness, showDocs } from './system.ts';
import { changeUser, createUser, getOwnUser } from './users.ts';
import { getView, listViews, rebuildView } from './views.ts';
import { receiveWebhook } from './webhooks.ts';

/** Every operation of the API, in the order of the document. */
export const OPERATIONS: readonly Operation[] = [
  ...[placeCheckout, receiveWebhook],
  ...[listOrders, getOrder, followOrder, tellOrderStory, cancelOrder, refundOrder],
  ...[listProducts, getProduct, createProduct, changeProduct],
  ...[getOwnUser, createUser, changeUser],
  adjustStock,
  getStock,
  listDailySales,
  ...[auditShop, listAttention, resolveParked],
  ...[listDeadLetters, redriveDeadLetter, discardDeadLetter],
  ...[listViews, getView, rebuildView],
  ...[getHealth, getReadiness, getOpenApi, showDocs, getDocsAsset],
  ...[decodePayloads, encodePayloads, openCodecSession],
];
