import type { Response } from 'express';

import type { OrderView } from '../activities/orders/read.ts';
import { orderNumberOf, type PlacedOrder, type PricedLine } from '../domain/checkout.ts';
import { checkoutWorkflowId } from '../domain/workflow-ids.ts';

/** Where an order can be followed. `temporal` is there when this system knows its Temporal Web. */
export type Links = Readonly<{ self: string; events: string; story: string; cancel: string; temporal?: string }>;

export type LinkOptions = Readonly<{ temporalUiUrl: string | undefined; namespace: string }>;

export function linksOf(orderId: string, options: LinkOptions): Links {
  const self = `/v1/orders/${orderId}`;
  return {
    ...{ self, events: `${self}/events`, story: `${self}/story`, cancel: `${self}/cancel` },
    ...workflowLink(checkoutWorkflowId(orderId), options),
  };
}

/** Where a workflow is in Temporal Web; nothing where this system does not know its Temporal Web. */
export function workflowLink(
  workflowId: string,
  { temporalUiUrl, namespace }: LinkOptions,
): Readonly<{ temporal?: string }> {
  if (temporalUiUrl === undefined) return {};
  const path = `namespaces/${encodeURIComponent(namespace)}/workflows/${encodeURIComponent(workflowId)}`;
  return { temporal: `${temporalUiUrl.replace(/\/$/, '')}/${path}` };
}

/** The order as it was placed, in the shape of `GET /v1/orders/{id}`, which adds the history. */
export function presentPlaced({ lines, paymentMethod, total, ...order }: PlacedOrder, options: LinkOptions): object {
  return {
    orderId: order.orderId,
    orderNumber: order.orderNumber,
    status: order.status,
    failure: null,
    items: lines.map(presentLine),
    total,
    refunded: { minor: 0, currency: total.currency },
    payment: { method: paymentMethod, status: 'PENDING', instructions: null, expiresAt: null },
    placedAt: order.placedAt,
    links: linksOf(order.orderId, options),
  };
}

/** The same fields as an order's line: what the saga remembers beyond them is its own. */
const presentLine = (line: PricedLine): object => ({
  lineNo: line.lineNo,
  productId: line.productId,
  variantId: line.variantId,
  locationCode: line.locationCode,
  sku: line.sku,
  name: line.name,
  unitPrice: line.unitPrice,
  quantity: line.quantity,
  lineTotal: line.lineTotal,
});

/** 202: the checkout is on its way. A repeat with the same key, or the location, tells how it went. */
export function sendPending(res: Response, orderId: string, options: LinkOptions): void {
  const links = linksOf(orderId, options);
  res
    .status(202)
    .location(links.self)
    .json({ orderId, orderNumber: orderNumberOf(orderId), status: 'PENDING', links });
}

/** The order as it is now, with its history. */
export const presentOrder = (order: OrderView, options: LinkOptions): object => ({
  ...order,
  links: linksOf(order.orderId, options),
});
