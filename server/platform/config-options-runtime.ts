import type { Option } from './config-option.ts';

/** Game code (spec: http-auth-accounts.md, section 7.5). */
export const runtimeOptions = [
  {
    key: 'runtime.event_queue_size',
    type: 'int',
    default: 65_536,
    min: 1,
    description: 'Events that may wait for game code; further ones are dropped.',
  },
  {
    key: 'runtime.event_queue_workers',
    type: 'int',
    default: 8,
    min: 1,
    description: 'Events that game code handles at a time.',
  },
] as const satisfies readonly Option[];
