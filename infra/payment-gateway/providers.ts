import { type Config, ConfigError } from '../config.ts';
import type { GatewayLedger } from './ledger.ts';
import type { PaymentGateway } from './port.ts';
import { simulatedGateway } from './simulated.ts';
import { simulatedLedger } from './simulated-ledger.ts';
import { simulatedWebhook } from './simulated-webhook.ts';
import type { StripeOptions } from './stripe-client.ts';
import type { ReadWebhook } from './webhook.ts';

/** Reading books may take longer than a charge: nobody waits for it. */
const LEDGER_TIMEOUT_MS = 20_000;

/**
 * The provider that `PAYMENT_PROVIDER` names. Opens no connection: the first call does. Stripe's library is loaded only
 * for who uses it: that takes half a second.
 *
 * @throws ConfigError saying which variable to set
 */
export async function openPaymentGateway(config: Config): Promise<PaymentGateway> {
  const { gatewayTimeoutMs: timeoutMs, gatewayMaxProcessingMs: maxProcessingMs } = config;
  switch (config.paymentProvider) {
    case 'simulated':
      return simulatedGateway({ url: simulatedUrl(config), timeoutMs, maxProcessingMs });
    case 'stripe': {
      const options = stripeOptions(config, timeoutMs);
      const { stripeGateway } = await import('./stripe.ts');
      return stripeGateway({ ...options, maxProcessingMs, returnUrl: config.stripe.returnUrl });
    }
  }
}

/**
 * The books of the same provider.
 *
 * @throws ConfigError saying which variable to set
 */
export async function openGatewayLedger(config: Config): Promise<GatewayLedger> {
  switch (config.paymentProvider) {
    case 'simulated':
      return simulatedLedger({ url: simulatedUrl(config), timeoutMs: LEDGER_TIMEOUT_MS });
    case 'stripe': {
      const options = stripeOptions(config, LEDGER_TIMEOUT_MS);
      return (await import('./stripe-ledger.ts')).stripeLedger(options);
    }
  }
}

/**
 * Whose webhooks are read, by the name of the provider; its secrets, not its key, are needed for that. Empty for the
 * simulated gateway without secrets: then it sends none.
 *
 * @throws ConfigError for another provider without secrets: what it says later would be lost
 */
export async function webhookReaders({
  paymentProvider,
  webhookSecrets,
}: Config): Promise<ReadonlyMap<string, ReadWebhook>> {
  switch (paymentProvider) {
    case 'simulated':
      return webhookSecrets.length === 0 ? new Map() : new Map([['simulated', simulatedWebhook(webhookSecrets)]]);
    case 'stripe':
      if (webhookSecrets.length > 0) {
        const { stripeWebhook } = await import('./stripe-webhook.ts');
        return new Map([['stripe', stripeWebhook(webhookSecrets)]]);
      }
      throw new ConfigError(
        'GATEWAY_WEBHOOK_SECRETS is not set. Set it to the signing secret of your webhook endpoint at Stripe (whsec_…).',
      );
  }
}

function simulatedUrl({ gatewayUrl }: Config): string {
  if (gatewayUrl !== undefined) return gatewayUrl;
  throw new ConfigError('GATEWAY_URL is not set. Set it, for example GATEWAY_URL=http://127.0.0.1:4242.');
}

function stripeOptions({ stripe: { secretKey, apiUrl } }: Config, timeoutMs: number): StripeOptions {
  if (secretKey !== undefined) return { secretKey, apiUrl, timeoutMs };
  throw new ConfigError('STRIPE_SECRET_KEY is not set. Set it to a secret or restricted key of your Stripe account.');
}
