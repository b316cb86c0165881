import { orders } from './orders.ts';
import { payments } from './payments.ts';
import { products } from './products.ts';
import { sales } from './sales.ts';
import { users } from './users.ts';
import type { View, ViewName } from './view.ts';

const BY_NAME: Readonly<Record<ViewName, View>> = { users, products, orders, payments, sales };

/** Every view. Each is fed by itself, so their order means nothing. */
export const VIEWS: readonly View[] = Object.values(BY_NAME);

export const viewNamed = (name: ViewName): View => BY_NAME[name];
