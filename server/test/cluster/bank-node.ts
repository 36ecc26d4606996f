// A node with the bank of the tests: node --import tsx bank-node.ts start --dev [options of the server]
import { App } from '../../app/app.ts';
import { listenForStop } from '../../app/stop-signals.ts';
import { loadConfig } from '../../platform/config.ts';
import { createLogger } from '../../platform/log.ts';
import { createBankFeature } from './bank-feature.ts';

const { config } = loadConfig({ argv: process.argv.slice(3), env: process.env });
const stop = listenForStop();
const app = await App.start({
  config,
  log: createLogger(config.logger),
  extraFeatures: (_kit, features) => [createBankFeature(features)],
});
await stop.requested;
await app.stop(stop.insisted);
