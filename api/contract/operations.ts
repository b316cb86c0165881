import type { Operation } from './operation.ts';
import { listDailySales } from './sales.ts';

/** Every operation of the API, in the order of the document. */
export const OPERATIONS: readonly Operation[] = [listDailySales];
