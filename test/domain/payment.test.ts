import assert from 'node:assert/strict';

import { type Charge, type ChargeStatus, judgeCharge } from '../../domain/payment.ts';

const ASKED = { minor: 7_000, currency: 'KRW' };
const charge = (status: ChargeStatus, change: Partial<Charge> = {}): Charge => ({
  providerId: 'ch_1',
  status,
  captured: null,
  refundedMinor: 0,
  declineCode: null,
  instructions: null,
  ...change,
});

describe('what a charge means', () => {
  it('is captured only when exactly what was asked for was taken', () => {
    assert.equal(judgeCharge(charge('captured', { captured: { ...ASKED } }), ASKED, 'card'), 'CAPTURED');
  });

  for (const captured of [
    { ...ASKED, minor: 6_999 },
    { ...ASKED, minor: 7_001 },
    { ...ASKED, currency: 'USD' },
    null,
  ]) {
    it(`is a mismatch when ${JSON.stringify(captured)} was taken`, () => {
      assert.deepEqual(judgeCharge(charge('captured', { captured }), ASKED, 'card'), {
        code: 'PAYMENT_AMOUNT_MISMATCH',
        message: 'the gateway took another amount than was asked; it is given back',
        detail: { asked: ASKED, captured },
      });
    });
  }

  for (const refundedMinor of [1, ASKED.minor]) {
    it(`does not pay for the order when ${refundedMinor} of it went back before anything was decided`, () => {
      const judged = judgeCharge(charge('captured', { captured: ASKED, refundedMinor }), ASKED, 'card');
      assert.equal(typeof judged === 'object' && judged.code, 'PAYMENT_AMOUNT_MISMATCH');
    });
  }

  it('is declined with the reason of the gateway, or without one', () => {
    const detailOf = (judged: ReturnType<typeof judgeCharge>): unknown =>
      typeof judged === 'object' ? judged : undefined;
    assert.deepEqual(detailOf(judgeCharge(charge('declined', { declineCode: 'insufficient_funds' }), ASKED, 'card')), {
      code: 'PAYMENT_DECLINED',
      message: 'the card was declined',
      detail: { reason: 'insufficient_funds' },
    });
    assert.deepEqual(detailOf(judgeCharge(charge('declined'), ASKED, 'card')), {
      code: 'PAYMENT_DECLINED',
      message: 'the card was declined',
      detail: { reason: 'declined' },
    });
  });

  it('is declined when it was cancelled at the gateway', () => {
    const judged = judgeCharge(charge('cancelled'), ASKED, 'card');
    assert.deepEqual(typeof judged === 'object' && [judged.code, judged.detail], [
      'PAYMENT_DECLINED',
      { reason: 'cancelled' },
    ]);
  });

  it('is a hold that is over when the account for a transfer was closed', () => {
    const judged = judgeCharge(charge('cancelled'), ASKED, 'bank_transfer');
    assert.equal(typeof judged === 'object' && judged.code, 'HOLD_EXPIRED');
  });

  it('speaks of the transfer, not of a card, when one is declined', () => {
    const judged = judgeCharge(charge('declined', { declineCode: 'returned' }), ASKED, 'bank_transfer');
    assert.deepEqual(judged, {
      code: 'PAYMENT_DECLINED',
      message: 'the transfer was declined',
      detail: { reason: 'returned' },
    });
  });

  it('waits for the shopper when the card asks for a confirmation', () => {
    assert.equal(judgeCharge(charge('requires_confirmation'), ASKED, 'card'), 'AWAITING_CONFIRMATION');
  });

  for (const status of ['open', 'processing'] as const) {
    it(`is not decided while it is ${status}: never read as failed`, () => {
      assert.equal(judgeCharge(charge(status), ASKED, 'card'), undefined);
    });
  }
});
