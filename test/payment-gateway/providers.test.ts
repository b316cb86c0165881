import assert from 'node:assert/strict';

import { ConfigError, readConfig } from '../../infra/config.ts';
import { openGatewayLedger, openPaymentGateway, webhookReaders } from '../../infra/payment-gateway/providers.ts';

const missing = (variable: string) => (error: unknown) => {
  assert.ok(error instanceof ConfigError, String(error));
  assert.ok(error.message.startsWith(`${variable} is not set.`), error.message);
  return true;
};
const SECRET = `whsec_${'a'.repeat(32)}`;

describe('the payment provider that is configured', () => {
  it('is the simulated gateway unless another is named, and needs its address', async () => {
    const config = readConfig({ GATEWAY_URL: 'http://127.0.0.1:1', GATEWAY_MAX_PROCESSING_MS: '7' });
    assert.equal((await openPaymentGateway(config)).provider, 'simulated');
    assert.equal((await openPaymentGateway(config)).maxProcessingMs, 7);
    assert.equal((await openGatewayLedger(config)).provider, 'simulated');
    await assert.rejects(openPaymentGateway(readConfig({})), missing('GATEWAY_URL'));
    await assert.rejects(openGatewayLedger(readConfig({})), missing('GATEWAY_URL'));
  });

  it('is Stripe when it is named, and needs its key but no address', async () => {
    const env = { PAYMENT_PROVIDER: 'stripe', GATEWAY_MAX_PROCESSING_MS: '7' };
    const config = readConfig({ ...env, STRIPE_SECRET_KEY: 'sk_test_1' });
    assert.equal((await openPaymentGateway(config)).provider, 'stripe');
    assert.equal((await openPaymentGateway(config)).maxProcessingMs, 7);
    assert.equal((await openGatewayLedger(config)).provider, 'stripe');
    await assert.rejects(openPaymentGateway(readConfig(env)), missing('STRIPE_SECRET_KEY'));
    await assert.rejects(openGatewayLedger(readConfig(env)), missing('STRIPE_SECRET_KEY'));
  });

  it("reads its own provider's webhooks alone", async () => {
    const env = { GATEWAY_WEBHOOK_SECRETS: SECRET };
    assert.deepEqual([...(await webhookReaders(readConfig(env))).keys()], ['simulated']);
    assert.deepEqual(
      [...(await webhookReaders(readConfig({ ...env, PAYMENT_PROVIDER: 'stripe' }))).keys()],
      ['stripe'],
    );
  });

  it('without secrets reads none of the simulated gateway, which sends none then, and cannot do without those of Stripe', async () => {
    assert.equal((await webhookReaders(readConfig({}))).size, 0);
    const stripe = readConfig({ PAYMENT_PROVIDER: 'stripe' });
    await assert.rejects(webhookReaders(stripe), missing('GATEWAY_WEBHOOK_SECRETS'));
  });
});
