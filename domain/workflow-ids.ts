/** Workflow ids, made of what the work is about: a second start of the same work finds the first. */

/** Workflow id of the checkout that makes an order. */
export const checkoutWorkflowId = (orderId: string): string => `checkout-${orderId}`;

/** Workflow id of the one repair that an order may have at a time. */
export const repairWorkflowId = (orderId: string): string => `repair-${orderId}`;

/** Workflow id of a refund. */
export const refundWorkflowId = (refundId: string): string => `refund-${refundId}`;

/** Workflow id of what a provider's event leads to. */
export const webhookWorkflowId = (provider: string, eventId: string): string => `webhook-${provider}-${eventId}`;

/** Workflow id of the one rebuild that a view may have at a time. */
export const rebuildWorkflowId = (view: string): string => `rebuild-${view}`;
