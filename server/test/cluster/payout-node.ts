// A node that pays prizes: node --import tsx payout-node.ts start --dev [options of the server]. Its clock is off by as many
// milliseconds as PAYOUT_CLOCK_SKEW_MS says.
import { App } from '../../app/app.ts';
import { listenForStop } from '../../app/stop-signals.ts';
import { loadConfig } from '../../platform/config.ts';
import { createLogger } from '../../platform/log.ts';
import { payPrizes } from './payout-feature.ts';

const skewMs = Number(process.env['PAYOUT_CLOCK_SKEW_MS'] ?? 0);
const RealDate = Date;
globalThis.Date = class extends RealDate {
  constructor(...given: []) {
    if (given.length === 0) super(RealDate.now() + skewMs);
    else super(...given);
  }

  static override now(): number {
    return RealDate.now() + skewMs;
  }
} as DateConstructor;

const { config } = loadConfig({ argv: process.argv.slice(3), env: process.env });
const stop = listenForStop();
const app = await App.start({
  config,
  log: createLogger(config.logger),
  extraFeatures: (_kit, features) => {
    payPrizes(features);
    return [];
  },
});
await stop.requested;
await app.stop(stop.insisted);
