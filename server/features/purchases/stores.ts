import type { Logger } from 'pino';
import type { Clock } from '../../platform/clock.ts';
import type { Config } from '../../platform/config.ts';
import type { Outbound } from '../../platform/outbound.ts';
import { AccessTokens } from './stores/access-tokens.ts';
import { AppleReceipts } from './stores/apple.ts';
import { AppleLegacyReceipts } from './stores/apple-legacy.ts';
import { AppleSignatures } from './stores/apple-signatures.ts';
import { GooglePurchases } from './stores/google.ts';
import { HuaweiPurchases } from './stores/huawei.ts';
import { StoreCalls } from './stores/store-calls.ts';

interface Dependencies {
  readonly settings: Config['iap'];
  readonly outbound: Outbound;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Whoever vouches for purchases. */
export interface Stores {
  readonly apple: AppleReceipts;
  readonly appleSignatures: AppleSignatures;
  readonly google: GooglePurchases;
  readonly huawei: HuaweiPurchases;
  readonly calls: StoreCalls;
}

export function createStores({ settings, outbound, clock, log }: Dependencies): Stores {
  const calls = new StoreCalls({ outbound, clock, timeoutMs: settings.timeout_ms, log });
  const tokens = new AccessTokens(clock);
  const { root_fingerprints: roots, bundle_ids: bundleIds } = settings.apple;
  const appleSignatures = new AppleSignatures(roots, clock);
  const legacy = new AppleLegacyReceipts(calls, bundleIds);
  return {
    apple: new AppleReceipts({ signatures: appleSignatures, legacy, bundleIds }),
    appleSignatures,
    google: new GooglePurchases({ calls, tokens, clock }),
    huawei: new HuaweiPurchases(calls, tokens),
    calls,
  };
}
