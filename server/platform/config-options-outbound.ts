import type { Option } from './config-option.ts';

/** Calls to third parties: sign-in providers and app stores. */
export const outboundOptions = [
  {
    key: 'outbound.timeout_ms',
    type: 'int',
    default: 5000,
    min: 1,
    description: 'Longest wait for third parties in one sign-in or link, over all calls it takes.',
  },
  {
    key: 'outbound.max_response_bytes',
    type: 'int',
    default: 1048576,
    min: 1,
    description: 'Longest answer that is read, unpacked.',
  },
  {
    key: 'outbound.concurrent_calls',
    type: 'int',
    default: 256,
    min: 1,
    description: 'Calls to one host that may be under way; further ones fail at once.',
  },
  {
    key: 'outbound.breaker_failures',
    type: 'int',
    default: 20,
    min: 0,
    description:
      'Calls to one host that may fail in a row; then all fail at once for outbound.breaker_open_ms. 0 never stops calling.',
  },
  {
    key: 'outbound.breaker_open_ms',
    type: 'int',
    default: 5000,
    min: 1,
    description: 'How long a failing host is left alone, until one call tries whether it is back.',
  },
  {
    key: 'outbound.routes',
    type: 'string[]',
    default: [],
    description:
      'Where calls to a host go instead, such as to a proxy of your own, as `https://graph.facebook.com=http://proxy:8080/facebook`.',
  },
] as const satisfies readonly Option[];
