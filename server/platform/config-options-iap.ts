import type { Option } from './config-option.ts';

/** App stores (spec: http-auth-accounts.md, section 7.7). */
export const iapOptions = [
  {
    key: 'iap.timeout_ms',
    type: 'int',
    default: 20000,
    min: 1,
    description: 'Longest wait for a store in one validation, over all calls it takes.',
  },
  {
    key: 'iap.apple.shared_password',
    type: 'string',
    default: '',
    secret: true,
    description: 'The app’s shared secret. Subscriptions and receipts of before StoreKit 2 need it.',
  },
  {
    key: 'iap.apple.notifications_endpoint_id',
    type: 'string',
    default: '',
    secret: true,
    description:
      'Last part of the path that the App Store sends its notifications to: one segment, which nobody may guess.',
  },
  {
    key: 'iap.apple.bundle_ids',
    type: 'string[]',
    default: [],
    description: 'Apps whose purchases are taken; none means those of all, as in Nakama.',
  },
  {
    key: 'iap.apple.root_fingerprints',
    type: 'string[]',
    default: ['63:34:3A:BF:B8:9A:6A:03:EB:B5:7E:9B:3F:5F:A7:BE:7C:4F:5C:75:6F:30:17:B3:A8:C4:88:C3:65:3E:91:79'],
    description:
      'SHA-256 of the root certificates that signatures of the App Store may lead to. The default is Apple Root CA - G3.',
  },
  {
    key: 'iap.google.client_email',
    type: 'string',
    default: '',
    description: 'Address of the service account that asks Google Play. Without it or its key Google is off.',
  },
  {
    key: 'iap.google.private_key',
    type: 'string',
    default: '',
    secret: true,
    description: 'Private key of that service account, as PEM; its line ends may be written as `\\n`.',
  },
  {
    key: 'iap.google.notifications_endpoint_id',
    type: 'string',
    default: '',
    secret: true,
    description:
      'Last part of the path that Google Play sends its notifications to: one segment, which nobody may guess.',
  },
  {
    key: 'iap.huawei.public_key',
    type: 'string',
    default: '',
    description: 'The app’s payment key, base64. Without it or the client’s id and secret Huawei is off.',
  },
  {
    key: 'iap.huawei.client_id',
    type: 'string',
    default: '',
    description: 'OAuth client id of the app in AppGallery.',
  },
  {
    key: 'iap.huawei.client_secret',
    type: 'string',
    default: '',
    secret: true,
    description: 'Secret of that client.',
  },
  {
    key: 'iap.facebook_instant.app_secret',
    type: 'string',
    default: '',
    secret: true,
    description: 'Secret that signs the purchases of Facebook Instant Games. Without it they are off.',
  },
  {
    key: 'iap.samsung.package_name',
    type: 'string',
    default: '',
    description: 'App whose purchases are taken; none means those of all, as in Nakama.',
  },
] as const satisfies readonly Option[];
